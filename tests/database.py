"""What tests read of the database, and what time does to orders in it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from orders.journal import Journal
from routing.tokens import MARKETS, TOKENS
from tests.checker import load, violations

EXPIRE_LEASE = (
    "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s"
)

MakeJournal = Callable[..., Journal]


def restore_registry(conninfo: str) -> None:
    """Have the tokens and markets of a new engine again: triggers keep those that tests add."""
    with psycopg.connect(conninfo) as connection:
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
        """Return what the checker finds; `landed` as `tests.checker.load` has it."""
        return await asyncio.to_thread(lambda: violations(load(self.conninfo, landed=landed)))
