"""Streams while connections are killed, hints are lost and clients misbehave.

What was measured is printed by `-s`.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
import redis.asyncio
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from orders.lifecycle import FINAL
from tests.support import hostile
from tests.support.checker import Transcript, load, violations
from tests.support.engine import PATIENCE, SELL, Engine, Web, engine, own_redis
from tests.support.machine import Watch
from tests.support.subscriber import Subscriber, committed_at

SUBSCRIBERS, ORDERS = 200, 40
TAIL_WITHIN = 3.0  # seconds from an event's commit to its arrival, whatever was killed
GOOD_ONES = 50
P99_WITHIN = 0.5  # seconds from an event's commit to its arrival at a good client
GROWTH = 50.0  # MB of the web process
FLOOD_SECONDS = 2.0
TOO_SLOW = "a client was too slow"
STATUS_FILE = "/proc/{}/status"


@dataclass
class Stack:
    engine: Engine
    web: Web
    redis_url: str

    @property
    def entry_url(self) -> str:
        return f"ws://{self.web.address}/api/orders/execute"

    async def post(self) -> str:
        return await asyncio.to_thread(self.web.post)

    async def last_seq(self, order_id: str) -> int:
        path = f"/api/orders/{order_id}/events"
        answer = await asyncio.to_thread(self.web.request, path)
        return int(answer.body["events"][-1]["seq"])

    def memory(self) -> float:
        """MB of the web process that are in use."""
        lines = Path(STATUS_FILE.format(self.web.process_id)).read_text().splitlines()
        (size,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
        return int(size) / 1024


@pytest.fixture(scope="module")
def stack(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with own_redis() as (_, redis_url):
        logs = tmp_path_factory.mktemp("fire")
        with engine(process_database, logs, REDIS_URL=redis_url) as running:
            running.worker(
                ORDER_CONCURRENCY="100",
                SIMULATION_QUOTE_LATENCY="0.2",
                SIMULATION_LANDING_LATENCY="0.5-1.5",
            )
            running.scheduler()
            yield Stack(running, running.web(), redis_url)


class Fire:
    """Kills connections by a seed, a few each second, and counts what it hit."""

    PAUSE = 0.25  # seconds

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._random = random.Random(seed)
        self.hits: Counter[str] = Counter()

    @asynccontextmanager
    async def burning(self) -> AsyncIterator[None]:
        async with redis.asyncio.Redis.from_url(self._stack.redis_url) as client:
            task = asyncio.create_task(self._burn(client))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _burn(self, client: redis.asyncio.Redis) -> None:
        while True:
            await asyncio.sleep(self.PAUSE)
            kind = self._random.choice(["subscriptions", "publishers", "forgetting", "readers"])
            self.hits[kind] += await self._hit(kind, client)

    async def _hit(self, kind: str, client: redis.asyncio.Redis) -> int:
        match kind:
            case "subscriptions":
                return int(await client.client_kill_filter(_type="pubsub"))
            case "publishers":  # each then drops its hints for a second
                return int(await client.client_kill_filter(_type="normal", skipme=True))
            case "forgetting":
                return int(await client.flushall())
            case _:
                return await asyncio.to_thread(self._kill_readers)

    def _kill_readers(self) -> int:
        """Cut the web process off the log."""
        return len(
            self._stack.engine.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'engine streams' AND datname = current_database()"
            )
        )


async def test_two_hundred_subscribers_under_fire_are_told_each_event_in_order_and_in_time(
    stack: Stack,
) -> None:
    chance = random.Random(7)
    fire, watch = Fire(stack, seed=7), Watch()

    async def subscribers_of(place: int) -> list[Subscriber]:
        await asyncio.sleep(place * 0.1)
        order_id = await stack.post()

        async def arrive(delay: float, *, reads_before: bool) -> Subscriber:
            await asyncio.sleep(delay)
            seen = await stack.last_seq(order_id) if reads_before else 0
            after = chance.randint(0, seen)
            found = Subscriber(
                lambda: stack.web, order_id, after, hangs_up_after=chance.choice([0, 1, 2])
            )
            return await found.follow()

        return await asyncio.gather(
            arrive(0, reads_before=False),
            arrive(0, reads_before=True),
            arrive(chance.uniform(0.1, 1.0), reads_before=False),
            arrive(chance.uniform(0.1, 1.0), reads_before=True),
            arrive(chance.uniform(2.0, 3.0), reads_before=True),
        )

    async with asyncio.timeout(2 * PATIENCE):
        async with fire.burning():
            groups = await asyncio.gather(*(subscribers_of(place) for place in range(ORDERS)))
    subscribers = [one for group in groups for one in group]

    facts = load(stack.engine.conninfo, {one.order_id for one in subscribers})
    delays = sorted(delay for one in subscribers for delay in one.delays)
    print(
        f"\n{len(subscribers)} subscribers, {sum(one.connections for one in subscribers)} sockets,"
        f" hits {dict(fire.hits)}, {len(delays)} events, {sum(d > 0.5 for d in delays)} of them"
        f" later than 0.5 s, the last after {delays[-1]:.2f} s"
    )
    assert len(subscribers) == SUBSCRIBERS
    assert len(fire.hits) == 4
    assert all(fire.hits.values())
    assert sum(one.connections for one in subscribers) > SUBSCRIBERS
    assert violations(facts, [one.transcript() for one in subscribers]) == []
    assert {one.order_id for one in subscribers if one.last != facts[one.order_id].seq} == set()
    assert delays[-1] < watch.allowed(TAIL_WITHIN)


class Crowd:
    """Good clients: each sends an order, follows it to its end, sends another, on one socket."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.entry_url
        self.delays: list[float] = []  # seconds since the commits
        self.transcripts: list[Transcript] = []

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """Within this all are there, and have seen an order through."""
        is_over = asyncio.Event()
        clients = [asyncio.create_task(self._trade(n * 0.04, is_over)) for n in range(GOOD_ONES)]
        while len(self.transcripts) < GOOD_ONES:
            await asyncio.sleep(0.05)
        yield
        is_over.set()
        await asyncio.gather(*clients)

    async def _trade(self, delay: float, is_over: asyncio.Event) -> None:
        await asyncio.sleep(delay)
        async with websockets.connect(self._url, open_timeout=PATIENCE) as socket:
            while not is_over.is_set():
                await socket.send(json.dumps(SELL))
                await self._follow(socket)

    async def _follow(self, socket: ClientConnection) -> None:
        messages: list[Any] = []
        while not messages or messages[-1]["status"] not in FINAL:
            messages.append(json.loads(await socket.recv()))
            self.delays.append(time.time() - committed_at(messages[-1]))
        self.transcripts.append(Transcript(messages, is_complete=True))


class Scale:
    """Weighs the web process for as long as it is used."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.before = self.most = stack.memory()

    @asynccontextmanager
    async def weighing(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._weigh())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _weigh(self) -> None:
        while True:
            self.most = max(self.most, self._stack.memory())
            await asyncio.sleep(0.05)


async def floods(stack: Stack) -> list[int | None]:
    """Return the codes that a client got who floods with short frames, and then with long ones."""
    in_process = asyncio.get_running_loop().run_in_executor
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        short = await in_process(pool, hostile.flood, stack.entry_url, hostile.SHORT, FLOOD_SECONDS)
        long = await in_process(pool, hostile.flood, stack.entry_url, hostile.LONG, FLOOD_SECONDS)
    return short + long


async def close_code(socket: ClientConnection) -> int | None:
    """Read what there is, and return the code it ends with."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


@pytest.mark.skipif(not Path(STATUS_FILE.format("self")).exists(), reason="Linux tells the memory")
async def test_clients_that_flood_or_do_not_read_are_closed_and_harm_no_other(stack: Stack) -> None:
    crowd = Crowd(stack)
    async with asyncio.timeout(3 * PATIENCE), crowd.trading():
        crowd.delays.clear()
        watch = Watch()
        scale = Scale(stack)
        async with scale.weighing():
            deaf, flooded = await asyncio.gather(hostile.stuff(stack.entry_url), floods(stack))
            while TOO_SLOW not in stack.web.output:
                await asyncio.sleep(0.1)
            told_late = await close_code(deaf)

    allowed = watch.allowed(P99_WITHIN)
    p99 = quantiles(crowd.delays, n=100)[98]
    print(
        f"\n{len(flooded)} floods, closed with {dict(Counter(flooded))}, the deaf one with"
        f" {told_late}; the web process grew by {scale.most - scale.before:.1f} MB;"
        f" {len(crowd.delays)} events to {GOOD_ONES} others, p99 {p99 * 1000:.0f} ms,"
        f" the last after {max(crowd.delays) * 1000:.0f} ms"
    )
    ids = {transcript.messages[0]["orderId"] for transcript in crowd.transcripts}
    assert violations(load(stack.engine.conninfo, ids), crowd.transcripts) == []
    assert set(flooded) == {4429}
    assert told_late == 4408
    assert scale.most - scale.before < GROWTH
    assert p99 < allowed
    assert "Exception in ASGI application" not in stack.web.output
