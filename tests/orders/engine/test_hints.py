import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import redis
from channels.layers import get_channel_layer
from django.conf import settings

from orders.engine import hints
from orders.engine.hints import ACTIVE_ORDERS, HintPublisher, publish_now
from orders.events import Event, group_of
from orders.lifecycle import FINAL, Status
from tests.support.client import PATIENCE

NO_REDIS = "redis://127.0.0.1:1/0"
ORDER_ID = "0197a1f0-0000-7000-8000-000000000001"


def event(seq: int, status: Status = Status.ROUTING, order_id: str = ORDER_ID) -> Event:
    at = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    return Event(order_id, seq, status, 1, "Grüße, 世界 “”", at, {"seq": 99, "note": '"seq":7'})


@pytest.fixture
def layer() -> Any:
    """The real layer of channels-redis."""
    return get_channel_layer()


@pytest_asyncio.fixture
async def publisher(redis_client: redis.Redis) -> AsyncIterator[HintPublisher]:
    publisher = HintPublisher(settings.REDIS_URL)
    yield publisher
    await publisher.close()


def snapshot(client: redis.Redis, order_id: str = ORDER_ID) -> dict[str, Any] | None:
    text: Any = client.hget(ACTIVE_ORDERS, order_id)
    return json.loads(text) if text else None


async def joined(layer: Any, order_id: str = ORDER_ID) -> str:
    channel: str = await layer.new_channel()
    await layer.group_add(group_of(order_id), channel)
    return channel


def calls(client: redis.Redis, command: str) -> int:
    """Return how often Redis was asked this since `config_resetstat`."""
    found: Any = client.info("commandstats")
    return int(found.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_the_channel_layer_receives_a_hint_as_if_it_had_sent_it_itself(
    layer: Any, publisher: HintPublisher
) -> None:
    channel = await joined(layer)
    told = event(2)
    publisher.publish(told)
    by_script = await layer.receive(channel)
    own = {
        "type": "order.event",
        "order_id": ORDER_ID,
        "seq": 2,
        "is_final": False,
        "text": told.as_text().decode(),
    }

    assert by_script == own
    await layer.group_send(group_of(ORDER_ID), own)
    assert await layer.receive(channel) == by_script


async def test_hints_of_one_order_arrive_in_the_order_of_its_events(
    layer: Any, publisher: HintPublisher
) -> None:
    channel = await joined(layer)
    for seq in range(1, 51):
        publisher.publish(event(seq))
        publisher.publish(event(seq, order_id=str(uuid4())))
    received = [await layer.receive(channel) for _ in range(50)]

    assert [hint["seq"] for hint in received] == list(range(1, 51))
    assert {hint["order_id"] for hint in received} == {ORDER_ID}


async def test_of_an_order_that_nobody_follows_nothing_is_published(
    layer: Any, publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    await joined(layer, str(uuid4()))
    redis_client.config_resetstat()
    for seq in (2, 3, 4):
        publisher.publish(event(seq))
    await publisher.wait_until_drained()

    assert calls(redis_client, "publish") == 0
    assert calls(redis_client, "pubsub|numsub") == 1


async def test_of_an_acceptance_nobody_is_even_asked(
    publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    redis_client.config_resetstat()
    publisher.publish(event(1, Status.PENDING))
    await publisher.wait_until_drained()

    assert calls(redis_client, "publish") == calls(redis_client, "pubsub|numsub") == 0
    assert snapshot(redis_client) == event(1, Status.PENDING).as_message()


async def test_who_joins_between_two_events_hears_the_second(
    layer: Any, publisher: HintPublisher
) -> None:
    publisher.publish(event(2))
    await publisher._publishing.wait_until_done()
    channel = await joined(layer)
    publisher.publish(event(3))

    assert (await layer.receive(channel))["seq"] == 3


async def test_who_has_left_costs_nothing_for_longer_than_it_takes_to_write_active_orders(
    layer: Any, publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    channel = await joined(layer)
    publisher.publish(event(2))
    assert (await layer.receive(channel))["seq"] == 2
    await layer.group_discard(group_of(ORDER_ID), channel)
    await publisher.wait_until_drained()
    redis_client.config_resetstat()
    publisher.publish(event(3))
    await publisher.wait_until_drained()

    assert calls(redis_client, "publish") == 0


@pytest.mark.parametrize("status", sorted(FINAL))
async def test_a_final_hint_says_so(layer: Any, publisher: HintPublisher, status: Status) -> None:
    channel = await joined(layer)
    publisher.publish(event(5, status))
    assert (await layer.receive(channel))["is_final"] is True


async def test_a_sync_door_tells_the_same(layer: Any, redis_client: redis.Redis) -> None:
    channel = await joined(layer)
    publish_now(event(2))
    assert (await layer.receive(channel))["text"] == event(2).as_text().decode()
    assert snapshot(redis_client) == event(2).as_message()


async def test_an_active_order_has_its_newest_message_whatever_comes_late(
    publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    newest = 0
    for seq in (2, 1, 2, 10, 9):
        publisher.publish(event(seq))
        await publisher.wait_until_drained()
        newest = max(newest, seq)
        assert snapshot(redis_client) == event(newest).as_message()


async def test_an_order_that_ends_is_no_longer_active(
    publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    other = str(uuid4())
    publisher.publish(event(1))
    publisher.publish(event(1, order_id=other))
    publisher.publish(event(2, Status.CANCELLED))
    await publisher.wait_until_drained()

    assert snapshot(redis_client) is None
    assert snapshot(redis_client, other)


async def test_active_orders_are_written_together_by_themselves(
    publisher: HintPublisher, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "KEEP_SECONDS", 0.05)
    ids = [str(uuid4()) for _ in range(100)]
    redis_client.config_resetstat()
    for seq in (1, 2, 3):
        for order_id in ids:
            publisher.publish(event(seq, order_id=order_id))
    async with asyncio.timeout(PATIENCE):
        while redis_client.hlen(ACTIVE_ORDERS) < len(ids):
            await asyncio.sleep(0.005)

    assert calls(redis_client, "hset") == len(ids)
    assert {(snapshot(redis_client, order_id) or {})["seq"] for order_id in ids} == {3}


async def test_an_ended_order_does_not_become_active_by_who_writes_late(
    publisher: HintPublisher, redis_client: redis.Redis
) -> None:
    late = HintPublisher(settings.REDIS_URL)
    late.publish(event(1, Status.PENDING))
    publisher.publish(event(2, Status.CANCELLED))
    await publisher.wait_until_drained()
    await late.close()

    assert snapshot(redis_client) is None


async def test_without_redis_hints_are_dropped_and_no_order_is_kept_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = HintPublisher(NO_REDIS)
    publisher.publish(event(1))
    await publisher.wait_until_drained()
    publisher.publish(event(2))  # within the pause after a failure: not even tried
    await publisher.wait_until_drained()
    await publisher.close()

    assert [record.getMessage()[:29] for record in caplog.records] == [
        "1 hints were not published: E"
    ]


async def test_without_redis_a_sync_door_goes_on(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = NO_REDIS
    publish_now(event(1))
    assert "was not published" in caplog.text


@pytest.mark.parametrize("junk", ["", "hello", '{"seq": "x"}', "[]"])
async def test_a_snapshot_that_is_none_is_written_over_and_holds_up_no_hint(
    layer: Any, publisher: HintPublisher, redis_client: redis.Redis, junk: str
) -> None:
    redis_client.hset(ACTIVE_ORDERS, mapping={ORDER_ID: junk, "a stranger's": junk})
    channel = await joined(layer)
    publisher.publish(event(2))

    assert (await layer.receive(channel))["seq"] == 2
    await publisher.wait_until_drained()
    assert snapshot(redis_client) == event(2).as_message()
    assert redis_client.hget(ACTIVE_ORDERS, "a stranger's") == junk.encode()


async def test_hints_are_told_by_a_redis_that_does_not_keep_snapshots_and_one_warning_says_so(
    layer: Any,
    publisher: HintPublisher,
    redis_client: redis.Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis_client.set(ACTIVE_ORDERS, "of another type")
    channel = await joined(layer)
    for seq in (1, 2, 3):
        publisher.publish(event(seq))
        assert (await layer.receive(channel))["seq"] == seq
        await publisher.wait_until_drained()

    assert caplog.text.count("active orders are not kept") == 1
