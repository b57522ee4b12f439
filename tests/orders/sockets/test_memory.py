"""What a socket leaves behind: the collector comes late, so nothing may stand in circles."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import websockets

from config.asgi import application
from tests.config.http.test_door import serving
from tests.support.client import submit
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

SOCKETS = 20
OURS = ("config.", "orders.", "uvicorn.", "httptools.", "websockets.legacy")


async def follow(port: int, order_id: str) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws/orders/{order_id}") as socket:
        async for _ in socket:
            pass


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


async def test_a_closed_socket_leaves_nothing_to_the_collector() -> None:
    order_id = await submit()
    await confirm(order_id)
    async with serving(application) as port:
        await follow(port, order_id)  # what is made once
        async with without_collector() as left:
            for _ in range(SOCKETS):
                await follow(port, order_id)
    assert_nothing_of_each_is_left(left)
