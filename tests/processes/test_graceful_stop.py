"""Processes that are told to stop, as by a deploy: no order fails of it, no stream has a gap.

What was measured is printed: `make test PYTEST_ARGS="tests/processes/test_graceful_stop.py -s"`.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import pytest

from tests.support.checker import load, violations
from tests.support.engine import (
    PATIENCE,
    SELL,
    Answer,
    Engine,
    Process,
    Web,
    engine,
    own_redis,
    wait_for,
)
from tests.support.machine import Watch
from tests.support.samples import new_order
from tests.support.subscriber import Subscriber

WIDE = SELL | {"slippageBps": 5000}  # so that no price that wanders fails an order
LEASE_SECONDS = 60.0  # nothing here may wait for a lease to run out
GRACE_SECONDS = 1.5
EXIT_WITHIN = 5.0  # seconds, besides the grace
SUBSCRIBERS = 40
TRICKLE = 0.1  # seconds between two orders
SENT_BY_SIGTERM = -signal.SIGTERM  # uvicorn stops in order, and then dies of the signal it got


@pytest.fixture
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("stops")
    environment = {
        "LEASE_SECONDS": str(LEASE_SECONDS),
        "STOP_GRACE_SECONDS": str(GRACE_SECONDS),
        "SIMULATION_QUOTE_LATENCY": "0.05",
        "SIMULATION_LANDING_LATENCY": "0.5-1.0",
        "ORDER_CONCURRENCY": "50",
    }
    with (
        own_redis() as (_, redis_url),
        engine(process_database, logs, REDIS_URL=redis_url, **environment) as found,
    ):
        yield found


@dataclass(frozen=True)
class Stop:
    seconds: float
    beyond_grace: float  # seconds that it may take, besides its grace

    def __format__(self, spec: str) -> str:
        return format(self.seconds, spec)


def stop(process: Process) -> Stop:
    """Tell it to stop, and return how long it took."""
    watch = Watch()
    process.send(signal.SIGTERM)
    process.wait()
    return Stop(watch.seconds, watch.allowed(EXIT_WITHIN))


async def test_sockets_of_a_web_process_that_stops_are_closed_with_1012_and_resume_elsewhere(
    running: Engine,
) -> None:
    running.worker()
    webs = [running.web(), running.web()]
    orders = [new_order() for _ in range(SUBSCRIBERS)]
    await asyncio.to_thread(running.store, *orders)
    subscribers = [Subscriber(lambda: webs[0], order.id) for order in orders]
    following = [asyncio.create_task(one.follow()) for one in subscribers]
    async with asyncio.timeout(PATIENCE):
        while not all(one.messages for one in subscribers):
            await asyncio.sleep(0.01)
        stopping = webs.pop(0)
        took = await asyncio.to_thread(stop, stopping)
        running.scheduler()  # rings for the orders only now, so that none had ended
        await asyncio.gather(*following)

    print(f"\nweb stopped in {took:.1f} s")
    facts = load(running.conninfo, [order.id for order in orders])
    assert violations(facts, [one.transcript() for one in subscribers]) == []
    assert {order.status for order in facts.values()} == {"confirmed"}
    assert [one.codes for one in subscribers] == [[1012, 1000]] * SUBSCRIBERS
    assert stopping.exit_code == SENT_BY_SIGTERM, stopping.output
    assert "Traceback" not in stopping.output
    assert took.seconds < took.beyond_grace


def test_a_worker_that_stops_finishes_what_it_can_and_gives_the_rest_back_at_once(
    running: Engine,
) -> None:
    stopping = running.worker(SIMULATION_LANDING_LATENCY="0.1-6")
    running.scheduler()
    orders = [new_order() for _ in range(30)]
    ids = [order.id for order in orders]
    running.store(*orders)
    wait_for(lambda: count(running, ids, "submitted") >= 20)

    took = stop(stopping)
    left = count(running, ids, "submitted")
    running.worker()
    start = time.monotonic()
    running.wait_until_all_ended()
    resumed = time.monotonic() - start

    print(f"\nworker stopped in {took:.1f} s, {left} orders left, ended after {resumed:.1f} s")
    facts = load(running.conninfo, ids)
    assert violations(facts) == []
    assert {(order.status, order.attempts) for order in facts.values()} == {("confirmed", 1)}
    assert stopping.exit_code == 0, stopping.output
    assert GRACE_SECONDS <= took.seconds < GRACE_SECONDS + took.beyond_grace
    assert 0 < left < len(ids)
    assert tokens(running, ids) == {2: len(ids) - left, 4: left}, "one claim, or given back once"


def count(running: Engine, ids: list[str], status: str) -> int:
    query = "SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[]) AND status = %s"
    return int(running.value(query, ids, status))


def tokens(running: Engine, ids: list[str]) -> dict[int, int]:
    """Return how many orders have which token: each claim, each giving back and the end add 1."""
    query = (
        "SELECT lease_token::int, count(*)::int FROM orders WHERE id = ANY(%s::uuid[])"
        " GROUP BY lease_token"
    )
    return dict(running.query(query, ids))


class Deploy:
    """All processes of an engine, two of those that have clients or work, restarted in turn."""

    def __init__(self, running: Engine) -> None:
        self._running = running
        self.webs = [running.web(), running.web()]
        self._workers = [running.worker(), running.worker()]
        self._scheduler = running.scheduler()
        self._chance = random.Random(7)
        self.took: dict[str, Stop] = {}
        self._wait_for_workers()

    def web(self) -> Web:
        """Return a web process to try; it may be about to go."""
        return self._chance.choice(self.webs)

    def restart_all(self) -> None:
        for place in (0, 1):
            self.took[f"worker {place}"] = stop(self._workers[place])
            self._workers[place] = self._running.worker()
            self.took[f"web {place}"] = stop(self.webs[place])
            self.webs[place] = self._running.web()
            self._wait_for_workers()
        self.took["scheduler"] = stop(self._scheduler)
        self._scheduler = self._running.scheduler()

    def _wait_for_workers(self) -> None:
        """Wait until those that are there now have taken up their work."""
        names = [f"%:{worker.process_id}" for worker in self._workers]
        query = "SELECT count(*) FROM heartbeats WHERE process LIKE ANY(%s)"
        wait_for(lambda: self._running.value(query, names) == len(names), what="workers beat")


# How uvicorn answers a handshake that is under way when it is asked to stop.
WHEN_CUT_SHORT = frozenset({500})


class Client:
    """Sends an order now and then, and has each followed to its end."""

    def __init__(self, deploy: Deploy) -> None:
        self._deploy = deploy
        self.answers: Counter[int] = Counter()
        self.refused = 0
        self.following: list[asyncio.Task[Subscriber]] = []

    async def trade(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            self.following.append(asyncio.create_task(self._send_and_follow()))
            await asyncio.sleep(TRICKLE)

    async def _send_and_follow(self) -> Subscriber:
        answer = await asyncio.to_thread(self._post)
        self.answers[answer.status] += 1
        order_id = answer.body["orderId"]
        return await Subscriber(
            self._deploy.web, order_id, comes_again_after=WHEN_CUT_SHORT
        ).follow()

    def _post(self) -> Answer:
        """Post, and again to the next one where nobody answers."""
        while True:
            try:
                return self._deploy.web().request("/api/orders/execute", WIDE)
            except (OSError, HTTPException):
                self.refused += 1
                time.sleep(TRICKLE)


async def test_a_rolling_restart_of_everything_costs_no_order_and_no_event(
    running: Engine,
) -> None:
    deploy = await asyncio.to_thread(Deploy, running)
    client = Client(deploy)
    is_over = asyncio.Event()
    async with asyncio.timeout(3 * PATIENCE):
        trading = asyncio.create_task(client.trade(is_over))
        await asyncio.to_thread(deploy.restart_all)
        is_over.set()
        await trading
        subscribers = await asyncio.gather(*client.following)
        await asyncio.to_thread(running.wait_until_all_ended)

    codes: Counter[Any] = Counter(code for one in subscribers for code in one.codes)
    took = {name: round(one.seconds, 1) for name, one in deploy.took.items()}
    print(f"\n{client.answers} and {client.refused} refused, sockets {codes}, stops {took}")
    facts = load(running.conninfo)
    assert violations(facts, [one.transcript() for one in subscribers]) == []
    assert {(order.status, order.attempts) for order in facts.values()} == {("confirmed", 1)}
    assert set(client.answers) == {201}
    assert {one.last for one in subscribers} == {5}
    assert codes[1012] > 0
    assert set(codes) <= {1000, 1012}
    assert all(one.seconds < GRACE_SECONDS + one.beyond_grace for one in deploy.took.values())
