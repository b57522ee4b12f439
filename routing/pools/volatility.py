"""The fee of a DLMM pool: a fixed part, and a part that rises with the movement of the price."""

from dataclasses import dataclass
from enum import IntEnum

from routing.pools.bins import BILLION, BPS

MAX_FEE_RATE = BILLION // 10


class CollectFeeMode(IntEnum):
    """The token in which fees are taken, by the program's numbers."""

    INPUT_ONLY = 0
    ONLY_Y = 1


@dataclass(frozen=True, slots=True)
class BinParameters:
    """The parameters that a pool is created with; periods in seconds."""

    bin_step: int
    """The distance between the prices of two neighbours, in bps."""
    base_factor: int
    filter_period: int
    """Swaps closer together than this are one movement."""
    decay_period: int
    """After this long the movement is forgotten."""
    reduction_factor: int
    """The part of the movement that is left in between, in bps."""
    variable_fee_control: int
    max_volatility_accumulator: int
    protocol_share: int
    """The protocol's part of each fee, in bps."""
    base_fee_power_factor: int = 0
    collect_fee_mode: CollectFeeMode = CollectFeeMode.INPUT_ONLY

    @property
    def base_fee_rate(self) -> int:
        """The fixed part of the fee, in billionths."""
        return self.base_factor * self.bin_step * 10 * int(10**self.base_fee_power_factor)

    def variable_fee_rate(self, accumulator: int) -> int:
        """Return the movement's part of the fee, in billionths."""
        square = (accumulator * self.bin_step) ** 2
        return -(-square * self.variable_fee_control // 100_000_000_000)


@dataclass(frozen=True, slots=True)
class Volatility:
    """How far the price moved lately, in bins times 10,000."""

    accumulator: int
    reference: int
    """What is left of earlier movements."""
    index_reference: int
    """The bin in which the present movement began."""
    last_update: int
    """Unix time, in seconds, of the last swap that left its bin."""

    def at(self, now: int, active_id: int, parameters: BinParameters) -> "Volatility":
        """Return the volatility at the start of a swap: the same, decayed, or forgotten."""
        elapsed = now - self.last_update
        if elapsed < parameters.filter_period:
            return self
        rest = 0
        if elapsed < parameters.decay_period:
            rest = self.accumulator * parameters.reduction_factor // BPS
        return Volatility(self.accumulator, rest, active_id, self.last_update)

    def accumulator_in(self, bin_id: int, parameters: BinParameters) -> int:
        """Return the accumulator when a swap that starts here reaches this bin."""
        moved = self.reference + abs(self.index_reference - bin_id) * BPS
        return min(moved, parameters.max_volatility_accumulator)
