"""Many sockets on one order: one subscription, one frame, and nobody waits for a slow one."""

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
import websockets
from django.conf import settings
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.asgi import application
from config.runtime.counters import counts
from orders.engine.hints import CHANNEL, hints_of_this_loop
from orders.events import Event, group_of
from orders.lifecycle import Status
from orders.sockets import protocol
from orders.streams import resync
from orders.streams.followers import followers_of_this_loop
from orders.streams.resync import Streams, streams_of_this_loop
from tests.config.http.test_door import HANDSHAKE, serving, websocket
from tests.support.client import PATIENCE, connected, get, submit
from tests.support.engine import engine, wait_for
from tests.support.walker import WHOLE_WAY, Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

MEGABYTE = "x" * 1_000_000
TEXT, CLOSE = 1, 8


@pytest.fixture(autouse=True)
def no_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the sockets to the hints alone."""
    monkeypatch.setattr(resync, "RESYNC_SECONDS", 3_600)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Counter[bool]:
    """How many frames were written at once, and how many were not."""
    found: Counter[bool] = Counter()
    kind = websocket().WebSocket
    write = kind.write

    def counting(self: Any, frame: bytes) -> bool:
        was_written: bool = write(self, frame)
        found[was_written] += 1
        return was_written

    monkeypatch.setattr(kind, "write", counting)
    return found


@asynccontextmanager
async def server(*, compresses: bool = False) -> AsyncIterator[int]:
    async with serving(application, ws_per_message_deflate=compresses) as port:
        yield port


def open_socket(port: int, order_id: str, **options: Any) -> websockets.connect:
    url = f"ws://127.0.0.1:{port}/ws/orders/{order_id}"
    return websockets.connect(url, open_timeout=PATIENCE, max_size=None, **options)


async def rest(client: ClientConnection) -> tuple[list[Any], int | None]:
    """Return all messages to the end, and the code of the close."""
    found = []
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found.append(json.loads(await client.recv()))
    except ConnectionClosed:
        return found, client.close_code


async def log_of(order_id: str) -> list[Any]:
    found: list[Any] = (await get(f"/api/orders/{order_id}/events")).json["events"]
    return found


def subscriptions(client: redis.Redis, order_id: str) -> int:
    ((_, number),) = client.pubsub_numsub(CHANNEL + group_of(order_id))
    return int(number)


async def gone(client: redis.Redis, order_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while subscriptions(client, order_id):
            await asyncio.sleep(0.005)


async def test_two_sockets_on_one_order_cost_one_subscription_until_the_last_has_left(
    redis_client: redis.Redis,
) -> None:
    order_id = await submit()
    async with connected(f"/ws/orders/{order_id}") as one:
        async with connected(f"/ws/orders/{order_id}") as two:
            assert (await one.message())["seq"] == (await two.message())["seq"] == 1
            channels = redis_client.pubsub_channels(settings.CHANNEL_PREFIX + "*")
            assert len(channels) == 2, "the process's own, and the order's"
            before = counts["hints_received"]
            await Walker(order_id).walk(Status.ROUTING)
            assert (await one.message())["seq"] == (await two.message())["seq"] == 2
            assert counts["hints_received"] - before == 2
        assert subscriptions(redis_client, order_id) == 1
    await gone(redis_client, order_id)


async def test_each_socket_that_is_caught_up_gets_an_event_by_one_write(
    written: Counter[bool],
) -> None:
    order_id = await submit()
    async with server() as port:
        clients = [await open_socket(port, order_id) for _ in range(5)]
        firsts = [json.loads(await client.recv()) for client in clients]
        await at_rest(order_id, 5)
        await confirm(order_id)
        rests = [await rest(client) for client in clients]

    assert written == {True: 5 * len(WHOLE_WAY)}
    log = await log_of(order_id)
    assert firsts == [log[0]] * 5
    assert rests == [(log[1:], 1000)] * 5


async def at_rest(order_id: str, number: int) -> None:
    """Wait until so many sockets follow the order, and have nothing else to do."""
    async with asyncio.timeout(PATIENCE):
        while True:
            sockets: Any = followers_of_this_loop()._of[group_of(order_id)]
            if len(sockets) == number and all(one._is_at_rest for one in sockets):
                return
            await asyncio.sleep(0.005)


async def test_who_opens_a_socket_while_events_come_misses_none(written: Counter[bool]) -> None:
    order_id = await submit()

    async def follow(port: int) -> tuple[list[Any], int | None]:
        async with open_socket(port, order_id) as client:
            return await rest(client)

    async with server() as port:
        following = []
        walker = Walker(order_id)
        for status in WHOLE_WAY:
            following += [asyncio.create_task(follow(port)) for _ in range(5)]
            await walker.walk(status)
        found = await asyncio.gather(*following)

    log = await log_of(order_id)
    assert found == [(log, 1000)] * len(found)


async def test_a_hint_that_skips_an_event_is_not_written_before_the_log_is_read(
    written: Counter[bool],
) -> None:
    order_id = await submit()
    async with server() as port, open_socket(port, order_id) as client:
        first = json.loads(await client.recv())
        await at_rest(order_id, 1)
        silent = Walker(order_id, in_silence=True)
        await silent.walk(*WHOLE_WAY)
        await silent.close()
        hints_of_this_loop().publish((await streams_of_this_loop().history(order_id, 3))[0])
        found = await rest(client)

    assert ([first, *found[0]], found[1]) == (await log_of(order_id), 1000)
    assert written[True] == 0


async def test_a_hint_that_comes_while_the_log_is_read_is_not_written_beside_it(
    written: Counter[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = await submit()
    walker = Walker(order_id)
    await walker.walk(Status.ROUTING)
    is_read, may_go_on = asyncio.Event(), asyncio.Event()
    history = Streams.history

    async def slow_history(*args: Any) -> list[Event]:
        found = await history(*args)
        is_read.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(Streams, "history", slow_history)
    async with server() as port, open_socket(port, f"{order_id}?after=1") as client:
        await is_read.wait()
        before = counts["hints_received"]
        hints_of_this_loop().publish((await history(streams_of_this_loop(), order_id, 1))[0])
        async with asyncio.timeout(PATIENCE):
            while counts["hints_received"] == before:
                await asyncio.sleep(0.005)
        may_go_on.set()
        await walker.walk(*WHOLE_WAY[1:])
        found = await rest(client)

    assert found == ((await log_of(order_id))[1:], 1000)


async def test_a_compressed_socket_gets_frames_of_its_own(written: Counter[bool]) -> None:
    order_id = await submit()
    async with (
        server(compresses=True) as port,
        open_socket(port, order_id) as compressed,
        open_socket(port, order_id, compression=None) as plain,
    ):
        firsts = [json.loads(await one.recv()) for one in (compressed, plain)]
        await at_rest(order_id, 2)
        await confirm(order_id)
        rests = [await rest(one) for one in (compressed, plain)]

    log = await log_of(order_id)
    assert compressed.protocol.extensions, "it was agreed"
    assert written[True] == len(WHOLE_WAY), "those of the other one"
    assert firsts == [log[0]] * 2
    assert rests == [(log[1:], 1000)] * 2


async def test_a_client_that_does_not_read_delays_no_other_and_is_closed_with_4408(
    written: Counter[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.2)
    caplog.set_level(logging.INFO, logger=protocol.logger.name)  # a command may have raised it
    order_id, last = await submit(), 20
    async with server() as port:
        slow = socket.create_connection(("127.0.0.1", port))
        path = f"/ws/orders/{order_id}".encode()
        slow.sendall(HANDSHAKE.replace(b"GET /execute ", b"GET " + path + b" ") + b"\r\n")
        slow.setblocking(False)
        async with open_socket(port, order_id) as good:
            await good.recv()
            await at_rest(order_id, 2)
            for seq in range(2, last + 1):
                hints_of_this_loop().publish(large_event(order_id, seq))
                async with asyncio.timeout(PATIENCE):
                    assert json.loads(await good.recv())["seq"] == seq
            async with asyncio.timeout(PATIENCE):
                while "too slow" not in caplog.text:
                    await asyncio.sleep(0.005)
            told = await frames_to_the_close(slow)

    *events, last_word = [json.loads(data) for opcode, data in told if opcode == TEXT]
    seqs = [event["seq"] for event in events]
    assert (last_word["type"], last_word["error"]) == ("error", "too_slow")
    assert seqs == list(range(1, len(seqs) + 1))
    assert 1 < len(seqs) < last
    assert told[-1] == (CLOSE, (4408).to_bytes(2, "big"))
    assert written[False] > 0


def large_event(order_id: str, seq: int) -> Event:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Event(order_id, seq, Status.ROUTING, 1, "Large", at, {"note": MEGABYTE})


async def frames_to_the_close(client: socket.socket) -> list[tuple[int, bytes]]:
    """Read on; return the opcode and the data of each frame, that of the close as the last."""
    loop, received = asyncio.get_running_loop(), b""
    frames: list[tuple[int, bytes]] = []
    async with asyncio.timeout(PATIENCE):
        while not frames or frames[-1][0] != CLOSE:
            received += await loop.sock_recv(client, 10_000_000)
            frames = frames_in(received.partition(b"\r\n\r\n")[2])
    client.close()
    return frames


def frames_in(rest: bytes) -> list[tuple[int, bytes]]:
    """Return the frames that are complete."""
    frames = []
    while len(rest) >= 10 or (rest and rest[0] & 15 == CLOSE):
        size, at = rest[1], 2
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(rest[2:at], "big")
        if len(rest) < at + size:
            break
        frames.append((rest[0] & 15, rest[at : at + size]))
        rest = rest[at + size :]
    return frames


async def test_a_web_process_that_is_killed_leaves_no_follower_behind(
    process_database: str, tmp_path: Path, redis_client: redis.Redis
) -> None:
    with engine(process_database, tmp_path) as running:
        web = await asyncio.to_thread(running.web)
        order_id = await asyncio.to_thread(web.post)
        async with websockets.connect(web.stream_url(order_id), open_timeout=PATIENCE) as client:
            assert json.loads(await client.recv())["seq"] == 1
            assert subscriptions(redis_client, order_id) == 1
            before = set(redis_client.keys(settings.CHANNEL_PREFIX + "*"))
            web.kill()
            wait_for(lambda: not redis_client.pubsub_channels(settings.CHANNEL_PREFIX + "*"))
        assert set(redis_client.keys(settings.CHANNEL_PREFIX + "*")) <= before
