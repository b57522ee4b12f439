"""The whole way: HTTP in, a real worker, a real Redis, WebSocket out."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import websockets

from tests.support.checker import Transcript, load, violations
from tests.support.engine import PATIENCE, Engine, Web, engine
from tests.support.machine import Watch

STATUSES = ["pending", "routing", "building", "submitted", "confirmed"]
LANDING = 0.5
FIELDS_OF_ALL_DIALECTS = {
    *("type", "orderId", "seq", "event", "status", "message", "timestamp", "attempt"),
    *("route", "routedDex", "txHash", "executedPrice", "error", "data"),
}


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("journey")
    with engine(process_database, logs, SIMULATION_LANDING_LATENCY=str(LANDING)) as found:
        found.worker()
        found.scheduler()
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    web = running.web()
    web.post()  # the first one waits for the processes to start
    running.wait_until_all_ended()
    return web


async def read_stream(url: str, **options: Any) -> tuple[list[dict[str, Any]], int | None]:
    """Return all messages, and the code with which the stream was closed."""
    messages = []
    async with (
        asyncio.timeout(PATIENCE),
        websockets.connect(url, compression=None, **options) as stream,
    ):
        async for message in stream:
            messages.append(json.loads(message))
    return messages, stream.close_code


async def post_and_read(web: Web, **changes: Any) -> list[dict[str, Any]]:
    order_id = await asyncio.to_thread(web.post, **changes)
    messages, code = await read_stream(web.stream_url(order_id))
    assert code == 1000
    return messages


async def test_an_order_sent_by_http_is_seen_on_its_stream_from_pending_to_confirmed(
    running: Engine, web: Web
) -> None:
    messages = await post_and_read(web)

    assert [message["status"] for message in messages] == STATUSES
    assert [message["seq"] for message in messages] == [1, 2, 3, 4, 5]
    assert all(set(message) == FIELDS_OF_ALL_DIALECTS for message in messages)
    last = messages[-1]
    assert last["route"].lower() == last["routedDex"] == last["data"]["selectedDex"]
    assert last["txHash"] == last["data"]["txHash"] == messages[3]["txHash"]
    assert last["executedPrice"] == last["data"]["executedPrice"]
    assert {quote["dex"] for quote in messages[2]["data"]["quotes"]} == {"raydium", "meteora"}
    assert messages[0]["data"]["order"]["orderId"] == last["orderId"]


async def test_the_stream_the_events_page_and_the_log_say_the_same(
    running: Engine, web: Web
) -> None:
    messages = await post_and_read(web)
    order_id = messages[0]["orderId"]

    page = await asyncio.to_thread(web.request, f"/api/orders/{order_id}/events")
    order = await asyncio.to_thread(web.request, f"/api/orders/{order_id}")

    assert page.body["events"] == messages
    assert order.body["status"] == "confirmed"
    assert order.body["txHash"] == messages[-1]["txHash"]
    assert order.body["executedPrice"] == messages[-1]["executedPrice"]
    orders = load(running.conninfo, [order_id])
    assert violations(orders, [Transcript(messages, is_complete=True)]) == []


@pytest.mark.parametrize("after", [1, 4])
async def test_a_stream_resumed_after_an_event_goes_on_with_the_next(
    running: Engine, web: Web, after: int
) -> None:
    messages = await post_and_read(web)
    order_id = messages[0]["orderId"]

    again, code = await read_stream(web.stream_url(order_id, after))

    assert again == messages[after:]
    assert code == 1000
    told = Transcript(again, after, is_complete=True)
    assert violations(load(running.conninfo, [order_id]), [told]) == []


async def test_an_order_sent_as_a_frame_is_followed_on_the_same_socket(
    running: Engine, web: Web
) -> None:
    messages = []
    url = f"ws://{web.address}/api/orders/execute"
    async with asyncio.timeout(PATIENCE), websockets.connect(url, compression=None) as stream:
        for order in ({"side": "buy", "amountOut": "2"}, {"side": "sell", "amountIn": "1"}):
            await stream.send(json.dumps(order))
        while [message["status"] for message in messages].count("confirmed") < 2:
            messages.append(json.loads(await stream.recv()))

    ids = {message["orderId"] for message in messages}
    assert len(ids) == 2
    told = Transcript(messages, is_complete=True)
    assert violations(load(running.conninfo, ids), [told]) == []


async def test_ten_orders_sent_together_end_in_about_the_time_of_one(
    running: Engine, web: Web
) -> None:
    start = time.monotonic()
    await post_and_read(web)
    one = time.monotonic() - start

    watch = Watch()
    transcripts = await asyncio.gather(*(post_and_read(web) for _ in range(10)))
    ten = watch.seconds

    assert one > LANDING
    assert ten < watch.allowed(2.5 * one), f"ten took {ten:.2f} s, one {one:.2f} s"
    orders = load(running.conninfo, [messages[0]["orderId"] for messages in transcripts])
    assert [order.status for order in orders.values()] == ["confirmed"] * 10
    told = [Transcript(messages, is_complete=True) for messages in transcripts]
    assert violations(orders, told) == []


async def test_streams_opened_at_any_moment_are_slices_of_the_log(
    running: Engine, web: Web
) -> None:
    order_id = await asyncio.to_thread(web.post)

    async def read_after(pause: float, after: int) -> Transcript:
        await asyncio.sleep(pause)
        messages, code = await read_stream(web.stream_url(order_id, after))
        return Transcript(messages, after, is_complete=code == 1000)

    moments = [(number * LANDING / 20, number % 5) for number in range(30)]
    transcripts = await asyncio.gather(*(read_after(*moment) for moment in moments))

    assert all(transcript.is_complete for transcript in transcripts)
    assert violations(load(running.conninfo, [order_id]), transcripts) == []
