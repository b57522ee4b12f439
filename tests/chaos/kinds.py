"""The kinds of faults: what each does to the engine, and how it is undone."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from kombu import Connection
from redis.exceptions import RedisError

from config.celery import app
from config.settings import celery_broker
from orders import bell
from tests.chaos.plan import Fault, Kind
from tests.chaos.stack import Place, Stack
from tests.engine import Server
from tests.proxy import Cut

Deed = Callable[[Stack, Fault], Awaitable[None]]

KINDS: dict[str, Kind] = {}
DEEDS: dict[str, Deed] = {}
COPIES = 20  # of one bell


def fault(weight: int, seconds: tuple[float, float] = (0.0, 0.0)) -> Callable[[Deed], Deed]:
    def register(deed: Deed) -> Deed:
        KINDS[deed.__name__] = Kind(weight, seconds)
        DEEDS[deed.__name__] = deed
        return deed

    return register


# Processes. A fault that finds one in the hands of another fault waits for its turn.


@fault(weight=6, seconds=(0, 1.5))
async def kill_worker(stack: Stack, fault: Fault) -> None:
    await _kill(stack.place("worker", fault.pick), fault)


@fault(weight=0, seconds=(0.2, 1))
async def lose_workers(stack: Stack, fault: Fault) -> None:
    """All at once, with whatever they carry, and the bells that wait for them."""
    places = [place for place in stack.places if place.name == "worker"]
    async with AsyncExitStack() as turns:
        for place in places:
            await turns.enter_async_context(place.turn)
        for place in places:
            place.process.kill()
        with suppress(RedisError, OSError):
            await _tell_redis(stack, "FLUSHALL")
        await asyncio.sleep(fault.seconds)
        for place in places:
            place.start()


@fault(weight=6, seconds=(2.5, 4.5))
async def freeze_worker(stack: Stack, fault: Fault) -> None:
    """For longer than the lease: it comes back to orders that others hold or have ended."""
    await _freeze(stack.place("worker", fault.pick), fault)


@fault(weight=2)
async def stop_worker(stack: Stack, fault: Fault) -> None:
    await _stop(stack, stack.place("worker", fault.pick))


@fault(weight=2, seconds=(0, 1))
async def kill_web(stack: Stack, fault: Fault) -> None:
    await _kill(stack.place("web", fault.pick), fault)


@fault(weight=2, seconds=(1, 3))
async def freeze_web(stack: Stack, fault: Fault) -> None:
    await _freeze(stack.place("web", fault.pick), fault)


@fault(weight=2)
async def stop_web(stack: Stack, fault: Fault) -> None:
    await _stop(stack, stack.place("web", fault.pick))


@fault(weight=2, seconds=(0, 2))
async def kill_scheduler(stack: Stack, fault: Fault) -> None:
    await _kill(stack.place("scheduler", fault.pick), fault)


@fault(weight=1, seconds=(1, 4))
async def freeze_scheduler(stack: Stack, fault: Fault) -> None:
    await _freeze(stack.place("scheduler", fault.pick), fault)


@fault(weight=1)
async def stop_scheduler(stack: Stack, fault: Fault) -> None:
    await _stop(stack, stack.place("scheduler", fault.pick))


async def _kill(place: Place, fault: Fault) -> None:
    async with place.turn:
        place.process.kill()
        await asyncio.sleep(fault.seconds)
        place.start()


async def _freeze(place: Place, fault: Fault) -> None:
    async with place.turn:
        place.process.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            place.process.send(signal.SIGCONT)


async def _stop(stack: Stack, place: Place) -> None:
    async with place.turn:
        await stack.stop(place)


# Redis, which keeps nothing over a restart


@fault(weight=3, seconds=(0.2, 4))
async def kill_redis(stack: Stack, fault: Fault) -> None:
    async with stack.redis_turn:
        stack.redis.kill()
        await asyncio.sleep(fault.seconds)
        await stack.is_up(stack.redis)


@fault(weight=2, seconds=(1, 4))
async def freeze_redis(stack: Stack, fault: Fault) -> None:
    async with stack.redis_turn:
        await _freeze_server(stack.redis, fault)


@fault(weight=4)
async def flush_redis(stack: Stack, fault: Fault) -> None:
    async with stack.redis_turn:
        await _tell_redis(stack, "FLUSHALL")


@fault(weight=4)
async def cut_redis_connections(stack: Stack, fault: Fault) -> None:
    """Those of the streams, and all others: in the one case hints are lost, in the other bells."""
    async with stack.redis_turn:
        await _tell_redis(stack, "CLIENT", "KILL", "TYPE", "pubsub")
        if fault.pick < 0.5:
            await _tell_redis(stack, "CLIENT", "KILL", "TYPE", "normal")


@fault(weight=4, seconds=(2, 4))
async def drop_hints(stack: Stack, fault: Fault) -> None:
    """Redis refuses to publish, so that no hint gets through; the streams stay open."""
    async with stack.redis_turn:
        await _tell_redis(stack, "ACL", "SETUSER", "default", "-publish")
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            await _tell_redis(stack, "ACL", "SETUSER", "default", "+publish")


@fault(weight=1, seconds=(1, 3))
async def fill_redis(stack: Stack, fault: Fault) -> None:
    """Out of memory: it reads and refuses every write."""
    async with stack.redis_turn:
        await _tell_redis(stack, "CONFIG", "SET", "maxmemory", "1")
        await asyncio.sleep(fault.seconds)
        await _tell_redis(stack, "CONFIG", "SET", "maxmemory", "0")


@fault(weight=3)
async def double_bells(stack: Stack, fault: Fault) -> None:
    """Many copies of every task, those for a named order too, to all workers at once."""
    async with stack.redis_turn:
        with suppress(RedisError, OSError):
            await asyncio.to_thread(_ring_often, stack.redis_url, _open_order(stack))


def _ring_often(redis_url: str, order_id: str | None) -> None:
    with Connection(celery_broker(redis_url)) as connection:
        for _ in range(COPIES):
            app.send_task(bell.ROUTE_AND_EXECUTE, connection=connection)
            app.send_task(bell.SETTLE_SUBMITTED, connection=connection)
            if order_id:
                named = {"order_id": order_id}
                app.send_task(bell.EXECUTE_ONE, kwargs=named, connection=connection)


def _open_order(stack: Stack) -> str | None:
    query = "SELECT id::text FROM orders WHERE finished_at IS NULL ORDER BY id LIMIT 1"
    try:
        with psycopg.connect(stack.database, connect_timeout=1) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.OperationalError:
        return None
    return row[0] if row else None


async def _tell_redis(stack: Stack, *command: str) -> None:
    client = redis.asyncio.Redis.from_url(stack.redis_url, socket_timeout=2)
    try:
        await client.execute_command(*command)
    finally:
        await client.aclose()


# PostgreSQL, which keeps what it has committed


@fault(weight=3, seconds=(0, 1.5))
async def kill_postgres(stack: Stack, fault: Fault) -> None:
    """The postmaster and every child of it at once."""
    async with stack.postgres_turn:
        postmaster = stack.postgres.process_id
        _send_all([*_children(postmaster), postmaster], signal.SIGKILL)
        await asyncio.sleep(fault.seconds)
        await stack.is_up(stack.postgres)


@fault(weight=1, seconds=(0, 1.5))
async def stop_postgres_immediately(stack: Stack, fault: Fault) -> None:
    """As `pg_ctl stop -m immediate`: no clean end, recovery at the next start."""
    async with stack.postgres_turn:
        stack.postgres.send(signal.SIGQUIT)
        await asyncio.sleep(fault.seconds)
        await stack.is_up(stack.postgres)


@fault(weight=1)
async def kill_backend(stack: Stack, fault: Fault) -> None:
    """One server process dies: PostgreSQL ends all of them and recovers."""
    async with stack.postgres_turn:
        children = _children(stack.postgres.process_id)
        backends = [child for child in children if b"engine" in _command(child)]
        chosen = int(fault.pick * len(backends))
        _send_all(backends[chosen : chosen + 1], signal.SIGKILL)


@fault(weight=2, seconds=(0.5, 2.5))
async def freeze_postgres(stack: Stack, fault: Fault) -> None:
    """Every one of its processes hangs; connections stay open."""
    async with stack.postgres_turn:
        family = [stack.postgres.process_id, *_children(stack.postgres.process_id)]
        _send_all(family, signal.SIGSTOP)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            _send_all(family, signal.SIGCONT)


@fault(weight=5)
async def terminate_backends(stack: Stack, fault: Fault) -> None:
    """`pg_terminate_backend` on about half of the connections."""
    async with stack.postgres_turn:
        await _query(
            stack,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND (pid %% 2 = %s)",
            int(fault.pick * 2),
        )


@fault(weight=1, seconds=(0.5, 2))
async def use_up_connections(stack: Stack, fault: Fault) -> None:
    """No new connection is to be had; those that there are work on."""
    async with stack.postgres_turn:
        taken = await asyncio.to_thread(_take_connections, stack.database)
        await asyncio.sleep(fault.seconds)
        for connection in taken:
            connection.close()


def _take_connections(database: str) -> list[psycopg.Connection[Any]]:
    taken: list[psycopg.Connection[Any]] = []
    with suppress(psycopg.OperationalError):
        for _ in range(300):
            taken.append(psycopg.connect(database, connect_timeout=2))
    return taken


async def _query(stack: Stack, statement: str, *parameters: Any) -> None:
    with suppress(psycopg.OperationalError):  # it may be restarting by itself
        async with await psycopg.AsyncConnection.connect(
            stack.database, connect_timeout=2, autocommit=True
        ) as connection:
            await connection.execute(statement, parameters)  # type: ignore[call-overload]


# Connections


@fault(weight=6, seconds=(0.5, 1.5))
async def lose_commit_answers(stack: Stack, fault: Fault) -> None:
    """Statements are committed, and those who sent them see a broken connection."""
    proxy = stack.before_postgres
    before = proxy.cuts
    async with stack.postgres_turn:
        for count in range(1, 4):
            proxy.cut = Cut.AFTER
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    while proxy.cuts < before + count:
                        await asyncio.sleep(0.01)
        proxy.cut = None


@fault(weight=2)
async def cut_database_connections(stack: Stack, fault: Fault) -> None:
    await stack.before_postgres.cut_all()


@fault(weight=4)
async def reset_client_connections(stack: Stack, fault: Fault) -> None:
    """Every HTTP request and every stream that is open ends with a TCP reset."""
    await stack.before_web.cut_all()


# Processes of the machine


def _children(process_id: int) -> list[int]:
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _command(process_id: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process_id}/cmdline").read_bytes()
    return b""


def _send_all(processes: list[int], number: int) -> None:
    for process_id in processes:
        with suppress(ProcessLookupError):
            os.kill(process_id, number)


async def _freeze_server(server: Server, fault: Fault) -> None:
    server.send(signal.SIGSTOP)
    try:
        await asyncio.sleep(fault.seconds)
    finally:
        server.send(signal.SIGCONT)


def kinds_without(parts: frozenset[str]) -> Mapping[str, Kind]:
    """Return the kinds that can be done when these parts of the engine are not there."""
    return {
        name: kind
        for name, kind in KINDS.items()
        if not ("scheduler" in parts and name.endswith("scheduler"))
    }
