"""Streams and waiting requests of real web processes: how they end with it, and go on elsewhere."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from tests.support.accounts import Account, make_account
from tests.support.engine import PATIENCE, SELL, Engine, Web, engine, own_redis
from tests.support.event_stream import STREAM, LiveStream, live_stream
from tests.support.machine import Watch

STREAMS = 20
EXIT_WITHIN = 4.0  # seconds; the server would wait for ten for streams that do not end


@pytest.fixture
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("streams")
    with (
        own_redis() as (_, redis_url),
        engine(process_database, logs, REDIS_URL=redis_url) as found,
    ):
        yield found


@pytest.fixture
def account(running: Engine) -> Account:
    return make_account(running.conninfo)


def place(web: Web, account: Account) -> str:
    answer = web.request("/api/orders/execute", SELL, **account.headers)
    assert answer.status == 201, answer
    return str(answer.body["orderId"])


async def events(stream: LiveStream, count: int) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    while len(found) < count:
        event = await stream.until("status_update")
        found.append((event["orderId"], event["seq"]))
    return found


async def test_all_streams_end_at_once_when_the_process_is_told_to_stop(
    running: Engine, account: Account
) -> None:
    web, other = running.web(), running.web()
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:

        async def opened(target: str = STREAM, *, listens: bool = True) -> LiveStream:
            stream = live_stream(web.port, target, listens=listens, **account.headers)
            return await stack.enter_async_context(stream)

        streams = [await opened() for _ in range(STREAMS)]
        cursor = [(await stream.until("hello"))["cursor"] for stream in streams][-1]
        waiting = f"/api/events?wait=25&cursor={cursor}"
        first = [await opened(waiting, listens=False) for _ in range(STREAMS)]
        order_id = await asyncio.to_thread(place, other, account)
        for stream in streams:
            assert await events(stream, 1) == [(order_id, 1)]
        pages = [await wait.answer() for wait in first]
        assert [one["events"][0]["orderId"] for one in pages] == [order_id] * STREAMS

        waiting = f"/api/events?wait=25&cursor={pages[-1]['cursor']}"
        second = [await opened(waiting, listens=False) for _ in range(STREAMS)]
        await asyncio.to_thread(web.request, "/api/orders", **account.headers)  # comes after them
        watch = Watch()
        web.send(signal.SIGTERM)
        for stream in streams:
            assert {one["type"] for one in await stream.rest()} <= {"checkpoint"}
            assert stream.has_ended, "with its end, and not cut"
        assert [(await wait.answer())["events"] for wait in second] == [[]] * STREAMS
        await asyncio.to_thread(web.wait)
        print(
            f"\n{STREAMS} streams, {STREAMS} waits and the process ended in {watch.seconds:.1f} s"
        )
        watch.assert_within(EXIT_WITHIN)
        assert "Traceback" not in web.output
        assert "without completing" not in web.output


async def test_a_stream_goes_on_at_another_process_after_a_kill(
    running: Engine, account: Account
) -> None:
    first, second = running.web(), running.web()
    async with asyncio.timeout(PATIENCE):
        async with live_stream(first.port, **account.headers) as stream:
            await stream.until("hello")
            told = await asyncio.to_thread(place, second, account)
            assert await events(stream, 1) == [(told, 1)]
            await stream.until("checkpoint")
            first.kill()
            await stream.rest()
            assert not stream.has_ended
        missed = await asyncio.to_thread(place, second, account)
        last = stream.parser.last_id
        async with live_stream(second.port, last_event_id=last, **account.headers) as stream:
            assert await events(stream, 1) == [(missed, 1)]
