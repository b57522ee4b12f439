"""What an account's stream costs: events through one socket, memory, a resume (part s).

`make bench BENCH_ARGS="s1000000"` resumes over the events of so many orders of a day.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import websockets

from config.database.conninfo import conninfo
from orders.engine.journal import journal_of_this_loop
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from orders.streams.account_log import READ, account_log_of_this_loop
from orders.streams.cursor import Position
from tests.bench import engine
from tests.bench.processes import cpu_of, memory_mb, servers_beside_us, told
from tests.support.accounts import Account, make_account

DRAINED = 3_000
OPEN = 1_000
ACCOUNTS = 100
STORED = 50_000
"""Orders of a day, of all accounts, over which a reader resumes."""
PAGE = 200
HOURS = {"a day": 24, "an hour": 1}
IDLE_SECONDS = 10.0
UNFINISHED = "SELECT count(*) FROM orders WHERE finished_at IS NULL"
# A transaction for each order, as the least that may be: their ids have to be given away.
FILL = """
DO $fill$ BEGIN FOR n IN 1..{orders} LOOP
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, n % {accounts} + 1, seq, 'routing', 1, 'As the benchmark has it.', '{{}}',
    now() - ({orders} - n) * interval '1 day' / {orders}
  FROM (SELECT gen_random_uuid() AS id) AS one, generate_series(1, 5) AS seq;
  COMMIT;
END LOOP; END $fill$
"""
FIRST_SINCE = """
SELECT min(xid::text::bigint) FROM order_events
WHERE owner_id = 1 AND at > (SELECT max(at) FROM order_events) - %s * interval '1 hour'
"""


def account_stream_rows(stored: int = STORED) -> Iterator[tuple[str, str]]:
    """Yield what was measured, and its figure."""
    account = make_account(conninfo())
    yield from events_through(account)
    yield "(s) memory of an idle stream of an account", memory_of(account)
    yield from resumes(stored)


def events_through(account: Account) -> Iterator[tuple[str, str]]:
    """Drain an account's orders while one socket reads its events, and while none does."""
    for has_reader in (False, True):
        engine.empty()
        with engine.web() as (port, web):
            asyncio.run(_store(account.id))
            rate, cost = asyncio.run(_read_drain(port, web, account if has_reader else None))
        reader = "one socket that reads them" if has_reader else "no reader"
        yield (
            f"(s) events/s of {DRAINED:,} orders of an account, {reader}",
            f"{rate:,.0f}/s  {cost}",
        )


async def _store(owner: int) -> None:
    journal = journal_of_this_loop()
    sale = ("market", "sell", "SOL", "USDC", 1_500_000_000, None, 100, "bench", {})
    orders = (NewOrder(new_order_id(), *sale, owner=owner) for _ in range(DRAINED))
    await asyncio.gather(*(journal.accept(order) for order in orders))
    await journal.close()


async def _read_drain(port: int, web: int, account: Account | None) -> tuple[float, str]:
    """Return events a second, and the CPU of one."""
    async with AsyncExitStack() as stack:
        socket = None
        if account is not None:
            socket = await stack.enter_async_context(_stream(port, account))
            await socket.recv()
        roots = {"web": [web], **servers_beside_us()}
        worker = stack.enter_context(engine.worker(100))
        with cpu_of({**roots, "worker": [worker]}) as costs:
            begun, number = time.perf_counter(), DRAINED * 4  # all but the first of each
            if socket is None:
                await asyncio.to_thread(engine.wait_for, lambda: engine.query(UNFINISHED) == (0,))
            else:
                left = number
                while left:
                    left -= json.loads(await socket.recv())["type"] == "status_update"
            took = time.perf_counter() - begun
    return number / took, told(costs, number)


def _stream(port: int, account: Account) -> websockets.connect:
    return websockets.connect(
        f"ws://127.0.0.1:{port}/ws/orders", additional_headers=account.headers, compression=None
    )


def memory_of(account: Account) -> str:
    with engine.web() as (port, web):
        return asyncio.run(_open_many(port, web, account))


async def _open_many(port: int, web: int, account: Account) -> str:
    before = memory_mb({"web": [web]})["web"].pss
    async with AsyncExitStack() as stack:
        for _ in range(OPEN):
            await stack.enter_async_context(_stream(port, account))
        with cpu_of({"web": [web], **servers_beside_us()}) as costs:
            await asyncio.sleep(IDLE_SECONDS)
        grown = memory_mb({"web": [web]})["web"].pss - before
    return f"{1000 * grown / OPEN:.0f} kB of {OPEN:,}; a second of all: {told(costs, IDLE_SECONDS)}"


def resumes(stored: int) -> Iterator[tuple[str, str]]:
    """Yield what a resume touches: pages of 8 kB, hit or read, by EXPLAIN."""
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("SET session_replication_role = replica")
        database.execute("TRUNCATE order_events")
        database.execute("SET synchronous_commit = off")
        database.execute("SET statement_timeout = 0")
        database.execute(FILL.format(orders=stored, accounts=ACCOUNTS))
        database.execute("ANALYZE order_events")
        for name, hours in HOURS.items():
            first = database.execute(FIRST_SINCE, [hours]).fetchone()
            assert first is not None
            events, pages, ms = asyncio.run(_resume(database, first[0]))
            yield (
                f"(s) resume after {name}, 1 of {ACCOUNTS} accounts, {stored:,} orders",
                f"{events:,} events, {pages:,} pages ({pages / events:.2f} each), {ms:.0f} ms",
            )


async def _resume(database: "psycopg.Connection[Any]", first: int) -> tuple[int, int, float]:
    log = account_log_of_this_loop()
    since: Position = (await log.now()).up_to(first - 1)
    events, pages, begun, explaining = 0, 0, time.perf_counter(), 0.0
    while True:
        explained = time.perf_counter()
        asked = {
            "owners": [1],
            "running": [str(one) for one in since.running],
            "following": str(since.following),
            "most": PAGE,
        }
        row = database.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {READ[False]}", asked
        ).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
        pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        explaining += time.perf_counter() - explained
        page = await log.page((1,), since, PAGE)
        events, since = events + len(page.events), page.position
        if page.is_whole:
            await log.close()
            return events, pages, 1000 * (time.perf_counter() - begun - explaining)
