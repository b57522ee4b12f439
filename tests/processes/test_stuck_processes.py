"""Processes of which a part hangs end: by themselves, and when they are told to stop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from config.runtime.witness import EXIT_CODE
from tests.support.engine import (
    PATIENCE,
    SELL,
    Engine,
    Process,
    Server,
    Web,
    engine,
    own_redis,
    wait_for,
)
from tests.support.machine import Watch
from tests.support.proxy import Proxy, proxy_of
from tests.support.samples import new_order

GRACE_SECONDS = 0.5
STOPS = {"STOP_GRACE_SECONDS": str(GRACE_SECONDS), "SIMULATION_LANDING_LATENCY": "60"}
WORKER, SCHEDULER, WEB = GRACE_SECONDS + 17, 5.0, 12.0
"""How long the supervisor waits for each of them (config/stack/processes.py)."""


@pytest.fixture
def bells() -> Iterator[tuple[Server, str]]:
    with own_redis() as found:
        yield found


@pytest.fixture
def running(process_database: str, tmp_path: Path, bells: tuple[Server, str]) -> Iterator[Engine]:
    with engine(process_database, tmp_path, REDIS_URL=bells[1], LEASE_SECONDS="1") as found:
        yield found


def test_a_worker_whose_carrier_hangs_ends_itself_and_its_orders_are_taken_over(
    running: Engine,
) -> None:
    hanging = running.worker(HANG_AT="after_claim", LOOK_SECONDS="0.08")
    running.scheduler()
    running.store(new_order())
    wait_for(lambda: running.statuses().get("routing") == 1, what="the order is claimed")

    assert hanging.wait() == EXIT_CODE, hanging.output
    assert "the carrier has stood still since" in hanging.output
    running.worker()
    running.wait_until_all_ended()
    assert running.statuses() == {"confirmed": 1}


def test_a_worker_whose_consumer_hangs_ends_itself(running: Engine) -> None:
    hanging = running.worker(HANG_AT="consumer_turn", LOOK_SECONDS="0.08")
    assert hanging.wait() == EXIT_CODE, hanging.output
    assert "the consumer of bells has stood still since" in hanging.output


def test_processes_that_hang_are_replaced_by_their_supervisor_and_orders_go_on(
    running: Engine,
) -> None:
    """Web hangs once the first order is stored, and the worker once it has claimed it."""
    web = running.supervised(LOOK_SECONDS="0.08", LEASE_SECONDS="1")
    sent_in_vain(web)

    assert sum(running.statuses().values()) == 1
    for name in ("web", "worker"):
        ended = f"{name} ended ({EXIT_CODE}), starting it again"
        wait_for(lambda ended=ended: ended in web.output, what=ended)
    web.post()
    running.wait_until_all_ended()
    assert running.statuses() == {"confirmed": 2}


async def test_a_silent_database_keeps_no_process_from_its_end(
    running: Engine, process_database: str
) -> None:
    async with proxy_of(process_database) as proxy, proxy_of(process_database) as schedulers:
        processes = await asyncio.to_thread(started, running, proxy, schedulers)
        proxy.is_silent = schedulers.is_silent = True
        web = processes["web"][0]
        assert isinstance(web, Web)
        sent = asyncio.create_task(asyncio.to_thread(sent_in_vain, web))
        async with asyncio.timeout(PATIENCE):
            while not (proxy.held >= 2 and schedulers.held >= 2):  # its tick and its heartbeat
                await asyncio.sleep(0.02)
        took = await asyncio.to_thread(stopped, processes)
        await sent
    print(f"\nended after {took}")


async def test_a_frozen_redis_keeps_no_process_from_its_end(
    running: Engine, bells: tuple[Server, str]
) -> None:
    processes = await asyncio.to_thread(started, running)
    bells[0].send(signal.SIGSTOP)
    took = await asyncio.to_thread(stopped, processes)
    print(f"\nended after {took}")


def started(
    running: Engine, proxy: Proxy | None = None, schedulers: Proxy | None = None
) -> dict[str, tuple[Process, float]]:
    """Start a process of each kind, with an order in flight; return each with its grace."""
    through = STOPS | ({"DATABASE_URL": proxy.conninfo} if proxy else {})
    worker, web = running.worker(**through), running.web(**through)
    through = STOPS | ({"DATABASE_URL": schedulers.conninfo} if schedulers else {})
    scheduler = running.scheduler(**through)
    running.store(new_order())
    wait_for(lambda: running.statuses().get("submitted") == 1, what="the order is in flight")
    return {"worker": (worker, WORKER), "scheduler": (scheduler, SCHEDULER), "web": (web, WEB)}


def sent_in_vain(web: Web) -> None:
    with suppress(OSError, HTTPException, ValueError):  # cut off, or with a page of the server's
        web.request("/api/orders/execute", SELL)


def stopped(processes: dict[str, tuple[Process, float]]) -> dict[str, float]:
    """Tell all to stop, and return how many seconds each took, which is within its grace."""
    watch = Watch()
    for process, _ in processes.values():
        process.send(signal.SIGTERM)
    took = {}
    for name, (process, grace) in sorted(processes.items(), key=lambda one: one[1][1]):
        process.wait()
        watch.assert_within(grace, f"the end of {name}")
        took[name] = round(watch.seconds, 1)
    return took
