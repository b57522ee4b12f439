"""How many orders one connection takes in a second: by POST, and by frames on a socket."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from statistics import median

from tests.bench import engine
from tests.bench.client import BODY, Connection, request_of
from tests.bench.ratios import Ratios
from tests.bench.streams import Stream
from tests.support.accounts import make_account

TURNS = 12
ORDERS = 150  # in a turn of one way; an order's own path follows at most 200 on a socket
AT_ONCE = 20
ACCOUNT, ENTRY = "/ws/orders", "/api/orders/execute"

Way = Callable[[int, str], Awaitable[float]]


def entry_rows() -> Iterator[tuple[str, str]]:
    """Yield what was measured, in turns, and the orders a second."""
    key = make_account(os.environ["DATABASE_URL"]).key
    with engine.web() as (port, _):
        rates = asyncio.run(_measure(port, f"Authorization: Bearer {key}\r\n"))
    for at_once in (1, AT_ONCE):
        by_post = rates[f"POST on one connection, {at_once} at once"]
        for what, found in rates.items():
            if what.endswith(f" {at_once} at once"):
                yield what, f"{median(found):,.0f}/s  {Ratios.of(found, by_post)}"


async def _measure(port: int, headers: str) -> dict[str, list[float]]:
    ways: dict[str, Way] = {}
    for at_once in (1, AT_ONCE):
        ways[f"POST on one connection, {at_once} at once"] = _posting(at_once)
        for path in (ACCOUNT, ENTRY):
            ways[f"frames on {path}, {at_once} at once"] = _framing(path, at_once)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, way in ways.items():
            seconds = await way(port, headers)
            if turn:  # the first one warms up
                found[name].append(ORDERS / seconds)
    return found


def _posting(at_once: int) -> Way:
    async def post(port: int, headers: str) -> float:
        connection = await Connection.open(port)
        request = request_of(ENTRY, BODY, headers)
        began = time.perf_counter()
        await connection.exchange_all(request, ORDERS, at_once)
        seconds = time.perf_counter() - began
        connection.close()
        return seconds

    return post


def _framing(path: str, at_once: int) -> Way:
    async def send(port: int, headers: str) -> float:
        stream = await Stream.open(f"ws://127.0.0.1:{port}{path}", headers)
        texts = stream.texts()
        if path == ACCOUNT:
            assert json.loads(await anext(texts))["type"] == "hello"
        began = time.perf_counter()
        for number in range(at_once):
            stream.say(frame_of(number))
        for number in range(at_once, ORDERS + at_once):
            await _acknowledged(texts)
            if number < ORDERS:
                stream.say(frame_of(number))
        seconds = time.perf_counter() - began
        stream.close()
        return seconds

    return send


def frame_of(number: int) -> bytes:
    """Return a frame of an order; its id is of this number."""
    return b'{"action":"execute","requestId":"%d","order":%s}' % (number, BODY)


async def _acknowledged(texts: AsyncIterator[bytes]) -> None:
    """Read to the next acknowledgement; events come in between."""
    async for text in texts:
        if text.startswith(b'{"type":"ack"'):
            return
        assert not text.startswith(b'{"type":"error"'), text
        assert b'"error"' not in text[:40], text
    raise AssertionError("the socket ended before its answer")
