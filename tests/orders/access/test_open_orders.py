"""How many orders of a sender may rest: counted once a second, and what this process let in."""

import asyncio
from typing import Any

import psycopg
import pytest

from orders.access import open_orders
from orders.access.open_orders import OpenOrders, TooManyOpenOrders

SENDER = 7


class Counted(OpenOrders):
    """Counts what it is told instead of what is stored."""

    def __init__(self, stored: int = 0) -> None:
        super().__init__()
        self.stored = stored
        self.readings = 0
        self.is_away = False
        self._link = self  # type: ignore[assignment]  # has what is asked of a link

    async def fetch(self, *_: Any) -> list[tuple[int]]:
        self.readings += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise psycopg.OperationalError("no answer")
        return [(self.stored,)]


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_orders, "COUNTED_SECONDS", 0.0)


async def store(orders: OpenOrders, most: int, count: int = 1, sender: int = SENDER) -> bool:
    """Return whether so many orders were let in."""
    try:
        async with orders.room(sender, most, count):
            await asyncio.sleep(0)
    except TooManyOpenOrders:
        return False
    return True


async def test_a_crowd_is_counted_by_one_reading_and_let_in_up_to_the_limit() -> None:
    orders = Counted(stored=5)
    let_in = await asyncio.gather(*(store(orders, 10) for _ in range(20)))
    assert sum(let_in) == 5
    assert orders.readings == 1


async def test_orders_that_are_stored_together_are_let_in_together_or_not() -> None:
    orders = Counted(stored=8)
    assert not await store(orders, 10, count=3)
    assert await store(orders, 10, count=2)
    assert not await store(orders, 10)


async def test_another_sender_has_room_of_its_own() -> None:
    orders = Counted()
    assert await store(orders, 1)
    assert not await store(orders, 1)
    assert await store(orders, 1, sender=SENDER + 1)


async def test_what_was_not_stored_gives_its_room_back() -> None:
    orders = Counted()
    with pytest.raises(psycopg.OperationalError, match="not stored"):
        async with orders.room(SENDER, 1):
            raise psycopg.OperationalError("not stored")
    assert await store(orders, 1)


async def test_the_next_reading_counts_what_was_stored_only_once(no_pause: None) -> None:
    orders = Counted()
    assert await store(orders, 2)
    orders.stored = 1  # that order
    assert await store(orders, 2)
    orders.stored = 0  # both have ended
    assert await store(orders, 2)


async def test_what_is_on_its_way_counts_through_a_reading(no_pause: None) -> None:
    orders = Counted()
    async with orders.room(SENDER, 1):
        assert not await store(orders, 1)
    assert orders.readings == 2


async def test_nothing_is_let_in_that_cannot_be_counted() -> None:
    orders = Counted()
    orders.is_away = True
    with pytest.raises(psycopg.OperationalError):
        await store(orders, 1)
    orders.is_away = False
    assert await store(orders, 1)


async def test_senders_that_were_counted_long_ago_are_forgotten(
    no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_orders, "MAX_COUNTED", 3)
    orders = Counted()
    for sender in range(1, 20):
        assert await store(orders, 5, sender=sender)
    assert len(orders._counts) <= 4
