"""The bell: one in the air is enough, none is waited for, and losing one costs a second."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from config.celery import app
from orders import bell
from tests.engine import short_folder
from tests.samples import new_order
from tests.task_queue import Queue


@pytest.fixture
def hung_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server that takes connections and never answers."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "redis.sock"))
        listener.listen(10)
        monkeypatch.setattr(settings, "REDIS_URL", f"unix://{folder / 'redis.sock'}")
        yield settings.REDIS_URL


def test_a_bell_is_a_task_that_celery_can_read(queue: Queue) -> None:
    assert bell.ring()
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(settings.CELERY_TASK_DEFAULT_QUEUE).get(timeout=5)
        assert message.headers["task"] == bell.ROUTE_AND_EXECUTE
        assert message.payload[:2] == [[], {}]
        message.ack()


def test_one_bell_in_the_air_is_enough(queue: Queue) -> None:
    assert [bell.ring() for _ in range(3)] == [True, False, False]
    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]


def test_a_bell_taken_and_not_yet_heard_is_not_rung_again(queue: Queue) -> None:
    bell.ring()
    queue.take()
    assert not bell.ring()


async def test_who_hears_a_bell_lets_the_next_one_ring(queue: Queue) -> None:
    bell.ring()
    queue.take()
    ringer = bell.Ringer()
    await ringer.heard()
    await ringer.close()
    assert bell.ring()


def test_a_bell_lost_with_its_worker_is_silent_for_a_second_at_most(queue: Queue) -> None:
    bell.ring()
    guards: Any = queue.client.keys(bell.GUARD + "*")
    assert len(guards) == 1
    assert 0 < queue.client.pttl(guards[0]) <= bell.GUARD_SECONDS * 1000


def test_no_two_bells_are_the_same_message(queue: Queue) -> None:
    ids = set()
    for _ in range(3):
        queue.client.flushdb()
        bell.ring()
        (message,) = queue.messages()
        ids.add((message["headers"]["id"], message["properties"]["delivery_tag"]))
    assert len(ids) == 3


async def test_orders_that_come_together_share_a_ring(queue: Queue) -> None:
    ringer = bell.Ringer()
    for _ in range(100):
        ringer.ring_soon()
    await ringer.close()
    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]


async def test_a_hung_redis_holds_up_nobody_who_rings(hung_redis: str) -> None:
    ringer = bell.Ringer()
    start = time.monotonic()
    ringer.ring_soon()
    await asyncio.sleep(0)
    assert time.monotonic() - start < 0.5
    async with asyncio.timeout(10):
        await ringer.close()


async def test_a_redis_that_is_away_is_no_error_and_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "unix:///nowhere/redis.sock")
    monkeypatch.setattr(bell, "_client", redis.Redis.from_url(settings.REDIS_URL))
    ringer = bell.Ringer()
    for _ in range(3):
        ringer.ring_soon()
        while ringer._ringing is not None:
            await asyncio.sleep(0.01)
    await ringer.heard()
    await ringer.close()

    assert not bell.ring()
    assert not bell.is_quiet()
    assert caplog.text.count("The bell was not rung") == 2


def test_a_named_order_is_rung_for_by_its_id(queue: Queue) -> None:
    order = new_order()
    assert bell.ring_for(str(order.id), alone=True)
    (message,) = queue.messages()
    assert message["headers"]["task"] == bell.EXECUTE_ONE
    assert "alone" in message["headers"]["kwargsrepr"]
