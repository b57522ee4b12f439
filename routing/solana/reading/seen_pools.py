"""A live pool as it was at one slot: what routing calculates with, and the legs through it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.pools.pool import Direction, Pool
from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.dlmm.bin_arrays import BitmapExtension, arrays_ahead
from routing.solana.dlmm.instructions import PairAt
from routing.solana.swap_amounts import SwapAmounts
from routing.solana.token_accounts import Clock
from routing.solana.transactions.legs import CpmmLeg, DlmmLeg, SwapLeg
from routing.venue import Liquidity

ARRAYS_IN_A_LEG = 3
"""How many bin arrays a swap names: 210 bins or more, beyond what it may compute."""


class Vault(NamedTuple):
    """A token account of a pool, and the atoms that it held."""

    address: Pubkey
    held: int


@dataclass(frozen=True, slots=True)
class SeenPool(ABC):
    """x is the token with the smaller mint in CPMM, and the pair's own x in DLMM."""

    address: Pubkey
    mint_x: Pubkey
    mint_y: Pubkey
    pool: Pool
    clock: Clock

    def liquidity(self, direction: Direction) -> Liquidity:
        """Return the pool for one swap, under its address."""
        return Liquidity(str(self.address), self.pool, direction, self.clock.unix_time)

    def held(self, mint: str) -> int:
        """Return what it holds of one of its tokens, in atoms; of a pair, near its price."""
        return self.pool.vault_x if mint == str(self.mint_x) else self.pool.vault_y

    @property
    @abstractmethod
    def vaults(self) -> tuple[Vault, Vault]:
        """Where it keeps x and y."""

    @property
    @abstractmethod
    def opened_at(self) -> int | None:
        """From which unix second on it could be traded in; None: it does not say."""

    @property
    @abstractmethod
    def is_switched_on(self) -> bool:
        """Whether its program takes swaps in it, at once or as soon as it opens."""

    @abstractmethod
    def leg(
        self, amounts: SwapAmounts, direction: Direction, arrays: int = ARRAYS_IN_A_LEG
    ) -> SwapLeg:
        """Return a swap in this pool. `arrays`: how many bin arrays it names at most."""


@dataclass(frozen=True, slots=True)
class SeenCpmm(SeenPool):
    at: PoolAt
    program: Pubkey = CPMM_PROGRAM

    @property
    def vaults(self) -> tuple[Vault, Vault]:
        """See `SeenPool.vaults`."""
        account = self.at.account
        x, y = Vault(account.vault_0, self.pool.vault_x), Vault(account.vault_1, self.pool.vault_y)
        return x, y

    @property
    def opened_at(self) -> int | None:
        """See `SeenPool.opened_at`."""
        return self.at.account.open_time or None

    @property
    def is_switched_on(self) -> bool:
        """See `SeenPool.is_switched_on`."""
        return self.at.account.takes_swaps

    def leg(
        self, amounts: SwapAmounts, direction: Direction, arrays: int = ARRAYS_IN_A_LEG
    ) -> SwapLeg:
        """See `SeenPool.leg`."""
        return CpmmLeg(self.at, amounts, direction is Direction.X_TO_Y, self.program)


@dataclass(frozen=True, slots=True)
class SeenDlmm(SeenPool):
    at: PairAt
    extension: BitmapExtension | None
    reserves: tuple[int, int]
    """Atoms of x and y in its vaults, those of bins that were not read among them."""
    program: Pubkey = DLMM_PROGRAM

    @property
    def vaults(self) -> tuple[Vault, Vault]:
        """See `SeenPool.vaults`."""
        account, (x, y) = self.at.account, self.reserves
        return Vault(account.reserve_x, x), Vault(account.reserve_y, y)

    @property
    def opened_at(self) -> int | None:
        """See `SeenPool.opened_at`."""
        return self.at.account.opens_at

    @property
    def is_switched_on(self) -> bool:
        """See `SeenPool.is_switched_on`."""
        return self.at.account.status == 0

    def leg(
        self, amounts: SwapAmounts, direction: Direction, arrays: int = ARRAYS_IN_A_LEG
    ) -> SwapLeg:
        """See `SeenPool.leg`. It names the next arrays, whether the swap needs them or not."""
        pair, to_y = self.at.account, direction is Direction.X_TO_Y
        ahead = arrays_ahead(pair.active_id, pair.bitmap, self.extension, to_y=to_y, count=arrays)
        return DlmmLeg(self.at, amounts, to_y, tuple(ahead), self.program)


@dataclass(frozen=True, slots=True)
class UnusablePool:
    """A pool that is not traded in, and why; reading it again may help."""

    address: Pubkey
    reason: str
