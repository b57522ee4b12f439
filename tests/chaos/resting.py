"""What orders that wait did in a run, compared with the prices that there were."""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import psycopg

from tests.chaos.stack import Stack

LOOK_SECONDS = 0.1
LATE = timedelta(seconds=20)
"""So long a price may have waited for a scheduler when its order ended unfired."""
TRIGGERS = """
SELECT o.id::text, o.base || '/' || o.quote, o.type, o.side, o.trigger_price, o.trail_bps,
  floor(extract(epoch FROM o.created_at))::bigint + 1, o.finished_at, o.group_id IS NOT NULL,
  (SELECT (e.data->>'tick')::bigint FROM order_events AS e
   WHERE e.order_id = o.id AND e.event = 'triggered' ORDER BY e.seq LIMIT 1)
FROM orders AS o
WHERE o.type IN ('stop', 'takeProfit', 'trailingStop') AND o.activation_price IS NULL
"""
TICKS = """
SELECT pair, tick, bid_low, bid_high, ask_low, ask_high FROM price_ticks ORDER BY pair, tick
"""
DOUBLED = """
SELECT group_id::text FROM orders WHERE status = 'confirmed' AND group_id IS NOT NULL
GROUP BY group_id HAVING count(*) > 1
"""
TORN = """
SELECT 'group', g.id::text FROM order_groups AS g CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE status <> 'open' AND finished_at IS NULL OR phase = 'latched')
      AS on_their_way,
    count(*) FILTER (WHERE phase = 'held') AS held,
    count(*) FILTER (WHERE status = 'confirmed') AS filled,
    count(*) FILTER (WHERE status IN ('confirmed', 'cancelled', 'expired')) AS ended,
    count(*) FILTER (WHERE finished_at IS NULL) AS unfinished
  FROM orders WHERE group_id = g.id
) AS legs
WHERE on_their_way > 1 OR filled > 1 OR ended > 0 AND unfinished > 0
  OR unfinished = 2 AND held <> on_their_way
  OR g.ended_at IS NULL AND (g.live_order IS NOT NULL) <> (on_their_way = 1)
UNION ALL
SELECT 'order', o.id::text FROM orders AS o LEFT JOIN watches AS w ON w.order_id = o.id
WHERE o.resting AND (w.order_id IS NULL OR w.held <> (o.phase = 'held'))
  OR o.finished_at IS NOT NULL AND w.order_id IS NOT NULL
"""
"""Groups in which an order is on its way and the other one not held, or one has ended alone, and
orders that rest and watch nothing."""
EXITS = "SELECT count(*) FROM orders WHERE parent_id IS NOT NULL"
UNPROTECTED = """
SELECT id::text FROM orders AS entry
WHERE status = 'confirmed' AND terms ?| array['takeProfit', 'stopLoss']
  AND NOT EXISTS (SELECT FROM orders WHERE parent_id = entry.id)
"""


class Trigger(NamedTuple):
    """An order with a trigger, and the tick at which it fired first."""

    order_id: str
    pair: str
    type: str
    side: str
    level: Decimal | None
    trail_bps: int | None
    from_tick: int
    finished_at: datetime | None
    is_grouped: bool
    fired: int | None


class Tick(NamedTuple):
    tick: int
    bid_low: Decimal | None
    bid_high: Decimal | None
    ask_low: Decimal | None
    ask_high: Decimal | None


@dataclass(slots=True)
class Found:
    triggered: int = 0
    exits: int = 0
    early: list[tuple[str, str]] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def look_at(database: str) -> Found:
    """Compare each order that has a trigger with the ticks that were stored."""
    with psycopg.connect(database) as connection:
        triggers = [Trigger._make(row) for row in connection.execute(TRIGGERS)]
        ticks: dict[str, list[Tick]] = {}
        for pair, *prices in connection.execute(TICKS):
            ticks.setdefault(pair, []).append(Tick(*prices))
        doubled = [row[0] for row in connection.execute(DOUBLED)]
        ((exits,),) = connection.execute(EXITS).fetchall()
    found = Found(doubled=doubled, exits=exits)
    for one in triggers:
        found.triggered += one.fired is not None
        _compare(found, one, ticks)
    return found


@dataclass(slots=True)
class Snapshots:
    """What is never to be seen, not even for a moment."""

    unprotected: set[str] = field(default_factory=set)
    """Entries that are confirmed and without their exits."""
    torn: set[tuple[str, str]] = field(default_factory=set)
    """As `TORN` says."""

    async def look(self, stack: Stack) -> None:
        """Note for ever what a snapshot shows."""
        while True:
            with suppress(psycopg.Error, OSError):
                async with await psycopg.AsyncConnection.connect(stack.database) as connection:
                    rows = await (await connection.execute(UNPROTECTED)).fetchall()
                    self.unprotected.update(row[0] for row in rows)
                    self.torn.update(await (await connection.execute(TORN)).fetchall())
            await asyncio.sleep(LOOK_SECONDS)


def _compare(found: Found, one: Trigger, ticks: Mapping[str, Sequence[Tick]]) -> None:
    reached = reached_by(one, ticks.get(one.pair, ()))
    if one.fired is not None and one.fired not in reached:
        found.early.append((one.order_id, f"it fired at {one.fired}, which had not reached it"))
        return
    if one.is_grouped or not reached:  # it may have been held meanwhile
        return
    first = reached[0]
    if one.fired is not None and one.fired != first:
        found.missed.append((one.order_id, f"it fired at {one.fired}, and {first} reached it"))
    if one.fired is None and (
        one.finished_at is None or one.finished_at.timestamp() - first > LATE.total_seconds()
    ):
        found.missed.append((one.order_id, f"it never fired, and {first} reached it"))


def reached_by(one: Trigger, ticks: Sequence[Tick]) -> list[int]:
    """Return the ticks that reached the order's trigger, as a plain loop sees them."""
    reached: list[int] = []
    watermark: Decimal | None = None
    is_sale = one.side == "sell"
    start = bisect_left(ticks, one.from_tick, key=lambda tick: tick.tick)
    for tick in ticks[start:]:
        low, high = (tick.bid_low, tick.bid_high) if is_sale else (tick.ask_low, tick.ask_high)
        if low is None or high is None:
            continue
        falls = is_sale == (one.type != "takeProfit")
        price = low if falls else high
        level = one.level
        if one.trail_bps is not None:
            level = _trail(watermark, one.trail_bps, is_sale=is_sale)
            best = max if is_sale else min
            own = high if is_sale else low
            watermark = own if watermark is None else best(watermark, own)
        if level is not None and (price <= level if falls else price >= level):
            reached.append(tick.tick)
    return reached


def _trail(watermark: Decimal | None, bps: int, *, is_sale: bool) -> Decimal | None:
    if watermark is None:
        return None
    return watermark * (10_000 - bps if is_sale else 10_000 + bps) / 10_000
