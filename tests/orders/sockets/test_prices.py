"""`/ws/prices`: one frame a second of a market, read once for all sockets of a process."""

import asyncio
from typing import Any

import psycopg
import pytest

from config.runtime.postgres import Link
from orders.sockets import prices
from orders.sockets.prices import pause_after
from tests.support.client import Socket, connected, database_away
from tests.support.database import Database
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

STORE = """
INSERT INTO price_ticks (pair, tick, bid, ask, reference, venues)
SELECT %s, floor(extract(epoch FROM clock_timestamp()))::bigint + %s, %s, 101, 100.50,
  '{"raydium": {"bid": "99.5", "ask": null}}'
ON CONFLICT DO NOTHING
"""
SOL = "/ws/prices?market=SOL/USDC"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the next second's ticks at once."""
    monkeypatch.setattr(prices, "pause_after", lambda now: 0.02)


async def until_bid(socket: Socket, bid: str) -> dict[str, Any]:
    for _ in range(20):
        if (frame := await socket.message())["bid"] == bid:
            return frame
    raise AssertionError(f"no frame with the bid {bid}")


async def test_a_frame_has_the_newest_prices_and_those_of_each_venue(database: Database) -> None:
    await database.rows(STORE, "SOL/USDC", 0, "99.5000")
    async with connected(SOL) as socket:
        frame = await socket.message()
        assert_shape(frame, "MarketPrices", of_sockets=True)
        assert frame | {"at": ""} == {
            **{"type": "prices", "market": "SOL/USDC", "at": "", "bid": "99.5", "ask": "101"},
            "reference": "100.5",
            "venues": {"raydium": {"bid": "99.5", "ask": None}},
        }


async def test_each_second_is_told_once_and_the_next_one_follows(database: Database) -> None:
    async with connected(SOL) as socket:
        frames = []
        for second in range(3):
            await database.rows("DELETE FROM price_ticks")
            await database.rows(STORE, "SOL/USDC", second - 2, str(50 + second))
            frames.append(await until_bid(socket, str(50 + second)))
        assert len({frame["at"] for frame in frames}) == 3


async def test_sockets_of_all_markets_share_one_query_a_second(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.rows(STORE, "SOL/USDC", 0, "1")
    await database.rows(STORE, "JUP/USDC", 0, "2")
    asked, fetch = [0], Link.fetch

    async def counted(self: Link, query: Any, *args: Any) -> Any:
        asked[0] += "FROM price_ticks" in query
        return await fetch(self, query, *args)

    async with (
        connected(SOL) as one,
        connected(SOL) as two,
        connected("/ws/prices?market=JUP/USDC") as other,
    ):
        for socket in (one, two, other):
            await socket.message()
        feed = prices.feed_of_this_loop()
        await feed._telling.stop()
        for sockets in feed._sockets.values():
            for stream in sockets:
                stream.told = b""
        monkeypatch.setattr(Link, "fetch", counted)
        monkeypatch.setattr(prices, "pause_after", lambda now: 3_600)
        feed._telling.begin()

        told = [await until_bid(one, "1"), await until_bid(two, "1"), await until_bid(other, "2")]
        assert [frame["market"] for frame in told] == ["SOL/USDC", "SOL/USDC", "JUP/USDC"]
        assert asked == [1]


async def test_where_no_price_is_young_enough_prices_are_null(database: Database) -> None:
    await database.rows(STORE, "JUP/RAY", -4, "1")
    async with connected("/ws/prices?market=JUP/RAY") as socket:
        frame = await socket.message()
        assert_shape(frame, "MarketPrices", of_sockets=True)
        assert (frame["market"], frame["bid"], frame["ask"]) == ("JUP/RAY", None, None)


async def test_a_socket_goes_on_when_the_database_answers_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(SOL) as socket:
        await socket.message()

        async def away(*_: Any) -> Any:
            raise psycopg.OperationalError("away")

        with monkeypatch.context() as patched:
            patched.setattr(prices.last_prices_of_this_loop(), "all", away)
            await asyncio.sleep(0.05)
        await database.rows(STORE, "SOL/USDC", 0, "77")
        await until_bid(socket, "77")


async def test_the_feed_ends_with_its_last_socket_and_begins_with_the_next(
    database: Database,
) -> None:
    for _ in range(2):
        async with connected(SOL) as socket:
            await socket.message()
        await prices.feed_of_this_loop()._telling.wait_until_done()
        assert not prices.feed_of_this_loop()._sockets


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", "required"),
        ("?market=SOL", "unknown_market"),
        ("?market=a&after=1", "unknown_parameter"),
    ],
)
async def test_a_socket_for_no_market_is_refused(query: str, error: str) -> None:
    async with connected(f"/ws/prices{query}") as socket:
        messages, code = await socket.rest()
    assert code == 4400
    assert messages[0]["errors"][0]["code"] == error


async def test_a_frame_that_is_sent_is_answered_and_the_prices_go_on(database: Database) -> None:
    async with connected(SOL) as socket:
        await socket.message()
        await socket.send({"type": "ping"})
        await socket.send({"action": "execute"})
        answers = []
        while len(answers) < 2:
            message = await socket.message()
            answers += [message] if "type" in message else []
        assert [answers[0]["type"], answers[1]["error"]] == ["pong", "unexpected_frame"]


@pytest.mark.parametrize(
    ("now", "pause"), [(5.0, 0.3), (5.29, 1.01), (5.3, 1.0), (5.31, 0.99), (5.9, 0.4)]
)
def test_the_next_look_comes_when_the_ticks_of_the_next_second_are_there(
    now: float, pause: float
) -> None:
    assert pause_after(now) == pytest.approx(pause)


async def test_a_database_that_is_away_does_not_open_a_socket_for_an_unknown_market() -> None:
    with database_away():
        async with connected("/ws/prices?market=NEW/USDC") as socket:
            _, code = await socket.rest()
    assert code in (1013, 4400)
