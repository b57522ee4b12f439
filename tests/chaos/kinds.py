"""The kinds of faults: what each does to the engine, and how it is undone."""

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psycopg
import redis
from celery import Celery
from kombu import Connection
from redis.exceptions import RedisError

from config.celery import app
from orders.engine import bell
from tests.chaos.plan import Fault, Kind
from tests.chaos.servers import full, may_mount
from tests.chaos.stack import Place, Stack
from tests.chaos.switches import BLOCK_SECONDS
from tests.support.engine import Server
from tests.support.proxy import Connections, Cut, Proxy

Deed = Callable[[Stack, Fault], Awaitable[None]]

KINDS: dict[str, Kind] = {}
DEEDS: dict[str, Deed] = {}
COPIES = 20  # of one bell, and of a stranger's task
AWAY_SECONDS = 3.0  # longer than any caller waits for an answer of PostgreSQL
ORDER_SECONDS = 5.0  # until an order without a key comes
KEYLESS = (b'"slippage_bps":', b'"idempotency_key":null')  # in what stores one
MEND_SECONDS = 30.0  # until what a fault broke has to be whole again
JUNK = ("no JSON", "{}", '{"body": 1, "headers": {}, "properties": {}}', "[]")
SPOILT = "spoilt"
KEYS = (  # which the engine uses, whether or not they are there just then
    bell.QUEUE,
    f"_kombu.binding.{bell.QUEUE}",
    *("unacked", "unacked_index", "active_orders"),
    *(bell.guard_of(task) for task in (bell.ROUTE_AND_EXECUTE, bell.SETTLE_SUBMITTED)),
)
STRANGE = "shop.tasks.send_mail"
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
END_SESSIONS_BUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE NOT pid = ANY(%s) AND backend_type = 'client backend'
"""
STREAMS = "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'"
SWITCH_LOG = "SELECT pg_logical_emit_message(false, 'chaos', repeat('x', 40000000))"
SESSION_SETTINGS: dict[str, dict[str, str]] = {
    "date style": {"datestyle": "'SQL, DMY'", "intervalstyle": "sql_standard"},
    "time zone": {"timezone": "'Asia/Kathmandu'"},
    "encoding": {"client_encoding": "'LATIN1'"},
    "digits": {"extra_float_digits": "'-15'", "bytea_output": "escape"},
    "search path": {"search_path": "nowhere"},
    "isolation": {"default_transaction_isolation": "serializable"},
    "durability": {"synchronous_commit": "off"},
    "timeouts": {
        "statement_timeout": "'1ms'",
        "lock_timeout": "'1ms'",
        "idle_session_timeout": "'2ms'",
    },
}
POINTS_OF_SCHEDULERS = (
    *("after_release_written", "after_release", "after_slice_stored", "after_slice"),
)
POINTS_OF_WORKERS = (
    *("after_moved", "after_effects", "after_submitted", "after_send", "after_fill_seen"),
    *("after_confirmed", "after_fault", "after_attempt"),
)
"""Crash points between the effects that other orders wait for: siblings, exits, parents."""
SHOWN_BY: dict[str, frozenset[str]] = {
    "fitness": frozenset({"change_settings"}),
    "outcome": frozenset({"lose_commit_answers"}),
}
"""The kinds of faults that show that a part of the engine is missing, if few others do."""


def fault(
    weight: int, seconds: tuple[float, float] = (0.0, 0.0), variants: tuple[str, ...] = ()
) -> Callable[[Deed], Deed]:
    def register(deed: Deed) -> Deed:
        KINDS[deed.__name__] = Kind(weight, seconds, variants)
        DEEDS[deed.__name__] = deed
        return deed

    return register


def variant(fault: Fault) -> str:
    variants = KINDS[fault.kind].variants
    return variants[int(fault.pick * len(variants))]


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
        await turns.enter_async_context(stack.redis_turn)
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


@fault(weight=2, seconds=(3, 6))
async def block_worker(stack: Stack, fault: Fault) -> None:
    """The loop that carries its orders stands still; the process looks alive."""
    place = stack.place("worker", fault.pick)
    async with place.turn:
        while not _handles(place.process.process_id, signal.SIGUSR2):  # it is still starting
            if place.process.exit_code is not None:
                return
            await asyncio.sleep(0.05)
        for _ in range(int(fault.seconds / BLOCK_SECONDS)):
            place.process.send(signal.SIGUSR2)
            await asyncio.sleep(BLOCK_SECONDS)


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


@fault(weight=4, seconds=(2, 5), variants=POINTS_OF_WORKERS)
async def crash_worker(stack: Stack, fault: Fault) -> None:
    """One is put in its place that dies at a point of the first order that gets there."""
    await _crash(stack.place("worker", fault.pick), fault)


@fault(weight=2, seconds=(2, 5), variants=POINTS_OF_SCHEDULERS)
async def crash_scheduler(stack: Stack, fault: Fault) -> None:
    """The same: when it has released orders, or made a slice."""
    await _crash(stack.place("scheduler", fault.pick), fault)


async def _crash(place: Place, fault: Fault) -> None:
    async with place.turn:
        place.process.kill()
        place.start(CRASH_AT=variant(fault))
        try:
            with suppress(TimeoutError):  # no order came by
                async with asyncio.timeout(fault.seconds):
                    while place.process.exit_code is None:
                        await asyncio.sleep(0.05)
        finally:
            place.process.kill()
            place.start()


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


@fault(weight=1, seconds=(5, 20))
async def hold_transaction(stack: Stack, fault: Fault) -> None:
    """One that has an id stays open, while others are committed."""
    async with await psycopg.AsyncConnection.connect(stack.database) as connection:
        await connection.execute("SELECT pg_current_xact_id()")
        await asyncio.sleep(fault.seconds)


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
    async with _redis_told(stack, "ACL SETUSER default -publish", "ACL SETUSER default +publish"):
        await asyncio.sleep(fault.seconds)


@fault(weight=2, seconds=(1, 4))
async def fill_redis(stack: Stack, fault: Fault) -> None:
    """Out of memory: it reads and refuses every write."""
    async with _redis_told(stack, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"):
        await asyncio.sleep(fault.seconds)


@fault(weight=2, seconds=(1, 4))
async def make_redis_read_only(stack: Stack, fault: Fault) -> None:
    """It follows a server that is not there: it reads and refuses every write."""
    async with _redis_told(stack, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"):
        await asyncio.sleep(fault.seconds)


@asynccontextmanager
async def _redis_told(stack: Stack, breaking: str, mending: str) -> AsyncIterator[None]:
    async with stack.redis_turn:
        try:
            await _tell_redis(stack, *breaking.split())
            yield
        finally:
            await _mend_redis(stack, *mending.split())


@fault(weight=2, seconds=(1, 4), variants=("keys of another type", "junk in the queue"))
async def spoil_redis(stack: Stack, fault: Fault) -> None:
    """What is under the engine's names is not what it put there."""
    async with stack.redis_turn:
        spoil = _put_junk if variant(fault) == "junk in the queue" else _spoil_keys
        async with AsyncExitStack() as mends:
            client = redis.asyncio.Redis.from_url(stack.redis_url, socket_timeout=2)
            mends.push_async_callback(client.aclose)
            await spoil(client, mends)
            await asyncio.sleep(fault.seconds)


async def _put_junk(client: "redis.asyncio.Redis", mends: AsyncExitStack) -> None:
    for junk in JUNK:
        mends.push_async_callback(client.lrem, bell.QUEUE, 0, junk)
    await client.lpush(bell.QUEUE, *JUNK)


async def _spoil_keys(client: "redis.asyncio.Redis", mends: AsyncExitStack) -> None:
    names = {key async for key in client.scan_iter(count=1000)}
    names |= {name.encode() for name in KEYS}
    mends.push_async_callback(_remove_spoilt, client, names)
    for name in names:
        is_string = await client.type(name) == b"string"
        await client.delete(name)
        await (client.hset(name, SPOILT, "1") if is_string else client.set(name, SPOILT))


async def _remove_spoilt(client: "redis.asyncio.Redis", names: set[bytes]) -> None:
    """Remove what is still as we left it; what the engine has put right is its own."""
    for name in names:
        kind = await client.type(name)
        is_ours = (kind == b"string" and await client.get(name) == SPOILT.encode()) or (
            kind == b"hash" and await client.hexists(name, SPOILT)
        )
        if is_ours:
            await client.delete(name)


@fault(weight=2, seconds=(2, 5))
async def share_redis_with_a_stranger(stack: Stack, fault: Fault) -> None:
    """Another application listens to everything, and has its own tasks in Celery's usual queue."""
    async with stack.redis_turn:
        client = redis.asyncio.Redis.from_url(stack.redis_url, socket_timeout=2)
        listening = client.pubsub()
        try:
            await listening.psubscribe("*")
            shop = Celery("shop", set_as_current=False)
            await client.lpush("celery", *(_message(shop, STRANGE) for _ in range(COPIES)))
            await asyncio.sleep(fault.seconds)
        finally:
            await listening.aclose()
            left = [
                task for task in await client.lrange("celery", 0, -1) if STRANGE.encode() in task
            ]
            for task in left:
                await client.lrem("celery", 0, task)
            await client.aclose()
        stack.taken_from_stranger += COPIES - len(left)


@fault(weight=3)
async def double_bells(stack: Stack, fault: Fault) -> None:
    """Many copies of every task, those for a named order too, to all workers at once."""
    async with stack.redis_turn:
        order_id = _open_order(stack)
        bells: list[str] = []
        for _ in range(COPIES):
            bells += [_message(app, bell.ROUTE_AND_EXECUTE), _message(app, bell.SETTLE_SUBMITTED)]
            bells += [_message(app, bell.EXECUTE_ONE, order_id=order_id)] if order_id else []
        with suppress(RedisError, OSError):
            await _tell_redis(stack, "LPUSH", bell.QUEUE, *bells)


def _message(application: Celery, task: str, **arguments: object) -> str:
    """Return what Celery puts in its queue: it writes it to a broker in memory."""
    with Connection("memory://") as connection:
        application.send_task(task, kwargs=arguments, connection=connection)
        channel = cast(Any, connection.default_channel)
        return json.dumps(channel._get(application.conf.task_default_queue))


def _open_order(stack: Stack) -> str | None:
    query = "SELECT id::text FROM orders WHERE finished_at IS NULL ORDER BY id LIMIT 1"
    try:
        with psycopg.connect(stack.database, connect_timeout=1) as connection:
            row = connection.execute(query).fetchone()
    except psycopg.OperationalError:
        return None
    return row[0] if row else None


async def _mend_redis(stack: Stack, *command: str) -> None:
    """Tell it until it does so: what a fault broke is whole again when it ends."""
    async with asyncio.timeout(MEND_SECONDS):
        while True:
            try:
                await stack.is_up(stack.redis)
                return await _tell_redis(stack, *command)
            except (RedisError, OSError):
                await asyncio.sleep(0.1)


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


@fault(weight=2, seconds=(0.5, 6))
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


@fault(weight=2, seconds=(0.5, 4))
async def use_up_connections(stack: Stack, fault: Fault) -> None:
    """No new connection is to be had, and those that there were are ended."""
    taken: list[psycopg.AsyncConnection[Any]] = []
    async with stack.postgres_turn:
        try:
            await _take_connections(stack, taken)
            if taken and fault.pick < 0.5:
                ours = [one.info.backend_pid for one in taken]
                await taken[0].execute(END_SESSIONS_BUT, [ours])
                await _take_connections(stack, taken)
            await asyncio.sleep(fault.seconds)
        finally:
            for connection in taken:
                await connection.close()


async def _take_connections(stack: Stack, taken: list[psycopg.AsyncConnection[Any]]) -> None:
    with suppress(psycopg.OperationalError):
        for _ in range(300):
            taken.append(await _connect(stack))


@fault(
    weight=3,
    seconds=(1, 4),
    variants=("orders", "writes to orders", "order_events", "writes to order_events"),
)
async def lock_table(stack: Stack, fault: Fault) -> None:
    """Somebody else holds it."""
    name = variant(fault)
    mode = "SHARE" if name.startswith("writes") else "ACCESS EXCLUSIVE"
    statement = f"LOCK TABLE {name.removeprefix('writes to ')} IN {mode} MODE"
    await _hold(stack, statement, fault.seconds)


@fault(weight=3, seconds=(1, 4))
async def lock_row(stack: Stack, fault: Fault) -> None:
    """Somebody else holds the order that came last."""
    last = "SELECT id FROM orders WHERE finished_at IS NULL ORDER BY id DESC LIMIT 1 FOR UPDATE"
    await _hold(stack, last, fault.seconds)


async def _hold(stack: Stack, statement: str, seconds: float) -> None:
    """Keep what the statement locks, and give it back."""
    async with stack.postgres_turn:
        await stack.is_up(stack.postgres)
        async with await _connect(stack) as connection, connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '10s'")
            await connection.execute(statement.encode())
            await asyncio.sleep(seconds)


@fault(weight=3, seconds=(1, 4), variants=("ALTER SYSTEM", "ALTER DATABASE", "ALTER ROLE"))
async def make_postgres_read_only(stack: Stack, fault: Fault) -> None:
    """For a moment, as operators do and managed databases whose disk is nearly full."""
    await _change(stack, variant(fault), {"default_transaction_read_only": "on"}, fault.seconds)


@fault(weight=3, seconds=(1, 4), variants=tuple(SESSION_SETTINGS))
async def change_settings(stack: Stack, fault: Fault) -> None:
    """Somebody sets the role or the database to what suits other users of it."""
    where = "ALTER ROLE" if fault.pick * 97 % 1 < 0.5 else "ALTER DATABASE"
    await _change(stack, where, SESSION_SETTINGS[variant(fault)], fault.seconds)


async def _change(stack: Stack, where: str, settings: Mapping[str, str], seconds: float) -> None:
    """Have new sessions begin with these settings for a while; end those that there are."""
    start = {
        "ALTER SYSTEM": "ALTER SYSTEM",
        "ALTER DATABASE": "ALTER DATABASE engine",
        "ALTER ROLE": "ALTER ROLE postgres",
    }[where]
    async with stack.postgres_turn:
        try:
            await _mend_postgres(
                stack, *(f"{start} SET {name} = {value}" for name, value in settings.items())
            )
            await asyncio.sleep(seconds)
        finally:
            await _mend_postgres(stack, *(f"{start} RESET {name}" for name in settings))


async def _mend_postgres(stack: Stack, *statements: str) -> None:
    """Do all of them, however often it takes, and have every session begin anew."""
    async with asyncio.timeout(MEND_SECONDS):
        while True:
            try:
                await stack.is_up(stack.postgres)
                async with await _connect(stack) as connection:
                    for statement in (*statements, "SELECT pg_reload_conf()", END_SESSIONS):
                        await connection.execute(statement.encode())
                return
            except psycopg.OperationalError:
                await asyncio.sleep(0.1)


async def _connect(stack: Stack) -> psycopg.AsyncConnection[Any]:
    """Connect beside the proxy, with a session that nobody's settings change."""
    return await psycopg.AsyncConnection.connect(
        stack.database,
        connect_timeout=2,
        autocommit=True,
        client_encoding="utf8",
        options="-c default_transaction_read_only=off -c search_path=public -c statement_timeout=0"
        " -c datestyle=ISO -c default_transaction_isolation=read\\ committed -c lock_timeout=0"
        " -c idle_session_timeout=0",
    )


@fault(weight=2, seconds=(1, 4), variants=("data", "log"))
async def fill_disk(stack: Stack, fault: Fault) -> None:
    """Not a byte is left for its tables; or for its log, without which it ends at once."""
    async with stack.postgres_turn:
        if stack.disk is None:  # a standby on another disk has been promoted
            return
        await stack.is_up(stack.postgres)
        connection = await _connect(stack)
        try:
            with full(stack.disk):
                if variant(fault) == "log":
                    with suppress(psycopg.OperationalError, psycopg.InternalError):
                        await connection.execute(SWITCH_LOG)
                await asyncio.sleep(fault.seconds)
        finally:
            await connection.close()
            await _mend_postgres(stack)


@fault(weight=1, seconds=(0.2, 3))
async def promote_standby(stack: Stack, fault: Fault) -> None:
    """The primary stops; its standby answers under the same address, at first for reads alone."""
    async with stack.postgres_turn:
        await stack.is_up(stack.postgres)
        standby, address = await stack.start_standby()
        await _until_true(stack.database, STREAMS)
        primary = stack.postgres
        try:
            primary.send(signal.SIGINT)  # it ends once the standby has all that was committed
            async with asyncio.timeout(MEND_SECONDS):
                while primary.is_running:
                    await asyncio.sleep(0.02)
            stack.before_postgres.lead_to(address)
            await asyncio.sleep(fault.seconds)
        except BaseException:
            stack.before_postgres.lead_to(stack.database)
            await stack.is_up(primary)
            raise
        stack.use(standby, address)
        await _until_true(address, "SELECT pg_promote(true, 20) OR NOT pg_is_in_recovery()")


async def _until_true(database: str, query: str) -> None:
    async with asyncio.timeout(MEND_SECONDS):
        while True:
            with suppress(psycopg.OperationalError, psycopg.errors.ObjectNotInPrerequisiteState):
                async with await psycopg.AsyncConnection.connect(
                    database, connect_timeout=2, autocommit=True
                ) as connection:
                    row = await (await connection.execute(query.encode())).fetchone()
                    if row and row[0]:
                        return
            await asyncio.sleep(0.05)


async def _query(stack: Stack, statement: str, *parameters: Any) -> None:
    with suppress(psycopg.OperationalError):  # it may be restarting by itself
        async with await psycopg.AsyncConnection.connect(
            stack.database, connect_timeout=2, autocommit=True
        ) as connection:
            await connection.execute(statement, parameters)  # type: ignore[call-overload]


# Connections


@fault(
    weight=6,
    seconds=(0.5, 1.5),
    variants=("three times", "and the server is away", "of an order, and the server is away"),
)
async def lose_commit_answers(stack: Stack, fault: Fault) -> None:
    """Statements are committed, and those who sent them see a broken connection."""
    proxy = stack.before_postgres
    is_away = variant(fault) != "three times"
    is_of_order = variant(fault).startswith("of an order")
    async with stack.postgres_turn:
        try:
            proxy.cut_of = KEYLESS if is_of_order else ()
            for _ in range(1 if is_away else 3):
                await _lose_an_answer(proxy, ORDER_SECONDS if is_of_order else fault.seconds)
            if is_away:
                await proxy.shut()
                await asyncio.sleep(AWAY_SECONDS)
        finally:
            proxy.cut, proxy.cut_of = None, ()
            if is_away:
                await proxy.shut()
                await proxy.open()


async def _lose_an_answer(proxy: Proxy, seconds: float) -> None:
    before, proxy.cut = proxy.cuts, Cut.AFTER
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while proxy.cuts == before:
                await asyncio.sleep(0.001)


@fault(weight=2)
async def cut_database_connections(stack: Stack, fault: Fault) -> None:
    await stack.before_postgres.cut_all()


@fault(weight=4, variants=("PostgreSQL", "Redis", "both"))
async def silence_connections(stack: Stack, fault: Fault) -> None:
    """Those that there are fall silent for ever, without an end; new ones work."""
    for connections in _before(stack, variant(fault)):
        connections.silence()


@fault(weight=3, seconds=(1, 6), variants=("PostgreSQL", "Redis", "both"))
async def black_hole(stack: Stack, fault: Fault) -> None:
    """Nothing gets through for a while, in either direction, and nobody says so."""
    with ExitStack() as holes:
        for connections in _before(stack, variant(fault)):
            holes.enter_context(connections.hole())
        await asyncio.sleep(fault.seconds)


def _before(stack: Stack, name: str) -> list[Connections]:
    before = {"PostgreSQL": [stack.before_postgres], "Redis": [stack.before_redis]}
    return before.get(name) or [stack.before_postgres, stack.before_redis]


@fault(weight=4)
async def reset_client_connections(stack: Stack, fault: Fault) -> None:
    """Every HTTP request and every stream that is open ends with a TCP reset."""
    await stack.before_web.cut_all()


# Processes of the machine


def _children(process_id: int) -> list[int]:
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _handles(process_id: int, number: int) -> bool:
    """Whether the process has a handler of its own for the signal, which would else kill it."""
    with suppress(OSError):
        found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process_id}/status").read_text())
        return bool(found and int(found[1], 16) >> (number - 1) & 1)
    return False


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
    """Return the kinds that can be done here when these parts of the engine are not there."""
    return {
        name: kind
        for name, kind in KINDS.items()
        if not ("scheduler" in parts and name.endswith("scheduler"))
        and (name != "fill_disk" or may_mount())
    }


def kinds_that_show(parts: frozenset[str]) -> frozenset[str]:
    """Return the kinds that show that these parts are missing; none, where all kinds do."""
    if not parts or not parts <= set(SHOWN_BY):
        return frozenset()
    return frozenset().union(*(SHOWN_BY[part] for part in parts))
