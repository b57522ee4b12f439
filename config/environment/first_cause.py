"""Looks for what keeps the engine from starting, and says it in one sentence before the start.

A server may be away, or it may refuse the engine for ever: a password is wrong, a database does not
exist, its data are of a newer version. A process that was started alone waits for a server that is
away, and ends when the server refuses it. No sentence repeats a password.
"""

import asyncio
import errno
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `make clean` comes here without the libraries
    from config.runtime.redis_address import RedisAddress

DATABASE = "The database that DATABASE_URL names cannot be used"
REDIS = "The Redis that REDIS_URL names cannot be used"
LOOK_SECONDS = 2.0  # for one look at a server
PATIENCE = 3.0  # seconds for a server that is about to start
PROCESSES, SERVERS = 24, 24  # the least for the engine, and for its own servers
NEW_CLUSTER = 45 * 2**20  # bytes of a new PostgreSQL, before the first order
ROOM = 5 * 2**20  # bytes without which nothing starts
ENCODE = "write / ? # @ % and : in a user's name or password as %2F %3F %23 %40 %25 and %3A"
# What a server will answer for ever, in the words of libpq and PostgreSQL.
REFUSALS = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|no password supplied"
    r"|not permitted to log in|certificate verify failed|does not match host name"
)
HERE = {  # faults of this machine, which the engine has not caused
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
}


class CannotStart(Exception):
    """Something keeps the engine from starting; the message says what.

    `is_final`: waiting does not help.
    """

    def __init__(self, sentence: str, *, is_final: bool = True) -> None:
        super().__init__(sentence)
        self.is_final = is_final


def check_threads(needed: int) -> None:
    """:raises CannotStart: this user, or this container, may not start enough processes."""
    is_over = threading.Event()
    started: list[threading.Thread] = []
    before = threading.stack_size(256 * 1024)
    try:
        for _ in range(needed):
            thread = threading.Thread(target=is_over.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        raise CannotStart(
            f"The system lets us start only {len(started)} more processes and threads, and the"
            f" engine needs {needed}: see `ulimit -u` and the container's limit of pids."
        ) from None
    finally:
        threading.stack_size(before)
        is_over.set()
        for thread in started:
            thread.join()


def check_disk(folder: Path, needed: int) -> None:
    """:raises CannotStart: the folder's disk has fewer than `wanted` bytes left."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    if (free := shutil.disk_usage(place).free) < needed:
        raise CannotStart(
            f"No space left: {folder} has {free >> 20} MB, and the engine needs"
            f" {needed >> 20} MB to start."
        )


def sentence_of(error: OSError) -> str | None:
    """Return a sentence for an error that this machine has caused; None for other errors."""
    if error.errno not in HERE:
        return None
    where = f" ({error.filename})" if error.filename else ""
    return f"The engine cannot start: {error.strerror}{where}."


def check_servers(database_url: str, redis_url: str) -> None:
    """Look at the servers that the settings name; an empty URL names none.

    :raises CannotStart: a server cannot be used, even a moment later.
    """
    from config.runtime.redis_address import RedisAddress
    from config.runtime.session import conninfo_of

    if database_url:
        try:
            conninfo = conninfo_of(database_url)
        except ValueError as error:
            raise CannotStart(f"DATABASE_URL is {error}.") from None
        asyncio.run(_patiently(lambda: look_at_database(conninfo)))
    if redis_url:
        try:
            address = RedisAddress.parse(redis_url)
        except ValueError as error:
            raise CannotStart(f"REDIS_URL {error}.") from None
        asyncio.run(_patiently(lambda: look_at_redis(address)))


async def look_at_database(conninfo: str) -> None:
    """:raises CannotStart: PostgreSQL does not take us."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    parameters = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    if any("@" in parameters.get(name, "") for name in ("host", "port", "dbname")):
        raise CannotStart(f"DATABASE_URL has one @ too many: {ENCODE}.")
    if not re.fullmatch(r"[\d,]*", parameters.get("port", "")):
        raise CannotStart(f"DATABASE_URL has a port that is no number: {ENCODE}.")
    try:
        async with asyncio.timeout(2 * LOOK_SECONDS):
            connection = await psycopg.AsyncConnection.connect(conninfo)
    except TimeoutError:
        raise CannotStart(f"{DATABASE}: it does not answer.", is_final=False) from None
    except psycopg.Error as error:
        line = _hide_password(first_line(error), parameters.get("password", ""))
        is_final = REFUSALS.search(line) is not None
        raise CannotStart(f"{DATABASE}: {line}.", is_final=is_final) from None
    connection.pgconn.finish()


async def look_at_redis(address: "RedisAddress") -> None:
    """:raises CannotStart: Redis does not take us."""
    import redis

    from config.runtime.redis_client import async_redis_client

    client = async_redis_client(address.url, LOOK_SECONDS)
    try:
        await client.ping()
    except redis.TimeoutError:
        raise CannotStart(f"{REDIS}: it does not answer. Is it a Redis?", is_final=False) from None
    except redis.InvalidResponse:
        raise CannotStart(f"{REDIS}: what answers there is no Redis.") from None
    except redis.RedisError as error:
        is_final = isinstance(error, redis.AuthenticationError | redis.ResponseError)
        line = _hide_password(_words_of(error, address), address.password).rstrip(".")
        raise CannotStart(f"{REDIS}: {line}.", is_final=is_final) from None
    finally:
        await client.aclose()


def first_line(error: BaseException) -> str:
    """Return the most useful line of PostgreSQL's message; of several hosts, the first refusal."""
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    tries = [line for line in lines if line.startswith("- host:")]
    best = next((line for line in tries if "FATAL" in line), tries[0] if tries else lines[0])
    return re.sub(r"^(- host: .*?: (?=connection|failed))?(connection failed: )?", "", best)


async def _patiently(look: Callable[[], Awaitable[None]]) -> None:
    """Look again for a while: the server may be about to start."""
    ends_at = time.monotonic() + PATIENCE
    while True:
        try:
            return await look()
        except CannotStart as error:
            if error.is_final or time.monotonic() > ends_at:
                raise
        await asyncio.sleep(0.2)


def _words_of(error: Exception, address: "RedisAddress") -> str:
    """Return a network's fault in the words of the system, and any other in the words of Redis."""
    cause = error.__context__
    is_closed = isinstance(cause, ConnectionResetError | BrokenPipeError)
    if is_closed or not isinstance(cause, OSError) or not cause.errno:
        text = str(error).lower()
        is_closed = is_closed or "connection closed" in text or "connection lost" in text
        return "the connection was closed at once (is it a Redis?)" if is_closed else str(error)
    why = cause.strerror if isinstance(cause, socket.gaierror) else os.strerror(cause.errno)
    return f"connection to {address.path or f'{address.host}:{address.port}'} failed: {why}"


def _hide_password(text: str, password: str) -> str:
    return text.replace(password, "***") if password else text
