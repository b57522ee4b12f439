"""What a socket leaves behind: the collector comes late, so nothing may stand in circles."""

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import websockets
from websockets.asyncio.client import ClientConnection as Connection
from websockets.exceptions import ConnectionClosed

from config.asgi import application
from tests.config.http.test_door import serving
from tests.support.accounts import make_account
from tests.support.client import submit
from tests.support.event_stream import live_stream
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

SOCKETS = 20
OURS = ("config.", "orders.", "uvicorn.", "httptools.", "websockets.legacy")


async def follow(socket: Connection) -> None:
    """Take all events, and answer the close."""
    async for _ in socket:
        pass


async def drop(socket: Connection) -> None:
    """Take all events, and go without an answer, as a program that is killed does."""
    assert socket.transport is not None
    with suppress(ConnectionClosed):
        async for event in socket:
            if json.loads(event)["status"] == "confirmed":
                socket.transport.abort()


async def reset(socket: Connection) -> None:
    """Go after the first word, which each socket says."""
    await socket.recv()
    assert socket.transport is not None
    socket.transport.abort()


async def junk(socket: Connection) -> None:
    """Send what is no frame, so that the connection is failed and its reading cancelled."""
    assert socket.transport is not None
    socket.transport.write(b"\xff" * 20)
    await socket.wait_closed()


@asynccontextmanager
async def without_collector() -> AsyncIterator[Counter[str]]:
    """Count what stands in circles after the block, by its type."""
    left: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield left
        await asyncio.sleep(0.1)  # the last transport ends in the next turns of the loop
        gc.collect()
        left.update(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def assert_nothing_of_each_is_left(left: Counter[str]) -> None:
    kept = {name: count for name, count in left.items() if name.startswith(OURS)}
    assert all(count < SOCKETS / 2 for count in kept.values()), kept


@pytest.mark.parametrize("end", [follow, drop, reset, junk])
async def test_a_closed_socket_leaves_nothing_to_the_collector(
    end: Callable[[Connection], Awaitable[None]],
) -> None:
    order_id = await submit()
    await confirm(order_id)
    async with serving(application) as port:
        url = f"ws://127.0.0.1:{port}/ws/orders/{order_id}"

        async def come_and_go() -> None:
            async with websockets.connect(url) as socket:
                await end(socket)

        await come_and_go()  # what is made once
        async with without_collector() as left:
            for _ in range(SOCKETS):
                await come_and_go()
    assert_nothing_of_each_is_left(left)


@pytest.mark.parametrize("path", ["/ws/orders?snapshot=open", "/ws/prices", "/ws"])
async def test_no_other_socket_leaves_anything(path: str) -> None:
    headers = make_account().headers
    async with serving(application) as port:

        async def come_and_go() -> None:
            url = f"ws://127.0.0.1:{port}{path}"
            async with websockets.connect(url, additional_headers=headers) as socket:
                await socket.send("{}")
                await reset(socket)

        await come_and_go()
        async with without_collector() as left:
            for _ in range(SOCKETS):
                await come_and_go()
    assert_nothing_of_each_is_left(left)


async def test_a_stream_over_http_leaves_nothing() -> None:
    headers = make_account().headers
    async with serving(application) as port:

        async def come_and_go() -> None:
            async with live_stream(port, **headers) as stream:
                await stream.until("hello")

        await come_and_go()
        async with without_collector() as left:
            for _ in range(SOCKETS):
                await come_and_go()
    assert_nothing_of_each_is_left(left)
