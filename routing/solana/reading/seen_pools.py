"""A live pool as it was at one slot: what routing calculates with, and the legs through it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

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

    @abstractmethod
    def leg(self, amounts: SwapAmounts, direction: Direction) -> SwapLeg:
        """Return a swap in this pool."""


@dataclass(frozen=True, slots=True)
class SeenCpmm(SeenPool):
    at: PoolAt
    program: Pubkey = CPMM_PROGRAM

    def leg(self, amounts: SwapAmounts, direction: Direction) -> SwapLeg:
        """See `SeenPool.leg`."""
        return CpmmLeg(self.at, amounts, direction is Direction.X_TO_Y, self.program)


@dataclass(frozen=True, slots=True)
class SeenDlmm(SeenPool):
    at: PairAt
    extension: BitmapExtension | None
    program: Pubkey = DLMM_PROGRAM

    def leg(self, amounts: SwapAmounts, direction: Direction) -> SwapLeg:
        """See `SeenPool.leg`. It names the next arrays, whether the swap needs them or not."""
        pair, to_y = self.at.account, direction is Direction.X_TO_Y
        arrays = arrays_ahead(
            pair.active_id, pair.bitmap, self.extension, to_y=to_y, count=ARRAYS_IN_A_LEG
        )
        return DlmmLeg(self.at, amounts, to_y, tuple(arrays), self.program)


@dataclass(frozen=True, slots=True)
class UnusablePool:
    """A pool that is not traded in, and why; reading it again may help."""

    address: Pubkey
    reason: str
