"""One HTTP connection: uvicorn's own, and what networks and HTTP ask for beyond it.

Four things differ from uvicorn, because orders depend on each of them:

An offer to change to another protocol (`Upgrade: h2c`) is ignored, as RFC 9110 (7.8) allows. The
parser ends a message at such an offer. Without this the body would be lost, or read as a request.

A client that half-closes after its request gets its answer. A client that half-closes in the
middle of a body is told that nothing was taken.

A request that cannot be read is refused in our words, after the answers that are due before it.

A stranger cannot use up our time or memory. There are limits for the size of a head, for the time
in which a request must come and an answer must be read, and for the connections of each client
(`config/http/door.py`).
"""

import asyncio
import logging
import re
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from config.http import door
from config.http.line import LINE, Line
from config.http.refusal import LINGER_SECONDS, Header, Refusal
from config.runtime.counters import counts

logger = logging.getLogger(__name__)

KEY = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch
INTERIM = b"HTTP/1.1 100"  # "go on", before the answer
MAX_HEAD = 65_536  # bytes; browsers send a few thousand
REQUEST_SECONDS = 10.0  # for a request to come, whole
ANSWER_SECONDS = 30.0  # for a client to take something of its answer
MAX_LINGERING = 256  # refused connections that may still hear why
SPOKEN = frozenset(("1.0", "1.1"))  # of 0.9, no answer has a head
OFFER = frozenset((b"upgrade", b"http2-settings"))
VERSION_HEADERS: tuple[Header, ...] = (
    (b"sec-websocket-version", b"13"),
    (b"upgrade", b"websocket"),
)

UNREADABLE = Refusal(400, "bad_request", "This is no HTTP request that can be read.")
CUT_SHORT = Refusal(400, "bad_request", "The body ended before it was complete.")
LARGE_HEAD = Refusal(431, "head_too_large", f"A request's head may have {MAX_HEAD} bytes.")
TOO_SLOW = Refusal(
    408, "request_timeout", f"A request has to come whole within {REQUEST_SECONDS:.0f} seconds."
)
NO_HOST = Refusal(400, "bad_request", "A request needs one Host header.")
NO_TUNNEL = Refusal(501, "bad_request", "This is no proxy: CONNECT is not served.")
NO_HANDSHAKE = Refusal(
    400,
    "bad_handshake",
    "A WebSocket is opened by a GET without a body, and with nothing before it that is unanswered."
    " To send an order by POST, leave the Upgrade header out.",
)
NO_KEY = Refusal(400, "bad_handshake", "A handshake needs one Sec-WebSocket-Key of 16 bytes.")
OTHER_VERSION = Refusal(
    426, "websocket_version", "WebSockets are served in version 13.", VERSION_HEADERS
)


class OnePiece:
    """What an answer is written to: its head leaves with the first piece of its body.

    Two writes are two packets, each as dear as reading an order.
    """

    __slots__ = ("_head", "_is_head_due", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        self._is_head_due = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._is_head_due and not data.startswith(INTERIM):
            self._is_head_due, self._head = False, data
            return
        head, self._head = self._head, b""
        self._transport.writelines((head, data)) if head else self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()


class Refused(Exception):
    """The request is not served, and nothing after it on its connection is read."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.detail)


class Connection(HttpToolsProtocol):
    """What uvicorn makes for each connection (`--http config.http.connection:Connection`)."""

    _last_word: bytes | None = None  # then nothing more is read
    _has_ended = False
    _peer = ""
    _has_place = False
    _deadline: asyncio.TimerHandle | None = None  # of the request that is coming
    _unread: asyncio.TimerHandle | None = None  # until the client takes more of its answer
    _is_in_head = False
    _unheard = 0  # bytes since the parser last made something of them
    lingering = 0  # of all connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.line = Line(transport)
        self._peer = self.client[0] if self.client else ""
        refusal = door.refusal_of_connection(self._peer, len(self.connections))
        self._has_place = refusal is None
        if refusal is None:
            self._await_request()
        elif Connection.lingering < MAX_LINGERING:
            self._refuse(refusal)
        else:
            self._last_word = b""
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        self.resume_writing()
        self._leave()
        if self._has_ended:
            self._has_ended = False
            Connection.lingering -= 1
        super().connection_lost(exc)
        asyncio.get_running_loop().call_soon(self._forget_parser)

    def shutdown(self) -> None:
        super().shutdown()
        self.line.stop()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(ANSWER_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._last_word is not None:
            return
        self._unset_keepalive_if_required()
        try:
            self._read(data)
        except Refused as refused:
            self._refuse(refused.refusal)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.refusal if isinstance(cause, Refused) else UNREADABLE)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's may; uvicorn's says none
        """Stay, if an answer is due; True keeps our side open."""
        cycle = self.cycle
        if self._last_word is None and cycle is not None and not cycle.response_complete:
            if cycle.more_body:
                self._refuse(CUT_SHORT)
            cycle.keep_alive = False
            self.line.end_input()
            return not self._has_ended
        return self._last_word is not None and not self._has_ended

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        if self._deadline is None:  # else the connection's first request, or one read again
            self._await_request()

    def on_body(self, body: bytes) -> None:
        self._unheard = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._unheard, self._is_in_head = 0, False
        if refusal := self._refusal():
            raise Refused(refusal)
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # read again without the offer
        self.scope["extensions"] = {LINE: self.line}  # type: ignore[dict-item]  # ours
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # trailers come here, which are no headers of the request
            if self.parser.get_method() != b"HEAD":  # its answer has no body to go with
                cycle: Any = self.cycle
                cycle.transport = OnePiece(self.transport)

    def on_message_complete(self) -> None:
        self._unheard = 0
        if not self.parser.should_upgrade():
            self._stop_awaiting()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if self._last_word is not None and was_last:
            self._end()

    def handle_websocket_upgrade(self) -> None:
        # uvicorn fails on values that are not ASCII; of several protocols it wants this one alone.
        others = [(name, _ascii(value)) for name, value in self.headers if name != b"upgrade"]
        self.headers[:] = [*others, (b"upgrade", b"websocket")]
        self._stop_awaiting()
        self.resume_writing()
        super().handle_websocket_upgrade()
        protocol: Any = self.transport.get_protocol()
        if hasattr(protocol, "leave") and self._has_place:
            self._has_place = False
            protocol.leave = partial(door.give_back, self._peer)  # and nothing else of this object
        else:
            self._leave()
        asyncio.get_running_loop().call_soon(self._forget_parser)

    def _forget_parser(self) -> None:
        """End the circle of this object and its parser: the collector is late with circles."""
        vars(self).pop("parser", None)

    def _read(self, data: bytes) -> None:
        """Give the data to the parser.

        :raises HttpParserError: not HTTP, or refused by what the parser called.
        :raises Refused: it makes no request.
        """
        while data:
            piece, data = data[:MAX_HEAD], data[MAX_HEAD:]
            self._unheard += len(piece)
            try:
                self.parser.feed_data(piece)
                if self._unheard > MAX_HEAD or _size(self.headers or []) > MAX_HEAD:
                    raise Refused(LARGE_HEAD)
            except httptools.HttpParserUpgrade as offer:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    self._hand_on(piece[offer.args[0] :] + data)
                    return
                data = self._head_without_offer() + piece[offer.args[0] :] + data
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _hand_on(self, frames: bytes) -> None:
        """Keep the frames of a client that does not wait for the handshake's answer."""
        if frames:
            self.transport.get_protocol().data_received(frames)  # type: ignore[attr-defined]

    def _head_without_offer(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(option for option in _words(value) if option not in OFFER)
            if name not in OFFER:
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    def _should_upgrade(self) -> bool:
        return self.parser.get_http_version() == "1.1" and any(
            name == b"upgrade" and b"websocket" in _words(value) for name, value in self.headers
        )

    def _await_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._end_awaiting)

    def _stop_awaiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_awaiting(self) -> None:
        """Give up a request that did not come in time; a client that sent a part is told so."""
        self._deadline = None
        if self._last_word is not None or self.transport.is_closing():
            return
        is_answered = self.cycle is None or self.cycle.response_complete
        if self.flow.read_paused:  # we do not read: that is not the client's fault
            self._await_request()
        elif is_answered and not self._is_in_head:  # a connection for later, or a body for nobody
            self.transport.close()
        else:
            self._refuse(TOO_SLOW)

    def _leave(self) -> None:
        if self._has_place:
            self._has_place = False
            door.give_back(self._peer)

    def _refusal(self) -> Refusal | None:
        """Return why the request whose head has come is not served."""
        version = self.parser.get_http_version()
        if not self.url.isascii() or version not in SPOKEN:
            return UNREADABLE
        if len(self.url) + _size(self.headers or []) > MAX_HEAD:
            return LARGE_HEAD
        hosts = 0
        for name, _ in self.headers:
            hosts += name == b"host"
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            return NO_HOST
        if not self.parser.should_upgrade():
            return None
        if self.parser.get_method() == b"CONNECT":
            return NO_TUNNEL
        return self._refusal_of_handshake() if self._should_upgrade() else None

    def _refusal_of_handshake(self) -> Refusal | None:
        headers = dict(self.headers)
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self.parser.get_method() != b"GET" or has_body or is_busy:
            return NO_HANDSHAKE
        if [value for name, value in self.headers if name == b"sec-websocket-version"] != [b"13"]:
            return OTHER_VERSION
        keys = [value for name, value in self.headers if name == b"sec-websocket-key"]
        return None if len(keys) == 1 and KEY(keys[0]) else NO_KEY

    def _refuse(self, refusal: Refusal) -> None:
        """Read nothing more; say why, once all that was asked before is answered."""
        logger.info("a request was refused: %s", refusal.detail)
        counts[f"http_requests:{refusal.status // 100}xx"] += 1
        self._last_word = refusal.as_bytes()
        self._stop_awaiting()
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._end()
        elif cycle.more_body:
            self._give_up(cycle)

    def _give_up(self, cycle: RequestResponseCycle) -> None:
        """Let the request whose body cannot be read see its client go."""
        cycle.disconnected = True
        cycle.message_event.set()
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return
        if cycle.response_started:
            self._last_word = b""
        self._end()

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            Connection.lingering += 1
        self._unset_keepalive_if_required()
        if self._last_word is None or self.transport.is_closing():
            return
        self.transport.write(self._last_word)
        self.transport.write_eof()
        self.timeout_keep_alive_task = self.loop.call_later(
            LINGER_SECONDS, self.timeout_keep_alive_handler
        )


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    """Return how many bytes headers, or trailers, had on the wire."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value) + len(b": \r\n")
    return size


def _ascii(value: bytes) -> bytes:
    return value if value.isascii() else value.decode("ascii", "replace").encode("ascii", "replace")


def _words(value: bytes) -> list[bytes]:
    return [word.strip() for word in value.lower().split(b",")]
