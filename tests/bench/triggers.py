"""What a tick costs over a thousand, a hundred thousand and a million resting orders.

Orders and ticks are stored by hand, and one evaluator compares them in fast time. Pages are those
of the whole database, hit or read: unlike times they do not depend on the machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg

from config.database.conninfo import conninfo
from config.runtime.per_loop import close_all
from config.runtime.postgres import Link
from orders.engine.journal import journal_of_this_loop
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from orders.engine.triggers.evaluator import Evaluator
from orders.terms.terms import Terms
from orders.terms.watch import first_watch
from routing.venue import Side
from routing.venues import Exchange
from tests.bench import engine
from tests.bench.client import percentile
from tests.support.stubs import ScriptedNetwork

COUNTS = (1_000, 100_000, 1_000_000)
PAIRS = 7
QUIET_TICKS = 300
FIRED = (1, 100, 10_000)
TRAILING, WIDTHS = 300_000, 40
ACCEPTED = 3_000
AT_ONCE = 100
START = 1_000
TABLES = "orders, order_events, order_groups, watches, price_ticks, price_peaks, pair_progress"

# Of ten orders four are limits, three stops and targets, three trailing stops of 40 widths.
ORDERS = """
INSERT INTO orders (id, sender, type, side, base, quote, amount_in, slippage_bps, limit_price,
  trigger_price, trigger_by, trail_bps, min_out, terms, time_in_force, status, resting, phase,
  releases, seq, attempts, lease_token, lost_leases, needs_attention, next_check, created_at)
SELECT gen_random_uuid(), 0, kind.type, kind.side, 'P' || n %% {pairs}, 'USDC', 1000000,
  CASE WHEN kind.type <> 'limit' THEN 500 END,
  CASE WHEN kind.type = 'limit' THEN kind.level END,
  CASE WHEN kind.type IN ('stop', 'takeProfit') THEN kind.level END, 'executable',
  CASE WHEN kind.type = 'trailingStop' THEN 5 * (1 + n %% {widths}) END,
  CASE WHEN kind.type = 'limit' THEN 1 END, '{{}}', 'gtc', 'open', true, 'waiting', 0, 1, 0, 0, 0,
  false, now(), now()
FROM generate_series(1, %(count)s) AS n, LATERAL (SELECT * FROM (VALUES
  ('limit', 'sell', 105 + random() * 45), ('limit', 'buy', 50 + random() * 45),
  ('limit', 'sell', 105 + random() * 45), ('limit', 'buy', 50 + random() * 45),
  ('stop', 'buy', 101 + random() * 49), ('takeProfit', 'sell', 105 + random() * 45),
  ('stop', 'buy', 101 + random() * 49), ('trailingStop', 'sell', 0),
  ('trailingStop', 'sell', 0), ('trailingStop', 'sell', 0)) AS kinds(type, side, level)
  OFFSET (n / {pairs}) %% 10 LIMIT 1) AS kind
"""
TRAILS = """
INSERT INTO orders (id, sender, type, side, base, quote, amount_in, slippage_bps, trail_bps,
  terms, time_in_force, status, resting, phase, releases, seq, attempts, lease_token, lost_leases,
  needs_attention, next_check, created_at)
SELECT gen_random_uuid(), 0, 'trailingStop', 'sell', 'P0', 'USDC', 1000000, 500,
  CASE WHEN n %% 3 = 0 THEN 5 * (1 + n %% {widths}) ELSE 550 + 50 * (n %% 20) END, '{{}}', 'gtc',
  'open', true, 'waiting', 0, 1, 0, 0, 0, false, now(), now()
FROM generate_series(1, %(count)s) AS n
"""
WATCHES = """
INSERT INTO watches (order_id, pair, line, kind, act, trail_bps, from_tick, armed_tick, queued_at,
  expires_at, wake_price)
SELECT id, base || '/' || quote, (CASE side WHEN 'sell' THEN 'b' ELSE 'a' END)::"char",
  (CASE WHEN type = 'trailingStop' THEN 't'
    WHEN (type = 'stop') = (side = 'buy') THEN '>' WHEN type = 'limit' AND side = 'buy' THEN '<'
    ELSE '>' END)::"char",
  (CASE type WHEN 'limit' THEN 's' ELSE 'f' END)::"char", trail_bps, {start},
  CASE WHEN type = 'trailingStop' THEN {start} END, created_at, now() + interval '90 days',
  coalesce(limit_price, trigger_price)
FROM orders WHERE resting
"""
TICK = """
INSERT INTO price_ticks (pair, tick, bid_low, bid_high, ask_low, ask_high)
SELECT 'P' || n || '/USDC', %s, %s, %s, %s, %s FROM unnest(%s::int[]) AS n
"""
LEVEL = """
SELECT wake_price FROM watches WHERE pair = 'P0/USDC' AND line = 'a' AND kind = '>' AND act = 'f'
ORDER BY wake_price OFFSET %s LIMIT 1
"""
PAGES = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
TELL_PAGES = "SELECT pg_stat_force_next_flush()"
WRITTEN = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'watches'"
SIZE = "SELECT pg_relation_size('watches'), pg_indexes_size('watches')"
BEHIND = """
SELECT 1 FROM pair_progress AS p WHERE EXISTS (
  SELECT FROM price_ticks AS t WHERE t.pair = p.pair AND t.tick > p.evaluated_tick) LIMIT 1
"""

Rows = Iterator[tuple[str, str]]


class Cost(NamedTuple):
    milliseconds: float
    pages: int


@dataclass
class Bench:
    """One evaluator, and the ticks that it is given."""

    database: psycopg.Connection[Any]
    link: Link
    evaluator: Evaluator
    tick: int = START

    def make_tick(
        self, pairs: range, low: Decimal, high: Decimal, ask_high: Decimal | None = None
    ) -> None:
        ask = high + Decimal("0.2")
        prices = (low, high, ask, ask_high or ask)
        self.database.execute(TICK, [self.tick, *prices, list(pairs)])
        self.tick += 1

    async def evaluate(self) -> Cost:
        """Evaluate all ticks that were made."""
        before = await self._pages()
        began = time.perf_counter()
        await self.evaluator.evaluate(self.tick - 1)
        while self.database.execute(BEHIND).fetchone():
            await self.evaluator.evaluate(self.tick - 1)
        took = time.perf_counter() - began
        return Cost(took * 1000, await self._pages() - before)

    async def _pages(self) -> int:
        async with self.link.connection() as connection:
            await connection.execute(TELL_PAGES)
        row = self.database.execute(PAGES).fetchone()
        assert row is not None
        return int(row[0])


def trigger_rows(*counts: int) -> Rows:
    """Yield what was asked, and what it cost over so many resting orders."""
    for count in counts or COUNTS:
        yield from asyncio.run(_ticks(count))
    yield from asyncio.run(_crash())
    yield from asyncio.run(_acceptance())


async def _ticks(count: int) -> list[tuple[str, str]]:
    rows = []
    of = f"{count:,} resting"
    async with _bench(ORDERS, count) as bench:
        quiet = []
        for number in range(QUIET_TICKS + 10):
            moved = Decimal(number % 3) / 100
            bench.make_tick(range(PAIRS), 100 + moved, 100 + moved)
            quiet.append(await bench.evaluate())
        quiet = quiet[10:]  # the first ones plan their statements
        times = [cost.milliseconds / 1000 for cost in quiet]
        pages = sorted(cost.pages for cost in quiet)[len(quiet) // 2]
        rows.append(
            (
                f"a tick of 7 pairs, nothing fires, {of}",
                f"p50 {percentile(times, 0.5):.1f} ms  p99 {percentile(times, 0.99):.1f} ms"
                f"  {pages:,} pages",
            )
        )
        for fired in FIRED:
            level = bench.database.execute(LEVEL, [fired - 1]).fetchone()
            if level is None:
                continue
            low = Decimal(100)
            bench.make_tick(range(1), low, low, level[0])
            cost = await bench.evaluate()
            quiet_pages = pages // PAIRS
            rows.append(
                (
                    f"{fired:,} fire in one tick of a pair, {of}",
                    f"{cost.milliseconds:,.0f} ms  {(cost.pages - quiet_pages) / fired:,.0f} pages"
                    f" and {cost.milliseconds / fired:.2f} ms each",
                )
            )
        table, indexes = bench.database.execute(SIZE).fetchone() or (0, 0)
        rows.append(
            (f"watches and their indexes, {of}", f"{table / 1e6:.0f} + {indexes / 1e6:.0f} MB")
        )
    return rows


async def _crash() -> list[tuple[str, str]]:
    async with _bench(TRAILS, TRAILING) as bench:
        bench.make_tick(range(2), Decimal(100), Decimal(100))
        await bench.evaluate()
        bench.make_tick(range(2), Decimal(95), Decimal(95))
        began = bench.database.execute("SELECT clock_timestamp()").fetchone()
        cost = await bench.evaluate()
        fired, first, delay = bench.database.execute(
            "SELECT count(*), extract(epoch FROM min(at) - %(began)s) * 1000,"
            " extract(epoch FROM max(at) - %(began)s) FROM order_events WHERE event = 'triggered'",
            {"began": began[0] if began else None},
        ).fetchone() or (0, 0, 0)
    return [
        (
            f"5 % down in one tick: {fired:,} of {TRAILING:,} trailing stops fire",
            f"{cost.milliseconds / 1000:.1f} s, the first after {first:.0f} ms, the last after"
            f" {delay:.1f} s; {cost.pages / max(fired, 1):.0f} pages each",
        )
    ]


async def _acceptance() -> list[tuple[str, str]]:
    engine.empty()
    journal = journal_of_this_loop()
    terms = Terms("gtc", trigger_price=Decimal(50), trigger_by="executable")
    kinds: dict[str, Callable[[], NewOrder]] = {
        "market": lambda: _order("market", None),
        "resting": lambda: _order("stop", terms),
    }
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(5):
        for name, make in kinds.items():
            began = time.perf_counter()
            for _ in range(ACCEPTED // AT_ONCE):
                await asyncio.gather(*(journal.accept(make()) for _ in range(AT_ONCE)))
            rates[name].append(ACCEPTED / (time.perf_counter() - began))
    await close_all()
    market, resting = (sorted(found)[len(found) // 2] for found in rates.values())
    return [
        (
            f"accepted in one process, {AT_ONCE} at once: market, resting",
            f"{market:,.0f}/s, {resting:,.0f}/s: {resting / market:.0%}",
        )
    ]


def _order(kind: str, terms: Terms | None) -> NewOrder:
    return NewOrder(
        *(new_order_id(), kind, "sell", "SOL", "USDC", 1_500_000_000, None, 100, "bench"),
        {"order": {}},
        terms=terms,
        watch=None if terms is None else first_watch(kind, Side.SELL, terms),
    )


@asynccontextmanager
async def _bench(orders: str, count: int) -> AsyncIterator[Bench]:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("SET session_replication_role = replica")
        database.execute(f"TRUNCATE {TABLES}")
        database.execute("SET session_replication_role = origin")
        database.execute(orders.format(pairs=PAIRS, widths=WIDTHS), {"count": count})
        database.execute(WATCHES.format(start=START))
        database.execute("VACUUM ANALYZE orders, watches")
        link = Link(conninfo(), "engine triggers")
        evaluator = Evaluator(Exchange((), ScriptedNetwork()), link)
        try:
            yield Bench(database, link, evaluator)
        finally:
            await evaluator.close()
            await close_all()
            database.execute("SET session_replication_role = replica")
            database.execute(f"TRUNCATE {TABLES}")
