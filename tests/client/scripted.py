"""A server that answers as a test says: by HTTP in turn, and over WebSockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HangUp:
    """The connection ends without an answer."""


@dataclass(frozen=True)
class Asked:
    """What was asked, its body parsed."""

    line: str
    headers: Mapping[str, str]
    body: Any

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")


@dataclass
class Script:
    """Gives its answers in turn, the last of them for ever."""

    answers: Sequence[Answer | HangUp]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [one.line for one in self.asked]

    @property
    def keys(self) -> list[str | None]:
        return [one.key for one in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            named = (line.split(": ", 1) for line in head[1:] if line)
            headers = {name.lower(): value for name, value in named}
            text = await reader.readexactly(int(headers.get("content-length", 0)))
            answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
            line = head[0].removesuffix(" HTTP/1.1")
            self.asked.append(Asked(line, headers, json.loads(text) if text else None))
            if isinstance(answer, Answer):
                writer.write(_encoded(answer))
        finally:
            writer.close()


def _encoded(answer: Answer) -> bytes:
    body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
    headers = {**answer.headers, "content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {one}" for name, one in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def answering(*answers: Answer | HangUp) -> AsyncIterator[Script]:
    """A server that gives these answers in turn, the last of them for ever."""
    script = Script(answers)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()


@dataclass(frozen=True)
class Close:
    code: int


@dataclass(frozen=True)
class Cut:
    """The connection ends without a close frame."""


@dataclass(frozen=True)
class Silence:
    """The connection stays, and nothing is said on it any more."""


Told = dict[str, Any] | Close | Cut | Silence


@dataclass
class Streams:
    """An engine whose lines say what a test says: each one that is opened has the next script."""

    lines: Sequence[Sequence[Told]]
    rest: Mapping[str, Any] = field(default_factory=dict)
    """The answers to other GETs, by path and query."""
    url: str = ""
    opened: list[str] = field(default_factory=list)
    """Path and query of each line."""
    asked: list[str] = field(default_factory=list)
    """Path and query of each other GET."""

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        for told in self._next(socket.request.path):
            match told:
                case Close(code):
                    await socket.close(code)
                case Cut():
                    socket.transport.abort()
                case Silence():
                    await socket.wait_closed()
                case _:
                    await socket.send(json.dumps(told))
        await socket.wait_closed()

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer what is no WebSocket: an SSE stream that ends at once, a page of the feed, …"""
        path = request.path
        if path.startswith("/ws/"):
            return None
        if path.startswith("/api/orders/stream"):
            told = [one for one in self._next(path) if isinstance(one, dict)]
            text = "".join(
                f"event: {one['type']}\ndata: {json.dumps(one, ensure_ascii=False)}\n\n"
                for one in told
            )
            return _response(socket, text, "text/event-stream")
        if path.startswith("/api/events"):
            page = [one for one in self._next(path) if isinstance(one, dict)]
            if page[0]["type"] == "error":
                return _response(socket, json.dumps(page[0]), status=page[0]["httpStatus"])
            events = [one for one in page if one["type"] == "status_update"]
            cursor = next(one["cursor"] for one in reversed(page) if "cursor" in one)
            return _response(socket, json.dumps({"events": events, "cursor": cursor}))
        self.asked.append(path)
        return _response(socket, json.dumps(self.rest[path]))

    def _next(self, path: str) -> Sequence[Told]:
        self.opened.append(path)
        return self.lines[min(len(self.opened), len(self.lines)) - 1]


def _response(
    socket: ServerConnection, text: str, kind: str = "application/json", status: int = 200
) -> Response:
    response = socket.respond(HTTPStatus(status), text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = kind
    return response


@asynccontextmanager
async def streaming(
    *lines: Sequence[Told], rest: Mapping[str, Any] | None = None
) -> AsyncIterator[Streams]:
    """An engine whose lines say these things, the last of them for every later line."""
    found = Streams(lines, rest or {})
    async with serve(found.serve, "127.0.0.1", 0, process_request=found.answer) as server:
        found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield found
