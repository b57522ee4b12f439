"""`/ws/orders`: an account's log on one socket, from a cursor on, live and after a break."""

from typing import Any

import pytest

from orders.lifecycle import Status
from tests.support.accounts import Account
from tests.support.client import Socket, connected, submit
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

ALL = "/ws/orders"


async def events(socket: Socket, count: int) -> list[tuple[str, int]]:
    """Return the next events of a stream, as order and seq; checkpoints are passed over."""
    found: list[tuple[str, int]] = []
    while len(found) < count:
        frame = await socket.message()
        if frame["type"] == "status_update":
            found.append((frame["orderId"], frame["seq"]))
    return found


async def checkpoint(socket: Socket) -> str:
    """Return the cursor of the next checkpoint."""
    while (frame := await socket.message())["type"] != "checkpoint":
        pass
    return str(frame["cursor"])


async def hello(socket: Socket) -> dict[str, Any]:
    frame: dict[str, Any] = await socket.message()
    assert frame["type"] == "hello", frame
    return frame


async def test_every_event_of_every_order_of_the_account_comes(account: Account) -> None:
    async with connected(ALL) as socket:
        assert (await hello(socket))["heartbeatSeconds"] == 5
        one, two = await submit(), await submit()
        assert sorted(await events(socket, 2)) == sorted([(one, 1), (two, 1)])
        await Walker(one).walk(Status.ROUTING, Status.FAILED)
        assert await events(socket, 2) == [(one, 2), (one, 3)]


async def test_a_reader_that_comes_back_with_a_cursor_misses_nothing(account: Account) -> None:
    order_id = await submit()
    async with connected(ALL) as socket:
        await hello(socket)
        walker = Walker(order_id)
        await walker.walk(Status.ROUTING)
        assert await events(socket, 1) == [(order_id, 2)]
        cursor = await checkpoint(socket)
    await walker.walk(Status.FAILED)
    another = await submit()
    async with connected(f"{ALL}?cursor={cursor}") as socket:
        await hello(socket)
        assert await events(socket, 2) == [(order_id, 3), (another, 1)]
