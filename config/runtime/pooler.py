"""Whether a DATABASE_URL leads through a pooler that keeps no sessions.

The engine's connections have settings, and prepared statements. A pooler in transaction mode hands
each transaction whichever session of the server is free: what was set is lost, or is another's.
"""

import asyncio
from contextlib import AsyncExitStack

import psycopg
from psycopg import AsyncConnection

CLIENTS = 3  # of two poolers behind one address, two of them meet in one
ROUNDS = 2
CONNECT_SECONDS = 3
SECONDS = 3.0  # a pool may be exhausted, and then has us wait
SESSION = "SELECT pg_backend_pid(), pg_postmaster_start_time()"
REFUSAL = (
    "DATABASE_URL leads through a pooler in transaction mode, and the engine needs sessions of its"
    " own: give the address of PostgreSQL itself, or of a pool in session mode."
)


async def shares_sessions(conninfo: str) -> bool:
    """Whether transactions of one client run in sessions that others have, too.

    A quiet pool hands out one session again and again: then clients that are all connected have
    the same. A busy pool, or one that takes turns, gives a client another one for its next
    transaction, the more so while all the others hold theirs. Of its own a client does neither.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS + SECONDS), AsyncExitStack() as stack:
            clients = [await _connect(conninfo, stack) for _ in range(CLIENTS)]
            for _ in range(ROUNDS):
                if await _is_shared(clients):
                    return True
    except (psycopg.Error, TimeoutError):
        pass
    return False


async def _connect(conninfo: str, stack: AsyncExitStack) -> AsyncConnection:
    connection = await AsyncConnection.connect(
        conninfo, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS
    )
    stack.push_async_callback(connection.close)
    return connection


async def _is_shared(clients: list[AsyncConnection]) -> bool:
    one_by_one = [await _session(client) for client in clients]
    if len(set(one_by_one)) < len(clients):
        return True
    try:
        for client in clients:
            await client.execute("BEGIN")
    except psycopg.errors.ProtocolViolation:  # a pooler in statement mode knows no transactions
        return True
    # From the last to the first: a pool that takes turns would else come round to the same.
    together = [await _session(client) for client in reversed(clients)]
    for client in clients:
        await client.execute("COMMIT")
    return together != one_by_one[::-1]


async def _session(client: AsyncConnection) -> tuple[object, ...]:
    cursor = await client.execute(SESSION)
    found = await cursor.fetchone()
    assert found is not None  # noqa: S101 - the query has one row
    return found
