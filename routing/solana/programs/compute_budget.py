"""What a transaction may compute, and what it pays for that beside the signature fee."""

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import Instruction

MOST_UNITS = 1_400_000
"""The most compute units that a transaction may have."""
LAMPORTS_PER_SIGNATURE = 5_000

LIMIT_TAG, PRICE_TAG = 2, 3
MILLION = 1_000_000


def limit(units: int) -> Instruction:
    """Let the transaction use at most so many compute units."""
    return set_compute_unit_limit(units)


def price(micro_lamports: int) -> Instruction:
    """Pay this for each compute unit of the limit, whether it is used or not."""
    return set_compute_unit_price(micro_lamports)


def priority_fee(units: int, micro_lamports: int) -> int:
    """Return the lamports that a limit costs at a price."""
    return -(-units * micro_lamports // MILLION)


def price_within(lamports: int, units: int) -> int:
    """Return the highest price (micro-lamports a unit) at which `units` cost at most `lamports`."""
    return lamports * MILLION // units
