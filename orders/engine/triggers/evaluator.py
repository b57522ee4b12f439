"""Compares resting orders with the ticks of each pair, one tick after the other.

A pair is evaluated by one process at a time, which holds its advisory lock. A tick is over only
when all passes over it found nothing more. So whoever gets the lock next goes on from there after
any breakdown; a pass that runs twice finds no rows.
"""

import logging
import time
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings

from config.runtime.counters import counts
from config.runtime.postgres import Link
from orders.engine.journal import budget_params
from orders.engine.triggers import passes_sql as sql
from orders.engine.triggers.clock import Clock
from orders.engine.triggers.passes import FINDS, LINES, ORDER, Pass, Prices
from orders.engine.triggers.pools import Pools
from orders.engine.triggers.session import LOCKED_ELSEWHERE, Patience, Session, tell
from orders.engine.triggers.sizing import Sizing
from routing.pricing import significant
from routing.venues import Exchange

logger = logging.getLogger(__name__)

TRIGGER_CATCH_UP = 60
"""Seconds: ticks that nobody evaluated in time are still evaluated if they are no older."""
TURN_SECONDS = 0.7
"""For one call of `evaluate`: with the making of ticks they fit into a second."""
STATEMENT_SECONDS = 10.0
SHOWN_DIGITS = 8
"""Of a price in a message; the event's data has all of them."""
LOWEST, HIGHEST = Decimal(0), Decimal(10) ** 60


class PairTurn(NamedTuple):
    """A pair, the tick up to which it was evaluated, and the last one there is."""

    pair: str
    evaluated: int
    last: int
    now: int


class Evaluator:
    """For one asyncio loop. Any number of processes may have one."""

    def __init__(self, exchange: Exchange, link: Link) -> None:
        """`link` is its own: it is used by nobody else, and has settings of its own."""
        self._link = link
        self._session: Session | None = None
        self.patience = Patience()
        self.sizing = Sizing(exchange.venues, self.patience, exchange.held_to)
        self._clock = Clock()
        self._pools = Pools(exchange.venues, exchange.held_to)

    async def evaluate(self, now: int, seconds: float = TURN_SECONDS) -> None:
        """Do what the ticks up to this unix second and the clock make due, as far as time allows.

        What is not begun within `seconds` is done by the next call. A pair without a storm
        does not wait for one that has it: they take turns, statement by statement.

        :raises psycopg.Error: the database does not answer. Nothing is lost: the next call goes on.
        """
        ends_at = time.monotonic() + seconds
        async with self._link.connection(STATEMENT_SECONDS) as connection:
            if self._session is None or self._session.connection is not connection:
                self._session = Session(connection)
                await self._session.begin()
            session = self._session
            await self._clock.tick(session)
            await self._pools.look(session)
            pairs = await session.rows(sql.PAIRS, {"now": now})
            await _in_turns(
                [
                    self._evaluate_pair(session, PairTurn(pair, evaluated, last, now))
                    for pair, evaluated, last in pairs
                ],
                ends_at,
            )

    async def close(self) -> None:
        await self._link.close()

    async def _evaluate_pair(self, session: Session, turn: PairTurn) -> AsyncIterator[None]:
        """Evaluate one pair; each `yield` lets the others have a statement."""
        if not await _is_ours(session, turn):
            return
        turn = await _catch_up(session, turn)
        yield
        before = turn.evaluated
        for prices in await _ticks(session, turn):
            yield
            tick = PairTick(self, session, turn, prices, before)
            async for _ in tick.passes():
                yield
            if not await _advance(session, turn.pair, before, prices.tick):
                return  # another evaluator did; its work is as good
            self.patience.renew(turn.pair)
            counts["ticks_evaluated"] += 1
            before = prices.tick


class Done(NamedTuple):
    """What one statement of a pass did."""

    found: int
    is_left_out: bool
    """Whether it left something out that was locked by somebody else."""
    released: int
    start: dict[str, Any]
    """Where the next one goes on."""


class PairTick:
    """The passes over one tick of one pair."""

    def __init__(
        self, evaluator: Evaluator, session: Session, turn: PairTurn, prices: Prices, before: int
    ) -> None:
        self._session = session
        self._sizing = evaluator.sizing
        self._patience = evaluator.patience
        self._turn = turn
        self._prices = prices
        self._common = {"pair": turn.pair, "tick": prices.tick, "before": before}

    async def passes(self) -> AsyncIterator[None]:
        """Run the passes that would find anything; each `yield` is after one statement."""
        found = await self._found()
        went = set[str]()
        for each in ORDER:
            # What just became a limit order is sized in this tick.
            if not (each in found or (each.step == "sized" and "limit" in went)):
                continue
            yield
            price = each.price(self._prices)
            if price is None:
                continue
            went.add(each.step)
            run = self._size if each.step == "sized" else self._fire
            async for _ in run(each, price):
                yield

    async def _found(self) -> set[Pass]:
        parameters = self._common | {
            name: _text(price) for name, price in self._prices._asdict().items() if name != "tick"
        }
        (row,) = await self._session.rows(FINDS, parameters)
        return {each for each, is_found in zip(ORDER, row, strict=True) if is_found}

    async def _fire(self, each: Pass, price: Decimal) -> AsyncIterator[None]:
        """Repeat the pass until it reads all; then once more, waiting for locks of others."""
        parameters = self._parameters(each, price)
        is_left_out = False
        for waits in (False, True):
            start = _start(each)
            while not waits or is_left_out:
                try:
                    done = await self._once(each, parameters, start, waits=waits)
                except LOCKED_ELSEWHERE:
                    is_left_out = True
                    if not waits or not self._patience.is_left(self._turn.pair):
                        break
                    yield
                    continue
                yield
                is_left_out = is_left_out or done.is_left_out
                start = done.start
                if done.found < sql.MOST or not done.released:
                    break

    async def _once(
        self, each: Pass, parameters: dict[str, Any], start: dict[str, Any], *, waits: bool
    ) -> "Done":
        statement = each.statement(waits=waits)
        if each.step == "level" and not each.is_protective:
            rows = await self._session.budgeted(statement, parameters | budget_params() | start)
        else:
            rows = await self._session.rows(statement, parameters | start)
        found, left_out, *last = rows[0][:4]
        written = [row[4:] for row in rows if row[4] is not None]
        self._count(each, tell(written))
        return Done(found, left_out > 0, len(written), _next_start(each, start, *last))

    async def _size(self, each: Pass, price: Decimal) -> AsyncIterator[None]:
        parameters = self._parameters(each, price) | budget_params()
        async for released in self._sizing.run(self._session, self._turn.pair, each, parameters):
            self._count(each, released)
            yield

    def _parameters(self, each: Pass, price: Decimal) -> dict[str, Any]:
        name = LINES[each.line]
        return self._common | {
            "line": each.line,
            "line_name": name,
            "price": _text(price),
            "most": sql.MOST,
            "attempts": settings.ORDER_ATTEMPTS,
            "message": _message(each, name, price),
            "held": sql.HELD,
        }

    def _count(self, each: Pass, released: int) -> None:
        if released:
            counts[f"orders_released:{each.label}"] += released
            late = max(0, int((time.time() - self._prices.tick) * 1000))
            counts["trigger_late_ms"] += late * released


async def _in_turns(pairs: Sequence[AsyncIterator[None]], ends_at: float) -> None:
    """Give each pair one statement after the other, until all are done or time is up."""
    left = list(pairs)
    try:
        while left and time.monotonic() < ends_at:
            left = [pair for pair in left if await _goes_on(pair)]
    finally:
        for pair in pairs:
            await pair.aclose()  # type: ignore[attr-defined]  # they are generators


async def _goes_on(pair: AsyncIterator[None]) -> bool:
    async for _ in pair:
        return True
    return False


async def _is_ours(session: Session, turn: PairTurn) -> bool:
    """Whether this session holds the pair's lock, or has just got it."""
    if turn.pair not in session.pairs:
        ((is_ours,),) = await session.rows(sql.LOCK_PAIR, {"pair": turn.pair})
        if is_ours:
            await session.rows(sql.BEGIN_PAIR, {"pair": turn.pair, "evaluated": turn.evaluated})
            session.pairs.add(turn.pair)
    return turn.pair in session.pairs


async def _catch_up(session: Session, turn: PairTurn) -> PairTurn:
    """Pass over the ticks that are too old to trigger anything; they still move the watermarks."""
    oldest = min(turn.now - TRIGGER_CATCH_UP, turn.last + 1)
    if turn.evaluated >= oldest - 1:
        return turn
    passed = await _advance(session, turn.pair, turn.evaluated, oldest - 1)
    if passed:
        counts["ticks_skipped"] += passed
        logger.warning("%d ticks of %s were passed over: they are too old", passed, turn.pair)
    return turn._replace(evaluated=oldest - 1)


async def _ticks(session: Session, turn: PairTurn) -> list[Prices]:
    """Return the ticks to evaluate, one for each second; where none was made, an empty one."""
    parameters = {
        "pair": turn.pair,
        "evaluated": turn.evaluated,
        "last": turn.last,
        "most": TRIGGER_CATCH_UP + 2,
    }
    rows = await session.rows(sql.TICKS, parameters)
    if len(rows) < turn.last - turn.evaluated:
        await session.rows(sql.CLOSE_GAPS, parameters)
        rows = await session.rows(sql.TICKS, parameters)
    return [Prices._make(row) for row in rows]


async def _advance(session: Session, pair: str, before: int, tick: int) -> int:
    """Move the pair on. Return over how many ticks; 0 if another evaluator had moved it."""
    parameters = {"pair": pair, "before": before, "tick": tick}
    rows = await session.rows(sql.ADVANCE_PAIR, parameters)
    return rows[0][0] if rows else 0


def _start(each: Pass) -> dict[str, Any]:
    if each.step == "trail":
        return {"start_bps": 0, "start_armed": 0}
    return {"start": _text(HIGHEST if each.kind == "<" else LOWEST)}


def _next_start(
    each: Pass, start: dict[str, Any], last: Decimal | None, armed: int | None
) -> dict[str, Any]:
    """Return where the next statement goes on: what was just released is not read again."""
    if last is None:
        return start
    if each.step == "trail":
        return {"start_bps": int(last), "start_armed": armed}
    return {"start": _text(last)}


def _text(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:f}"


def _message(each: Pass, name: str, price: Decimal) -> str:
    shown = f"{significant(price, SHOWN_DIGITS).normalize():f}"
    match each.step:
        case "arm":
            return f"Armed: the {name} reached {shown}"
        case "limit":
            return f"Triggered: the {name} reached {shown}; it is a limit order now"
        case "sized":
            return "Released: the whole amount can be had at its limit"
    return f"Triggered: the {name} reached {shown}"
