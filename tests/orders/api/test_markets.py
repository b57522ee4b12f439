"""Tokens and markets for clients: what is listed, what is new, and what is refused once closed."""

import asyncio
import itertools
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection

from config.database.conninfo import conninfo
from orders.api.reading.serializers import read_order
from routing import registry
from routing.registry import read_registry
from routing.tokens import TOKENS
from tests.support.client import (
    SELL_SOL,
    connected,
    count_stored,
    database_away,
    get,
    post,
    submit,
)
from tests.support.database import restore_registry
from tests.support.shapes import assert_shape
from tests.support.traded import add_market, add_token, change, close

pytestmark = pytest.mark.usefixtures("engine_loop", "own_registry")


PAUSE = registry.PAUSE_SECONDS - 0.01  # clocks of loops count in milliseconds


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When this process reads the tables because of something unknown."""
    began: list[float] = []

    def count_and_read() -> None:
        began.append(time.monotonic())
        read_registry()

    monkeypatch.setattr(registry, "read_registry", count_and_read)
    return began


async def read_as_if_with_the_heartbeat() -> None:
    def read() -> None:
        read_registry()
        connection.close()

    await sync_to_async(read)()


def codes(answer: Any) -> dict[str, str]:
    assert answer.status == 400, answer.text
    return {error["field"]: error["code"] for error in answer.json["errors"]}


async def test_an_order_for_what_was_added_a_moment_ago_is_taken() -> None:
    mint = add_token("NEW", 5)
    add_market("NEW", "USDC")
    answer = await post("/api/orders", {"tokenIn": mint, "tokenOut": "USDC", "amountIn": "1.00001"})
    assert answer.status == 201
    assert (answer.json["baseToken"], answer.json["amountIn"]) == ("NEW", "1.00001")


async def test_an_order_in_a_frame_is_taken_too() -> None:
    add_token("NEW")
    add_market("NEW", "SOL")
    async with connected("/api/orders/execute") as socket:
        await socket.send({"tokenIn": "NEW", "tokenOut": "SOL", "amountIn": "1"})
        assert (await socket.message())["status"] == "pending"


async def test_two_hops_over_an_added_market_are_taken_in_either_direction() -> None:
    add_token("NEW")
    add_market("NEW", "JUP")
    for one, other in (("NEW", "USDC"), ("USDC", "NEW")):
        answer = await post(
            "/api/orders", {"baseToken": one, "quoteToken": other, "side": "buy", "amountIn": 1}
        )
        assert answer.status == 201, answer.text
        assert answer.json["baseToken"] == one


async def test_a_token_is_never_called_unknown_by_a_copy_older_than_the_order(
    reads: list[float],
) -> None:
    """Also when this process has just read the tables, and may not do so again for a while."""
    assert codes(await post("/api/orders", SELL_SOL | {"tokenIn": "NEW"})) == {
        "tokenIn": "unknown_token"
    }
    add_token("NEW")
    add_market("NEW", "USDC")
    assert (await post("/api/orders", SELL_SOL | {"tokenIn": "NEW"})).status == 201
    assert reads[1] - reads[0] >= PAUSE


async def test_a_crowd_of_junk_symbols_costs_a_read_a_second(reads: list[float]) -> None:
    start = time.monotonic()
    for _ in range(2):
        answers = await asyncio.gather(
            *(post("/api/orders", SELL_SOL | {"tokenIn": f"JUNK{n}"}) for n in range(40))
        )
        assert all(codes(answer) == {"tokenIn": "unknown_token"} for answer in answers)
    seconds = time.monotonic() - start

    assert len(reads) <= 1 + seconds / PAUSE
    gaps = [later - earlier for earlier, later in itertools.pairwise(reads)]
    assert all(gap >= PAUSE for gap in gaps)


async def test_a_call_while_the_tables_are_being_read_waits_for_the_next_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is being read may have begun before the change that is asked about."""
    gate, began = threading.Event(), []

    def read() -> None:
        began.append(time.monotonic())
        gate.wait(120)

    monkeypatch.setattr(registry, "read_registry", read)
    monkeypatch.setattr(registry, "PAUSE_SECONDS", 0.0)
    first = asyncio.create_task(registry.read_again())
    while not began:
        await asyncio.sleep(0.01)
    later = [asyncio.create_task(registry.read_again()) for _ in range(5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *later)
    assert len(began) == 2


async def test_orders_that_name_what_is_known_read_no_tables(reads: list[float]) -> None:
    for _ in range(5):
        await submit()
    assert (await post("/api/orders", SELL_SOL | {"tokenIn": "JUNK", "side": "up"})).status == 400
    assert reads == []


async def test_without_the_database_nothing_is_called_unknown_and_what_is_known_is() -> None:
    known = registry.registry()
    with database_away():
        answer = await post("/api/orders", SELL_SOL | {"tokenIn": "NEW"})
        assert (answer.status, answer.json["error"]) == (503, "database_unavailable")
        with pytest.raises(OperationalError):
            await read_as_if_with_the_heartbeat()
        assert registry.registry() is known
        assert (await read_order(SELL_SOL)).market.name == "SOL/USDC"


async def test_a_closed_market_refuses_new_orders_by_a_code_of_its_own() -> None:
    order_id = await submit()
    close("SOL", "USDC")
    await read_as_if_with_the_heartbeat()

    assert codes(await post("/api/orders", SELL_SOL)) == {"tokenIn": "market_closed"}
    wrapped = {"baseToken": "WSOL", "quoteToken": "USDC", "side": "buy", "amountOut": 1}
    assert codes(await post("/api/orders", wrapped)) == {"baseToken": "market_closed"}
    assert codes(await post("/api/orders", {"side": "sell", "amount": 1})) == {
        "baseToken": "market_closed"
    }
    assert count_stored() == 2  # the first order and its event
    assert (await get(f"/api/orders/{order_id}")).json["amountIn"] == "1.5"
    assert ">SOL/USDC</option>" not in (await get("/", accept="text/html")).text


async def test_a_market_that_was_opened_again_is_not_called_closed() -> None:
    close("SOL", "USDC")
    await read_as_if_with_the_heartbeat()
    change("UPDATE markets SET takes_orders = true")
    assert (await post("/api/orders", SELL_SOL)).status == 201


async def test_two_hops_need_a_way_that_is_open() -> None:
    order = {"tokenIn": "JUP", "tokenOut": "USDT", "amountIn": "1"}
    close("JUP", "USDC")
    await read_as_if_with_the_heartbeat()

    assert (await post("/api/orders", order)).status == 201
    (shown,) = [m for m in await listed() if m["market"] == "JUP/USDT"]
    assert shown["through"] == ["SOL"]
    close("SOL", "USDT")
    await read_as_if_with_the_heartbeat()
    assert codes(await post("/api/orders", order)) == {"tokenIn": "market_closed"}


async def test_an_order_is_shown_by_a_process_that_does_not_know_its_token_yet() -> None:
    add_token("NEW", 3)
    add_market("NEW", "USDC")
    order_id = await submit({"tokenIn": "NEW", "tokenOut": "USDC", "amountIn": "1.001"})
    restore_registry(conninfo())
    await read_as_if_with_the_heartbeat()
    assert "NEW" not in {token.symbol for token in registry.registry().tokens}
    add_token("NEW", 3)
    shown = await get(f"/api/orders/{order_id}")

    assert (shown.status, shown.json["amountIn"]) == (200, "1.001")


async def test_an_order_stays_readable_when_its_pair_gets_pools_in_the_other_direction() -> None:
    order_id = await submit({"tokenIn": "JUP", "tokenOut": "USDT", "amountIn": "2"})
    add_market("USDT", "JUP")
    await read_as_if_with_the_heartbeat()
    shown = await get(f"/api/orders/{order_id}")
    assert (shown.status, shown.json["baseToken"]) == (200, "JUP")


async def test_a_default_market_that_is_not_there_asks_for_tokens(settings: Any) -> None:
    settings.DEFAULT_MARKET = "NEW/USDC"
    sent = {"side": "sell", "amount": 1}
    assert codes(await post("/api/orders", sent)) == {"baseToken": "required"}
    assert (await get("/", accept="text/html")).status == 200


async def listed() -> list[dict[str, Any]]:
    answer = await get("/api/markets")
    assert answer.status == 200
    assert_shape(answer.json, "MarketList")
    found: list[dict[str, Any]] = answer.json["markets"]
    return found


async def test_the_list_has_every_token_and_every_pair_with_the_way_it_is_traded() -> None:
    answer = await get("/api/markets/")

    assert [token["symbol"] for token in answer.json["tokens"]] == [t.symbol for t in TOKENS]
    assert answer.json["tokens"][-1] == {
        "symbol": "BONK",
        "mint": "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263",
        "decimals": 5,
    }
    markets = {market["market"]: market for market in await listed()}
    assert len(markets) == 9 + 6
    assert markets["BONK/SOL"] == {
        **{"market": "BONK/SOL", "baseToken": "BONK", "quoteToken": "SOL"},
        **{"referencePrice": "0.0000002", "takesOrders": True, "through": []},
        **{"priceDecimals": 10, "amountDecimals": {"base": 2, "quote": 4}},
        "minAmountIn": {"sell": "0.5", "buy": "0.000000001"},
        "venues": ["raydium", "meteora"],
    }
    assert markets["JUP/USDT"]["through"] == ["SOL", "USDC"]
    assert Decimal(markets["JUP/USDT"]["referencePrice"]) == Decimal("0.5")
    for market in markets.values():
        sent = {"tokenIn": market["baseToken"], "tokenOut": market["quoteToken"], "amountIn": 1}
        assert (await post("/api/orders", sent)).json["side"] == "sell"


async def test_the_list_is_sent_again_only_when_it_has_changed() -> None:
    first = await get("/api/markets")

    assert first.headers["cache-control"] == "public, max-age=3"
    for tag in (first.headers["etag"], f"W/{first.headers['etag']}"):
        again = await get("/api/markets", if_none_match=tag)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    close("SOL", "USDC")
    await read_as_if_with_the_heartbeat()
    changed = await get("/api/markets", if_none_match=first.headers["etag"])
    assert changed.status == 200
    assert not changed.json["markets"][0]["takesOrders"]


async def test_the_list_reads_no_database_and_refuses_parameters() -> None:
    with database_away():
        assert (await get("/api/markets")).status == 200
    assert codes(await get("/api/markets?limit=1")) == {"limit": "unknown_parameter"}
    page = await get("/api/markets", accept="text/html")
    assert "two hops" in page.text


async def test_orders_are_listed_by_a_market_that_was_added() -> None:
    add_token("NEW")
    add_market("NEW", "USDC")
    order_id = await submit({"tokenIn": "NEW", "tokenOut": "USDC", "amountIn": "1"})
    shown = await get(f"/api/orders/{order_id}")

    assert shown.json["baseToken"] == "NEW"
    assert (await get("/api/orders?market=NEW/USDC")).status == 200
