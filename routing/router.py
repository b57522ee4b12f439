"""Ask every venue at once and choose the best execution."""

import asyncio
import logging
from collections.abc import Sequence

from routing.decision import Decision, DroppedQuote, decide
from routing.pricing import atoms_ratio
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Quote,
    Side,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

logger = logging.getLogger(__name__)

MAX_DEVIATION_BPS = 2_000


class UnusableQuote(VenueUnavailable):
    """The venue answered with something no order should trade on. Trying again may help."""


class NoQuotes(VenueUnavailable):
    """No venue gave a usable quote, and at least one of them may do so later."""

    def __init__(self, dropped: Sequence[DroppedQuote]) -> None:
        self.dropped = tuple(dropped)
        super().__init__(_listed(dropped) or "no venue is set up")


async def best_route(
    swap: Swap,
    venues: Sequence[Venue],
    *,
    quote_timeout: float,
    max_deviation_bps: int = MAX_DEVIATION_BPS,
) -> Decision:
    """Compare what all venues offer net of fees, and return the choice with its reasons.

    A venue that is slow (`quote_timeout`, in seconds), broken, or more than `max_deviation_bps`
    away from the market's reference price is left out and named in `dropped`.

    :raises NoQuotes: nobody gave a usable quote; a passing fault.
    :raises UnsupportedToken: all venues refuse the swap for good, none because of its amount.
    :raises InsufficientLiquidity: all venues refuse the swap for good.
    """
    answers = [asyncio.create_task(_ask(venue, swap, max_deviation_bps)) for venue in venues]
    await _gather(answers, quote_timeout)
    quotes: list[Quote] = []
    faults: list[tuple[Venue, BaseException]] = []
    for venue, answer in zip(venues, answers, strict=True):
        fault = _fault(answer, quote_timeout)
        if fault is None:
            quotes.append(answer.result())
        else:
            faults.append((venue, fault))
    dropped = tuple(_dropped(venue, fault) for venue, fault in faults)
    if not quotes:
        raise _failure(dropped, [fault for _, fault in faults])
    return decide(swap, tuple(quotes), dropped, {venue.name: venue.label for venue in venues})


async def _ask(venue: Venue, swap: Swap, max_deviation_bps: int) -> Quote:
    quote = await venue.quote(swap)
    _check(venue, swap, quote, max_deviation_bps)
    return quote


async def _gather(answers: Sequence[asyncio.Task[Quote]], timeout: float) -> None:  # noqa: ASYNC109 one timer for all
    """Wait until all have answered or the time is up. All started at once, so one timer is fair."""
    try:
        await asyncio.sleep(0)  # enough for venues that answer at once, and far cheaper
        pending = [answer for answer in answers if not answer.done()]
        if pending:
            await asyncio.wait(pending, timeout=timeout)
    finally:
        for answer in answers:
            answer.cancel()


def _check(venue: Venue, swap: Swap, quote: Quote, max_deviation_bps: int) -> None:
    """:raises UnusableQuote: the quote is not for this swap, or not to be believed."""
    if quote.venue != venue.name:
        raise UnusableQuote(f"the quote is signed {quote.venue}")
    if type(quote.amount_in) is not int or type(quote.amount_out) is not int:
        raise UnusableQuote("the amounts are not whole atoms")
    if not quote.price.is_finite() or quote.price <= 0:
        raise UnusableQuote(f"the price {quote.price} is not a positive number")
    if quote.amount_in <= 0 or quote.amount_out <= 0:
        raise UnusableQuote("the amounts are not positive")
    fixed = quote.amount_in if swap.is_exact_in else quote.amount_out
    if fixed != (swap.amount_in if swap.is_exact_in else swap.amount_out):
        raise UnusableQuote("the quote is for another amount")
    _check_price(swap, quote, max_deviation_bps)


def _check_price(swap: Swap, quote: Quote, max_deviation_bps: int) -> None:
    reference = swap.market.reference_price
    if abs(quote.price - reference) * BPS > reference * max_deviation_bps:
        raise UnusableQuote(
            f"the price {quote.price:f} is more than {max_deviation_bps} bps "
            f"from the reference price {reference:f}"
        )
    # The amounts decide what is traded, so they must agree with the price. An atom either way
    # is rounding; a fee on the input moves the price by a little more than the fee.
    tolerance = max_deviation_bps + 2 * quote.fee_bps
    per_quote, per_base = atoms_ratio(swap.market, reference)
    base, paid = quote.amount_in, quote.amount_out
    if swap.side is Side.BUY:
        base, paid = paid, base
    too_little = (paid + 1) * per_base * BPS < (base - 1) * per_quote * (BPS - tolerance)
    too_much = (paid - 1) * per_base * BPS > (base + 1) * per_quote * (BPS + tolerance)
    if too_little or too_much:
        raise UnusableQuote("the amounts do not fit the market's reference price")


def _fault(answer: asyncio.Task[Quote], quote_timeout: float) -> BaseException | None:
    if not answer.done():
        return TimeoutError(f"no answer within {quote_timeout:g} s")
    if answer.cancelled():
        return VenueUnavailable("the question was cancelled")
    return answer.exception()


def _dropped(venue: Venue, fault: BaseException) -> DroppedQuote:
    match fault:
        case TimeoutError():
            code = "quote_timeout"
        case UnusableQuote():
            code = "unusable_quote"
        case UnsupportedToken():
            code = "unsupported_token"
        case InsufficientLiquidity():
            code = "insufficient_liquidity"
        case VenueUnavailable():
            code = "venue_unavailable"
        case _:
            logger.error("A quote of %s failed by a bug", venue.name, exc_info=fault)
            return DroppedQuote(venue.name, "internal_error", f"{type(fault).__name__}: {fault}")
    return DroppedQuote(venue.name, code, str(fault))


def _failure(dropped: Sequence[DroppedQuote], faults: Sequence[BaseException]) -> Exception:
    if faults and all(isinstance(f, UnsupportedToken | InsufficientLiquidity) for f in faults):
        too_much = any(isinstance(f, InsufficientLiquidity) for f in faults)
        final = InsufficientLiquidity if too_much else UnsupportedToken
        return final(_listed(dropped))
    return NoQuotes(dropped)


def _listed(dropped: Sequence[DroppedQuote]) -> str:
    return "; ".join(f"{one.venue}: {one.reason}" for one in dropped)
