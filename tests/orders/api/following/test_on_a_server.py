"""Streams and waiting requests on a real server: clients that go, or stop reading, and resume."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from config.asgi import application
from config.http import door
from config.http.line import Line
from orders.api.following import event_stream
from orders.engine.hints import hints_of_this_loop
from orders.events import Event
from orders.lifecycle import Status
from orders.sockets import protocol
from orders.streams import account_log, account_reader, account_tail
from tests.config.http.test_door import serving
from tests.orders.sockets.test_memory import (
    SOCKETS,
    assert_nothing_of_each_is_left,
    without_collector,
)
from tests.support.accounts import Account
from tests.support.client import CREDENTIALS, PATIENCE, submit
from tests.support.event_stream import STREAM, live_stream
from tests.support.walker import Walker

pytestmark = [
    pytest.mark.usefixtures("engine_loop", "redis_client"),
    pytest.mark.filterwarnings("ignore:remove second argument"),  # uvicorn's
]

MEGABYTE = "x" * 1_000_000
MANY = 24
"""Megabytes, which are more than the system keeps for a connection."""


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    async with serving(application, ws_per_message_deflate=False) as port:
        yield port


async def becomes(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.005)


def no_places_are_taken() -> bool:
    return len(door.sockets) == 0


async def cursor_of_now() -> str:
    return (await account_log.account_log_of_this_loop().now()).as_cursor()


async def flood(account: Account, order_id: str) -> None:
    """Tell of more than the connection of a client takes that reads nothing."""
    for seq in range(2, MANY):
        publish(account, order_id, seq)
        await hints_of_this_loop().wait_until_drained()


def publish(account: Account, order_id: str, seq: int) -> None:
    at, large = datetime(2026, 1, 2, tzinfo=UTC), {"note": MEGABYTE}
    event = Event(order_id, seq, Status.ROUTING, 1, "Large", at, large, None, account.id)
    hints_of_this_loop().publish(event)


async def test_a_stream_comes_in_chunks_as_it_happens(account: Account) -> None:
    async with server() as port, live_stream(port, **CREDENTIALS) as stream:
        assert (stream.status, stream.headers["transfer-encoding"]) == (200, "chunked")
        assert "content-length" not in stream.headers
        assert (await stream.message())["type"] == "hello"
        order_id = await submit()
        assert (await stream.until("status_update"))["orderId"] == order_id


async def test_a_client_that_has_gone_is_noticed_at_the_next_heartbeat(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_reader, "HEARTBEAT_SECONDS", 0)
    async with server() as port:
        async with live_stream(port, **CREDENTIALS) as stream:
            await stream.until("checkpoint")
            assert not no_places_are_taken()
        await becomes(no_places_are_taken)
        assert account_tail.account_tail_of_this_loop()._accounts == {}


async def test_a_client_that_goes_while_it_waits_is_noticed_at_once(account: Account) -> None:
    target = f"/api/events?wait=25&cursor={await cursor_of_now()}"
    async with server() as port:
        async with live_stream(port, target, listens=False, **CREDENTIALS):
            await becomes(lambda: not no_places_are_taken())
        await becomes(no_places_are_taken)


async def test_a_client_that_reads_nothing_is_cut_and_resumes_where_it_was(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.2)
    async with server() as port:
        async with live_stream(port, **CREDENTIALS) as stream:
            await stream.until("hello")
            order_id = await submit()
            await stream.until("status_update")
            await stream.until("checkpoint")
            await flood(account, order_id)
            await becomes(no_places_are_taken)
            told = await stream.rest()
            assert not stream.has_ended, "the connection was dropped, the answer is not whole"
        seqs = [one["seq"] for one in told if one["type"] == "status_update"]
        assert len(seqs) < MANY - 2
        await Walker(order_id).walk(Status.ROUTING, Status.FAILED)
        last = stream.parser.last_id
        async with live_stream(port, last_event_id=last, **CREDENTIALS) as stream:
            found = [await stream.until("status_update") for _ in range(2)]
            assert [(one["seq"], one["status"]) for one in found] == [(2, "routing"), (3, "failed")]


async def test_a_slow_reader_delays_no_other(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.5)
    async with (
        server() as port,
        live_stream(port, **CREDENTIALS) as slow,
        live_stream(port, **CREDENTIALS) as good,
    ):
        await slow.until("hello")
        await good.until("hello")
        order_id = await submit()
        for stream in (slow, good):
            await stream.until("status_update")
        for seq in range(2, MANY):
            publish(account, order_id, seq)
            assert (await good.until("status_update"))["seq"] == seq
        await becomes(lambda: len(door.sockets) == 1)


async def test_a_slow_reader_of_a_socket_is_told_so_and_closed_with_4408(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.2)
    caplog.set_level(logging.INFO, logger=protocol.logger.name)  # a command may have raised it
    async with (
        server() as port,
        websockets.connect(
            f"ws://127.0.0.1:{port}/ws/orders",
            additional_headers=CREDENTIALS,
            max_size=None,
            max_queue=1,
        ) as client,
    ):
        assert json.loads(await client.recv())["type"] == "hello"
        order_id = await submit()
        assert json.loads(await client.recv())["orderId"] == order_id
        client.transport.pause_reading()
        await flood(account, order_id)
        await becomes(lambda: "too slow" in caplog.text)
        client.transport.resume_reading()
        found = []
        with suppress(ConnectionClosed):
            async for text in client:
                found.append(json.loads(text))
        assert client.close_code == 4408
        assert (found[-1]["type"], found[-1]["error"]) == ("error", "too_slow")


async def open_and_leave(port: int, target: str, count: int) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            opened = live_stream(port, target, listens=False, **CREDENTIALS)
            await stack.enter_async_context(opened)
        await becomes(lambda: len(door.sockets) == count)
    await becomes(no_places_are_taken)


@pytest.mark.parametrize("path", [STREAM + "?", "/api/events?wait=25&"])
async def test_a_stream_that_ended_leaves_nothing_to_the_collector(
    account: Account, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(account_reader, "HEARTBEAT_SECONDS", 0)
    target = f"{path}cursor={await cursor_of_now()}"
    async with server() as port:
        await open_and_leave(port, target, 1)  # what is made once
        async with without_collector() as left:
            await open_and_leave(port, target, SOCKETS)
    assert_nothing_of_each_is_left(left)


class Transport(asyncio.Transport):
    def __init__(self, connected: socket.socket) -> None:
        super().__init__({"socket": connected})


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_system_notices_a_silent_line_within_15_s() -> None:
    with socket.socket() as connected:
        Line(Transport(connected)).notice_silence()
        options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
        assert [connected.getsockopt(socket.IPPROTO_TCP, one) for one in options] == [10_000, 5, 5]
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_lines_that_are_no_networks_or_are_lost_have_no_such_options() -> None:
    with socket.socket(socket.AF_UNIX) as local:
        Line(Transport(local)).notice_silence()
    Line(Transport(local)).notice_silence()
    with socket.socket() as lost:
        pass
    Line(Transport(lost)).notice_silence()
    Line().notice_silence()
    Line().cut()
