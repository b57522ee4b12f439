"""How a socket opens, hears, says and closes, whatever is followed on it (`consumers.py`)."""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import parse_qs

import psycopg
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.utils import await_many_dispatch
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import ValidationError

from config.http.door import (
    RETRY,
    RETRY_SECONDS,
    TOO_MANY_SOCKETS,
    WRITE,
    can_be_told,
    refuse_handshake,
)
from config.http.refusal import Refusal
from config.runtime.counters import counts
from orders.access.accounts import ANONYMOUS, NotAuthenticated, accounts_of_this_loop
from orders.access.authentication import (
    CHALLENGE,
    InsufficientScope,
    authenticate_socket,
    tell_of_limit,
)
from orders.access.keys import READ
from orders.api.filters import check_query
from orders.api.problems import (
    DatabaseUnavailable,
    Problem,
    encode_json,
    error_frame,
    invalid_fields,
    problem,
    problem_of,
)
from orders.api.reading.dialects import PONG, is_ping
from orders.api.reading.parsers import MalformedJSON, parse_json
from orders.api.schema.close_codes import Close as Close

__all__ = ["DATABASE_ERRORS", "Close", "Ended", "Socket", "Write", "encode_json", "error_frame"]

logger = logging.getLogger(__name__)

SEND_SECONDS = 10.0  # for one message, to a client that does not read
LAYER_SECONDS = 1.0  # for Redis to answer; without it the resync serves
LAST_WORD_SECONDS = 1.0  # to say why a socket is closed
HEARING_SECONDS = 1.0  # for the client to hear it
MAX_FRAMES = 200  # a second
TOO_SLOW = "You read too slowly: come again with the last cursor or seq that you have seen."
DATABASE_ERRORS = (psycopg.Error, OperationalError, InterfaceError)


# The message types that each source may send. So a message in Redis cannot call other methods.
FROM_SERVER = frozenset({"websocket.connect", "websocket.receive", "websocket.disconnect"})
FROM_OURSELVES = frozenset(
    {
        *("order.event", "order.ended", "order.behind", "order.idle"),
        *("account.told", "account.behind"),
        *("entry.answered", "newest.told", "credential.withdrawn", "quote.due"),
    }
)
Receive = Callable[[], Awaitable[dict[str, Any]]]
Write = Callable[[bytes], bool]


def cannot_write(frame: bytes) -> bool:
    """Stand in for the server's `write`, where it has none."""
    return False


class Ended(StopConsumer):  # type: ignore[misc]  # Channels has no types
    """The socket is to be closed with this code; nothing more is read or told."""

    def __init__(self, code: Close) -> None:
        self.code = code
        super().__init__(code)


class Socket(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """One WebSocket: for whom it acts, what it takes from where, and how it ends."""

    principal = ANONYMOUS
    _is_open = _is_known = _has_gone = _is_at_rest = False
    _frames, _second = 0, 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Channels' own loop, with our own nudges as a source.

        What the layer brings is for all sockets of the process (`followers.py`).
        """
        self.scope, self.base_send = scope, self._send_if_there
        self._receive, self._send = receive, send
        self._write: Write = (scope.get("extensions") or {}).get(WRITE, cannot_write)
        self.nudges: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        sources = [
            functools.partial(self._next, FROM_SERVER, self._hear_when_ready),
            functools.partial(self._next, FROM_OURSELVES, self.nudges.get),
        ]
        counts["sockets_opened"] += 1
        try:
            await await_many_dispatch(sources, self.dispatch)
        except Ended as ended:
            await self._close(ended.code)
        except StopConsumer:
            pass
        finally:
            counts["sockets_closed"] += 1
            await self.finish()
            del self.base_send  # a circle, which would wait for the collector
            accounts_of_this_loop().unwatch(self.principal, self._withdraw)

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own dispatch closes Django's connections at every message, in the one thread
        # that all sockets share. These handlers never open such a connection.
        self._is_at_rest = False
        await getattr(self, get_handler_name(message))(message)
        self._is_at_rest = True  # not after an error, which ends the socket

    async def accept(self, *args: Any, **options: Any) -> None:
        """Accept the socket, unless a server that was asked to stop has just refused it."""
        try:
            await super().accept(*args, **options)
        except RuntimeError as error:  # "got 'websocket.accept'": ASGI has no other word for it
            logger.info("a socket was refused before it was accepted: %s", error)
            raise StopConsumer from error
        self._is_open = True

    async def admit(self, scope: str = READ) -> None:
        """Open the socket; a program that may not have it is told by a status instead."""
        if can_be_told(self.scope):
            await self.identify(scope)
        await self.accept()

    async def identify(self, scope: str = READ) -> None:
        """Learn for whom this socket acts, for as long as its credential holds.

        A key that is not for `scope` is refused.
        """
        if not self._is_known:
            await self._learn_for_whom()
        if not self.principal.may(scope):
            refused = InsufficientScope(scope)
            await self.end(Close.NOT_FOR_THIS, problem_of(refused), refused.auth_header)

    async def check_query(self, known: set[str]) -> None:
        """Refuse what the query has beside these, so that nothing is dropped in silence."""
        try:
            check_query(self._query_lists().items(), known)
        except ValidationError as refused:
            await self.end(Close.JUNK, invalid_fields(refused))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        frame = await self._read_frame(text_data)
        if is_ping(frame):
            await self.say(encode_json({"type": PONG}))
        else:
            await self.handle_frame(frame)

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        """Do what a frame asks for; pings are answered before."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until this socket takes one more frame."""

    async def finish(self) -> None:
        """Wait for what is under way, when nothing more is read or told."""

    def uncount_frame(self) -> None:
        """Take back that the last frame counts: what it asks for is limited otherwise."""
        self._frames -= 1

    async def say(self, text: str) -> None:
        """Send a message; a client that does not take it in time is told so, and let go."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.send(text)
        except TimeoutError:
            logger.info("a client was too slow")
            counts["readers_cut_off"] += 1
            await self.end(Close.TOO_SLOW, problem(408, "too_slow", TOO_SLOW))

    def say_at_once(self, frame: bytes) -> bool:
        """Write a frame if nothing else is to be said before, and the client takes it at once."""
        return self._is_at_rest and self.nudges.empty() and self._write(frame)

    async def say_problem(self, found: Problem) -> None:
        await self.say(error_frame(found))

    async def end(self, code: Close, found: Problem, challenge: str = CHALLENGE) -> NoReturn:
        """Say why, and close; a client that reads nothing is not waited for."""
        if not self._is_open and can_be_told(self.scope):
            asked = ((b"www-authenticate", challenge.encode()),)
            headers = RETRY if code == Close.TOO_MUCH else asked
            said = Refusal(found["status"], found["error"], found["detail"], headers)
            await refuse_handshake(self.scope, self._send, said)
            raise StopConsumer
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self.send(error_frame(found))
        raise Ended(code)

    async def credential_withdrawn(self, nudge: dict[str, Any]) -> None:
        detail = "The credential of this socket no longer holds."
        await self.end(Close.WHO_ARE_YOU, problem(401, "not_authenticated", detail))

    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self._query_lists().items()}

    async def _learn_for_whom(self) -> None:
        try:
            self.principal = await authenticate_socket(self.scope)
        except NotAuthenticated as refused:
            found = problem(401, "not_authenticated", str(refused))
            await self.end(Close.WHO_ARE_YOU, found)
        except DATABASE_ERRORS:
            if not self._is_open:
                await self.accept()
            await self.end(Close.TRY_AGAIN_LATER, problem_of(DatabaseUnavailable()))
        self._is_known = True
        place = self.scope.get("place")
        if place and self.principal.owner and not place.move(f"account:{self.principal.owner}"):
            counts["sockets_refused"] += 1
            tell_of_limit("sockets", self.scope, self.principal)
            found = problem(
                429, "too_many_sockets", TOO_MANY_SOCKETS.detail, retryAfter=RETRY_SECONDS
            )
            await self.end(Close.TOO_MUCH, found)
        accounts_of_this_loop().watch(self.principal, self._withdraw)

    def _withdraw(self) -> None:
        self.nudges.put_nowait({"type": "credential.withdrawn"})

    async def _next(self, taken: frozenset[str], receive: Receive) -> dict[str, Any]:
        """Return the next message of a source that may come from it; count the others."""
        while True:
            message = await receive()
            if message["type"] in taken:
                return message
            counts["messages_passed_over"] += 1

    async def _hear_when_ready(self) -> dict[str, Any]:
        await self.ready()
        return await self._hear()

    async def _hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._receive()
        self._has_gone = message["type"] == "websocket.disconnect"
        return message

    def _query_lists(self) -> dict[str, list[str]]:
        return parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    async def _read_frame(self, text: str | None) -> dict[str, Any]:
        """Return the JSON object in a frame; anything else ends the socket."""
        if self._is_flooding():
            await self.end(Close.TOO_MUCH, problem(429, "too_many_frames", "Send less at once."))
        try:
            if text is None:
                raise MalformedJSON("binary frames are not read")
            frame = parse_json(text)
            if not isinstance(frame, dict):
                raise MalformedJSON("a frame is a JSON object")
        except MalformedJSON as error:
            await self.end(Close.JUNK, problem(400, "malformed_json", f"Not readable: {error}."))
        return frame

    def _is_flooding(self) -> bool:
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._frames = now, 0
        self._frames += 1
        return self._frames > MAX_FRAMES

    async def _close(self, code: Close) -> None:
        """Close, and meanwhile drop what still comes.

        A client that is still sending reads the code only after its frames are taken. And if
        frames are unread when the connection ends, the code is lost.
        """
        dropping = asyncio.create_task(self._drop_frames())
        try:
            with suppress(StopConsumer):
                await self.close(code)
        finally:
            dropping.cancel()
            await asyncio.gather(dropping, return_exceptions=True)

    async def _drop_frames(self) -> None:
        """Read for a while, or until the client has gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARING_SECONDS):
                while not self._has_gone:
                    await self._hear()

    async def _send_if_there(self, message: dict[str, Any]) -> None:
        """Send. If the client has gone, stop instead: the server would raise an error."""
        if self._has_gone:
            raise StopConsumer
        await self._send(message)
