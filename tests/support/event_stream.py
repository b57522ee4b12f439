"""The client's end of `GET /api/orders/stream`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from asgiref.testing import ApplicationCommunicator

from config.asgi import application
from config.http.line import LINE, Line
from tests.support.client import CREDENTIALS, HOST, PATIENCE

STREAM = "/api/orders/stream"


class Parser:
    """Reads server-sent events, as the HTML standard says, out of pieces of a body."""

    def __init__(self) -> None:
        self._rest = b""
        self.last_id = ""
        self.retry: int | None = None

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Return the messages that are whole now; each was named by its type."""
        *blocks, self._rest = (self._rest + piece).split(b"\n\n")
        return [found for block in blocks if (found := self._message(block.decode())) is not None]

    def _message(self, block: str) -> dict[str, Any] | None:
        data, name, place = [], "", None
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            if field == "data":
                data.append(value)
            elif field == "event":
                name = value
            elif field == "id":
                place = self.last_id = value
            else:
                assert field == "retry", line
                self.retry = int(value)
        if not data:
            return None
        message: dict[str, Any] = json.loads("\n".join(data))
        assert message["type"] == name
        assert place == message.get("cursor"), "hello and checkpoints alone have an id: the cursor"
        return message


class EventSource:
    """An open stream; or an answer of another kind, whose body is read."""

    def __init__(self, communicator: ApplicationCommunicator, start: dict[str, Any]) -> None:
        self._communicator = communicator
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.parser = Parser()
        self._waiting: list[dict[str, Any]] = []
        self.has_ended = False

    async def message(self) -> dict[str, Any]:
        """Wait for the next message."""
        while not self._waiting:
            assert not self.has_ended, "the stream has ended"
            self._waiting = self.parser.feed(await self._piece())
        return self._waiting.pop(0)

    async def rest(self) -> list[dict[str, Any]]:
        """Wait for the end; return the messages before it."""
        found = self._waiting
        while not self.has_ended:
            found += self.parser.feed(await self._piece())
        return found

    async def problem(self) -> Any:
        """Return the JSON of an answer that is no stream."""
        body = b""
        while not self.has_ended:
            body += await self._piece()
        return json.loads(body)

    async def _piece(self) -> bytes:
        part = await self._communicator.receive_output(PATIENCE)
        self.has_ended = not part.get("more_body", False)
        return bytes(part.get("body", b""))


@asynccontextmanager
async def streaming(
    query: str = "",
    *,
    path: str = STREAM,
    method: str = "GET",
    line: Line | None = None,
    **headers: str,
) -> AsyncIterator[EventSource]:
    """Ask for a stream, and go at the end. Headers are named as arguments."""
    communicator = ApplicationCommunicator(application, scope_of(path + query, method, headers))
    communicator.scope["extensions"] = {LINE: line or Line()}
    await communicator.send_input({"type": "http.request", "body": b"", "more_body": False})
    source = EventSource(communicator, await communicator.receive_output(PATIENCE))
    try:
        yield source
    finally:
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(PATIENCE)


def scope_of(path: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
    target, _, query = path.partition("?")
    sent = {"host": HOST, **CREDENTIALS, **headers}
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in sent.items()
        ],
        "client": ("127.0.0.1", 50_000),
        "server": (HOST, 80),
    }


class LiveStream:
    """The same of a real server, over a connection of its own; or another answer in chunks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parser = Parser()
        self._waiting: list[dict[str, Any]] = []
        self.has_ended = False
        """Whether the end of the answer has come, and not only that of the connection."""

    async def read_head(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    async def message(self) -> dict[str, Any]:
        """Wait for the next message.

        :raises EOFError, ConnectionError: the stream or the connection has ended.
        """
        while not self._waiting:
            if self.has_ended:
                raise EOFError
            self._waiting = self.parser.feed(await self._chunk())
        return self._waiting.pop(0)

    async def until(self, kind: str) -> dict[str, Any]:
        while (found := await self.message())["type"] != kind:
            pass
        return found

    async def rest(self) -> list[dict[str, Any]]:
        """Wait for the end; return the messages before it."""
        found = self._waiting
        with suppress(EOFError, ConnectionError):
            while not self.has_ended:
                found += self.parser.feed(await self._chunk())
        return found

    async def answer(self) -> Any:
        """Read an answer that is no stream, and return its JSON."""
        await self.read_head()
        return json.loads(await self._reader.readexactly(int(self.headers["content-length"])))

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        piece = (await self._reader.readexactly(size + 2))[:-2]
        self.has_ended = size == 0
        return piece


@asynccontextmanager
async def live_stream(
    port: int, target: str = STREAM, *, listens: bool = True, **headers: str
) -> AsyncIterator[LiveStream]:
    """Ask a server for a stream. One that does not listen reads nothing before it is told to."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {target} HTTP/1.1", "host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    stream = LiveStream(reader, writer)
    try:
        if listens:
            await stream.read_head()
        yield stream
    finally:
        writer.close()
