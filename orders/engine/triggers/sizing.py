"""Which limit orders can be filled whole, at their limits, with the pools as they are.

A tick tells the price of a vanishing amount. Here each order is routed for its whole amount, by the
rules of its carrier, on the watcher's own copies of the pools. What is released moves these copies
by its own swap before the next order is routed. So only as many orders are released as the pools
can fill. Those that miss are woken at the price that the pair would have to show for them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from decimal import ROUND_DOWN, ROUND_UP, Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from django.conf import settings

from orders.engine.routes import route_of
from orders.engine.triggers import passes_sql as sql
from orders.engine.triggers.passes import Pass
from orders.engine.triggers.session import LOCKED_ELSEWHERE, Patience, Session, tell
from orders.engine.triggers.ticks import market_of
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision
from routing.pools.pool import Pool
from routing.pricing import pool_quote
from routing.router import NoRoute
from routing.tokens import Market
from routing.venue import (
    Bound,
    InsufficientLiquidity,
    Leg,
    Liquidity,
    Quote,
    ReferencePrices,
    ShowsPools,
    Side,
    SignedTransaction,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

logger = logging.getLogger(__name__)

MISSES_IN_A_ROW = 100
"""After so many the pass ends for this tick."""
UNSEEN_A_SECOND = 20
"""Orders of a pair that may be released in a second for venues that do not show their pools."""
LONGEST_WAIT = 60.0
MOST_REMEMBERED = 50_000
"""Orders whose number of misses is remembered. One that is forgotten waits 1 second again."""
PRICE_DIGITS = 18


class Candidate(NamedTuple):
    order_id: str
    wake_price: Decimal
    side: str
    amount_in: int | None
    amount_out: int | None
    min_out: int | None
    max_in: int | None
    limit_price: Decimal
    constraints: dict[str, Any] | None
    is_first: bool
    """Whether its release is its first start, which takes budget."""


class PoolCopy:
    """A venue that quotes from the watcher's copies of its pools, which swaps may move.

    A pool is copied when it is first asked for. A venue that does not answer then is left out.
    """

    def __init__(self, venue: Venue, shown: ShowsPools, timeout: float) -> None:
        self.name = venue.name
        self.label = venue.label
        self._venue = shown
        self._timeout = timeout
        self._shown: dict[tuple[str, str, Side], Sequence[Liquidity] | Exception] = {}
        self._pools: dict[str, Pool] = {}

    async def quote(self, swap: Swap) -> Quote:
        """See `Venue.quote`."""
        return self._best(swap, await self.liquidity(swap))

    def quote_now(self, swap: Swap) -> Quote | None:
        """See `QuotesAtOnce.quote_now`."""
        shown = self._copied(swap)
        return None if shown is None else self._best(swap, shown)

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        """See `ShowsPools.liquidity`."""
        shown = self._copied(swap)
        if shown is None:
            self._shown[_key(swap)] = await self._ask(swap)
            shown = self._copied(swap)
        return shown or ()

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        """:raises VenueUnavailable: nothing is built from copies."""
        raise VenueUnavailable("nothing is built from copies of pools")

    def apply(self, leg: Leg, swap: Swap) -> None:
        """Move the pool of this leg as its swap would."""
        for shown in self._copied(swap) or ():
            is_it = shown.pool_id == leg.pool if leg.pool else _offers(self.name, swap, shown, leg)
            if not is_it:
                continue
            if swap.amount_in is not None:
                moved = shown.pool.swap_exact_in(swap.amount_in, shown.direction, shown.now)
            else:
                moved = shown.pool.swap_exact_out(swap.amount_out or 0, shown.direction, shown.now)
            self._pools[shown.pool_id] = moved[1]
            return

    def _copied(self, swap: Swap) -> Sequence[Liquidity] | None:
        """Return the pools as they are now; None if they were not copied yet."""
        shown = self._shown.get(_key(swap))
        if isinstance(shown, Exception):
            raise shown
        if shown is None:
            return None
        return [one._replace(pool=self._pools[one.pool_id]) for one in shown]

    async def _ask(self, swap: Swap) -> Sequence[Liquidity] | Exception:
        try:
            async with asyncio.timeout(self._timeout):
                shown = await self._venue.liquidity(swap)
        except (VenueUnavailable, UnsupportedToken, InsufficientLiquidity) as fault:
            return fault
        except TimeoutError:
            return VenueUnavailable(f"{self.label} does not show its pools in time")
        for one in shown:
            self._pools.setdefault(one.pool_id, one.pool)
        return shown

    def _best(self, swap: Swap, shown: Sequence[Liquidity]) -> Quote:
        quotes: list[Quote] = []
        refused: list[InsufficientLiquidity] = []
        for one in shown:
            try:
                quotes.append(pool_quote(self.name, swap, one))
            except InsufficientLiquidity as fault:
                refused.append(fault)
        if not quotes:
            raise refused[0] if refused else UnsupportedToken(f"{self.label} has no pool of it")
        if swap.is_exact_in:
            return max(quotes, key=lambda quote: quote.amount_out)
        return min(quotes, key=lambda quote: quote.amount_in)


def _key(swap: Swap) -> tuple[str, str, Side]:
    return swap.market.base.mint, swap.market.quote.mint, swap.side


def _offers(venue: str, swap: Swap, shown: Liquidity, leg: Leg) -> bool:
    try:
        return pool_quote(venue, swap, shown) == leg.quote
    except InsufficientLiquidity:
        return False


class PricesOnce:
    """Reference prices as they were when they were first asked for, as the copies of pools are."""

    def __init__(self, references: ReferencePrices) -> None:
        self._references = references
        self._known: dict[str, Fraction | None] = {}

    async def of(self, market: Market, now: int) -> Fraction | None:
        """See `ReferencePrices.of`."""
        if market.pair not in self._known:
            self._known[market.pair] = await self._references.of(market, now)
        return self._known[market.pair]


class Copies:
    """The watcher's copies of all venues' pools, as they were when they were first asked for.

    `references` are what the venues' quotes are held to, as in `routing.venues.Exchange`.
    """

    def __init__(self, venues: Sequence[Venue], references: ReferencePrices | None = None) -> None:
        self.venues = [
            PoolCopy(venue, venue, settings.QUOTE_TIMEOUT)
            for venue in venues
            if isinstance(venue, ShowsPools)
        ]
        self._by_name = {copy.name: copy for copy in self.venues}
        self._references = None if references is None else PricesOnce(references)

    async def route(self, swap: Swap, asked: dict[str, Any] | None) -> Decision | None:
        """Return how the carrier would route this; None if there is no way."""
        try:
            constraints = Constraints.from_json(asked) if asked else UNCONSTRAINED
            return await route_of(swap, self.venues, constraints, self._references)
        except NoRoute as fault:
            logger.debug("no way to fill a limit order: %s", fault)
            return None

    def apply(self, decision: Decision) -> None:
        """Move the copies as the route's swaps would."""
        for leg in decision.legs:
            self._by_name[leg.venue].apply(leg, leg.swap or decision.swap)


class Sized(NamedTuple):
    """What was found out about a batch of candidates."""

    released: list[str]
    missed: list[tuple[str, Decimal, Decimal, float]]
    """Order, its old and new wake price, and after how many seconds it is looked at again."""


class Sizing:
    """For one asyncio loop."""

    def __init__(
        self,
        venues: Sequence[Venue],
        patience: Patience,
        references: ReferencePrices | None = None,
    ) -> None:
        self.venues = venues
        self.references = references
        self._patience = patience
        self.unseen = [venue for venue in venues if not isinstance(venue, ShowsPools)]
        self._waits: dict[str, float] = {}
        """By order that missed: for how many seconds it waits."""

    async def run(
        self, session: Session, pair: str, each: Pass, parameters: dict[str, Any]
    ) -> AsyncIterator[int]:
        """Release what can be filled. Each `yield` is after a statement: how many it released."""
        market = market_of(pair)
        if market is None:
            logger.warning("this process knows no market %s yet", pair)
            return
        ((room,),) = await session.rows(sql.ROOM_NOW, _budget_of(parameters))
        batch = _Batch(self, market, each, parameters, room)
        while not batch.is_over:
            rows = await session.rows(sql.sized_candidates(each.kind), parameters | batch.start)
            sized = await batch.size([Candidate._make(row) for row in rows])
            yield 0
            if sized.released:
                asked = parameters | {"ids": sized.released}
                async for released in self._release(session, pair, each, asked):
                    yield released
            if sized.missed:
                await _note_misses(session, sized.missed)
                yield 0

    async def _release(
        self, session: Session, pair: str, each: Pass, asked: dict[str, Any]
    ) -> AsyncIterator[int]:
        """Release these orders; those that somebody else has locked after that."""
        waits = False
        while True:
            try:
                rows = await session.budgeted(each.statement(waits=waits), asked)
            except LOCKED_ELSEWHERE:
                waits = True
                if not self._patience.is_left(pair):
                    return
                yield 0
                continue
            written = [row[4:] for row in rows if row[4] is not None]
            for order_id, *_ in written:
                self._waits.pop(order_id, None)
            yield tell(written)
            if waits or not rows[0][1]:
                return
            waits = True

    def wait_after_miss(self, order_id: str) -> float:
        """Return after how many seconds an order is looked at again: 1, 2, 4, up to 60."""
        if len(self._waits) > MOST_REMEMBERED:
            self._waits.clear()
        seconds = min(LONGEST_WAIT, 2 * self._waits.get(order_id, 0.5))
        self._waits[order_id] = seconds
        return seconds


class _Batch:
    """One sized pass over one side of one pair, on one set of copies."""

    def __init__(
        self, sizing: Sizing, market: Market, each: Pass, parameters: dict[str, Any], room: int
    ) -> None:
        self._sizing = sizing
        self._market = market
        self._is_sale = each.is_sale
        self._price = Decimal(parameters["price"])
        self._copies = Copies(sizing.venues, sizing.references)
        self._room = room
        self._unseen = UNSEEN_A_SECOND if sizing.unseen else 0
        self._misses_in_a_row = 0
        self._seen: set[str] = set()
        self.start: dict[str, Any] = {"start": "0" if each.kind == ">" else f"{10**60}"}
        self.is_over = False

    async def size(self, candidates: Sequence[Candidate]) -> Sized:
        sized = Sized([], [])
        fresh = [one for one in candidates if one.order_id not in self._seen]
        self.is_over = len(candidates) < sql.MOST or not fresh
        for candidate in fresh:
            self._seen.add(candidate.order_id)
            if candidate.is_first and self._room <= len(sized.released):
                continue  # it would wait in line while its price goes away
            await self._look_at(candidate, sized)
            if self._misses_in_a_row >= MISSES_IN_A_ROW:
                self.is_over = True
                break
        self._room -= len(sized.released)
        if candidates:
            self.start = {"start": f"{candidates[-1].wake_price:f}"}
        return sized

    async def _look_at(self, candidate: Candidate, sized: Sized) -> None:
        swap = Swap(self._market, Side(candidate.side), candidate.amount_in, candidate.amount_out)
        decision = await self._copies.route(swap, candidate.constraints)
        bound = Bound(candidate.min_out, candidate.max_in)
        quote = decision.quote if decision else None
        if decision and quote and bound.admits(quote.amount_in, quote.amount_out):
            self._copies.apply(decision)
            self._misses_in_a_row = 0
            sized.released.append(candidate.order_id)
        elif self._unseen:
            self._unseen -= 1
            sized.released.append(candidate.order_id)
        else:
            self._misses_in_a_row += 1
            wake = self._wake_price(candidate, quote)
            wait = self._sizing.wait_after_miss(candidate.order_id)
            sized.missed.append((candidate.order_id, candidate.wake_price, wake, wait))

    def _wake_price(self, candidate: Candidate, quote: Quote | None) -> Decimal:
        """Return what the pair would have to show for this order: always beyond what it shows."""
        shown = Fraction(self._price)
        wanted = shown
        if quote is not None:
            net = _net_price(self._market, quote, is_sale=self._is_sale)
            wanted = Fraction(candidate.limit_price) * shown / net
        if self._is_sale:
            return _as_decimal(max(wanted, shown), ROUND_UP).next_plus(_PRECISE)
        return _as_decimal(min(wanted, shown), ROUND_DOWN).next_minus(_PRECISE)


_PRECISE = Context(prec=PRICE_DIGITS)


def _net_price(market: Market, quote: Quote, *, is_sale: bool) -> Fraction:
    """Return the price of the whole amount, fees included: whole quote tokens a base token."""
    base, paid = quote.amount_in, quote.amount_out
    if not is_sale:
        base, paid = paid, base
    return Fraction(paid * 10**market.base.decimals, base * 10**market.quote.decimals)


def _as_decimal(price: Fraction, rounding: str) -> Decimal:
    context = Context(prec=PRICE_DIGITS, rounding=rounding)
    return context.divide(Decimal(price.numerator), Decimal(price.denominator))


def _budget_of(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in ("is_limited", "limit", "kept", "window")}


async def _note_misses(
    session: Session, missed: Sequence[tuple[str, Decimal, Decimal, float]]
) -> None:
    ids, olds, news, delays = zip(*missed, strict=True)
    columns = {"ids": ids, "olds": olds, "news": news, "delays": delays}
    with suppress(*LOCKED_ELSEWHERE):  # they are looked at again sooner
        await session.rows(sql.MISS, {name: list(values) for name, values in columns.items()})
