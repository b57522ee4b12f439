"""The run: orders, prices and faults, on the engine and in the model."""

import asyncio
import random
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from django.db import Error, close_old_connections, connections

from config.database.conninfo import conninfo
from config.runtime.postgres import Link
from orders.engine.changes.amending import Amendment, NotAmendable, OrderChanged, amend_order
from orders.engine.execution import Execution
from orders.engine.journal import Journal, journal_of_this_loop
from orders.engine.moves import ClaimedOrder, NewOrder, Overtaken
from orders.engine.submission import NotCancellable, OrderRequest, cancel_order
from orders.terms.terms import Terms
from orders.terms.watch import first_watch
from routing.registry import registry
from routing.venue import Bound, Quote, Side, Swap, UnsupportedToken
from tests.support.engine import PATIENCE, Server
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of
from tests.support.venue_stubs import StubVenue
from tests.triggers.model import Group, Model, Modelled, Prices

PAIRS = ("SOL/USDC", "BONK/USDC", "JUP/USDC")
FIRST_TICK = 1_000
MOST_BEHIND = 30
"""Ticks that no evaluator has seen yet. At 60 they would be passed over."""
EVALUATORS = 2
TRAILS = (30, 60, 100, 100, 200, 500)
FAR = Decimal(10) ** 6

Value = TypeVar("Value")

# Fast time: what an order watches from the next real second on, it watches from the next tick on.
TO_FAST_TIME = """
UPDATE watches SET from_tick = %s, armed_tick = CASE WHEN armed_tick > 1000000000 THEN %s
  ELSE armed_tick END
WHERE from_tick > 1000000000 RETURNING 1
"""
MAKE_TICK = """
INSERT INTO price_ticks (pair, tick, bid_low, bid_high, ask_low, ask_high, reference_low,
  reference_high) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
  RETURNING 1
"""
EVALUATED = "SELECT pair, evaluated_tick FROM pair_progress"
SEQ = "SELECT seq FROM orders WHERE id = %s"
AMENDED = "SELECT 1 FROM order_events WHERE order_id = %s AND seq = %s AND event = 'amended'"
PENDING = "SELECT id::text, trigger_tick FROM orders WHERE status = 'pending'"
FIRED = """
SELECT order_id::text,
  coalesce(array_agg((data->>'tick')::bigint ORDER BY seq)
    FILTER (WHERE event = 'triggered'), '{}'),
  max((data->>'tick')::bigint) FILTER (WHERE event = 'activated')
FROM order_events GROUP BY order_id
"""
OPEN_GAPS = """
SELECT count(*) FROM (SELECT order_id FROM order_events GROUP BY order_id
  HAVING count(*) <> max(seq)) AS gap
"""


class Evaluators:
    """Processes that are killed, and of which others go on."""

    def __init__(self) -> None:
        self._processes = [self._start() for _ in range(EVALUATORS)]
        self.killed = 0

    def kill_one(self, chance: random.Random) -> None:
        place = chance.randrange(EVALUATORS)
        self._processes[place].kill()
        self._processes[place].wait()
        self._processes[place] = self._start()
        self.killed += 1

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    @staticmethod
    def _start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-m", "tests.triggers", "--evaluate"])


@dataclass
class Walk:
    """The prices of one pair: mostly small steps, sometimes a jump."""

    chance: random.Random
    price: Decimal = Decimal(100)

    def next(self, tick: int) -> Prices:
        chance = self.chance
        step = chance.randint(-30, 30) if chance.random() < 0.97 else chance.randint(-400, 400)
        self.price = max(Decimal(10), self.price + Decimal(step) / 100)
        low, high = {}, {}
        for line, off in (("bid", -20), ("ask", 20), ("reference", 0)):
            middle = self.price + Decimal(off + chance.randint(-10, 10)) / 100
            width = Decimal(chance.choice([0, 0, 5, 20])) / 100
            low[line], high[line] = middle - width, middle + width
        return Prices(tick, low, high)


class NeverTrades(StubVenue):
    """Refuses for good, so that an order fails."""

    async def quote(self, swap: Swap) -> Quote:
        raise UnsupportedToken("it trades nothing")


class Desk:
    def __init__(self, seed: int, postgres: Server) -> None:
        self._chance = random.Random(seed)
        self._postgres = postgres
        self._link = Link(conninfo(), "the run")
        self._journal: Journal = journal_of_this_loop()
        self._walks = {pair: Walk(random.Random(f"{seed}:{pair}")) for pair in PAIRS}
        self._tick = FIRST_TICK
        self.model = Model()
        self.told: dict[str, int] = dict.fromkeys(
            ("orders", "cancelled", "amended", "filled", "failed", "postgres_killed", "refused"), 0
        )

    async def run(self, ticks: int, evaluators: Evaluators) -> list[str]:
        """Return what differed from the model; nothing, if all is right."""
        for number in range(ticks):
            await self._act()
            await self._make_ticks()
            if number % 150 == 49:
                evaluators.kill_one(self._chance)
            if number % 500 == 99:
                self._postgres.kill()
                self.told["postgres_killed"] += 1
                await asyncio.to_thread(self._postgres.start)
            await self._wait_until_evaluated(self._tick - MOST_BEHIND)
        await self._wait_until_evaluated(self._tick - 1)
        fired = {row[0]: (list(row[1]), row[2]) for row in await self._rows(FIRED)}
        differences = list(self.model.differences(fired))
        ((gaps,),) = await self._rows(OPEN_GAPS)
        if gaps:
            differences.append(f"{gaps} logs have a gap")
        return differences

    async def close(self) -> None:
        await self._link.close()

    async def _act(self) -> None:
        chance = self._chance
        for act, likelihood in (
            (self._place, 0.9),
            (self._place, 0.6),
            (self._place_group, 0.25),
            (self._cancel, 0.2),
            (self._amend, 0.3),
            (self._carry, 0.5),
        ):
            if chance.random() < likelihood:
                await act()

    async def _make_ticks(self) -> None:
        for pair, walk in self._walks.items():
            prices = walk.next(self._tick)
            both = (prices.low, prices.high)
            ends = [end[line] for line in ("bid", "ask", "reference") for end in both]
            await self._rows(MAKE_TICK, pair, self._tick, *ends)
            self.model.see(pair, prices)
        self._tick += 1

    # What clients do

    async def _place(self) -> None:
        pair, side = self._chance.choice(PAIRS), self._chance.choice(("buy", "sell"))
        kind = self._chance.choice(
            ("stop", "stopLimit", "takeProfit", "trailingStop", "trailingStop")
        )
        await self._store(self._wanted(kind, pair, side))

    async def _place_group(self) -> None:
        pair, side = self._chance.choice(PAIRS), self._chance.choice(("buy", "sell"))
        group, group_id = Group(), str(uuid.uuid4())
        for kind in ("takeProfit", self._chance.choice(("stop", "trailingStop"))):
            wanted = self._wanted(kind, pair, side)
            wanted.group = group
            await self._store(wanted, group_id)

    def _wanted(self, kind: str, pair: str, side: str) -> Modelled:
        chance = self._chance
        price = self._walks[pair].price
        # Many are near the price, so that some lie just beyond one that fires.
        off = Decimal(chance.choice((chance.randint(-60, 60), chance.randint(-300, 300)))) / 100
        wanted = Modelled("", pair, side, kind, 0, by_reference=chance.random() < 0.25)
        if kind == "trailingStop":
            wanted.trail_bps = chance.choice(TRAILS)
            if chance.random() < 0.4:
                wanted.activation = price + off
        else:
            wanted.trigger = price + off
        return wanted

    async def _store(self, wanted: Modelled, group_id: str | None = None) -> None:
        order = order_of(wanted, group_id)
        await self._journal.accept(order)
        wanted.id = order.id
        wanted.from_tick = self._tick
        await self._to_fast_time()
        self.model.add(wanted)
        self.told["orders"] += 1

    async def _cancel(self) -> None:
        order = self._some(lambda one: not one.is_over or one.fired)
        if order is None:
            return
        evaluated = await self._evaluated(order.pair)
        if not await self._is_cancelled(order.id):
            self.told["refused"] += 1
            assert order.is_over, f"{order.id} was not to be cancelled, and should rest"
            return
        self.told["cancelled"] += 1
        for leg in order.group.legs if order.group else [order]:
            if leg.fired and leg.fired[-1] > evaluated:
                leg.may_have_fired = leg.fired.pop()
            if leg.armed_at is not None and leg.armed_at > evaluated:
                leg.may_be_unarmed = True
            leg.is_over = True

    async def _is_cancelled(self, order_id: str) -> bool:
        def cancel() -> bool:
            close_old_connections()
            try:
                cancel_order(UUID(order_id))
            except NotCancellable:
                return False
            finally:
                connections.close_all()
            return True

        return await self._patiently(lambda: asyncio.to_thread(cancel))

    async def _amend(self) -> None:
        """Change the price or the trail of an order that is in no group."""
        order = self._some(lambda one: one.group is None and (not one.is_over or one.fired))
        if order is None or order.type == "stopLimit":
            return
        evaluated = await self._evaluated(order.pair)
        is_armed = order.armed_from is not None and (order.armed_at or 0) <= evaluated
        if order.type == "trailingStop" and not is_armed:
            return
        seq = (await self._rows(SEQ, order.id))[0][0]
        changed = replace(order)
        if order.type == "trailingStop":
            changed.trail_bps = self._chance.choice(TRAILS)
        else:
            off = Decimal(self._chance.randint(-300, 300)) / 100
            changed.trigger = self._walks[order.pair].price + off
        if not await self._is_amended(changed, seq):
            assert order.is_over, f"{order.id} was not to be amended, and should rest"
            return
        self.told["amended"] += 1
        if order.fired:
            assert order.fired[-1] > evaluated, f"{order.id} was amended, and should have fired"
            order.fired.pop()
        order.is_over = False
        order.trigger, order.trail_bps = changed.trigger, changed.trail_bps
        await self._to_fast_time()
        order.from_tick = self._tick

    async def _is_amended(self, changed: Modelled, seq: int) -> bool:
        """Whether it was, at this seq or the next one: an answer may be lost with PostgreSQL."""
        amendment = amendment_of(changed, seq)

        def amend() -> bool:
            close_old_connections()
            try:
                amend_order(amendment, None)
            except (OrderChanged, NotAmendable):
                return False
            finally:
                connections.close_all()
            return True

        if await self._patiently(lambda: asyncio.to_thread(amend)):
            return True
        return bool(await self._rows(AMENDED, changed.id, seq + 1))

    # What a worker does

    async def _carry(self) -> None:
        pending = [row for row in await self._rows(PENDING) if row[0] in self.model.orders]
        if not pending:
            return
        order_id, tick = self._chance.choice(pending)
        order = self.model.orders[order_id]
        assert order.fired[-1:] == [tick], f"{order.type} {order_id} fired at {tick}: {order}"
        fills = self._chance.random() < 0.6
        for claimed in await self._patiently(lambda: self._journal.claim_named(order_id)):
            await self._end(claimed, fills=fills)
            self.told["filled" if fills else "failed"] += 1
            if order.group is None:
                continue
            if fills:
                for leg in order.group.legs:
                    leg.is_over = True
            else:
                await self._resume(order)

    async def _end(self, claimed: ClaimedOrder, *, fills: bool) -> None:
        """Carry it to its end. What was written before PostgreSQL died counts."""
        market = registry().market(registry().token(claimed.base), registry().token(claimed.quote))
        venue = StubVenue("raydium", f"{market.reference_price:f}")
        venues = (venue,) if fills else (NeverTrades("raydium"),)
        network = ScriptedNetwork(then=Sending.LANDS)
        with suppress(Overtaken):
            await Execution(self._journal, exchange_of(network, venues)).carry_order(claimed)

    async def _resume(self, failed: Modelled) -> None:
        """The other leg watches again, from the next tick on."""
        await self._to_fast_time()
        group = failed.group
        assert group is not None
        group.live = None
        for leg in group.legs:
            if leg is not failed and not leg.is_over:
                leg.from_tick = self._tick

    # The means

    def _some(self, is_one: Callable[[Modelled], object]) -> Modelled | None:
        found = [order for order in self.model.orders.values() if is_one(order)]
        return self._chance.choice(found[-40:]) if found else None

    async def _to_fast_time(self) -> None:
        await self._rows(TO_FAST_TIME, self._tick, self._tick)

    async def _evaluated(self, pair: str) -> int:
        return int(dict(await self._rows(EVALUATED)).get(pair, 0))

    async def _wait_until_evaluated(self, tick: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                evaluated = dict(await self._rows(EVALUATED))
                if all(evaluated.get(pair, 0) >= min(tick, self._tick - 1) for pair in PAIRS):
                    return
                await asyncio.sleep(0.01)

    async def _rows(self, statement: Any, *parameters: Any) -> Any:
        return await self._patiently(lambda: self._link.fetch(statement, parameters))

    async def _patiently(self, act: Callable[[], Awaitable[Value]]) -> Value:
        """Do it until PostgreSQL answers: it is killed meanwhile, and all that is done repeats."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await act()
                except (psycopg.OperationalError, Error, OSError):
                    await asyncio.sleep(0.05)


def order_of(wanted: Modelled, group_id: str | None) -> NewOrder:
    """Return the order as the engine stores it; of limits none can be had."""
    limit = None
    if wanted.type == "stopLimit":
        limit = FAR if wanted.side == "sell" else 1 / FAR
    base, quote = wanted.pair.split("/")
    terms = Terms(
        "gtc",
        limit_price=limit,
        trigger_price=wanted.trigger,
        trigger_by="reference" if wanted.by_reference else "executable",
        trail_bps=wanted.trail_bps or None,
        activation_price=wanted.activation,
        bound=Bound(min_out=2**62) if limit else Bound(),
        group_id=group_id,
    )
    return new_order(
        type=wanted.type,
        side=wanted.side,
        base=base,
        quote=quote,
        slippage_bps=None if limit else 500,
        terms=terms,
        watch=first_watch(wanted.type, Side(wanted.side), terms),
        data={"order": {}},
    )


def amendment_of(changed: Modelled, seq: int) -> Amendment:
    order = order_of(changed, None)
    base, quote = changed.pair.split("/")
    market = registry().market(registry().token(base), registry().token(quote))
    asked = OrderRequest(
        *(changed.type, market, Side(changed.side), order.amount_in, order.amount_out),
        order.slippage_bps,
        terms=order.terms,
        if_crossed="execute",
    )
    field = "trailBps" if changed.type == "trailingStop" else "triggerPrice"
    return Amendment(
        *(changed.id, seq, asked, frozenset((field,)), {field: None}, {field: None}),
        keeps_end=True,
        by="user",
    )


def told_of(numbers: dict[str, int]) -> Iterator[str]:
    for name, number in numbers.items():
        yield f"{name.replace('_', ' ')} {number:,}"
