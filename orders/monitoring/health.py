"""Whether the parts of the engine answer, and the heartbeats that show it.

A heartbeat also carries what its process has counted. So any web process can answer /metrics for
all processes, and also for those without a port.
"""

import asyncio
import hashlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
import psycopg
import redis.asyncio
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from psycopg import errors
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from config.database.conninfo import conninfo
from config.environment.data_folder import PROJECT
from config.runtime.counters import counts
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from config.runtime.redis_client import async_redis_client, redis_client
from config.runtime.session import ReadOnly
from config.runtime.witness import Excuses, watch, witness
from orders.engine import bell
from orders.events import timestamp
from orders.lifecycle import IS_HALTED
from orders.monitoring.wallet import WALLET, WalletState, wallet_of
from routing.registry import read_registry, stopped_venues

logger = logging.getLogger(__name__)

HEARTBEAT = "the heartbeat"
BEAT_SECONDS = 3.0
ALIVE_SECONDS = 10.0
LOOK_SECONDS = 0.8  # for a look at the database or at Redis
MIGRATING_SECONDS = 0.9  # for such a look and for reading our own files
BEAT = """
INSERT INTO heartbeats (process, kind, seen_at, counts) VALUES (%s, %s, clock_timestamp(), %s)
ON CONFLICT (process)
DO UPDATE SET kind = excluded.kind, seen_at = excluded.seen_at, counts = excluded.counts
"""
WRITABLE = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
APPLIED = "SELECT app::text, name::text FROM django_migrations"
# A heartbeat from the future was written before the clock was set back.
IS_HEARD = (
    "seen_at > clock_timestamp() - %(heard)s * interval '1 second' AND seen_at <= clock_timestamp()"
)
IS_MOVING = "coalesce((counts ->> 'still_seconds')::float8, 0) <= %(heard)s"
ALIVE = f"""
SELECT count(*), count(*) FILTER (WHERE {IS_MOVING}), {IS_HALTED} FROM heartbeats
WHERE kind = 'worker' AND {IS_HEARD}
"""  # noqa: S608  # our own words
HERE = f"""
SELECT EXISTS (
  SELECT FROM heartbeats WHERE kind = 'worker' AND starts_with(process, %(here)s)
    AND {IS_HEARD} AND {IS_MOVING})
"""  # noqa: S608
FORGET = "DELETE FROM heartbeats WHERE seen_at < statement_timestamp() - interval '1 day'"

# A bell needs this of Redis: a script that writes, publishes, and looks at the queue.
TRY = """
redis.call('SET', KEYS[1], '1', 'EX', 5)
redis.call('PUBLISH', KEYS[1], '')
redis.call('LLEN', KEYS[2])
redis.call('LPUSH', KEYS[3], '1')
redis.call('EXPIRE', KEYS[3], 5)
redis.call('LTRIM', KEYS[3], 0, 0)
"""
TRIED = (settings.REDIS_PREFIX + "health", settings.REDIS_PREFIX + "health:list")
REFUSALS = (ResponseError, AuthenticationError, BusyLoadingError)

Migration = tuple[str, str]
Found = TypeVar("Found")

_BEGAN = time.monotonic()
_stopped = threading.Event()
_failing_since: dict[str, datetime] = {}


class DatabaseState(NamedTuple):
    """What a look at the database found."""

    state: str
    """"ok", "read_only" or "down"."""
    missing: list[str] = []
    """Migrations that were not applied."""
    alive: int | None = None
    """Workers with a fresh heartbeat; None if it is not known."""
    moving: int = 0
    """Live workers all of whose parts move."""
    is_halted: bool | None = None
    """Whether trading is halted; None if it is not known."""
    wallet: WalletState | None = None
    """None: there is none, or no worker has seen it yet."""


class Shared(Generic[Found]):
    """A look that all callers share while it is under way, each for at most `seconds`.

    A look that takes longer is given up. The next caller begins a new one.
    """

    def __init__(self, look: Callable[[], Coroutine[Any, Any, Found]], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._looking: asyncio.Task[Found] | None = None

    async def __call__(self) -> Found:
        """:raises TimeoutError: this caller has waited too long, perhaps only the first caller."""
        looking = self._looking
        if looking is None or looking.done():
            looking = self._looking = asyncio.create_task(self._look(), context=Context())
        await asyncio.wait([looking], timeout=self._seconds)
        if not looking.done() or looking.cancelled():
            self.give_up(looking)
            raise TimeoutError
        return looking.result()

    def give_up(self, looking: asyncio.Task[Found] | None = None) -> None:
        """Cancel the look under way, without waiting for its end."""
        looking = looking or self._looking
        if looking is not None and not looking.done():
            looking.cancel()
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        if looking is self._looking:
            self._looking = None


class Probes:
    """Looks at what orders need, on connections like theirs. Each asyncio loop has one object."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._client: redis.asyncio.Redis | None = None
        self._is_migrated = False
        self._database = Shared(self._look_at_database, MIGRATING_SECONDS)
        self._redis = Shared(self._look_at_redis, LOOK_SECONDS)

    async def check(self) -> dict[str, Any]:
        """Return `status` ("ok", "degraded" or "failed"), the state of each part, and `since`.

        `state` is whether the engine trades; a halt is no fault. `since` has the time since which
        this process has known a part to fail. `stoppedVenues` is there if a venue was stopped.
        """
        database, redis_state = await asyncio.gather(self.database(), self.redis())
        parts = {
            "database": database.state,
            "redis": redis_state,
            "worker": worker_state(database),
        }
        for part in ("redis", "worker"):
            note(part, is_well=parts[part] in ("ok", "unknown"))
        stopped = sorted(stopped_venues())
        well = all(state == "ok" for state in parts.values()) and not stopped
        status = "failed" if database.state != "ok" else "ok" if well else "degraded"
        since = {
            part: timestamp(_failing_since.get(part) or datetime.now(UTC))
            for part, state in parts.items()
            if state not in ("ok", "unknown")
        }
        state = state_of(database)
        return {
            "status": status,
            "state": state,
            **parts,
            "workers": database.alive,
            "since": since,
            **({"stoppedVenues": stopped} if stopped else {}),
            **({"wallet": database.wallet.as_json()} if database.wallet else {}),
        }

    async def unready(self) -> list[str]:
        """Return the reasons why this process cannot serve yet; none if it can.

        Redis and workers are no reason: orders are taken, and are safe, without them.
        """
        database = await self.database()
        if database.state == "read_only":
            return ["the database takes no writes"]
        if database.state != "ok":
            return ["the database does not answer"]
        return (
            [f"migrations are missing: {', '.join(database.missing)}"] if database.missing else []
        )

    async def database(self) -> DatabaseState:
        try:
            database = await self._database()
        except (psycopg.Error, TimeoutError) as error:
            logger.warning("probe: the database does not answer: %s", error)
            database = DatabaseState(
                "read_only"
                if isinstance(error, errors.ReadOnlySqlTransaction | ReadOnly)
                else "down"
            )
            await self._forget_link()
        note("database", is_well=database.state == "ok")
        return database

    async def redis(self) -> str:
        try:
            return await self._redis()
        except REFUSALS as error:
            logger.warning("probe: Redis refuses: %s", error)
            state = "refuses"
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("probe: Redis does not answer: %s", error)
            state = "down"
        await self._forget_client()
        return state

    async def close(self) -> None:
        self._database.give_up()
        self._redis.give_up()
        await self._forget_client()
        await self._forget_link()

    async def _forget_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _forget_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _look_at_database(self) -> DatabaseState:
        link = self._link = self._link or Link(conninfo(), "engine probes")
        ((is_writable,),) = await link.fetch(WRITABLE, (), seconds=LOOK_SECONDS)
        if not is_writable:
            return DatabaseState("read_only")
        if missing := await self._missing_migrations(link):
            return DatabaseState("ok", missing)
        heard = {"heard": ALIVE_SECONDS}
        ((alive, moving, is_halted),) = await link.fetch(ALIVE, heard, seconds=LOOK_SECONDS)
        wallet = None
        if settings.VENUES != "simulated":
            rows = await link.fetch(WALLET, (), seconds=LOOK_SECONDS)
            wallet = wallet_of(rows[0]) if rows else None
        return DatabaseState("ok", [], alive, moving, is_halted, wallet)

    async def _missing_migrations(self, link: Link) -> list[str]:
        """Return the migrations that are not applied. Look again only while there are some."""
        if self._is_migrated:
            return []
        known = await asyncio.to_thread(known_migrations)
        try:
            rows = await link.fetch(APPLIED, (), seconds=LOOK_SECONDS)
        except errors.UndefinedTable:
            rows = []
        missing = known - {(app, name) for app, name in rows}
        self._is_migrated = not missing
        return sorted(f"{app}.{name}" for app, name in missing)

    async def _look_at_redis(self) -> str:
        """Do what a bell does. The caller closes the client: a look may be given up at any
        point, and if it were closing its connection then, the connection would stay open.

        :raises redis.exceptions.RedisError: Redis cannot do it.
        """
        client = self._client or async_redis_client(settings.REDIS_URL, LOOK_SECONDS)
        self._client = client
        key, queue = TRIED
        await client.register_script(TRY)(keys=[key, bell.QUEUE, queue])
        return "ok"


@once_per_loop
def probes_of_this_loop() -> Probes:
    """Return the running loop's probes. The first call makes them."""
    return Probes()


def check_now() -> dict[str, Any]:
    """Return the result of `Probes.check`, for sync code."""

    async def check() -> dict[str, Any]:
        probes = Probes()
        try:
            return await probes.check()
        finally:
            await probes.close()

    return asyncio.run(check())


def is_redis_away() -> bool:
    """Whether Redis does not answer a new connection either."""
    client = redis_client(settings.REDIS_URL, LOOK_SECONDS)
    try:
        client.ping()
    except (RedisError, OSError):
        return True
    finally:
        client.close()
    return False


def worker_state(database: DatabaseState) -> str:
    """Return "ok", "down" or "unknown", or "stuck" if a part of every live worker stands still."""
    if database.alive is None:
        return "unknown"
    if database.moving:
        return "ok"
    return "stuck" if database.alive else "down"


def state_of(database: DatabaseState) -> str:
    """Return "active", "halted" or "unknown"."""
    if database.is_halted is None:
        return "unknown"
    return "halted" if database.is_halted else "active"


def note(part: str, *, is_well: bool) -> None:
    """Note whether a part is well, and since when it has failed."""
    if is_well:
        _failing_since.pop(part, None)
    else:
        _failing_since.setdefault(part, datetime.now(UTC))


@cache
def known_migrations() -> frozenset[Migration]:
    """Return the migrations in our own files. Reading them takes a moment."""
    return frozenset(MigrationLoader(None).graph.nodes)


def is_worker_here() -> bool:
    """Whether a worker lives on this host, or in this container, and all its parts move."""
    with connection.cursor() as cursor:
        cursor.execute(HERE, {"here": f"{socket.gethostname()}:", "heard": ALIVE_SECONDS})
        (is_here,) = cursor.fetchone()
    return bool(is_here)


def beat(kind: str) -> None:
    """Write down that this process lives, and what it has counted."""
    process = f"{socket.gethostname()}:{os.getpid()}"
    present = {
        "still_seconds": witness.still_seconds(),
        "up_seconds": round(time.monotonic() - _BEGAN, 1),
        "cpu_percent": _cpu_share.percent(),
        "release": release(),
    }
    figures = orjson.dumps({**counts, **usage(), **present}).decode()
    with connection.cursor() as cursor:
        cursor.execute(BEAT, [process, kind, figures])


class CpuShare:
    """How much of one processor this process has used since it was asked before."""

    def __init__(self) -> None:
        self._at, self._used = time.monotonic(), time.process_time()

    def percent(self) -> float:
        at, used = time.monotonic(), time.process_time()
        share = (used - self._used) / max(at - self._at, 0.001)
        self._at, self._used = at, used
        return round(100 * share, 1)


@cache
def release() -> str:
    """Return seven characters that are the same for processes of the same code."""
    digest = hashlib.sha256()
    for room in ("config", "orders", "routing"):
        for file in sorted((PROJECT / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:7]


def usage() -> dict[str, float]:
    """Return this process's CPU seconds so far and its resident memory in bytes, if known."""
    figures: dict[str, float] = {"cpu_seconds": round(time.process_time(), 3)}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        figures["resident_memory_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
    return figures


_cpu_share = CpuShare()


def keep_beating(kind: str, excuses: Excuses = MappingProxyType({})) -> None:
    """Beat from a separate thread until `stop_beating`, whatever the database does.

    With each beat the process also reads what is traded. From now on the process is ended when a
    part of it stands still. This thread stands still if the database neither answers nor fails.
    """

    def run() -> None:
        while not _stopped.is_set():
            try:
                witness.note_turn(HEARTBEAT)
                beat(kind)
                note("database", is_well=True)
                witness.note_turn(HEARTBEAT)
                read_registry()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("heartbeat: %s", error)
                note("database", is_well=False)
                connection.close()
            witness.note_rest(HEARTBEAT)
            _stopped.wait(BEAT_SECONDS)
        connection.close()

    threading.Thread(target=run, name="heartbeat", daemon=True).start()
    watch(_stopped, excuses)


def stop_beating() -> bool:
    """Stop the heartbeat, and let parts of the process stand still: it is about to end.

    Return whether this was the first call.
    """
    was_stopped = _stopped.is_set()
    _stopped.set()
    return not was_stopped


def keep_turning(part: str) -> None:
    """Have the running loop report once a second, as long as it turns."""
    loop = asyncio.get_running_loop()

    def turn() -> None:
        witness.note_turn(part)
        loop.call_later(1.0, turn)

    turn()
