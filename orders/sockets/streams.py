"""What all sockets of a web process share: the reading of logs, and the resync.

Once a second one query asks for orders whose log is longer than what a socket has sent. So a hint
that was lost costs a second and never an event.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextvars import Context
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from config.environment.first_cause import CannotStart
from config.environment.fitness import check_fitness
from config.http.door import raise_limit
from config.runtime import garbage_collector
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from config.runtime.sentences import WRONG, say
from orders.access.accounts import accounts_of_this_loop
from orders.access.admission import backlog_of_this_loop, limiter_of_this_loop
from orders.engine.bell import ringer_of_this_loop
from orders.engine.journal import conninfo, journal_of_this_loop
from orders.events import Event
from orders.lifecycle import Status
from orders.monitoring import health
from routing.registry import read_again

logger = logging.getLogger(__name__)

RESYNC_SECONDS = 1.0
CLOSE_SECONDS = 1.0  # at the end of a web process, after those who asked had theirs
# The last one is uvloop's, for a connection to Redis that was reset in this very moment.
LAYER_FAULTS = (RedisError, OSError, TimeoutError, RuntimeError)
HISTORY = """
SELECT orders.id::text, event.seq, event.status, event.attempt, event.message, event.at, event.data
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
        self._resync: asyncio.Task[None] | None = None
        self._is_listening = False

    async def history(
        self, order_id: str, after: int, owner: int | None = None, *, is_operator: bool = False
    ) -> list[Event]:
        """Return the events after this seq, in order, of an order of `owner` or of nobody.

        Operators see every order.

        :raises UnknownOrder: no order has this id, or it is another's.
        :raises psycopg.Error: the database does not answer.
        """
        rows = await self._link.fetch(HISTORY, (after, order_id, is_operator, owner))
        if not rows:
            raise UnknownOrder(str(order_id))
        return [
            Event(row[0], row[1], Status(row[2]), row[3], row[4], row[5], row[6])
            for row in rows
            if row[1] is not None
        ]

    async def connect(self) -> None:
        """:raises psycopg.Error: the database does not answer."""
        async with self._link.connection():
            pass

    async def new_channel(self, layer: Any) -> str:
        """Return a channel of the layer for one socket.

        Keeps one more for ever: without any, the layer's listener looks only every 0.1 s whether
        it is needed, and the first hints of the next socket would wait for that.

        Asks twice, because a connection that was reset is only found out, and opened anew, by
        the next who uses it.

        :raises LAYER_FAULTS: Redis does not answer.
        """
        try:
            return await self._new_channel(layer)
        except LAYER_FAULTS:
            return await self._new_channel(layer)

    def watch(self, watch: Watch) -> None:
        """Have the socket told whenever the order's log is longer than what it sent."""
        self._watches.add(watch)
        if self._resync is None:
            # In a context of its own: it serves all sockets, not the one that came first.
            self._resync = asyncio.create_task(self._resync_for_ever(), context=Context())

    def unwatch(self, watch: Watch) -> None:
        self._watches.discard(watch)

    async def close(self) -> None:
        if self._resync is not None:
            self._resync.cancel()
            await asyncio.gather(self._resync, return_exceptions=True)
            self._resync = None
        await self._link.close()

    async def _new_channel(self, layer: Any) -> str:
        if not self._is_listening:
            await layer.new_channel()
            self._is_listening = True
        channel: str = await layer.new_channel()
        return channel

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
        """Tell the sockets whose orders have another length of log than they have sent.

        A shorter one is a database that went back in time: the socket goes on from its end.
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


async def warm_up() -> None:
    """Open the connections that the first order would otherwise wait for, if there is a server.

    And learn what is traded.
    """
    try:
        await read_again()
        await streams_of_this_loop().connect()
        await journal_of_this_loop().connect()
    except (psycopg.Error, DatabaseError, InterfaceError) as error:
        logger.warning("the database does not answer yet: %s", error)


async def close_connections() -> None:
    """Close all that this loop has opened to take orders and to follow them."""
    await streams_of_this_loop().close()
    await ringer_of_this_loop().close()
    await journal_of_this_loop().close()
    await accounts_of_this_loop().close()
    await health.probes_of_this_loop().close()
    await backlog_of_this_loop().close()
    if (limiter := limiter_of_this_loop()) is not None:
        await limiter.close()


async def close_in_time() -> None:
    """Close what can be closed within the server's grace; the end of the process closes all."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await close_connections()
    except TimeoutError:
        logger.warning("connections were not closed in time, they end with the process")


async def end_if_unfit() -> None:
    """End this process with a sentence if the database will never serve it.

    At once, as nothing was begun: uvicorn would say a second sentence, and end with its own code.
    """
    try:
        await check_fitness(conninfo())
    except CannotStart as error:
        say(str(error))
        os._exit(WRONG)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Beat while the server runs, close its connections when it stops (ASGI's lifespan)."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await end_if_unfit()
            raise_limit()
            await warm_up()
            await asyncio.to_thread(health.known_migrations)
            garbage_collector.settle()
            health.keep_turning("the event loop")
            health.keep_beating("web")
            await send({"type": "lifespan.startup.complete"})
        if message["type"] == "lifespan.shutdown":
            health.stop_beating()
            await close_in_time()
            await send({"type": "lifespan.shutdown.complete"})
            return
