"""`GET /api/quotes` and `/ws/quotes`: what an amount would get, by the code that routes orders."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from config.runtime.rate import Rate
from orders.access import preview_limits
from orders.access.preview_limits import MOST_STREAMS
from orders.engine import quotes
from orders.engine.quotes import Quotes, quotes_of_this_loop
from orders.engine.routes import route_of
from orders.sockets import quotes as quote_sockets
from routing.registry import registry
from routing.venue import Side, Swap, VenueUnavailable
from routing.venues import Exchange
from tests.support.accounts import make_account
from tests.support.client import connected, count_stored, get
from tests.support.shapes import assert_shape
from tests.support.venue_stubs import StubNetwork, StubVenue

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

NO_VENUE_ANSWERS = Exchange((StubVenue(fault=VenueUnavailable("it is away")),), StubNetwork())
ASKED = "tokenIn=SOL&tokenOut=USDC&amountIn=1.5"


async def test_a_quote_is_what_an_order_of_the_moment_would_get_and_stores_nothing() -> None:
    before = count_stored()
    answer = await get(f"/api/quotes?{ASKED}&slippageBps=50")

    assert answer.status == 200, answer.text
    assert_shape(answer.json, "QuoteAnswer")
    told = answer.json
    assert (told["market"], told["side"], told["amountIn"]) == ("SOL/USDC", "sell", "1.5")
    assert {quote["dex"] for quote in told["quotes"]} == {"raydium", "meteora"}
    assert told["minAmountOut"] < told["quote"]["amountOut"]
    assert 0 <= told["expiresInMs"] <= 1000
    assert answer.headers["cache-control"] == "no-store"
    assert count_stored() == before


async def test_a_quote_keeps_the_limits_that_an_order_would_set() -> None:
    only = (await get(f"/api/quotes?{ASKED}&venues=meteora")).json
    assert [quote["dex"] for quote in only["quotes"]] == ["meteora"]
    bought = (await get("/api/quotes?baseToken=SOL&quoteToken=USDC&side=buy&amountOut=2")).json
    assert (bought["side"], bought["amountOut"]) == ("buy", "2")
    assert "maxAmountIn" in bought
    assert "maxAcceptablePrice" in bought


async def test_an_amount_that_no_pool_can_fill_is_told_as_an_order_would_fail() -> None:
    told = (await get("/api/quotes?tokenIn=SOL&tokenOut=USDC&amountOut=9000000000000")).json
    assert_shape(told, "QuoteAnswer")
    assert told["failureCode"] in ("insufficient_liquidity", "price_impact_too_high")
    assert "selectedDex" not in told
    assert {one["dex"] for one in told["dropped"]} == {"raydium", "meteora"}


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ("tokenIn=SOL&tokenOut=USDC", "amountIn", "required"),
        (f"{ASKED}&amountOut=1", "amountOut", "conflict"),
        ("tokenIn=SOL&tokenOut=NONE&amountIn=1", "tokenOut", "unknown_token"),
        (f"{ASKED}&type=limit", "type", "unknown_parameter"),
        (f"{ASKED}&clientOrderId=x", "clientOrderId", "unknown_parameter"),
        (f"{ASKED}&venues=raydium&excludeVenues=raydium", "excludeVenues", "conflict"),
    ],
)
async def test_a_quote_of_nothing_is_refused_by_name(query: str, field: str, code: str) -> None:
    answer = await get(f"/api/quotes?{query}")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.text
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]
    async with connected(f"/ws/quotes?{query}") as socket:
        (error,), code_of_close = await socket.rest()
    assert (error["errors"][0]["field"], code_of_close) == (field, 4400)


async def test_who_asks_for_the_same_shares_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Swap] = []

    async def counted(swap: Swap, *arguments: Any, **options: Any) -> Any:
        asked.append(swap)
        await asyncio.sleep(0)
        return await route_of(swap, *arguments, **options)

    monkeypatch.setattr(quotes, "route_of", counted)
    others = [get(f"/api/quotes?{ASKED}", **make_account().headers) for _ in range(5)]
    answers = await asyncio.gather(get(f"/api/quotes?{ASKED}"), *others)

    assert [answer.status for answer in answers] == [200] * 6
    assert len(asked) == 1
    await get(f"/api/quotes?{ASKED}&venues=raydium")
    assert len(asked) == 2, "another limit is another question"


async def test_no_venue_that_answers_is_503_and_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotes_of_this_loop(), "_exchange", NO_VENUE_ANSWERS)
    answer = await get(f"/api/quotes?{ASKED}")
    assert (answer.status, answer.json["error"]) == (503, "prices_unavailable")
    assert answer.headers["retry-after"] == "1"


@pytest.fixture
def two_an_hour() -> Iterator[None]:
    with override_settings(PREVIEW_RATE_LIMIT=Rate(2, 3600)):
        yield


@pytest.mark.usefixtures("two_an_hour")
async def test_quotes_have_a_limit_of_their_own_by_account_and_by_address() -> None:
    owner, other = make_account(), make_account()
    answers = [await get(f"/api/quotes?{ASKED}", **owner.headers) for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 429]
    refused = answers[2]
    assert refused.json["error"] == "too_many_requests"
    assert "stored" not in refused.json["detail"]
    assert (refused.headers["ratelimit-limit"], "retry-after" in refused.headers) == ("2", True)
    assert (await get(f"/api/quotes?{ASKED}", **other.headers)).status == 200
    assert (await get(f"/api/quotes?{ASKED}")).status == 200
    assert (await get("/api/orders", **owner.headers)).status == 200
    async with connected(f"/ws/quotes?{ASKED}", **owner.headers) as socket:
        (error,), code = await socket.rest()
    assert (error["error"], code) == ("too_many_requests", 4429)


async def test_a_stream_tells_a_quote_at_once_and_again_only_when_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quote_sockets, "FRAME_SECONDS", 0.02)
    monkeypatch.setattr(quotes, "SHARED_SECONDS", 0.0)
    swaps: list[Swap] = []

    async def moved(swap: Swap, *arguments: Any, **options: Any) -> Any:
        swaps.append(swap)
        more = Swap(swap.market, swap.side, amount_in=(swap.amount_in or 0) + len(swaps) // 3)
        return await route_of(more, *arguments, **options)

    monkeypatch.setattr(quotes, "route_of", moved)
    async with connected(f"/ws/quotes?{ASKED}") as socket:
        frames = await socket.messages(3)
        assert len(swaps) >= 6, "it was told although it had not changed"
    for seq, frame in enumerate(frames, start=1):
        assert_shape(frame, "QuoteFrame", of_sockets=True)
        assert frame["seq"] == seq
    assert frames[0]["quotes"] != frames[1]["quotes"] != frames[2]["quotes"]


async def test_a_stream_says_once_that_there_is_no_price_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quote_sockets, "FRAME_SECONDS", 0.02)
    monkeypatch.setattr(quotes, "SHARED_SECONDS", 0.0)
    shared = quotes_of_this_loop()
    there = shared._exchange
    async with connected(f"/ws/quotes?{ASKED}") as socket:
        assert (await socket.message())["type"] == "quote"
        monkeypatch.setattr(shared, "_exchange", NO_VENUE_ANSWERS)
        away = await socket.message()
        assert (away["type"], away["error"]) == ("error", "prices_unavailable")
        monkeypatch.setattr(shared, "_exchange", there)
        again = await socket.message()
        assert (again["type"], again["seq"]) == ("quote", 2)


async def test_an_account_has_at_most_five_streams_of_quotes_and_gets_its_place_back() -> None:
    owner = make_account()
    path = f"/ws/quotes?{ASKED}"
    open_now = [connected(path, **owner.headers) for _ in range(MOST_STREAMS)]
    for one in open_now:
        await (await one.__aenter__()).message()
    async with connected(path, **owner.headers) as socket:
        error = await socket.message()
        assert error.get("error") == "too_many_quotes"
        assert (await socket.rest())[1] == 4429
    async with connected(path, **make_account().headers) as socket:
        assert (await socket.message())["type"] == "quote"
    for one in open_now:
        await one.__aexit__(None, None, None)
    assert not len(preview_limits.quote_streams)
    async with connected(path, **owner.headers) as socket:
        assert (await socket.message())["type"] == "quote"


async def test_a_stream_of_quotes_takes_no_orders() -> None:
    async with connected(f"/ws/quotes?{ASKED}") as socket:
        await socket.message()
        await socket.send({"action": "execute", "order": {}})
        assert (await socket.message())["error"] == "unexpected_frame"


async def test_one_who_leaves_takes_no_quote_from_the_others() -> None:
    known = registry()
    market = known.market(known.token("SOL"), known.token("USDC"))
    shared: Quotes = quotes_of_this_loop()
    swap = Swap(market, Side.SELL, amount_in=1_000_000_000)
    leaving = asyncio.create_task(shared.of(swap))
    staying = asyncio.create_task(shared.of(swap))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).swap == swap
