"""A Redis that stays and refuses: orders start within seconds, and the worker goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from orders.engine import bell
from orders.engine.hints import ACTIVE_ORDERS
from tests.support.engine import Engine, Process, Server, engine, own_redis, wait_for
from tests.support.machine import Watch
from tests.support.samples import new_order

START_SECONDS = 2.0
LOST = "Connection to broker lost"
STARTED_AFTER = "SELECT extract(epoch FROM max(started_at - created_at)) FROM orders"
OURS = (
    *(bell.QUEUE, bell.guard_of(bell.ROUTE_AND_EXECUTE), ACTIVE_ORDERS),
    *(
        bell.GUARD.removesuffix("bell:") + name
        for name in ("unacked", "unacked_index", "unacked_mutex", "_kombu.binding.bells")
    ),
)
DENIED = ("publish", "evalsha", "eval", "brpop", "lpush", "set", "del", "ping", "subscribe")

Spoil = Callable[[redis.Redis, Server], Any]


def be_full(client: redis.Redis, _: Server) -> None:
    client.config_set("maxmemory", 1)


def be_a_replica(client: redis.Redis, _: Server) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")


def be_spoilt(client: redis.Redis, _: Server) -> None:
    client.delete(*OURS)
    client.mset(dict.fromkeys(OURS, "x"))


def be_denied(client: redis.Redis, _: Server) -> None:
    client.acl_setuser("default", commands=[f"-{command}" for command in DENIED])


def be_frozen(_: redis.Redis, server: Server) -> None:
    server.send(signal.SIGSTOP)


def be_emptied(_: redis.Redis, server: Server) -> None:
    server.kill()
    server.start()


def be_full_of_junk(client: redis.Redis, _: Server) -> None:
    client.lpush(bell.QUEUE, "hello", "[]", '{"headers": {"task": "x", "id": "1"}}')


def be_commanding(client: redis.Redis, _: Server) -> None:
    """As whoever writes to Redis may: `celery control` from anywhere."""
    url = f"unix://{client.connection_pool.connection_kwargs['path']}"
    environment = {"REDIS_URL": url}
    command = [sys.executable, "-m", "celery", "-A", "config", "control", "--timeout", "0.5"]
    ended = subprocess.run(
        [*command, "shutdown"], env=os.environ | environment, capture_output=True, check=False
    )
    assert b"No nodes replied" in ended.stderr, ended


def heal(client: redis.Redis, server: Server) -> None:
    server.send(signal.SIGCONT)
    server.kill()
    server.start()


@pytest.fixture(scope="module")
def spoilable(
    process_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, redis.Redis, Engine, Process]]:
    logs: Path = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        server, url = stack.enter_context(own_redis())
        running = stack.enter_context(engine(process_database, logs, REDIS_URL=url))
        client = stack.enter_context(redis.Redis.from_url(url))
        worker = running.worker()
        running.store(new_order())
        running.wait_until_all_ended()
        yield server, client, running, worker


@pytest.mark.parametrize(
    "spoil",
    [
        be_full,
        be_a_replica,
        be_spoilt,
        be_denied,
        be_frozen,
        be_emptied,
        be_full_of_junk,
        be_commanding,
    ],
    ids=lambda spoil: spoil.__name__.removeprefix("be_"),
)
def test_orders_start_within_seconds_while_no_bell_can_ring(
    spoilable: tuple[Server, redis.Redis, Engine, Process], spoil: Spoil
) -> None:
    server, client, running, worker = spoilable
    running.empty()
    spoil(client, server)
    try:
        watch = Watch()
        running.store(new_order(), new_order())
        running.wait_until_all_ended()
        assert running.value(STARTED_AFTER) < watch.allowed(START_SECONDS)
        assert worker.exit_code is None
    finally:
        heal(client, server)


@pytest.mark.parametrize(
    "spoil", [be_full, be_a_replica], ids=lambda spoil: spoil.__name__.removeprefix("be_")
)
def test_a_worker_whose_redis_refuses_says_so_once_a_second_and_in_a_line(
    spoilable: tuple[Server, redis.Redis, Engine, Process], spoil: Spoil
) -> None:
    server, client, running, worker = spoilable
    running.empty()
    spoil(client, server)
    try:
        began, told = time.monotonic(), len(worker.output)
        client.client_kill_filter(_type="normal", skipme=True)  # who is let in already stays
        wait_for(lambda: worker.output[told:].count(LOST) >= 3, what="the third try is lost")
        assert time.monotonic() - began > 1.0
        assert "Traceback" not in worker.output[told:]
    finally:
        heal(client, server)


def test_a_worker_whose_redis_was_spoilt_ends_when_it_is_told(
    spoilable: tuple[Server, redis.Redis, Engine, Process],
) -> None:
    server, client, running, worker = spoilable
    be_full(client, server)
    running.store(new_order())
    running.wait_until_all_ended()
    worker.send(signal.SIGTERM)
    wait_for(lambda: worker.exit_code is not None, what="the worker has ended")

    assert worker.exit_code == 0
