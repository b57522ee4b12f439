"""Runs the parts named on the command line (a b c d e g l n p s t), or all, and prints a table.

`g10000000` runs part g over so many ended orders as well, `t1000` part t over so many that rest,
`s1000000` part s over the events of so many orders.
"""

import asyncio
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import django
import websockets

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
os.environ.setdefault("SECRET_KEY", "only-for-the-benchmark")
django.setup()

from django.core.management import call_command

from orders.engine.journal import journal_of_this_loop
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from tests.bench import client, engine
from tests.bench.account_streams import account_stream_rows
from tests.bench.arguments import end_with, stop_cleanly
from tests.bench.entry import entry_rows
from tests.bench.growth import growth_rows
from tests.bench.landings import landing_rates
from tests.bench.machine import loop, speed_of
from tests.bench.pools import quote_times
from tests.bench.processes import cpu_of, servers_beside_us, told
from tests.bench.profile import costs_per_order
from tests.bench.triggers import trigger_rows

POSTS = 6000
DRAINED = 5000
FOLLOWED = 600
ROWS: list[tuple[str, str]] = []


def row(what: str, figure: str) -> None:
    ROWS.append((what, figure))
    print(f"  {what:<58} {figure}", flush=True)


def accept_rate() -> None:
    with engine.web() as (port, web):
        asyncio.run(client.in_parallel(port, 20, 500, client.post))
        with cpu_of({"web": [web], **servers_beside_us()}) as costs:
            elapsed, seconds = asyncio.run(client.in_parallel(port, 20, POSTS, client.post))
    row(
        "(a) POST/s, 20 connections, one web process",
        f"{POSTS / elapsed:,.0f}/s  {spread(seconds)}",
    )
    row("(a) a POST", told(costs, POSTS))


def drain() -> None:
    for workers in (1, 2):
        for in_flight in (10, 100, 400):
            rate, cost, _ = drained(workers, in_flight, engine.AT_ONCE)
            row(
                f"(b) drain {DRAINED:,}, {in_flight} in flight, {workers} worker(s)",
                f"{rate:,.0f}/s  {cost}",
            )


def drained(workers: int, in_flight: int, environment: dict[str, str]) -> tuple[float, str, float]:
    """Return orders a second, from the first start to the last confirmation, CPU and peak MB.

    The CPU's account begins when the first order has ended: until then processes start.
    """
    engine.empty()
    asyncio.run(store(DRAINED))
    with ExitStack() as stack:
        scheduler = stack.enter_context(engine.scheduler(environment))
        running = [
            stack.enter_context(engine.worker(in_flight, environment)) for _ in range(workers)
        ]
        engine.wait_for(lambda: open_orders() < DRAINED)
        roots = {"worker": running, "scheduler": [scheduler], **servers_beside_us()}
        left = open_orders()
        with cpu_of(roots) as costs:
            engine.wait_for(lambda: open_orders() == 0)
        memory = max(engine.peak_memory_mb(process_id) for process_id in running)
    confirmed, seconds = engine.query(DRAIN)
    assert confirmed == DRAINED, f"{confirmed} of {DRAINED} orders were confirmed"
    return DRAINED / float(str(seconds)), told(costs, left), memory


def open_orders() -> int:
    return int(str(engine.query(OPEN)[0]))


OPEN = "SELECT count(*) FROM orders WHERE finished_at IS NULL"
DRAIN = """
SELECT count(*) FILTER (WHERE status = 'confirmed'),
       extract(epoch FROM max(finished_at) - min(started_at)) FROM orders
"""


async def store(count: int) -> None:
    journal = journal_of_this_loop()
    await asyncio.gather(*(journal.accept(order()) for _ in range(count)))
    await journal.close()


def order() -> NewOrder:
    return NewOrder(
        new_order_id(), "market", "sell", "SOL", "USDC", 1_500_000_000, None, 100, "bench", {}
    )


def follow() -> None:
    engine.empty()
    with engine.web() as (port, web), engine.worker(100) as worker:
        roots = {"web": [web], "worker": [worker], **servers_beside_us()}
        asyncio.run(client.in_parallel(port, 5, 100, client.post_and_follow))
        for at_once in (1, 20):
            with cpu_of(roots) as costs:
                _, seconds = asyncio.run(
                    client.in_parallel(port, at_once, FOLLOWED, client.post_and_follow)
                )
            row(f"(c) POST, then its stream to confirmed, {at_once} at once", spread(seconds))
            row("(c) an order", told(costs, FOLLOWED))
        for at_once in (1, 20):
            with cpu_of(roots) as costs:
                seconds = asyncio.run(frames(port, at_once))
            row(f"(c) order as a frame on an open socket, {at_once} at once", spread(seconds))
            row("(c) an order", told(costs, FOLLOWED))


async def frames(port: int, at_once: int) -> list[float]:
    url = f"ws://127.0.0.1:{port}/api/orders/execute"
    sockets = [await websockets.connect(url, compression=None) for _ in range(at_once)]
    seconds = await client.send_as_frame(port, sockets, FOLLOWED)
    for socket in sockets:
        await socket.close()
    return seconds


def profile() -> None:
    engine.empty()
    with engine.web() as (port, web), engine.worker(100) as worker:
        asyncio.run(client.in_parallel(port, 5, 200, client.post_and_follow))
        kinds = ((1, 300, client.post_and_follow), (50, 3000, client.post))
        for at_once, orders, act in kinds:
            with costs_per_order(orders, {"web": web, "worker": worker}) as costs:
                asyncio.run(client.in_parallel(port, at_once, orders, act))
                engine.wait_for(lambda: open_orders() == 0)
            for name, cost in costs.items():
                row(f"(e) {at_once} at once, per order: {name}", f"{cost:.2f}")


def with_the_briefs_latencies() -> None:
    rate, cost, memory = drained(1, 1000, engine.BRIEF)
    row(
        "(d) the brief's latencies, 1,000 in flight, 1 worker",
        f"{rate:,.0f}/s  {cost}  peak {memory:.0f} MB",
    )


def spread(seconds: list[float]) -> str:
    half, most = client.percentile(seconds, 0.5), client.percentile(seconds, 0.99)
    return f"p50 {half:.1f} ms  p99 {most:.1f} ms"


def quotes() -> None:
    for what, figure in quote_times():
        row(f"(p) {what}", figure)


def growth(*counts: int) -> None:
    for what, figure in growth_rows(*counts):
        row(f"(g) {what}", figure)


def entries() -> None:
    for what, figure in entry_rows():
        row(f"(n) {what}", figure)


def landings() -> None:
    for what, figure in landing_rates(os.environ["DATABASE_URL"]):
        row(f"(l) {what}", figure)


def account_streams(*counts: int) -> None:
    for what, figure in account_stream_rows(*counts):
        row(what, figure)


def triggers(*counts: int) -> None:
    for what, figure in trigger_rows(*counts):
        row(f"(t) {what}", figure)


PARTS: dict[str, Callable[..., None]] = {
    "a": accept_rate,
    "b": drain,
    "c": follow,
    "d": with_the_briefs_latencies,
    "e": profile,
    "g": growth,
    "l": landings,
    "n": entries,
    "p": quotes,
    "s": account_streams,
    "t": triggers,
}


def processor() -> str:
    for line in (
        Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ()
    ):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def measure(parts: Sequence[str]) -> None:
    call_command("migrate", verbosity=0)
    version = engine.query("SHOW server_version")[0]
    machine = f"{os.cpu_count()} cores ({processor()}), Python {platform.python_version()}"
    print(f"\n{machine}, PostgreSQL {version},")
    print("fsync on, every status and event persisted; client and servers share the cores.\n")
    for part in parts:
        before = loop()
        PARTS[part[0]](*map(int, filter(None, [part[1:]])))
        print(speed_of(before, loop()), flush=True)


if __name__ == "__main__":
    asked = sys.argv[1:] or list(PARTS)
    for part in asked:
        if not re.fullmatch(f"[{''.join(PARTS)}]|[gst][1-9][0-9]*", part):
            end_with(f"{part!r} is no part of the benchmark: they are {', '.join(PARTS)}.")
    stop_cleanly()
    try:
        measure(asked)
    except KeyboardInterrupt:
        end_with("Stopped: nothing is left of it.", 130)
