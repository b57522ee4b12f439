"""How the engine stands, for the operators' page and `manage.py status`: one reading.

It takes some 20 short queries, each of a bounded number of rows. A reading is given out again for
`FRESH_SECONDS`, so that any number of open pages is one reader.
"""

import logging
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from redis.exceptions import RedisError

from config.runtime.redis_client import redis_client
from orders.lifecycle import Status
from orders.monitoring import operations_sql as sql
from orders.monitoring.engine_status import EngineStatus, read_engine_status
from orders.monitoring.health import LOOK_SECONDS
from orders.monitoring.metrics_sql import PLANS
from orders.monitoring.minutes import Minute, read_minutes
from orders.monitoring.processes import ALIVE, Process, processes

logger = logging.getLogger(__name__)

FRESH_SECONDS = 2.0


class Step(NamedTuple):
    """The orders at one step of their way."""

    orders: int
    oldest_seconds: float | None
    """How long the oldest of them has stood there."""
    next_seconds: float | None
    """Until the first of them is due; negative: it is."""


class Leases(NamedTuple):
    ended: int
    ending: int
    """Leases that were not renewed lately and run out soon: their worker may be silent."""
    ends_in: float | None
    """Seconds until the first one ends."""
    lost: int
    """Orders whose last worker was lost."""


class Postgres(NamedTuple):
    version: str
    up_seconds: float
    connections: int
    most_connections: int
    oldest_transaction: float | None
    """In seconds."""
    latency_ms: float


class Redis(NamedTuple):
    version: str
    up_seconds: float
    memory: int
    """In bytes."""
    clients: int
    latency_ms: float


class Outcome(NamedTuple):
    """How many of the last hour's orders ended, or stand, so."""

    venue: str
    status: str
    failure_code: str
    orders: int


class Failure(NamedTuple):
    code: str
    last_hour: int
    last_day: int

    @property
    def beyond_mean(self) -> int:
        """How many more failed in the last hour than in an hour of the last day."""
        return self.last_hour - round(self.last_day / 24)


class Flagged(NamedTuple):
    """An order that needs a person; `seen_by` is None until somebody has seen it."""

    order_id: UUID
    seen_by: str | None
    seen_seconds: float | None


class Deed(NamedTuple):
    """What a person did, as the admin's log or the trading states have it."""

    at: datetime
    by: str
    what: str


@dataclass(frozen=True, slots=True)
class Operations:
    as_of: datetime
    engine: EngineStatus
    steps: dict[str, Step]
    leases: Leases
    minutes: tuple[Minute, ...]
    """The last two hours, the oldest first; a minute without a scheduler is missing."""
    processes: tuple[Process, ...]
    postgres: Postgres
    redis: Redis | None
    """None: it does not answer."""
    outcomes: tuple[Outcome, ...]
    failures: tuple[Failure, ...]
    flagged: tuple[Flagged, ...]
    deeds: tuple[Deed, ...]
    tick_age: float | None
    """Seconds since the oldest of all markets' newest prices."""
    ticks_behind: int
    halted_by: str
    """Empty if the engine trades."""
    halted_why: str

    @property
    def last_hour(self) -> tuple[Minute, ...]:
        return tuple(one for one in self.minutes if one.minute > self._now - 62 * 60)

    @property
    def hour_before(self) -> tuple[Minute, ...]:
        return tuple(one for one in self.minutes if one.minute <= self._now - 62 * 60)

    @property
    def last_minute(self) -> Minute | None:
        newest = self.minutes[-1] if self.minutes else None
        return newest if newest and newest.minute > self._now - 4 * 60 else None

    @property
    def _now(self) -> float:
        return self.as_of.timestamp()

    def alive(self, kind: str) -> list[Process]:
        return [one for one in self.processes if one.kind == kind and one.state == ALIVE]

    def silent(self, kind: str) -> list[Process]:
        """Return the processes that fell silent less than ten minutes ago, and stuck ones."""
        return [
            one
            for one in self.processes
            if one.kind == kind and one.state != ALIVE and one.heard_seconds < 600
        ]

    @property
    def unseen(self) -> list[Flagged]:
        return [one for one in self.flagged if one.seen_by is None]

    def ended(self, *statuses: Status) -> int:
        """How many of the last hour's orders have these statuses."""
        return sum(one.orders for one in self.outcomes if one.status in statuses)


class Reading:
    """Reads at most once in `FRESH_SECONDS`, however many ask."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._read_at = float("-inf")
        self._last: Operations | None = None

    def __call__(self) -> Operations:
        """:raises django.db.OperationalError: the database does not answer."""
        with self._turn:
            if self._last is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._last = read_operations()
                self._read_at = time.monotonic()
            return self._last

    def forget(self) -> None:
        """Have the next reading be a new one: a person has just changed something."""
        self._read_at = float("-inf")


present_operations = Reading()


def read_operations(*, with_last_hour: bool = False) -> Operations:
    """Ask the database and Redis.

    :raises django.db.OperationalError: the database does not answer.
    """
    engine = read_engine_status(sql.MOST_COUNTED, with_last_hour=with_last_hour)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PLANS)
        began = time.monotonic()
        cursor.execute("SELECT 1")
        latency = (time.monotonic() - began) * 1000
        cursor.execute(sql.POSTGRES)
        postgres = Postgres._make((*cursor.fetchone(), latency))
        steps = _steps(cursor)
        half = {"half": settings.LEASE_SECONDS / 2, "most": sql.MOST_COUNTED}
        cursor.execute(sql.LEASES, half)
        leases = Leases(*cursor.fetchone())
        cursor.execute(sql.RECENT, {"recent": sql.MOST_RECENT})
        outcomes = tuple(Outcome(*row) for row in cursor.fetchall())
        cursor.execute(sql.FAILED, {"failed": sql.MOST_FAILED})
        failures = tuple(Failure(*row) for row in cursor.fetchall())
        cursor.execute(sql.FLAGGED, {"flagged": sql.MOST_FLAGGED})
        flagged = tuple(Flagged(*row) for row in cursor.fetchall())
        cursor.execute(sql.TICKS)
        tick_age, ticks_behind = cursor.fetchone()
        states, deeds = _deeds(cursor)
    is_halted = engine.health["state"] == "halted"
    return Operations(
        as_of=timezone.now(),
        engine=engine,
        steps=steps,
        leases=leases,
        minutes=tuple(read_minutes()),
        processes=tuple(processes()),
        postgres=postgres,
        redis=_redis() if engine.health["redis"] == "ok" else None,
        outcomes=outcomes,
        failures=failures,
        flagged=flagged,
        deeds=deeds,
        tick_age=tick_age,
        ticks_behind=ticks_behind or 0,
        halted_by=states[0][1] if is_halted and states else "",
        halted_why=states[0][3] if is_halted and states else "",
    )


def _steps(cursor: Any) -> dict[str, Step]:
    cursor.execute(sql.STEPS, {"aged": sql.MOST_AGED})
    return {status: Step(*columns) for status, *columns in cursor.fetchall()}


def _deeds(cursor: Any) -> tuple[list[Any], tuple[Deed, ...]]:
    """Return the newest trading states, and what persons did, the newest first."""
    most = {"happened": sql.MOST_HAPPENED}
    cursor.execute(sql.CHANGED, most)
    states = cursor.fetchall()
    found = [Deed(at, by, _told_of_state(state, why)) for at, by, state, why in states]
    cursor.execute(sql.HAPPENED, most)
    found += [
        Deed(at, by or "a program", _told(model, name, message, flag))
        for at, by, model, name, message, flag in cursor.fetchall()
        if model != "tradingstate"  # told above, also if a command changed it
    ]
    return states, tuple(sorted(found, key=lambda deed: deed.at, reverse=True))


def _told_of_state(state: str, why: str) -> str:
    deed = "halted trading" if state == "halted" else "let trading go on"
    return f"{deed}: {why}" if why else deed


def _told(model: str, name: str, message: str, flag: int) -> str:
    """Return a line of the admin's log as a deed."""
    deed = {1: "added", 2: "changed", 3: "deleted"}.get(flag, "changed")
    if message and not message.startswith("["):
        return f"{model} {name}: {message}"
    return f"{deed} {model} {name}"


def _redis() -> Redis | None:
    client = redis_client(settings.REDIS_URL, LOOK_SECONDS)
    try:
        began = time.monotonic()
        client.ping()
        latency = (time.monotonic() - began) * 1000
        told: Any = client.info()
    except (RedisError, OSError) as error:
        logger.warning("the operators' page: Redis does not answer: %s", error)
        return None
    finally:
        with suppress(RedisError, OSError):
            client.close()
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get("valkey_version") or told.get("redis_version", "")
    return Redis(
        f"{name} {version}",
        float(told.get("uptime_in_seconds", 0)),
        int(told.get("used_memory", 0)),
        int(told.get("connected_clients", 0)),
        latency,
    )


def releases_of(found: Operations) -> Counter[str]:
    """Return how many live processes there are of each release."""
    return Counter(one.release for one in found.processes if one.state == ALIVE)
