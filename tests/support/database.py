"""What tests read of the database, and what time does to orders in it."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from orders.engine.journal import Journal
from routing.tokens import MARKETS, TOKENS
from tests.support.checker import load, violations

EXPIRE_LEASE = (
    "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s"
)

KEPT = (
    *("django_migrations", "django_content_type", "auth_permission", "tokens", "markets"),
    "transaction_numbering",
)
GROWN = 1_000_000  # bytes
IN_USE = """
SELECT quote_ident(relname), pg_relation_size(oid) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL(%s)
    AND pg_relation_size(oid) > 0
"""
REGISTRY = "SELECT t::text FROM tokens t UNION ALL SELECT m::text FROM markets m ORDER BY 1"

ENGINE_ROLE = "engine_at_work"
"""As whom the tests' engine works. It owns nothing: it makes no table, and empties none."""

NOT_ITS = ("orders", "order_events", "order_transactions")  # to delete from
GRANTS = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {ENGINE_ROLE};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ENGINE_ROLE};
REVOKE DELETE ON {", ".join(NOT_ITS)} FROM {ENGINE_ROLE};
"""

MakeJournal = Callable[..., Journal]


def as_engine(conninfo: str) -> str:
    """Return how the engine connects to this database."""
    return make_conninfo(conninfo, user=ENGINE_ROLE)


def as_owner(conninfo: str) -> str:
    """Return how the owner of the tables connects to this database: for tests and migrations."""
    server = conninfo_to_dict(os.environ["DATABASE_URL"])
    return make_conninfo(conninfo, user=server["user"])


def grant(conninfo: str) -> None:
    """Let the engine work in a migrated database; `conninfo` is the owner's."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
            connection.execute(f"CREATE ROLE {ENGINE_ROLE} LOGIN")
        connection.execute(GRANTS)


def rewrite(conninfo: str, statement: Any, *parameters: Any) -> None:
    """Do as the owner what no engine may: change or empty the history, past its triggers."""
    with psycopg.connect(as_owner(conninfo), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement, parameters)


class Emptied:
    """Empties a database between tests, over one connection.

    Most tests store little, and Django's flush takes a tenth of a second: it truncates all tables,
    and fills some again. Here what is in use is deleted, past the triggers that keep orders; only
    what has grown is truncated. Tokens and markets are as they were at first.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection = psycopg.connect(as_owner(conninfo), autocommit=True)
        self._connection.execute("SET session_replication_role = replica")  # no triggers
        self._registry = self._read_registry()

    def empty(self) -> None:
        tables = self._connection.execute(IN_USE, [list(KEPT)]).fetchall()
        if grown := [name for name, size in tables if size > GROWN]:
            self._connection.execute(f"TRUNCATE {', '.join(grown)} CASCADE")
        if rest := [name for name, size in tables if size <= GROWN]:
            with self._connection.transaction():
                # Waits for whoever is still writing, whose rows would come after the deletion.
                lock = f"LOCK TABLE {', '.join(rest)} IN SHARE ROW EXCLUSIVE MODE"
                deletions = [f"DELETE FROM {name}" for name in rest]
                self._connection.execute("; ".join([lock, *deletions]))
        if self._read_registry() != self._registry:
            restore_registry(self._conninfo)

    def close(self) -> None:
        self._connection.close()

    def _read_registry(self) -> list[Any]:
        return self._connection.execute(REGISTRY).fetchall()


def restore_registry(conninfo: str) -> None:
    """Have the tokens and markets of a new engine again: triggers keep those that tests add."""
    with psycopg.connect(as_owner(conninfo)) as connection:
        connection.execute("TRUNCATE tokens, markets RESTART IDENTITY")
        for token in TOKENS:
            connection.execute(
                "INSERT INTO tokens (symbol, mint, decimals) VALUES (%s, %s, %s)",
                (token.symbol, token.mint, token.decimals),
            )
        for market in MARKETS:
            connection.execute(
                "INSERT INTO markets (base_id, quote_id, reference_price, takes_orders)"
                " VALUES (%s, %s, %s, true)",
                (market.base.symbol, market.quote.symbol, market.reference_price),
            )


class Database:
    def __init__(self, connection: psycopg.AsyncConnection[Any], conninfo: str) -> None:
        self._connection = connection
        self.conninfo = conninfo

    async def rows(self, query: Any, *parameters: Any) -> list[Any]:
        cursor = await self._connection.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        return self._connection.transaction()

    async def rows_named(self, query: Any, parameters: dict[str, Any]) -> list[Any]:
        cursor = await self._connection.execute(query, parameters)
        return await cursor.fetchall() if cursor.description else []

    async def order(self, order_id: str, column: str) -> Any:
        return (await self.rows(f"SELECT {column} FROM orders WHERE id = %s", order_id))[0][0]

    async def log(self, order_id: str) -> list[Any]:
        """Return the order's events as (status, data)."""
        query = "SELECT status, data FROM order_events WHERE order_id = %s ORDER BY seq"
        return await self.rows(query, order_id)

    async def expire_lease(self, order_id: str) -> None:
        await self.rows(EXPIRE_LEASE, order_id)

    async def lose_leases(self, order_id: str, times: int) -> None:
        """Make it look as if so many workers in a row were lost with the order."""
        await self.rows("UPDATE orders SET lost_leases = %s WHERE id = %s", times, order_id)

    async def violations(self, landed: Iterable[str] | None = None) -> list[str]:
        """Return what the checker finds; `landed` as `tests.support.checker.load` has it."""
        return await asyncio.to_thread(lambda: violations(load(self.conninfo, landed=landed)))
