"""`GET /api/orders/stream`: every event of every order of an account, as server-sent events.

Each has the JSON of a frame on `/ws/orders` as data, and its `type` as name. A browser that comes
again names the last checkpoint by itself (`Last-Event-ID`).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable
from typing import Any

from config.http.line import line_of
from config.http.refusal import Send
from config.http.socket_origin import header
from config.runtime.counters import counts
from config.runtime.session import answered_within
from orders.api.base_views import ANSWER_SECONDS
from orders.api.following.door import Asked, said_of
from orders.api.following.ending import Ending, Why, ending_of
from orders.api.problems import error_frame, problem
from orders.api.reading.event_query import CHOICES, position_in, read_choice
from orders.streams.account_log import Choice
from orders.streams.account_reader import HEARTBEAT_SECONDS, PING, AccountReader, encode
from orders.streams.account_tail import Told, account_tail_of_this_loop
from orders.streams.cursor import Position
from orders.streams.open_orders import open_orders

logger = logging.getLogger(__name__)

PARAMETERS = {*CHOICES, "cursor", "snapshot", "ticket"}
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
RETRY = b"retry: 1000\n\n"
SEND_SECONDS = 10.0  # for a client to take what is sent
LAST_WORD_SECONDS = 1.0  # to say why the stream ends
MOST_KEPT = 200
"""Messages for a client that does not take them at once. If there are more, it is behind."""
PIECE = 16_384  # bytes, about, that are sent at once
LINE_END = re.compile(r"\r\n|\r|\n")
WITHDRAWN = "The credential of this stream no longer holds."


class TooSlow(Exception):
    """The client does not take what is sent. It may come again with its last cursor."""


class Over(Exception):
    """The stream is to end."""


async def answer_by_stream(asked: Asked) -> None:
    """Tell of the account's events until the client goes.

    :raises ValidationError, UnknownCursor, LogLost: the query is refused; nothing was begun.
    :raises psycopg.Error, django.db.Error: the database does not answer; nothing was begun.
    """
    query = asked.query(PARAMETERS)
    if last := (header(asked.scope, b"last-event-id") or "").strip():
        query["cursor"] = last
    with answered_within(ANSWER_SECONDS):
        choice = await read_choice(query)
        position = await position_in(query, asked.owner)
    await asked.start(200, HEADERS)
    if asked.is_head:
        await asked.send({"type": "http.response.body", "body": b""})
        return
    with ending_of(asked.scope, asked.receive, asked.principal, reads_on=True) as ending:
        stream = EventStream(asked.send, asked.owner, choice, position)
        counts["sockets_opened"] += 1
        try:
            await tell(asked, stream, ending, shows_open="snapshot" in query)
        finally:
            counts["sockets_closed"] += 1


async def tell(asked: Asked, stream: "EventStream", ending: Ending, *, shows_open: bool) -> None:
    """Have the stream tell what happens until it is to end, or cannot go on; say why."""
    telling = asyncio.create_task(stream.tell_for_ever(shows_open=shows_open))
    try:
        await asyncio.wait((telling, ending.why), return_when=asyncio.FIRST_COMPLETED)
    finally:
        found = await stream.stop(telling)
    if ending.reason is Why.GONE:
        return
    if isinstance(found, TooSlow) or not await stream.end(last_word(asked, ending, found)):
        logger.info("a client was too slow")
        line_of(asked.scope).cut()
        await ending.wait_until_gone()


def last_word(asked: Asked, ending: Ending, found: Any) -> bytes:
    """Return what is said at the end of a stream, and why it ends: `found` was raised."""
    if ending.reason is Why.WITHDRAWN:
        return written(error_frame(problem(401, "not_authenticated", WITHDRAWN)), "error")
    if ending.reason is Why.STOP:
        return b""
    told, _ = said_of(found, asked.scope["path"])
    return written(error_frame(told), "error")


class EventStream:
    """Tells one client of one account."""

    def __init__(self, send: Send, owner: int, choice: Choice, position: Position) -> None:
        self._send = send
        self._kept: list[bytes] = []
        self._news = asyncio.Event()
        self._is_behind = self._is_open = self._is_over = self._is_idle = False
        self._reader = AccountReader(
            owner, choice, position, tell=self._tell, say=self._say, wake=self._wake
        )

    async def tell_for_ever(self, *, shows_open: bool) -> None:
        """:raises Over: it was stopped.
        :raises TooSlow: the client does not take it.
        :raises UnknownCursor, LogLost, psycopg.Error: it cannot be told further.
        """
        self._is_open = True
        await account_tail_of_this_loop().open(self._reader)
        cursor = self._reader.position.as_cursor()
        hello = {"type": "hello", "cursor": cursor, "heartbeatSeconds": HEARTBEAT_SECONDS}
        await self._write(RETRY + written(encode(hello), "hello", cursor))
        if shows_open:
            async for orders, more in open_orders(self._reader.owner, self._reader.choice):
                page = {"type": "snapshot", "orders": orders, "more": more}
                await self._write(written(encode(page), "snapshot"))
        self._wake()
        while True:
            await self._without_query(self._news.wait())
            self._news.clear()
            await self._write_kept()
            if self._is_behind:
                await self._catch_up()

    async def end(self, last_word: bytes) -> bool:
        """Return whether the client takes the last word."""
        last = {"type": "http.response.body", "body": last_word, "more_body": False}
        try:
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self._send(last)
        except TimeoutError:
            return False
        return True

    async def stop(self, telling: asyncio.Task[None]) -> BaseException | None:
        """End the telling, and return what it raised.

        A query is not cancelled: the connection, which all readers share, would be lost.
        """
        self._is_over = True
        if self._is_idle or not self._is_open:
            telling.cancel()
        (found,) = await asyncio.gather(telling, return_exceptions=True)
        if self._is_open:
            await account_tail_of_this_loop().close_reader(self._reader)
        del self._reader  # a circle, which would wait for the collector
        return found

    def _tell(self, told: Told) -> bool:
        return self._keep(told.made(event_of))

    def _say(self, text: str, position: Position | None) -> bool:
        return self._keep(message_of(text, position))

    def _keep(self, message: bytes) -> bool:
        if len(self._kept) >= MOST_KEPT:
            return False
        self._kept.append(message)
        self._news.set()
        return True

    def _wake(self) -> None:
        self._is_behind = True
        self._news.set()

    async def _write_kept(self) -> None:
        while self._kept:
            kept, self._kept = self._kept, []
            await self._write(b"".join(kept))

    async def _catch_up(self) -> None:
        """Read the log to its end, and join those that hear of what is new."""
        self._is_behind = False
        piece = bytearray()
        async for one in self._reader.catch_up():
            if isinstance(one, Told):
                piece += one.made(event_of)
                if len(piece) < PIECE:
                    continue
            else:
                piece += message_of(one, None if one is PING else self._reader.position)
            await self._write(bytes(piece))
            piece.clear()

    async def _write(self, data: bytes) -> None:
        if self._is_over:
            raise Over
        message = {"type": "http.response.body", "body": data, "more_body": True}
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._without_query(self._send(message))
        except TimeoutError:
            raise TooSlow from None

    async def _without_query(self, waiting: Awaitable[Any]) -> None:
        self._is_idle = True
        try:
            await waiting
        finally:
            self._is_idle = False


def event_of(text: str) -> bytes:
    """Return an order's event as it is sent; made once for all streams (`Told.made`)."""
    return written(text, "status_update")


def message_of(text: str, position: Position | None) -> bytes:
    """Return a checkpoint with its id, or a ping."""
    if position is None:
        return written(text, "ping")
    return written(text, "checkpoint", position.as_cursor())


def written(text: str, name: str, cursor: str | None = None) -> bytes:
    """Return a message as a server-sent event. A line's end in it, which JSON may have, is kept."""
    if "\n" in text or "\r" in text:
        text = "\ndata: ".join(LINE_END.split(text))
    place = "" if cursor is None else f"id: {cursor}\n"
    return f"event: {name}\n{place}data: {text}\n\n".encode()
