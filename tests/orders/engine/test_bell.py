"""The bell: one in the air is enough, none is waited for, and losing one costs a second."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from queue import Empty
from typing import Any

import msgpack
import pytest
import redis
from celery import Celery
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings

from config.celery import app
from config.runtime import redis_listening
from config.runtime.redis_client import redis_client
from orders.engine import bell
from tests.support.engine import short_folder, wait_for
from tests.support.machine import Watch
from tests.support.proxy import proxy_of_redis
from tests.support.samples import new_order
from tests.support.task_queue import Queue


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
        message = connection.SimpleQueue(settings.CELERY_TASK_DEFAULT_QUEUE).get(timeout=60)
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


async def test_a_bell_that_is_heard_lets_the_next_one_ring(queue: Queue) -> None:
    bell.ring()
    queue.take()
    ringer = bell.Ringer()
    await ringer.let_next_ring()
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


async def test_a_hung_redis_holds_up_no_ringer(hung_redis: str) -> None:
    ringer = bell.Ringer()
    watch = Watch()
    ringer.ring_soon()
    await asyncio.sleep(0)
    watch.assert_within(0.5)
    async with asyncio.timeout(120):
        await ringer.close()


async def test_a_redis_that_is_away_is_no_error_and_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "REDIS_URL", "unix:///nowhere/redis.sock")
    client = redis_client(settings.REDIS_URL, bell.REDIS_SECONDS)
    monkeypatch.setattr(bell, "client_of_this_process", lambda: client)
    ringer = bell.Ringer()
    for _ in range(3):
        ringer.ring_soon()
        await ringer.close()  # when the ring has ended
    await ringer.let_next_ring()
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


async def test_a_stranger_that_listens_to_everything_is_not_taken_for_a_worker(
    queue: Queue,
) -> None:
    with queue.client.pubsub() as stranger:
        stranger.psubscribe("*")
        stranger.subscribe("engine:bell", "engine:5:bell")
        wait_for(lambda: queue.client.pubsub_numpat() == 1)
        ringer = bell.Ringer()
        ringer.ring_soon()
        await ringer.close()

    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]


def test_all_that_is_ours_has_our_name_and_the_number_of_the_database(queue: Queue) -> None:
    bell.ring()
    with app.connection_for_read() as connection:
        message = connection.SimpleQueue(settings.CELERY_TASK_DEFAULT_QUEUE).get(timeout=60)
        names: Any = queue.client.keys("*")
        message.ack()

    assert {name.decode() for name in names} == {
        *("engine:0:bell:route_and_execute_orders", "engine:0:_kombu.binding.bells"),
        *("engine:0:unacked", "engine:0:unacked_index"),
    }


def test_tasks_of_others_are_left_where_they_are(queue: Queue) -> None:
    shop = Celery("shop", broker=settings.REDIS_URL.replace("unix://", "redis+socket://"))
    shop.send_task("shop.tasks.sell")
    with app.connection_for_read() as connection, pytest.raises(Empty):
        connection.SimpleQueue(settings.CELERY_TASK_DEFAULT_QUEUE).get(block=False)

    assert queue.client.llen("celery") == 1
    shop.close()


@pytest.mark.parametrize(
    "junk",
    [
        *(b"hello", b"\xff", b"[]", b"5", b"null", b"{}", b'{"headers": {}}'),
        b'{"headers": {"task": "x", "id": "1"}, "body": 5, "properties": {}}',
        json.dumps(
            {
                "headers": {"task": bell.ROUTE_AND_EXECUTE, "id": "1"},
                "body": "no base64",
                "content-type": "application/json",
                "content-encoding": "utf-8",
                "properties": {
                    "delivery_tag": "1",
                    "delivery_info": {"exchange": "", "routing_key": "bells"},
                    "body_encoding": "base64",
                },
            }
        ).encode(),
    ],
)
def test_junk_in_the_list_is_passed_over_and_the_next_bell_is_heard(
    queue: Queue, junk: bytes
) -> None:
    heard: list[str] = []
    with app.connection_for_read() as connection, app.amqp.TaskConsumer(connection) as consumer:
        consumer.callbacks = [lambda _, message: heard.append(message.headers["task"])]
        queue.client.lpush(bell.QUEUE, junk)
        assert queue.client.llen(bell.QUEUE) == 1
        connection.drain_events(timeout=60)  # passes over
        assert heard == []
        bell.ring()
        wait_for(lambda: connection.drain_events(timeout=60) or heard)

    assert heard == [bell.ROUTE_AND_EXECUTE]


async def test_a_channel_layer_whose_connection_fell_silent_hears_again(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_listening, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(redis_listening, "ANSWER_SECONDS", 0.2)
    heard = asyncio.Event()
    async with proxy_of_redis(settings.REDIS_URL, by_port=False) as (proxy, url):
        options = redis_listening.listening_options(url, 1)
        layer = RedisPubSubChannelLayer(hosts=[options], prefix="test:")
        channel = await layer.new_channel()

        async def receive() -> None:
            while True:
                await layer.receive(channel)
                heard.set()

        async def tell() -> None:
            redis_client.publish(channel, msgpack.packb({"type": "x"}))

        receiving = asyncio.create_task(receive())
        async with asyncio.timeout(120):
            await told(tell, heard)
            proxy.silence()
            heard.clear()
            await told(tell, heard)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await layer.flush()


async def test_a_listener_whose_connection_fell_silent_says_so_and_hears_the_next_ring_anew(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_listening, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(redis_listening, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(bell, "LISTEN_SECONDS", 0.05)
    monkeypatch.setattr(bell, "CARRIER_SECONDS", 5.0)
    heard = asyncio.Event()
    direct = settings.REDIS_URL

    async def ring() -> None:
        ringer = bell.Ringer()
        ringer.ring_soon()
        await ringer.close()

    async with proxy_of_redis(direct, by_port=False) as (proxy, url), asyncio.timeout(120):
        monkeypatch.setattr(settings, "REDIS_URL", url)
        listener = bell.Listener(heard.set)
        monkeypatch.setattr(settings, "REDIS_URL", direct)
        assert await listener.start()
        await told(ring, heard)
        assert not await listener.start(), "it listens already"
        proxy.silence()
        heard.clear()
        while not await listener.start():
            await asyncio.sleep(0.01)
        await told(ring, heard)
        await listener.stop()


async def told(tell: Callable[[], Awaitable[None]], heard: asyncio.Event) -> None:
    while not heard.is_set():
        await tell()
        with suppress(TimeoutError):
            await asyncio.wait_for(heard.wait(), 0.05)
