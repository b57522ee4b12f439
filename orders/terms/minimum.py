"""The least input of an order that is not a market order."""

from routing.tokens import Market
from routing.venue import Side


def minimum_in(market: Market, side: Side) -> int:
    """Return the least amount, in atoms of what goes in, that this market takes on this side."""
    return 1
