"""One swap of an order's transaction, in one pool of either program."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM, TOKEN_PROGRAM, WRAPPED_SOL
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.cpmm.instructions import swap as cpmm_swap
from routing.solana.dlmm.instructions import PairAt
from routing.solana.dlmm.instructions import swap as dlmm_swap
from routing.solana.swap_amounts import SwapAmounts


class Asset(NamedTuple):
    """What a wallet gives or takes. `is_native`: SOL itself, which is wrapped on the way."""

    mint: Pubkey
    token_program: Pubkey = TOKEN_PROGRAM
    is_native: bool = False


NATIVE_SOL = Asset(WRAPPED_SOL, is_native=True)


class SwapLeg(Protocol):
    @property
    def amounts(self) -> SwapAmounts: ...

    @property
    def asset_in(self) -> Asset: ...

    @property
    def asset_out(self) -> Asset: ...

    def instruction(self, wallet: Pubkey, accounts: Mapping[Pubkey, Pubkey]) -> Instruction:
        """Return the swap between the wallet's accounts; `accounts` are by their mints."""
        ...


@dataclass(frozen=True, slots=True)
class CpmmLeg:
    """A swap in a CPMM pool, from token 0 to 1 or back."""

    pool: PoolAt
    amounts: SwapAmounts
    from_0: bool
    program: Pubkey = CPMM_PROGRAM

    @property
    def asset_in(self) -> Asset:
        return self._assets()[not self.from_0]

    @property
    def asset_out(self) -> Asset:
        return self._assets()[self.from_0]

    def instruction(self, wallet: Pubkey, accounts: Mapping[Pubkey, Pubkey]) -> Instruction:
        return cpmm_swap(
            self.pool,
            self.amounts,
            from_0=self.from_0,
            user=wallet,
            user_in=accounts[self.asset_in.mint],
            user_out=accounts[self.asset_out.mint],
            program=self.program,
        )

    def _assets(self) -> tuple[Asset, Asset]:
        account = self.pool.account
        first = Asset(account.mint_0, account.token_program_0)
        return first, Asset(account.mint_1, account.token_program_1)


@dataclass(frozen=True, slots=True)
class DlmmLeg:
    """A swap in a DLMM pair, from x to y or back, through the arrays with these indexes."""

    pair: PairAt
    amounts: SwapAmounts
    to_y: bool
    arrays: tuple[int, ...]
    program: Pubkey = DLMM_PROGRAM

    @property
    def asset_in(self) -> Asset:
        return self._assets()[not self.to_y]

    @property
    def asset_out(self) -> Asset:
        return self._assets()[self.to_y]

    def instruction(self, wallet: Pubkey, accounts: Mapping[Pubkey, Pubkey]) -> Instruction:
        return dlmm_swap(
            self.pair,
            self.amounts,
            self.arrays,
            to_y=self.to_y,
            user=wallet,
            user_in=accounts[self.asset_in.mint],
            user_out=accounts[self.asset_out.mint],
            program=self.program,
        )

    def _assets(self) -> tuple[Asset, Asset]:
        account = self.pair.account
        x = Asset(account.mint_x, account.token_program_x)
        return x, Asset(account.mint_y, account.token_program_y)
