"""What an order would get now: the choice that an order's routing makes, by venues of our own.

Whoever asks for the same at the same time shares one answer, because venues take their time.
"""

import asyncio
import time
from typing import Any, NamedTuple

from config.runtime.per_loop import once_per_loop
from orders import events
from orders.engine.execution import no_route_code
from orders.engine.routes import route_of
from orders.engine.submission import PricesUnavailable
from orders.engine.triggers.last_prices import last_prices_of_this_loop
from orders.engine.triggers.ticks import Tick, prices_of
from orders.models import FailureCode
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision
from routing.exchange import make_exchange
from routing.pricing import bound_for
from routing.router import NoRoute
from routing.stored_decision import decision_data, dropped_to_json
from routing.tokens import Market
from routing.venue import Bound, Swap
from routing.venues import Exchange

VALID_SECONDS = 1.0
"""Prices change once a second."""
SHARED_SECONDS = 0.5
"""An answer that is no older serves others who ask for the same."""


class Quoted(NamedTuple):
    """What the venues offer for a swap."""

    swap: Swap
    outcome: Decision | NoRoute
    at: float
    """By `time.monotonic`."""

    def bound(self, slippage_bps: int) -> Bound | None:
        """Return the worst fill that an order would accept; None: there is no route."""
        if isinstance(self.outcome, NoRoute):
            return None
        return bound_for(self.swap, self.outcome.quote, slippage_bps)

    def as_json(self, bound: Bound | None) -> dict[str, Any]:
        """Return what the event `building` of an order with this bound would tell.

        Without a route, return how an order would fail.
        """
        if isinstance(self.outcome, NoRoute):
            return failure_as_json(self.outcome)
        age = time.monotonic() - self.at
        expires = {"expiresInMs": max(0, round(1000 * (VALID_SECONDS - age)))}
        return decision_data(self.outcome, bound or Bound()) | expires

    def is_as(self, other: "Quoted | None") -> bool:
        """Whether another answer offers the same; ages do not count."""
        return other is not None and _offer(self.outcome) == _offer(other.outcome)


class NotQuoted(PricesUnavailable):
    """No venue gives a usable quote at present, and one of them may soon. Trying again helps."""


class Quotes:
    """For one asyncio loop."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._asking: dict[Any, asyncio.Task[Quoted]] = {}
        self._answers: dict[Any, Quoted] = {}
        self._prices = prices_of(exchange)
        self._shown: dict[str, tuple[int, asyncio.Task[Tick]]] = {}
        """By pair: the last second whose prices were asked for."""

    async def of(self, swap: Swap, constraints: Constraints = UNCONSTRAINED) -> Quoted:
        """Return what the venues offer for `swap`, under the limits that an order sets itself.

        :raises NotQuoted: no venue gives a usable quote at present.
        """
        asked = swap, constraints
        known = self._answers.get(asked)
        if known is None or time.monotonic() - known.at > SHARED_SECONDS:
            known = await asyncio.shield(self._ask(asked))
        if _may_pass(known.outcome):
            raise NotQuoted(str(known.outcome))
        return known

    async def tick(self, market: Market, second: int) -> Tick:
        """Return the tick that this unix second would have. Pools that are missing are made."""
        asked, task = self._shown.get(market.pair, (None, None))
        if task is None or asked != second:
            task = asyncio.create_task(self._tick(market, second))
            task.add_done_callback(_note_fault)
            self._shown[market.pair] = second, task
        return await asyncio.shield(task)

    async def close(self) -> None:
        tasks = [*self._asking.values(), *(task for _, task in self._shown.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._exchange.close()

    async def _tick(self, market: Market, second: int) -> Tick:
        (tick,) = await self._prices([market], second)
        return tick

    def _ask(self, asked: tuple[Swap, Constraints]) -> "asyncio.Task[Quoted]":
        """Return the task that asks the venues, which others may be waiting for."""
        task = self._asking.get(asked)
        if task is None:
            task = self._asking[asked] = asyncio.create_task(self._quote(*asked))
            task.add_done_callback(lambda done: self._note(asked, done))
        return task

    def _note(self, asked: tuple[Swap, Constraints], done: "asyncio.Task[Quoted]") -> None:
        del self._asking[asked]
        oldest = time.monotonic() - SHARED_SECONDS
        self._answers = {one: known for one, known in self._answers.items() if known.at > oldest}
        if not done.cancelled() and done.exception() is None:
            self._answers[asked] = done.result()

    async def _quote(self, swap: Swap, constraints: Constraints) -> Quoted:
        outcome: Decision | NoRoute
        try:
            outcome = await route_of(
                swap, self._exchange.venues, constraints, self._exchange.held_to
            )
        except NoRoute as found:
            outcome = found
        return Quoted(swap, outcome, time.monotonic())


def failure_as_json(found: NoRoute) -> dict[str, Any]:
    """Return how an order fails that finds no route for good."""
    code, reason = no_route_code(found), str(found)
    if code is FailureCode.PRICE_IMPACT_TOO_HIGH:
        reason = events.price_impact_too_high(reason)
    return {"failureCode": code.value, "error": reason, "dropped": dropped_to_json(found.dropped)}


def _may_pass(outcome: Decision | NoRoute) -> bool:
    if not isinstance(outcome, NoRoute):
        return False
    return no_route_code(outcome) is FailureCode.VENUES_UNAVAILABLE


def _offer(outcome: Decision | NoRoute) -> object:
    if isinstance(outcome, NoRoute):
        return outcome.dropped
    return outcome.quotes, outcome.legs, outcome.dropped


def _note_fault(task: "asyncio.Task[Tick]") -> None:
    """Take note of how it ended: whoever asked may have left."""
    if not task.cancelled():
        task.exception()


@once_per_loop
def quotes_of_this_loop() -> Quotes:
    """Return the running loop's quotes, with venues of their own, made at the first call."""
    return Quotes(make_exchange())


async def price_now(market: Market) -> Tick:
    """Return a market's last tick; without a fresh one, what a tick would show at this moment.

    :raises psycopg.Error: the database does not answer.
    """
    last_prices = last_prices_of_this_loop()
    tick = await last_prices.of(market.pair)
    return tick or await quotes_of_this_loop().tick(market, last_prices.second())
