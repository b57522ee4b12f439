"""How many orders of one sender may rest at once.

PostgreSQL counts a sender's resting orders, at most once a second while that sender sends some.
Each process adds those that it has let in since then, so that the limit may be passed by what other
processes let in within that second.
"""

import asyncio
import math
from contextvars import Context
from dataclasses import dataclass

from config.database.conninfo import conninfo
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link

ANONYMOUS_OPEN_ORDERS = 20
COUNTED_SECONDS = 1.0
MAX_COUNTED = 10_000  # senders that a process remembers

OPEN_OF_ACCOUNT = """
SELECT count(*) FROM (SELECT FROM orders WHERE resting AND owner_id = %s LIMIT %s) AS found
"""
OPEN_OF_STRANGER = """
SELECT count(*) FROM (
  SELECT FROM orders WHERE resting AND owner_id IS NULL AND sender = %s LIMIT %s) AS found
"""


class TooManyOpenOrders(Exception):
    """As many orders of this sender rest as may. Nothing was stored; cancel some first."""


@dataclass(slots=True)
class Count:
    """The resting orders of one sender."""

    stored: int = 0
    """At the last reading."""
    added: int = 0
    """Stored by us since then; that reading may have some of them, too."""
    let_in: int = 0
    """And not stored yet."""
    read_at: float = -math.inf
    reading: asyncio.Task[None] | None = None

    @property
    def in_all(self) -> int:
        return self.stored + self.added + self.let_in


class OpenOrders:
    """One object for each asyncio loop."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine open orders")
        self._counts: dict[int, Count] = {}

    def room(self, sender: int, most: int, orders: int = 1) -> "OpenRoom":
        """Return a context that lets so many orders of the sender in, of which `most` may rest.

        Entering it raises TooManyOpenOrders.
        """
        return OpenRoom(self, sender, most, orders)

    async def let_in(self, sender: int, most: int, orders: int) -> None:
        """:raises TooManyOpenOrders: there is no room.
        :raises psycopg.Error: the database does not answer.
        """
        count = self._count_of(sender)
        if asyncio.get_running_loop().time() - count.read_at > COUNTED_SECONDS:
            await self._read_once(count, sender, most)
        if count.in_all + orders > most:
            raise TooManyOpenOrders
        count.let_in += orders

    def let_out(self, sender: int, orders: int, *, is_stored: bool) -> None:
        count = self._count_of(sender)
        count.let_in -= orders
        if is_stored:
            count.added += orders

    async def close(self) -> None:
        await self._link.close()

    def _count_of(self, sender: int) -> Count:
        if len(self._counts) >= MAX_COUNTED and sender not in self._counts:
            since = asyncio.get_running_loop().time() - COUNTED_SECONDS
            self._counts = {
                key: one for key, one in self._counts.items() if one.let_in or one.read_at > since
            }
        return self._counts.setdefault(sender, Count())

    async def _read_once(self, count: Count, sender: int, most: int) -> None:
        """Read the count, once for all who ask meanwhile. A caller that leaves ends nothing."""
        if count.reading is None or count.reading.done():
            count.reading = asyncio.create_task(self._read(count, sender, most), context=Context())
        await asyncio.shield(count.reading)

    async def _read(self, count: Count, sender: int, most: int) -> None:
        added = count.added
        statement = OPEN_OF_ACCOUNT if sender > 0 else OPEN_OF_STRANGER
        rows = await self._link.fetch(statement, (sender, most))
        count.stored = rows[0][0]
        count.added -= added
        count.read_at = asyncio.get_running_loop().time()


class OpenRoom:
    """The room of orders that are stored together, held until they are."""

    __slots__ = ("_most", "_open_orders", "_orders", "_sender")

    def __init__(self, open_orders: OpenOrders, sender: int, most: int, orders: int) -> None:
        self._open_orders, self._sender = open_orders, sender
        self._most, self._orders = most, orders

    async def __aenter__(self) -> None:
        await self._open_orders.let_in(self._sender, self._most, self._orders)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._open_orders.let_out(self._sender, self._orders, is_stored=kind is None)


@once_per_loop
def open_orders_of_this_loop() -> OpenOrders:
    """Return the running loop's count, made at the first call."""
    return OpenOrders()
