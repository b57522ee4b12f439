"""Whether a DATABASE_URL leads through a pooler that keeps no sessions.

The engine's sessions have settings of their own and prepared statements. A pooler in transaction
mode gives each transaction any free session of the server. Then our settings are lost, or they
change the session of another client.
"""

import asyncio
from contextlib import AsyncExitStack

import psycopg
from psycopg import AsyncConnection

CLIENTS = 3  # two poolers may share one address; then two of three clients share a pooler
ROUNDS = 2
CONNECT_SECONDS = 3
SECONDS = 3.0  # an exhausted pool makes its clients wait
SESSION = "SELECT pg_backend_pid(), pg_postmaster_start_time()"
REFUSAL = (
    "DATABASE_URL leads through a pooler in transaction mode, and the engine needs sessions of its"
    " own: give the address of PostgreSQL itself, or of a pool in session mode."
)


async def shares_sessions(conninfo: str) -> bool:
    """Whether clients share the sessions in which their transactions run.

    A quiet pool gives out the same session again and again, so several connected clients see one
    session. A busy pool, or one that takes turns, gives a client another session for its next
    transaction, above all while the other clients hold theirs. A client with a session of its own
    sees neither.
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
    # In reverse order: otherwise a pool that takes turns could give each client the same again.
    together = [await _session(client) for client in reversed(clients)]
    for client in clients:
        await client.execute("COMMIT")
    return together != one_by_one[::-1]


async def _session(client: AsyncConnection) -> tuple[object, ...]:
    cursor = await client.execute(SESSION)
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the query has one row
    return row
