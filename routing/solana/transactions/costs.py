"""What a transaction should pay to get into a block soon, within the operator's limit."""

from collections.abc import Sequence
from typing import NamedTuple

from routing.solana.programs.compute_budget import MOST_UNITS, price_within
from routing.solana.transactions.assembly import Costs, Tip

PERCENTILE = 75
RAISED_BY = 2
"""The factor of the price in each further attempt of an order."""


class FeePolicy(NamedTuple):
    """Prices in micro-lamports for a compute unit, the limit in lamports for a transaction."""

    least_price: int
    most_lamports: int
    percentile: int = PERCENTILE


def costs_of(
    units: int, paid: Sequence[int], policy: FeePolicy, *, attempt: int = 1, tip: Tip | None = None
) -> Costs:
    """Return the costs of a transaction that a simulation saw use `units`.

    `paid` are the prices that were paid lately to write the same accounts. Each attempt of an order
    after the first pays twice as much, and none more than the limit.
    """
    limit = min(units + units // 5 + 1_000, MOST_UNITS)
    price = max(percentile(paid, policy.percentile), policy.least_price)
    price *= RAISED_BY ** (attempt - 1)
    return Costs(limit, min(price, price_within(policy.most_lamports, limit)), tip)


def percentile(numbers: Sequence[int], percent: int) -> int:
    """Return the least of the numbers that so many percent do not exceed; 0 if there are none."""
    if not numbers:
        return 0
    place = -(-len(numbers) * percent // 100)
    return sorted(numbers)[max(place, 1) - 1]
