"""Asks venues for their quotes at once, and leaves out quotes that no order should trade on."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from time import monotonic
from types import MappingProxyType
from typing import NamedTuple

from config.runtime.counters import counts
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import DroppedQuote
from routing.pricing import atoms_ratio
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Quote,
    Side,
    StalePools,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

logger = logging.getLogger(__name__)


class UnusableQuote(VenueUnavailable):
    """The venue's answer is nothing that an order should trade on. Trying again may help."""


class NoFreshPrice(VenueUnavailable):
    """There is no price to hold quotes to, so none is believed. Trying again may help."""


class PriceImpactTooHigh(InsufficientLiquidity):
    """The amount would move the price further than the order allows. This is final."""


class VenueStopped(VenueUnavailable):
    """The engine has stopped this venue, until a person resumes it."""


class ExcludedByOrder(UnsupportedToken):
    """The order excludes this venue. This is final."""


CODES: dict[type[BaseException], str] = {  # a subclass before its parent
    TimeoutError: "quote_timeout",
    UnusableQuote: "unusable_quote",
    NoFreshPrice: "no_fresh_price",
    ExcludedByOrder: "excluded",
    VenueStopped: "venue_stopped",
    PriceImpactTooHigh: "price_impact_too_high",
    UnsupportedToken: "unsupported_token",
    InsufficientLiquidity: "insufficient_liquidity",
    StalePools: "stale_pools",
    VenueUnavailable: "venue_unavailable",
}


class NoRoute(Exception):
    """No venue is left to trade with. `dropped` says why each one was left out."""

    def __init__(self, dropped: Sequence[DroppedQuote]) -> None:
        self.dropped = tuple(dropped)
        super().__init__(_reasons(dropped) or "no venue is set up")


class NoQuotes(NoRoute, VenueUnavailable):
    """No venue gave a usable quote, and at least one of them may give one later."""


class NothingFits(NoRoute, InsufficientLiquidity):
    """All venues refuse the swap for good, at least one because of its amount."""


class MovesPriceTooFar(NoRoute, PriceImpactTooHigh):
    """All venues refuse the swap for good, at least one because it would move the price too far."""


class NotTraded(NoRoute, UnsupportedToken):
    """All venues refuse the swap for good, whatever its amount."""


class Rules(NamedTuple):
    """The rules by which venues are compared."""

    quote_timeout: float
    """Seconds that each venue has."""
    max_deviation_bps: int
    """How far from the market's reference price a quote may be."""
    split_min_gain_bps: Decimal
    """How much better several legs must be than one venue alone; `BPS` or more: never split."""
    constraints: Constraints
    max_price_impact_bps: int
    """How far an order may move the price if it has no limit of its own."""
    stopped: Mapping[str, str] = MappingProxyType({})
    """By venue: why it takes no part for now."""
    most_legs: int | None = None
    """How many legs fit into one transaction; None: any number."""


class Answers(NamedTuple):
    """The venues' answers, in the order in which they were asked."""

    quotes: tuple[Quote, ...]
    came_at: tuple[float, ...]
    """By `time.monotonic`, for each quote."""
    faults: tuple[tuple[Venue, BaseException], ...]

    def ages(self) -> tuple[int, ...]:
        """Return for each quote how many milliseconds ago it came."""
        now = monotonic()
        return tuple([int((now - came_at) * 1000) for came_at in self.came_at])

    def dropped(self) -> tuple[DroppedQuote, ...]:
        return tuple([drop(venue, fault) for venue, fault in self.faults])


WITHIN_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 5_000)
"""The steps by which quotes are counted. The last one has all that came later, too."""

Answer = tuple[Quote, float] | BaseException
"""A quote and the `time.monotonic` at which it came, or why there is none."""


async def ask_all(swap: Swap, venues: Sequence[Venue], rules: Rules) -> Answers:
    """Ask all venues that the order allows, and wait for all answers or until the time is up.

    What answers without waiting costs neither a task nor a turn of the loop.
    """
    began = monotonic()
    answers = [_answer_now(venue, swap, rules) for venue in venues]
    if None in answers:
        answers = await _answers_in_time(answers, swap, venues, rules)
    quotes: list[Quote] = []
    came_at: list[float] = []
    faults: list[tuple[Venue, BaseException]] = []
    for venue, answer in zip(venues, answers, strict=True):
        if isinstance(answer, tuple):
            quotes.append(answer[0])
            came_at.append(answer[1])
            counts[_answered_within(venue.name, answer[1] - began)] += 1
        elif answer is not None:
            faults.append((venue, answer))
            counts[f"quotes_missed:{venue.name}/{code_of(answer)}"] += 1
    return Answers(tuple(quotes), tuple(came_at), tuple(faults))


def _answered_within(venue: str, seconds: float) -> str:
    """Return the name of the counter of quotes that came about as quickly."""
    place = bisect_left(WITHIN_MS, seconds * 1000, hi=len(WITHIN_MS) - 1)
    return f"quotes_answered:{venue}/{WITHIN_MS[place]}"


def _answer_now(venue: Venue, swap: Swap, rules: Rules) -> Answer | None:
    """Return what is known of the venue's answer at once; None if it has to be waited for."""
    constraints = rules.constraints
    if constraints is not UNCONSTRAINED and (reason := constraints.why_not(venue.name)):
        return ExcludedByOrder(reason)
    if rules.stopped and (reason := rules.stopped.get(venue.name, "")):
        return VenueStopped(f"it was stopped: {reason}")
    quote_now: Callable[[Swap], Quote | None] | None = getattr(venue, "quote_now", None)
    if quote_now is None:  # no `isinstance(venue, QuotesAtOnce)`: that takes as long as a quote
        return None
    try:
        quote = quote_now(swap)
        if quote is None:
            return None
        came_at = monotonic()
        check(venue, swap, quote, rules)
    except Exception as fault:  # noqa: BLE001  # told in `dropped`, as that of a task is
        return fault
    return quote, came_at


async def _answers_in_time(
    answers: Sequence[Answer | None], swap: Swap, venues: Sequence[Venue], rules: Rules
) -> list[Answer | None]:
    """Return the answers, with those that had to be waited for."""
    asked = {
        place: asyncio.create_task(_ask(venues[place], swap, rules))
        for place, answer in enumerate(answers)
        if answer is None
    }
    await _gather([*asked.values()], rules.quote_timeout)
    complete = list(answers)
    for place, task in asked.items():
        complete[place] = _fault(task, rules.quote_timeout) or task.result()
    return complete


async def _ask(venue: Venue, swap: Swap, rules: Rules) -> tuple[Quote, float]:
    quote = await venue.quote(swap)
    came_at = monotonic()
    check(venue, swap, quote, rules)
    return quote, came_at


async def _gather(answers: Sequence[asyncio.Task[tuple[Quote, float]]], timeout: float) -> None:  # noqa: ASYNC109 one timer for all
    """Wait for all answers or until the time is up. All started at once, so one timer is fair."""
    try:
        await asyncio.sleep(0)  # enough for venues that answer at once; a timer costs far more
        pending = [answer for answer in answers if not answer.done()]
        if pending:
            await asyncio.wait(pending, timeout=timeout)
    finally:
        for answer in answers:
            answer.cancel()


def check_impact(quote: Quote, rules: Rules) -> None:
    """Check a quote against the order's limit, or against the limit for orders without one.

    A quote without a price impact passes.

    :raises PriceImpactTooHigh: it moves the price further than the limit.
    """
    most = rules.constraints.max_price_impact_bps
    if most is None:
        most = rules.max_price_impact_bps
    if quote.price_impact_bps is not None and quote.price_impact_bps > most:
        impact = f"{quote.price_impact_bps:f}"
        raise PriceImpactTooHigh(f"the price impact of {impact} bps is above {most} bps")


def check(venue: Venue, swap: Swap, quote: Quote, rules: Rules) -> None:
    """Accept a quote only if it is for this swap and close enough to the market.

    :raises UnusableQuote: the quote is not for this swap, or is not credible.
    :raises PriceImpactTooHigh: it moves the price too far.
    """
    if quote.venue != venue.name:
        raise UnusableQuote(f"the quote is signed {quote.venue}")
    if type(quote.amount_in) is not int or type(quote.amount_out) is not int:
        raise UnusableQuote("the amounts are not whole atoms")
    if not quote.price.is_finite() or quote.price <= 0:
        raise UnusableQuote(f"the price {quote.price} is not a positive number")
    if quote.amount_in <= 0 or quote.amount_out <= 0:
        raise UnusableQuote("the amounts are not positive")
    if quote.price_impact_bps is not None and not quote.price_impact_bps.is_finite():
        raise UnusableQuote("the price impact is not a number")
    fixed = quote.amount_in if swap.is_exact_in else quote.amount_out
    if fixed != (swap.amount_in if swap.is_exact_in else swap.amount_out):
        raise UnusableQuote("the quote is for another amount")
    check_impact(quote, rules)
    check_price(swap, quote, rules.max_deviation_bps, rules.constraints.max_price_impact_bps)


def check_price(
    swap: Swap, quote: Quote, max_deviation_bps: int, max_price_impact_bps: int | None = None
) -> None:
    """Check a quote against the reference price. `max_price_impact_bps` is the order's own limit.

    :raises UnusableQuote: it is too far from the reference price.
    :raises PriceImpactTooHigh: only its price impact takes it too far, and the order has no limit.
    """
    reference = swap.market.reference_price
    if _is_far(quote.price, reference, max_deviation_bps):
        far = (
            f"the price {quote.price:f} is more than {max_deviation_bps} bps "
            f"from the reference price {reference:f}"
        )
        reference = _reference_after_impact(swap, quote)
        if _is_far(quote.price, reference, max_deviation_bps):
            raise UnusableQuote(far)
        if max_price_impact_bps is None:
            raise PriceImpactTooHigh(f"{far} by its price impact")
    # The amounts decide what is traded, so they must agree with the price. A difference of an atom
    # is rounding. A fee on the input moves the price by a little more than the fee.
    tolerance = max_deviation_bps + 2 * quote.fee_bps
    per_quote, per_base = atoms_ratio(swap.market, reference)
    base, paid = quote.amount_in, quote.amount_out
    if swap.side is Side.BUY:
        base, paid = paid, base
    too_little = (paid + 1) * per_base * BPS < (base - 1) * per_quote * (BPS - tolerance)
    too_much = (paid - 1) * per_base * BPS > (base + 1) * per_quote * (BPS + tolerance)
    if too_little or too_much:
        raise UnusableQuote("the amounts do not fit the market's reference price")


def _is_far(price: Decimal, reference: Decimal, max_deviation_bps: int) -> bool:
    return abs(price - reference) * BPS > reference * max_deviation_bps


def _reference_after_impact(swap: Swap, quote: Quote) -> Decimal:
    """Return the reference price, moved by the price impact that the quote states."""
    remainder = BPS - (quote.price_impact_bps or 0)
    if remainder <= 0:
        return swap.market.reference_price
    if swap.side is Side.SELL:
        return swap.market.reference_price * remainder / BPS
    return swap.market.reference_price * BPS / remainder


def _fault(answer: asyncio.Task[tuple[Quote, float]], quote_timeout: float) -> BaseException | None:
    if not answer.done():
        return TimeoutError(f"no answer within {quote_timeout:g} s")
    if answer.cancelled():
        return VenueUnavailable("the question was cancelled")
    return answer.exception()


def drop(venue: Venue, fault: BaseException) -> DroppedQuote:
    """Return why a venue takes no part. A bug is logged with its traceback."""
    code = code_of(fault)
    if code == "internal_error":
        logger.error("A quote of %s failed by a bug", venue.name, exc_info=fault)
        return DroppedQuote(venue.name, code, f"{type(fault).__name__}: {fault}")
    return DroppedQuote(venue.name, code, str(fault))


def code_of(fault: BaseException) -> str:
    """Return the code that a stored decision has for the reason why something was dropped."""
    return next((code for kind, code in CODES.items() if isinstance(fault, kind)), "internal_error")


def failure(dropped: Sequence[DroppedQuote], faults: Sequence[BaseException]) -> NoRoute:
    """Return one failure for all these faults. It is final only if all faults are."""
    if faults and all(
        isinstance(each, UnsupportedToken | InsufficientLiquidity) for each in faults
    ):
        if any(isinstance(fault, PriceImpactTooHigh) for fault in faults):
            return MovesPriceTooFar(dropped)
        too_much = any(isinstance(each, InsufficientLiquidity) for each in faults)
        return NothingFits(dropped) if too_much else NotTraded(dropped)
    return NoQuotes(dropped)


def _reasons(dropped: Sequence[DroppedQuote]) -> str:
    return "; ".join(map(_named_reason, dropped))


def _named_reason(quote: DroppedQuote) -> str:
    """Return the reason with its venue's name before it, unless it begins with that name."""
    if quote.reason.casefold().startswith(quote.venue.casefold()):
        return quote.reason
    return f"{quote.venue}: {quote.reason}"
