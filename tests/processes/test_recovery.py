"""Servers and processes that die, hang or are told to stop: no accepted order is lost or doubled.

All on servers of their own, which these tests may kill.
"""

import asyncio
import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
import websockets
from django.conf import settings
from kombu import Connection

from config.celery import app
from config.runtime.redis_address import RedisAddress
from orders.engine import bell
from orders.engine.hints import ACTIVE_ORDERS
from tests.support.checker import Transcript, load, violations
from tests.support.engine import (
    PATIENCE,
    Answer,
    Engine,
    Process,
    Server,
    Web,
    engine,
    own_postgres,
    own_redis,
    wait_for,
)
from tests.support.machine import Watch
from tests.support.samples import new_order

LEASE_SECONDS = 2.0
ACCEPTED_WITHIN = 2.5  # seconds, at worst, whatever Redis does
EXECUTED_WITHIN = 15.0  # seconds after Redis is back
CARRIED = "SELECT count(*) FROM orders WHERE lease_until IS NOT NULL"
# Wide enough for the venues' prices to wander while an order waits for its next attempt.
PATIENT = {"side": "sell", "amountIn": "1", "slippageBps": 5000}
# A worker that does not look for itself has the orders that it is rung for, and no others.
DEAF = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": "look"}
STUCK = {"SIMULATION_QUOTE_LATENCY": "60", "QUOTE_TIMEOUT": "60", **DEAF}


@dataclass
class Stack:
    """One engine of web, worker and scheduler, and the servers below it."""

    engine: Engine
    web: Web
    worker: Process
    postgres: Server
    redis: Server
    redis_url: str

    def post_many(self, count: int) -> list[str]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda _: self.web.post(), range(count)))

    def send_named(self, order_id: str, queue: str) -> None:
        """Have the worker that listens on this queue take this order."""
        path = RedisAddress.parse(self.redis_url).path
        own_names = {"global_keyprefix": settings.REDIS_PREFIX}
        with Connection(f"redis+socket://{path}", transport_options=own_names) as connection:
            app.send_task(
                bell.EXECUTE_ONE,
                kwargs={"order_id": order_id},
                queue=queue,
                connection=connection,
            )

    def assert_all_confirmed(self, ids: list[str], seconds: float = PATIENCE) -> None:
        watch = Watch()
        self.engine.wait_until_all_ended()
        watch.assert_within(seconds, "the end of all orders")
        facts = load(self.engine.conninfo)
        assert violations(facts) == []
        ends = Counter(facts[order_id].log[-1].data.get("error", "confirmed") for order_id in ids)
        assert ends == {"confirmed": len(ids)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    logs = tmp_path_factory.mktemp("recovery")
    with own_redis() as (redis_server, redis_url), own_postgres() as (postgres, database):
        environment = {
            "REDIS_URL": redis_url,
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SIMULATION_QUOTE_LATENCY": "0.05",
        }
        with engine(database, logs, **environment) as running:
            running.manage("migrate", "--verbosity", "0")
            worker = running.worker()
            running.scheduler()
            web = running.web()
            stack = Stack(running, web, worker, postgres, redis_server, redis_url)
            stack.assert_all_confirmed([web.post()])
            yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(stack.redis_url)
    yield client
    client.close()


def test_an_order_without_a_bell_is_executed(stack: Stack) -> None:
    order = new_order()
    stack.engine.store(order)
    stack.assert_all_confirmed([order.id])


def test_an_order_is_cancelled_or_executed_never_both(stack: Stack) -> None:
    def post_and_cancel(number: int) -> tuple[str, Answer]:
        order_id = stack.web.post()
        time.sleep(random.Random(number).uniform(0, 0.15))
        return order_id, stack.web.request(f"/api/orders/{order_id}/cancel", {})

    with ThreadPoolExecutor(12) as pool:
        answers = dict(pool.map(post_and_cancel, range(60)))
        # How many of these were cancelled is for the machine to say. Two more are sure.
        stack.worker.send(signal.SIGSTOP)
        try:
            cancelled, answer = post_and_cancel(60)
        finally:
            stack.worker.send(signal.SIGCONT)
        answers[cancelled] = answer
        executed = stack.web.post()
        stack.assert_all_confirmed([executed])
        answers[executed] = stack.web.request(f"/api/orders/{executed}/cancel", {})
    assert (answers[cancelled].status, answers[executed].status) == (200, 409)
    stack.engine.wait_until_all_ended()

    facts = load(stack.engine.conninfo, answers)
    assert violations(facts) == []
    for order_id, answer in answers.items():
        if answer.status == 200:
            assert facts[order_id].status == answer.body["status"] == "cancelled"
        else:
            assert answer.status == 409
            assert answer.body["error"] == "not_cancellable"
            assert facts[order_id].status == "confirmed"


def test_orders_survive_a_redis_that_forgets_everything(stack: Stack, client: redis.Redis) -> None:
    ids: list[str] = []
    for _ in range(4):
        ids += stack.post_many(15)
        client.flushall()
    stack.assert_all_confirmed(ids)
    wait_for(lambda: not client.hgetall(ACTIVE_ORDERS), what="no ended order stays active")


def test_orders_that_arrive_while_redis_is_down_are_executed_when_it_is_back(
    stack: Stack,
) -> None:
    before = stack.post_many(10)
    stack.redis.kill()
    try:
        wait_for(lambda: "Connection to broker lost" in stack.worker.output)
        wait_for(lambda: stack.engine.value(CARRIED) == 0, what="the worker carries nothing")
        late, ids = [], []
        for _ in range(10):
            watch = Watch()
            ids.append(stack.web.post())
            late.append(watch.seconds > watch.allowed(ACCEPTED_WITHIN))
        streams = Streams(stack.web, ids[:3])
    finally:
        stack.redis.start()

    stack.assert_all_confirmed(before + ids, EXECUTED_WITHIN)

    assert not any(late)
    assert stack.worker.exit_code is None
    transcripts = streams.transcripts()
    assert all(transcript.is_complete for transcript in transcripts)
    assert violations(load(stack.engine.conninfo, ids), transcripts) == []


def test_orders_that_arrive_while_redis_hangs_are_accepted_and_executed_later(
    stack: Stack,
) -> None:
    silences = stack.web.output.count("The bell was not rung")
    stack.redis.send(signal.SIGSTOP)
    try:
        watch = Watch()
        ids = [stack.web.post()]
        watch.assert_within(ACCEPTED_WITHIN)
        ids += stack.post_many(8)
        watch.assert_within(2 * ACCEPTED_WITHIN)
        while stack.web.output.count("The bell was not rung") == silences:
            ids.append(stack.web.post())  # the web process may be silent since the last test
    finally:
        stack.redis.send(signal.SIGCONT)

    stack.assert_all_confirmed(ids, EXECUTED_WITHIN)


@dataclass
class Streams:
    """Clients that follow orders from a thread of their own."""

    web: Web
    ids: list[str]
    _found: list[Transcript] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read_all()))
        self._thread.start()

    def transcripts(self) -> list[Transcript]:
        self._thread.join(PATIENCE)
        assert len(self._found) == len(self.ids)
        return self._found

    async def _read_all(self) -> None:
        self._found += await asyncio.gather(*(self._read(order_id) for order_id in self.ids))

    async def _read(self, order_id: str) -> Transcript:
        messages: list[Any] = []
        url = self.web.stream_url(order_id)
        async with asyncio.timeout(PATIENCE), websockets.connect(url) as stream:
            async for message in stream:
                messages.append(json.loads(message))
        return Transcript(messages, is_complete=stream.close_code == 1000)


class Load:
    """Clients that send orders one after the other until told to stop."""

    def __init__(self, web: Web) -> None:
        self.accepted: list[str] = []
        self.refused: list[Answer] = []
        self._web = web
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(4)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _send(self) -> None:
        while not self._stopped.is_set():
            answer = self._web.request("/api/orders/execute", PATIENT)
            if answer.status == 201:
                self.accepted.append(answer.body["orderId"])
            else:
                self.refused.append(answer)


def test_no_accepted_order_is_lost_when_postgres_is_killed_under_load(stack: Stack) -> None:
    with Load(stack.web) as load_:
        wait_for(lambda: len(load_.accepted) > 30)
        stack.postgres.kill()
        wait_for(lambda: load_.refused)
        stack.postgres.start()
        watch = Watch()
        count = len(load_.accepted)
        wait_for(lambda: len(load_.accepted) > count + 10)
        watch.assert_within(6, "the way back of the web process")

    assert {answer.status for answer in load_.refused} == {503}
    told = {answer.body["error"] for answer in load_.refused}
    assert told <= {"database_unavailable", "outcome_unknown"}  # the second of what was under way
    assert all(int(answer.headers["retry-after"]) > 0 for answer in load_.refused)
    stack.assert_all_confirmed(load_.accepted)
    assert stack.worker.exit_code is None


@pytest.fixture(scope="module")
def interrupted(stack: Stack) -> dict[str, list[str]]:
    """Orders whose workers were killed, told to stop in the middle, or told to and could finish."""
    stuck = {
        "killed": stack.engine.worker("-Q", "killed", **STUCK),
        "stopped": stack.engine.worker("-Q", "stopped", **STUCK, STOP_GRACE_SECONDS="0.2"),
        "finishing": stack.engine.worker(
            *("-Q", "finishing"), SIMULATION_LANDING_LATENCY="1", STOP_GRACE_SECONDS="20", **DEAF
        ),
    }
    wait_for(lambda: workers_alive(stack) >= 4, what="all workers have started")
    orders = {queue: [new_order() for _ in range(3)] for queue in stuck}
    ids = {queue: [order.id for order in group] for queue, group in orders.items()}
    stack.worker.send(signal.SIGSTOP)  # so that it cannot take them first
    try:
        stack.engine.store(*(order for group in orders.values() for order in group))
        for queue, group in ids.items():
            for order_id in group:
                stack.send_named(order_id, queue)
        wait_for(lambda: in_status(stack, ids["killed"] + ids["stopped"], "routing") == 6)
        wait_for(lambda: in_status(stack, ids["finishing"], "submitted") == 3)
    finally:
        stack.worker.send(signal.SIGCONT)
    stuck["finishing"].send(signal.SIGTERM)
    stuck["stopped"].send(signal.SIGTERM)
    stuck["killed"].kill()
    stack.engine.query("CREATE TABLE deaths AS SELECT clock_timestamp() AS at")
    assert stuck["finishing"].wait() == 0
    assert stuck["stopped"].wait() == 0
    return ids


def workers_alive(stack: Stack) -> int:
    return int(
        stack.engine.value(
            "SELECT count(*) FROM heartbeats WHERE kind = 'worker'"
            " AND seen_at > clock_timestamp() - interval '5 seconds'"
        )
    )


def in_status(stack: Stack, ids: list[str], status: str) -> int:
    query = "SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[]) AND status = %s"
    return int(stack.engine.value(query, ids, status))


RESUMED = """
SELECT max(extract(epoch FROM event.at - deaths.at))
FROM order_events AS event, deaths
WHERE event.order_id = ANY(%s::uuid[]) AND event.status = 'building'
"""


def test_orders_of_a_killed_worker_are_carried_on_within_their_lease_and_two_seconds(
    stack: Stack, interrupted: dict[str, list[str]]
) -> None:
    stack.assert_all_confirmed(interrupted["killed"])
    assert stack.engine.value(RESUMED, interrupted["killed"]) < LEASE_SECONDS + 2


def test_orders_that_a_stopped_worker_could_not_finish_are_given_back(
    stack: Stack, interrupted: dict[str, list[str]]
) -> None:
    stack.assert_all_confirmed(interrupted["stopped"])
    assert stack.engine.value(RESUMED, interrupted["stopped"]) < LEASE_SECONDS + 2
    facts = load(stack.engine.conninfo, interrupted["stopped"])
    assert {order.attempts for order in facts.values()} == {1}


def test_orders_that_a_stopped_worker_can_finish_are_finished_by_it(
    stack: Stack, interrupted: dict[str, list[str]]
) -> None:
    stack.assert_all_confirmed(interrupted["finishing"])
    tokens = stack.engine.query(
        "SELECT DISTINCT lease_token FROM orders WHERE id = ANY(%s::uuid[])",
        interrupted["finishing"],
    )

    assert tokens == [(2,)], "one claim, and the end"
