"""The least input of an order that is made without anybody looking at it: a slice, an exit."""

from routing.pricing import atoms_ratio
from routing.tokens import Market
from routing.venue import Side

LEAST_OUT = 100
"""Atoms: of fewer, a rounded one would be more than 1 % of the price."""


def minimum_in(market: Market, side: Side) -> int:
    """Return the least amount, in atoms of what goes in, that this market takes on this side.

    It is what an operator has set, else what pays 100 atoms at the market's reference price. So it
    is the same for every process and in every second.
    """
    least = market.min_base if side is Side.SELL else market.min_quote
    if least is not None:
        return least
    quote, base = atoms_ratio(market, market.reference_price)
    out, into = (quote, base) if side is Side.SELL else (base, quote)
    return -(-LEAST_OUT * into // out)
