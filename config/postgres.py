"""A connection to PostgreSQL for one asyncio loop, opened when needed and again when lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

# The statements on these connections find a batch's rows by primary key. Without statistics the
# planner would rather read the whole table, and it plans the same again for every batch.
PLANS = (
    " -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c jit=off"
    " -c plan_cache_mode=force_generic_plan"
)
OPTIONS = (
    "-c statement_timeout=5000 -c lock_timeout=500 -c idle_in_transaction_session_timeout=10000"
    " -c timezone=UTC"
)
TRANSACTION_SECONDS = 10.0
"""After which a transaction is ended, wherever it stands, from PostgreSQL 17 on.

A process that freezes in the middle of a pipeline is not idle to PostgreSQL, and no other limit
takes its locks away: the claims' budget, the network's gate.
"""
CONNECT_TIMEOUT = 3
LIBPQ_NAMES = {  # what Django's settings call libpq's parameters
    "dbname": "NAME",
    "user": "USER",
    "password": "PASSWORD",
    "host": "HOST",
    "port": "PORT",
}


class Link:
    """One autocommit connection, used by one coroutine at a time; the next waits its turn."""

    def __init__(self, conninfo: str, name: str) -> None:
        self._conninfo = conninfo
        self._name = name
        self._connection: AsyncConnection[TupleRow] | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """Lend the connection, opening it if there is none that works.

        :raises psycopg.OperationalError: the server cannot be reached, or the connection broke.
        """
        async with self._turn:
            if self._connection is None or not self._is_usable():
                self._connection = await self._connect()
            try:
                yield self._connection
            except (errors.TransactionTimeout, errors.IdleInTransactionSessionTimeout) as error:
                # The server ended the connection, which psycopg counts as an internal error.
                raise psycopg.OperationalError(str(error)) from error

    async def fetch(
        self, query: LiteralString, parameters: Any, seconds: float | None = None
    ) -> list[TupleRow]:
        """Return the rows of a query that writes nothing; a connection found dead is replaced.

        :raises psycopg.OperationalError: the server cannot be reached.
        """
        try:
            return await self._fetch(query, parameters)
        except psycopg.OperationalError:
            if self._is_usable():
                raise
            return await self._fetch(query, parameters)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _fetch(self, query: LiteralString, parameters: Any) -> list[TupleRow]:
        async with self.connection() as connection:
            cursor = await connection.execute(query, parameters)
            return await cursor.fetchall()

    def _is_usable(self) -> bool:
        found = self._connection
        return found is not None and not (found.closed or found.broken)

    async def _connect(self) -> AsyncConnection[TupleRow]:
        connection = await psycopg.AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT,
            application_name=self._name,
            options=OPTIONS + PLANS,
        )
        try:
            await _limit_transactions(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _limit_transactions(connection: AsyncConnection[TupleRow]) -> None:
    if connection.info.server_version >= 17_00_00:
        milliseconds = f"{TRANSACTION_SECONDS * 1000:.0f}"
        await connection.execute(
            "SELECT set_config('transaction_timeout', %s, false)", [milliseconds]
        )
