"""One log: what was begun on one transport goes on over another, from the same cursor."""

import json
from collections.abc import Awaitable, Callable
from itertools import permutations
from typing import Any

import pytest

from orders.lifecycle import Status
from orders.streams import account_log
from tests.support.accounts import Account
from tests.support.client import connected, get, submit
from tests.support.event_stream import streaming
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

Follow = Callable[[str, int], Awaitable[tuple[list[Any], str]]]
"""Reads so many events from a cursor on; returns them and the cursor after them."""


async def by_socket(cursor: str, count: int) -> tuple[list[Any], str]:
    async with connected(f"/ws/orders?cursor={cursor}") as socket:
        return await told(socket.message, count)


async def by_stream(cursor: str, count: int) -> tuple[list[Any], str]:
    async with streaming(last_event_id=cursor) as source:
        events, last = await told(source.message, count)
        assert source.parser.last_id == last
        return events, last


async def by_feed(cursor: str, count: int) -> tuple[list[Any], str]:
    events: list[Any] = []
    while len(events) < count:
        page = (await get(f"/api/events?cursor={cursor}&limit=2&wait=25")).json
        events += page["events"]
        cursor = page["cursor"]
    return events, cursor


async def told(message: Callable[[], Awaitable[Any]], count: int) -> tuple[list[Any], str]:
    found: list[Any] = []
    while True:
        frame = await message()
        if frame["type"] == "status_update":
            found.append(frame)
        elif frame["type"] == "checkpoint" and len(found) == count:
            return found, str(frame["cursor"])


WAYS: tuple[Follow, ...] = (by_socket, by_stream, by_feed)


@pytest.mark.parametrize(("first", "second"), list(permutations(WAYS, 2)))
async def test_a_reader_goes_on_by_another_transport(
    account: Account, first: Follow, second: Follow
) -> None:
    cursor = (await account_log.account_log_of_this_loop().now()).as_cursor()
    one, two = await submit(), await submit()
    walker = Walker(one)
    await walker.walk(Status.ROUTING)
    before, cursor = await first(cursor, 3)
    await walker.walk(Status.FAILED)
    three = await submit()
    after, cursor = await second(cursor, 2)
    assert sorted(keys(before)) == sorted([(one, 1), (one, 2), (two, 1)])
    assert sorted(keys(after)) == sorted([(one, 3), (three, 1)])
    last = await submit()
    again, _ = await first(cursor, 1)
    assert keys(again) == [(last, 1)]


def keys(events: list[Any]) -> list[tuple[str, int]]:
    return [(event["orderId"], event["seq"]) for event in events]


async def test_all_transports_tell_the_same_messages(account: Account) -> None:
    cursor = (await account_log.account_log_of_this_loop().now()).as_cursor()
    await Walker(await submit()).walk(Status.ROUTING, Status.BUILDING, Status.FAILED)
    texts = {json.dumps((await follow(cursor, 4))[0]) for follow in WAYS}
    assert len(texts) == 1
