"""Who writes to Redis moves nothing: sockets and Celery take our own messages alone."""

import asyncio
import json
from base64 import b64encode
from typing import Any

import msgpack
import pytest
import redis
from django.conf import settings

from config.runtime.broker import is_bell, is_message
from config.runtime.counters import counts
from orders.engine import bell
from tests.support.accounts import Account
from tests.support.client import connected, get, submit
from tests.support.task_queue import Queue
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

ORDER = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "777"}
ID = "018f0000-0000-7000-8000-000000000001"
HINT = {"type": "order.event", "order_id": ID, "seq": 2, "is_final": True, "text": "{}"}
ALL = settings.CHANNEL_PREFIX + "*"
FORGED: dict[str, Any] = {
    "an order": {"type": "handle.frame", "action": "execute", "order": ORDER},
    "an order that is taken": {"type": "take.order", **ORDER},
    "a frame": {"type": "websocket.receive", "text": json.dumps(ORDER)},
    "a hang-up": {"type": "websocket.disconnect", "code": 1000},
    "a connection": {"type": "websocket.connect"},
    "a close": {"type": "close"},
    "a word": {"type": "say", "text": "hello"},
    "a withdrawal": {"type": "credential.withdrawn"},
    "a nudge": {"type": "order.behind", "order_id": ID},
    "idleness": {"type": "order.idle"},
    "nonsense": {"type": "nonsense"},
    "a private name": {"type": "_close"},
    "no type": {"order_id": ID},
    "a type that is a number": {"type": 7},
    "a hint without fields": {"type": "order.event"},
    "a hint with one more": HINT | {"principal": 1},
    "a hint whose seq is text": HINT | {"seq": "2"},
    "a hint whose seq is true": HINT | {"seq": True},
    "a hint whose seq is below 1": HINT | {"seq": -1},
    "a hint whose seq is a fraction": HINT | {"seq": 2.5},
    "a hint of no order": HINT | {"order_id": None},
    "a hint without words": HINT | {"text": ["x"]},
    "a list": [1, 2],
    "a number": 5,
    "nothing": None,
}
NO_MSGPACK = {
    "an end that is missing": b"\x93\x01",
    "one byte too many": msgpack.packb(HINT) + b"\x00",
    "a reserved byte": b"\xc1",
    "bad UTF-8": b"\xa2\xff\xfe",
    "a number as a key": b"\x81\x01\x02",
    "deep nesting": b"\x91" * 5000,
    "empty": b"",
    "JSON": json.dumps(HINT).encode(),
}
BYTES = {name: msgpack.packb(message) for name, message in FORGED.items()} | NO_MSGPACK


@pytest.mark.parametrize("forged", BYTES.values(), ids=BYTES.keys())
async def test_a_socket_drops_and_counts_what_is_no_hint_and_goes_on(
    forged: bytes, account: Account, redis_client: redis.Redis
) -> None:
    order_id = await submit()
    async with connected(f"/ws/orders/{order_id}") as socket:
        assert (await socket.message())["status"] == "pending"
        before = counts["messages_passed_over"]
        for channel in redis_client.pubsub_channels(ALL):
            redis_client.publish(channel, forged)
        async with asyncio.timeout(5):
            while counts["messages_passed_over"] == before:
                await asyncio.sleep(0.005)
        await confirm(order_id)
        messages, code = await socket.rest()
        assert (messages[-1]["status"], code) == ("confirmed", 1000)

    assert len((await get("/api/orders")).json["orders"]) == 1


async def test_no_message_of_redis_places_an_order_on_an_open_socket(
    account: Account, redis_client: redis.Redis
) -> None:
    async with connected("/api/orders/execute") as socket:
        await socket.send(ORDER)
        assert (await socket.message())["status"] == "pending"
        before = counts["messages_passed_over"]
        for channel in redis_client.pubsub_channels(ALL):
            for forged in BYTES.values():
                redis_client.publish(channel, forged)
        async with asyncio.timeout(5):
            while counts["messages_passed_over"] < before + len(BYTES):
                await asyncio.sleep(0.005)
        await socket.send(ORDER)
        while (await socket.message())["status"] != "pending":
            pass

    assert len((await get("/api/orders")).json["orders"]) == 2


# Celery


def task(name: Any = bell.ROUTE_AND_EXECUTE, body: Any = ([], {}, {})) -> dict[str, Any]:
    return {
        "headers": {"task": name, "id": "1"},
        "content-type": "application/json",
        "properties": {
            **{"delivery_tag": "1", "body_encoding": "base64"},
            "delivery_info": {"exchange": "", "routing_key": "bells"},
        },
        "body": b64encode(json.dumps(body).encode()).decode(),
    }


@pytest.mark.parametrize(
    "message",
    [
        task("celery.map"),
        task("celery.chord_unlock"),
        task("celery.backend_cleanup"),
        task("os.system"),
        task("orders.management.run"),
        task(7),
        task(body=[[], {}, {"chain": [{"task": "celery.map"}]}]),
        task(body=[[], {}, {"callbacks": [{"task": bell.EXECUTE_ONE}]}]),
        task(body=[[], {}, {"chord": {"task": "celery.map"}}]),
        task(body=[[], {}]),
        task(body={"args": []}),
        task() | {"content-type": "application/x-python-serialize"},
    ],
)
def test_a_task_that_is_not_ours_reaches_no_worker(message: dict[str, Any]) -> None:
    assert is_message(task())
    assert is_bell(task())
    assert not is_bell(message)


def test_every_bell_that_we_ring_is_ours(queue: Queue) -> None:
    assert bell.ring(bell.ROUTE_AND_EXECUTE)
    assert bell.ring(bell.SETTLE_SUBMITTED)
    bell.ring_for(ID, alone=True)
    messages = queue.messages()
    assert len(messages) == 3
    assert all(is_message(message) and is_bell(message) for message in messages)
