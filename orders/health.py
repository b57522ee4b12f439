"""Whether the parts of the engine answer, and the heartbeats that tell."""

import logging
import os
import socket
import threading
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

BEAT_SECONDS = 3.0
ALIVE_SECONDS = 10.0
BEAT = """
INSERT INTO heartbeats (process, kind, seen_at) VALUES (%s, %s, clock_timestamp())
ON CONFLICT (process) DO UPDATE SET seen_at = clock_timestamp()
"""
ALIVE = """
SELECT count(*) FROM heartbeats
WHERE kind = 'worker' AND seen_at > clock_timestamp() - %s * interval '1 second'
"""
FORGET = "DELETE FROM heartbeats WHERE seen_at < clock_timestamp() - interval '1 day'"

_stopped = threading.Event()


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


def beat(kind: str) -> None:
    """Say that this process lives."""
    with connection.cursor() as cursor:
        cursor.execute(BEAT, [f"{socket.gethostname()}:{os.getpid()}", kind])


def keep_beating(kind: str) -> None:
    """Beat from a thread of its own until `stop_beating`, whatever the database does."""

    def run() -> None:
        while not _stopped.is_set():
            try:
                beat(kind)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("heartbeat: %s", error)
                connection.close()
            _stopped.wait(BEAT_SECONDS)
        connection.close()

    threading.Thread(target=run, name="heartbeat", daemon=True).start()


def stop_beating() -> None:
    _stopped.set()
