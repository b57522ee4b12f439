"""Whether the parts of the engine answer, and the heartbeats that tell.

A heartbeat also carries what its process has counted, so that whichever web process is asked for
/metrics can tell of all processes, those without a port as well.
"""

import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from redis.exceptions import RedisError

from config.counts import counts
from routing.registry import read_registry

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
ALIVE_SECONDS = 10.0
BEAT = """
INSERT INTO heartbeats (process, kind, seen_at, counts) VALUES (%s, %s, clock_timestamp(), %s)
ON CONFLICT (process)
DO UPDATE SET kind = excluded.kind, seen_at = excluded.seen_at, counts = excluded.counts
"""
ALIVE = """
SELECT count(*) FROM heartbeats
WHERE kind = 'worker' AND seen_at > clock_timestamp() - %s * interval '1 second'
  AND seen_at <= clock_timestamp()
"""
FORGET = "DELETE FROM heartbeats WHERE seen_at < clock_timestamp() - interval '1 day'"

_stopped = threading.Event()
_is_migrated = False


def check() -> dict[str, Any]:
    """Return `status` ("ok", "degraded" or "failed") and the state of each part."""
    workers: int | None = None
    try:
        with connection.cursor() as cursor:
            cursor.execute(ALIVE, [ALIVE_SECONDS])
            workers = cursor.fetchone()[0]
        database = "ok"
    except (DatabaseError, InterfaceError) as error:
        logger.warning("health: the database does not answer: %s", error)
        database = "down"
    redis_state = check_redis()
    parts = {
        "database": database,
        "redis": redis_state,
        "worker": "unknown" if workers is None else "ok" if workers else "down",
    }
    well = all(state == "ok" for state in parts.values())
    status = "failed" if database != "ok" else "ok" if well else "degraded"
    return {"status": status, **parts, "workers": workers}


def check_redis() -> str:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry_on_timeout=False
    )
    try:
        client.ping()
    except (RedisError, OSError):
        return "down"
    finally:
        client.close()
    return "ok"


def unready() -> list[str]:
    """Return why this process cannot serve yet; an empty list if it can.

    Redis and workers are no reason: orders are taken, and are safe, without them.
    """
    try:
        if missing := missing_migrations():
            return [f"migrations are missing: {', '.join(missing)}"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        logger.warning("readiness: the database does not answer: %s", error)
        connection.close()
        return ["the database does not answer"]
    return []


def missing_migrations() -> list[str]:
    """Return the migrations that were not applied; looked for until there are none."""
    global _is_migrated
    if _is_migrated:
        return []
    loader = MigrationLoader(connection)
    missing = set(loader.graph.nodes) - set(loader.applied_migrations)
    _is_migrated = not missing
    return sorted(f"{app}.{name}" for app, name in missing)


def beat(kind: str) -> None:
    """Say that this process lives, and what it has counted."""
    process = f"{socket.gethostname()}:{os.getpid()}"
    told = orjson.dumps({**counts, **usage()}).decode()
    with connection.cursor() as cursor:
        cursor.execute(BEAT, [process, kind, told])


def usage() -> dict[str, float]:
    """Return this process's CPU seconds so far and its resident memory in bytes, where known."""
    found: dict[str, float] = {"cpu_seconds": round(time.process_time(), 3)}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["resident_memory_bytes"] = pages * os.sysconf("SC_PAGE_SIZE")
    return found


def keep_beating(kind: str) -> None:
    """Beat from a thread of its own until `stop_beating`, whatever the database does.

    With each beat the process also learns what is traded by now.
    """

    def run() -> None:
        while not _stopped.is_set():
            try:
                beat(kind)
                read_registry()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("heartbeat: %s", error)
                connection.close()
            _stopped.wait(BEAT_SECONDS)
        connection.close()

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


def stop_beating() -> None:
    _stopped.set()
