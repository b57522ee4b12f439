"""What became of an order's price on its way from the market to the fill. Exact, in atoms.

An order gives a fixed amount of one token. All amounts here are of its other token, in which the
venues compete: what comes out, or what goes in. Each step of the chain is one such amount, so what
lies between the steps adds up to the atom.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from routing.pricing import MAX_ATOMS, atoms_ratio
from routing.stored_decision import StoredDecision
from routing.venue import BPS, Quote, Side, Swap


class Chain(NamedTuple):
    """The amounts at each step."""

    arrival: int
    """At the market's price when the order was accepted."""
    at_spot: int
    """At the chosen venues' price before the swap."""
    at_price: int
    """At their price for this amount, before fees."""
    quoted: int


class Parts(NamedTuple):
    """By how many atoms each step was better than the one before; negative: worse."""

    price: int
    """How the venues stood to the market, and how the market moved until they were asked."""
    impact: int
    fee: int
    fill: int
    """Between the quote and the fill."""


class Offers(NamedTuple):
    """What an order was built on, and what the runner-up offered instead."""

    quote: Quote
    other: Quote | None


def compared(swap: Swap, amount_in: int, amount_out: int) -> int:
    """Return the amount in which the venues compete."""
    return amount_out if swap.is_exact_in else amount_in


def gain(swap: Swap, before: int, after: int) -> int:
    """Return by how many atoms the amount `after` is better than `before`."""
    return after - before if swap.is_exact_in else before - after


def gain_bps(swap: Swap, before: int, after: int) -> Decimal:
    """Return the gain in bps of `before`, rounded down to hundredths, as the margin of a choice."""
    return Decimal(gain(swap, before, after) * BPS * 100 // before).scaleb(-2)


def parts_of(swap: Swap, chain: Chain, filled: int) -> Parts:
    steps = (*chain, filled)
    return Parts._make(gain(swap, *pair) for pair in pairwise(steps))


def chain_of(swap: Swap, arrival_price: Decimal, quote: Quote) -> Chain | None:
    """Return the amounts on the way to a quote; None if a price makes no amount that can exist."""
    if not (arrival_price > 0 and quote.price.is_finite() and quote.price > 0):
        return None
    unmoved = 1 - Fraction(quote.price_impact_bps or 0) / BPS
    at_price = _amount_at(swap, quote.price)
    if unmoved <= 0:
        unmoved = Fraction(1)
    at_spot = at_price / unmoved if swap.is_exact_in else at_price * unmoved
    quoted = compared(swap, quote.amount_in, quote.amount_out)
    amounts = (_amount_at(swap, arrival_price), at_spot, at_price, Fraction(quoted))
    chain = Chain._make(map(round, amounts))
    return chain if all(0 <= amount <= MAX_ATOMS for amount in chain) else None


def offers_of(swap: Swap, decision: StoredDecision) -> Offers | None:
    """Return what a stored decision chose, and the best of what it did not choose."""
    if decision.quote is None:
        return None
    chosen = decision.quote.of(swap)
    if decision.is_split:
        single = decision.single
        return Offers(chosen, single and single.of(swap))
    others = decision.quotes
    if decision.quote in others:
        others.remove(decision.quote)
    return Offers(chosen, best_of(swap, [quote.of(swap) for quote in others]))


def best_of(swap: Swap, quotes: Sequence[Quote]) -> Quote | None:
    """Return the best quote, net of fees. Of equal ones the first, as the router chooses."""
    if swap.is_exact_in:
        return max(quotes, key=lambda quote: quote.amount_out, default=None)
    return min(quotes, key=lambda quote: quote.amount_in, default=None)


def _amount_at(swap: Swap, price: Decimal) -> Fraction:
    """Return what the fixed amount makes at a price, without fees."""
    quote, base = atoms_ratio(swap.market, price)
    given = swap.amount_in if swap.amount_in is not None else swap.amount_out or 0
    gives_base = (swap.side is Side.SELL) is swap.is_exact_in
    return Fraction(given * quote, base) if gives_base else Fraction(given * base, quote)
