"""A connection to PostgreSQL for one asyncio loop, opened when needed and again when lost.

Every wait has a deadline of ours. A connection that misses it is thrown away without asking the
server, which may be frozen, cut off or gone.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, errors, waiting
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from config.runtime.session import (
    CONNECT_SECONDS,
    DEADLINE,
    PLANS,
    READ_BACK,
    SET,
    answered_within,
    as_lost,
    is_connection_lost,
    judge,
    needed_settings,
    remaining,
    set_parameters,
    startup_options,
    takes_no_options,
)

__all__ = ["DEADLINE", "Link", "answered_within", "is_connection_lost"]

logger = logging.getLogger(__name__)

LINK_SECONDS = 4.0  # to wait for a turn, connect and run; longer than a statement may take
READ_SECONDS = 2.0
LIBPQ_NAMES = {  # libpq's parameters, by their names in Django's settings
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}
_without_options: set[str] = set()  # addresses of poolers that take no startup options


class LinkConnection(AsyncConnection[TupleRow]):
    """A connection whose waits end at the deadline of the caller that has borrowed it."""

    ends_at = float("inf")
    """By `time.monotonic`."""

    async def wait(
        self,
        gen: PQGen[Any],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109  # psycopg's
    ) -> Any:
        """:raises psycopg.OperationalError: no answer in time; the connection is closed."""
        left = min(self.ends_at - time.monotonic(), LINK_SECONDS if timeout is None else timeout)
        try:
            return await waiting.wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=max(left, 0.0)
            )
        except errors._WaitTimeout as error:
            self.pgconn.finish()  # a clean close would wait for the server again
            raise psycopg.OperationalError("no answer from PostgreSQL in time") from error
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


class Link:
    """One autocommit connection, used by one coroutine at a time; the next waits its turn."""

    def __init__(self, conninfo: str, name: str) -> None:
        self._conninfo = conninfo
        self._name = name
        self._connection: LinkConnection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def connection(self, seconds: float = LINK_SECONDS) -> AsyncIterator[LinkConnection]:
        """Lend the connection for so many seconds. Open one if none works.

        :raises psycopg.OperationalError: the server cannot be reached or is not fit, the
            connection broke, or time was up. A statement that had been sent may have been
            committed.
        """
        ends_at = time.monotonic() + remaining(seconds)
        await self._take_turn(ends_at)
        try:
            connection = self._connection
            if connection is None or connection.closed or connection.broken:
                connection = self._connection = await self._connect(ends_at)
            connection.ends_at = ends_at
            try:
                yield connection
            except BaseException as error:
                if isinstance(error, psycopg.Error) and not is_connection_lost(error):
                    raise
                # Also after errors that are not PostgreSQL's: the connection's state is unknown.
                self._connection = None
                connection.pgconn.finish()
                if isinstance(error, psycopg.Error):
                    raise as_lost(error) from error
                raise
        finally:
            self._turn.release()

    async def fetch(
        self, query: LiteralString, parameters: Any, seconds: float = READ_SECONDS
    ) -> list[TupleRow]:
        """Return the rows of a query that writes nothing. A dead connection is replaced.

        :raises psycopg.OperationalError: the server cannot be reached in time.
        """
        with answered_within(seconds):
            try:
                return await self._fetch(query, parameters, seconds / 2)
            except psycopg.OperationalError as error:
                if not is_connection_lost(error):
                    raise
                return await self._fetch(query, parameters, seconds)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    async def _fetch(self, query: LiteralString, parameters: Any, seconds: float) -> list[TupleRow]:
        async with self.connection(seconds) as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    async def _take_turn(self, ends_at: float) -> None:
        if not self._turn.locked():
            await self._turn.acquire()  # it succeeds at once: no timer is needed
            return
        try:
            async with asyncio.timeout(max(0.0, ends_at - time.monotonic())):
                await self._turn.acquire()
        except TimeoutError:
            raise psycopg.OperationalError(
                "PostgreSQL did not answer those before in time"
            ) from None

    async def _connect(self, ends_at: float) -> LinkConnection:
        try:
            async with asyncio.timeout(min(CONNECT_SECONDS, ends_at - time.monotonic())):
                return await connect(self._conninfo, self._name)
        except TimeoutError:
            raise psycopg.OperationalError("PostgreSQL did not take a connection in time") from None


async def connect(conninfo: str, name: str) -> LinkConnection:
    """Open a connection whose session is as the engine needs it.

    :raises psycopg.OperationalError: there is no server, or it is not fit (`NotFit`).
    """
    needed = needed_settings(conninfo, PLANS)
    connection = await _open(conninfo, name, startup_options(conninfo, needed))
    try:
        await connection.execute(SET, set_parameters(needed))
        cursor = await connection.execute(READ_BACK, [list(needed)])
        judge(await cursor.fetchone(), needed)
    except BaseException as error:
        connection.pgconn.finish()
        if isinstance(error, psycopg.Error):
            raise as_lost(error) from error
        raise
    return connection


async def _open(conninfo: str, name: str, options: str) -> LinkConnection:
    address = conninfo if conninfo in _without_options else make_conninfo(conninfo, options=options)
    try:
        return await LinkConnection.connect(address, autocommit=True, application_name=name)
    except psycopg.OperationalError as error:
        if address is conninfo or not takes_no_options(error):
            raise
    _without_options.add(conninfo)
    return await LinkConnection.connect(conninfo, autocommit=True, application_name=name)
