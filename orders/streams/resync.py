"""What all sockets of a web process share: the reading of logs, and the resync.

Once a second one query asks for orders whose log is longer than what a socket has sent. So a hint
that was lost costs a second and never an event.
"""

import asyncio
import logging
from collections.abc import Callable

import psycopg

from config.database.conninfo import conninfo
from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.events import Event
from orders.lifecycle import Status

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 1.0
HISTORY = """
SELECT orders.id::text, event.seq, event.status, event.attempt, event.message, event.at, event.data,
  event.event
FROM orders LEFT JOIN order_events AS event ON event.order_id = orders.id AND event.seq > %s
WHERE orders.id = %s AND (%s OR orders.owner_id IS NULL OR orders.owner_id = %s)
ORDER BY event.seq
"""
BEHIND = """
SELECT watched.place, coalesce(orders.seq, 0)
FROM unnest(%s::uuid[], %s::int[]) WITH ORDINALITY AS watched(id, sent, place)
LEFT JOIN orders ON orders.id = watched.id
WHERE coalesce(orders.seq, 0) <> watched.sent
"""


class UnknownOrder(LookupError):
    """There is no such order, or it is another's. Trying again does not help."""


class Watch:
    """One socket's place in one order's log: the seq of the last event it has sent."""

    def __init__(self, order_id: str, sent: int, tell_behind: Callable[[str], None]) -> None:
        self.order_id = order_id
        self.sent = sent
        self.tell_behind = tell_behind


class Streams:
    """One for each asyncio loop."""

    def __init__(self) -> None:
        self._link = Link(conninfo(), "engine streams")
        self._watches: set[Watch] = set()
        self._resync = Background(self._resync_for_ever)

    async def history(
        self, order_id: str, after: int, owner: int | None = None, *, is_operator: bool = False
    ) -> list[Event]:
        """Return the events after this seq, in order, of an order of `owner` or an anonymous one.

        Operators see every order.

        :raises UnknownOrder: no order has this id, or it is another's.
        :raises psycopg.Error: the database does not answer.
        """
        rows = await self._link.fetch(HISTORY, (after, order_id, is_operator, owner))
        if not rows:
            raise UnknownOrder(str(order_id))
        return [
            Event(row[0], row[1], Status(row[2]), *row[3:]) for row in rows if row[1] is not None
        ]

    async def connect(self) -> None:
        """:raises psycopg.Error: the database does not answer."""
        async with self._link.connection():
            pass

    def watch(self, watch: Watch) -> None:
        """Have the socket told whenever the order's log is longer than what it sent."""
        self._watches.add(watch)
        self._resync.begin()

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)

    async def close(self) -> None:
        await self._resync.stop()
        await self._link.close()

    async def _resync_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            if not self._watches:
                continue
            watches = list(self._watches)
            try:
                await self._compare(watches)
            except psycopg.Error as error:
                logger.warning("resync: %s", error)

    async def _compare(self, watches: list[Watch]) -> None:
        """Tell the sockets that have sent more, or fewer, events than their orders' logs have.

        A log that is shorter means that the database went back in time. Its socket goes on from
        the end of the log.
        """
        ids, sent = [watch.order_id for watch in watches], [watch.sent for watch in watches]
        shorter = 0
        for place, seq in await self._link.fetch(BEHIND, (ids, sent)):
            watch = watches[place - 1]
            if seq < sent[place - 1]:
                shorter += 1
                watch.sent = min(watch.sent, seq)
            watch.tell_behind(watch.order_id)
        if shorter:
            logger.warning(
                "%d streams are ahead of their orders' logs: the database went back in time; they"
                " go on from what is there",
                shorter,
            )


@once_per_loop
def streams_of_this_loop() -> Streams:
    """Return the running loop's streams, made at the first call."""
    return Streams()
