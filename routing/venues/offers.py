"""The rule by which a venue offers what a pool pays, simulated or live."""

from routing.pricing import MAX_ATOMS, pool_quote
from routing.venue import InsufficientLiquidity, Liquidity, Quote, Swap

MOST_IMPACT_BPS = 5_000
"""A constant product sells its last atom at any price, so no quote beyond this impact is given."""


def offer(name: str, label: str, swap: Swap, liquidity: Liquidity) -> Quote:
    """Return what a venue offers for `swap` with this pool.

    :raises InsufficientLiquidity: the pool cannot fill the amount, or not at a price to speak of.
    """
    if not 0 < (swap.amount_in or swap.amount_out or 0) <= MAX_ATOMS:
        raise InsufficientLiquidity(f"{label} cannot fill this amount")
    quote = pool_quote(name, swap, liquidity)
    if quote.price_impact_bps is None or quote.price_impact_bps > MOST_IMPACT_BPS:
        raise InsufficientLiquidity(f"{label} has too little for this amount")
    return quote
