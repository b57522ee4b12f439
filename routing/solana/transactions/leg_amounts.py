"""What each leg of a route trades at worst, so that all of them together keep to the bound.

Each swap has a bound of its own, since the programs know nothing of each other. So a fill is
refused in which one leg lost and the other one won. Of two hops, the second one's amount has to be
fixed when the transaction is built: it takes a little less than the first is expected to give, and
what is left of the token in the middle stays in the wallet.
"""

from collections.abc import Sequence
from itertools import groupby

from routing.solana.swap_amounts import SwapAmounts, exact_in, exact_out
from routing.venue import BPS, Bound, Leg, Swap

MOST_LEFT_BPS = 10
"""How much of the middle token may stay in the wallet, if the order's own bound allows as much."""


def leg_amounts(swap: Swap, legs: Sequence[Leg], bound: Bound) -> list[SwapAmounts]:
    """Return the amounts of each leg, in their order.

    :raises ValueError: the legs are of more than two hops.
    """
    hops = _hops(swap, legs)
    if len(hops) > 2:
        raise ValueError(f"a route of {len(hops)} hops")
    if swap.is_exact_in:
        return _of_fixed_input(hops, bound.min_out or 1)
    return _of_fixed_output(hops, bound.max_in or 0)


def _of_fixed_input(hops: list[list[Leg]], min_out: int) -> list[SwapAmounts]:
    last = hops[-1]
    quoted = _out(last)
    least = _shares_up(min_out, [leg.quote.amount_out for leg in last])
    given = [leg.quote.amount_in for leg in last]
    if len(hops) == 1:
        return [exact_in(*amounts) for amounts in zip(given, least, strict=True)]
    room = max(quoted - min_out, 0)
    taken = [amount - _kept(amount, room, quoted) for amount in given]
    first = hops[0]
    least_middle = _shares_up(sum(taken), [leg.quote.amount_out for leg in first])
    paid = [leg.quote.amount_in for leg in first]
    return [
        *(exact_in(*amounts) for amounts in zip(paid, least_middle, strict=True)),
        *(exact_in(*amounts) for amounts in zip(taken, least, strict=True)),
    ]


def _of_fixed_output(hops: list[list[Leg]], max_in: int) -> list[SwapAmounts]:
    first = hops[0]
    quoted = _in(first)
    most = _shares_down(max_in, [leg.quote.amount_in for leg in first])
    gained = [leg.quote.amount_out for leg in first]
    if len(hops) == 1:
        return [exact_out(*amounts) for amounts in zip(gained, most, strict=True)]
    room = max(max_in - quoted, 0)
    bought = [amount + _kept(amount, room, quoted) for amount in gained]
    last = hops[-1]
    most_middle = _shares_down(sum(bought), [leg.quote.amount_in for leg in last])
    paid = [leg.quote.amount_out for leg in last]
    return [
        *(exact_out(*amounts) for amounts in zip(bought, most, strict=True)),
        *(exact_out(*amounts) for amounts in zip(paid, most_middle, strict=True)),
    ]


def _hops(swap: Swap, legs: Sequence[Leg]) -> list[list[Leg]]:
    """Return the legs of each hop: those of one market and side stand together."""

    def traded(leg: Leg) -> tuple[str, str]:
        own = leg.swap or swap
        return own.token_in.mint, own.token_out.mint

    return [list(group) for _, group in groupby(legs, traded)]


def _kept(amount: int, room: int, quoted: int) -> int:
    """Return how much less of the middle token is counted on: at most half of the bound's room."""
    return min(amount * MOST_LEFT_BPS // BPS, amount * room // (2 * quoted))


def _shares_up(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` by weight, each part rounded up: together they are at least `total`."""
    whole = sum(weights)
    return [-(-total * weight // whole) for weight in weights]


def _shares_down(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` by weight, each part rounded down: together they are at most `total`."""
    whole = sum(weights)
    return [total * weight // whole for weight in weights]


def _in(legs: Sequence[Leg]) -> int:
    return sum(leg.quote.amount_in for leg in legs)


def _out(legs: Sequence[Leg]) -> int:
    return sum(leg.quote.amount_out for leg in legs)
