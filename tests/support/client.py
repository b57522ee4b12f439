"""Clients of the ASGI application: they hand it what a server would, and read what it sends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote

import psycopg
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator
from django.db import connections

from config.asgi import application
from config.database.conninfo import conninfo
from orders.engine import journal

PATIENCE = 60.0  # seconds for any one answer; only a failing test ever waits so long
HOST = "testserver"
CREDENTIALS: dict[str, str] = {}
"""Headers of every request of a test; see the fixture `account`."""
SELL_SOL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Exchange(NamedTuple):
    """An answer as it was sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


async def request(
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    lines: Iterable[tuple[bytes, bytes]] = (),
    **headers: str,
) -> Answer:
    """Send one request; a body of several pieces comes without a declared length (chunked).

    Headers are named as arguments, `content_type="text/plain"`, or come as `lines`, as they are.
    """
    status, told, received = await exchange(application, method, path, body, lines, **headers)
    found = [(name.decode().lower(), value.decode("latin-1")) for name, value in told]
    cookies = [line.partition(";")[0].split("=", 1) for name, line in found if name == "set-cookie"]
    return Answer(status, dict(found), dict(cookies), received)


async def exchange(
    asked: Any,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    lines: Iterable[tuple[bytes, bytes]] = (),
    **headers: str,
) -> Exchange:
    """Send one request, as `request` does, to this ASGI application."""
    target, _, query = path.partition("?")
    pieces = [body] if isinstance(body, bytes) else list(body)
    sent = {"host": HOST, **CREDENTIALS, **headers}
    if isinstance(body, bytes) and body:
        sent.setdefault("content_length", str(len(body)))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(target),
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "headers": [
            (name.replace("_", "-").encode(), value.encode("latin-1"))
            for name, value in sent.items()
        ]
        + [(name.lower(), value) for name, value in lines],
        "client": ("127.0.0.1", 50_000),
        "server": (HOST, 80),
    }
    browser = ApplicationCommunicator(asked, scope)
    for number, piece in enumerate(pieces, start=1):
        more = number < len(pieces)
        await browser.send_input({"type": "http.request", "body": piece, "more_body": more})
    start = await browser.receive_output(PATIENCE)
    received = b""
    while True:
        part = await browser.receive_output(PATIENCE)
        received += part.get("body", b"")
        if not part.get("more_body"):
            break
    await browser.wait(PATIENCE)
    return Exchange(start["status"], list(start["headers"]), received)


async def get(path: str, **headers: str) -> Answer:
    return await request("GET", path, **headers)


async def post(
    path: str, sent: Any, lines: Iterable[tuple[bytes, bytes]] = (), **headers: str
) -> Answer:
    """Send a JSON value, or bytes as they are."""
    body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    return await request(
        "POST", path, body, lines, **{"content_type": "application/json", **headers}
    )


async def submit(order: dict[str, Any] | None = None) -> str:
    """Have an order accepted, and return its id."""
    answer = await post("/api/orders/execute", order or SELL_SOL)
    assert answer.status == 201, answer.text
    order_id: str = answer.json["orderId"]
    return order_id


def count_stored() -> int:
    """Return how many rows the engine holds of orders, their events and their transactions."""
    with psycopg.connect(conninfo()) as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM order_events)"
            " + (SELECT count(*) FROM order_transactions)"
        ).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def database_away() -> Iterator[None]:
    """Let every new connection to the database fail at once."""
    settings = connections.settings["default"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(settings, "HOST", "/nowhere")
        patched.setitem(settings, "OPTIONS", {**settings["OPTIONS"], "pool": False})
        patched.setattr(journal, "ACCEPT_PATIENCE", 0.0)
        yield


async def handshake(path: str, **headers: str) -> Answer:
    """Ask for a WebSocket of a server that can answer by a status; 101: it was opened.

    Headers are named as in `request`.
    """
    target, _, query = path.partition("?")
    sent = {"host": HOST, **headers}
    lines = [
        (name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in sent.items()
    ]
    scope = {
        "type": "websocket",
        "scheme": "ws",
        "path": unquote(target),
        "query_string": query.encode(),
        "headers": lines,
        "subprotocols": [],
        "client": ("127.0.0.1", 50_000),
        "extensions": {"websocket.http.response": {}},
    }
    client = ApplicationCommunicator(application, scope)
    await client.send_input({"type": "websocket.connect"})
    start = await client.receive_output(PATIENCE)
    if start["type"] == "websocket.accept":
        await client.send_input({"type": "websocket.disconnect", "code": 1001})
        await client.wait(PATIENCE)
        return Answer(101, {}, {}, b"")
    assert start["type"] == "websocket.http.response.start", start
    body = (await client.receive_output(PATIENCE))["body"]
    await client.wait(PATIENCE)
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, {}, body)


class Socket:
    """The client's end of an open WebSocket."""

    def __init__(self, communicator: WebsocketCommunicator) -> None:
        self._communicator = communicator

    async def send(self, frame: Any) -> None:
        await self._communicator.send_to(text_data=json.dumps(frame))

    async def send_text(self, text: str) -> None:
        await self._communicator.send_to(text_data=text)

    async def send_bytes(self, data: bytes) -> None:
        await self._communicator.send_to(bytes_data=data)

    async def message(self) -> dict[str, Any]:
        """Wait for the next message."""
        found: dict[str, Any] = json.loads(await self._communicator.receive_from(PATIENCE))
        return found

    async def messages(self, number: int) -> list[dict[str, Any]]:
        return [await self.message() for _ in range(number)]

    async def rest(self) -> tuple[list[dict[str, Any]], int]:
        """Wait for the end; return the messages before it, and the code of the close."""
        found: list[dict[str, Any]] = []
        async with asyncio.timeout(2 * PATIENCE):  # a stream that goes on for ever has words, too
            while True:
                output = await self._communicator.receive_output(PATIENCE)
                if output["type"] == "websocket.close":
                    return found, output.get("code", 1000)
                found.append(json.loads(output["text"]))

    async def until(
        self, is_last: Callable[[dict[str, Any]], bool]
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Wait for such a message, or for the end, and return as `rest`; None: it is open."""
        found: list[dict[str, Any]] = []
        while not (found and is_last(found[-1])):
            output = await self._communicator.receive_output(PATIENCE)
            if output["type"] == "websocket.close":
                return found, output.get("code", 1000)
            found.append(json.loads(output["text"]))
        return found, None

    async def caught_up(self) -> None:
        """Wait until the application has read the log and answers a frame."""
        await self.send({})
        assert (await self.message())["error"] == "unexpected_frame"

    async def disconnect(self) -> None:
        await self._communicator.disconnect(timeout=PATIENCE)


class Refused(Exception):
    """The handshake was refused: no WebSocket was opened."""


@asynccontextmanager
async def connected(path: str, **headers: str) -> AsyncIterator[Socket]:
    """Open a WebSocket, and hang up at the end.

    :raises Refused: the handshake was not answered with an open socket.
    """
    sent = {"host": HOST, **CREDENTIALS, **headers}
    lines = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    communicator = WebsocketCommunicator(application, path, lines)
    communicator.scope["client"] = ("127.0.0.1", 50_000)
    is_open, _ = await communicator.connect(PATIENCE)
    if not is_open:
        await communicator.disconnect(timeout=PATIENCE)
        raise Refused(path)
    socket = Socket(communicator)
    try:
        yield socket
    finally:
        await socket.disconnect()
