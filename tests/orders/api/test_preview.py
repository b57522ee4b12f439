"""`POST /api/orders/preview`: what an order would do, by the code that then does it."""

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from django.test import override_settings

from config.database.conninfo import conninfo
from config.runtime.rate import Rate
from orders.engine import quotes
from orders.engine.execution import Execution
from orders.engine.journal import journal_of_this_loop
from orders.engine.quotes import Quotes, quotes_of_this_loop
from orders.engine.triggers import last_prices
from routing.simulation.pools import SimulatedPools
from tests.orders.api.test_amend import set_tick
from tests.orders.api.test_quotes import NO_VENUE_ANSWERS
from tests.support.accounts import Account, execute
from tests.support.client import SELL_SOL, Answer, count_stored, get, post
from tests.support.order_types import no_prices
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account", "fresh_prices")

LIMIT = {**SELL_SOL, "type": "limit"}
STOP = {**SELL_SOL, "type": "stop"}
TABLES = ("orders", "order_events", "watches", "order_groups", "order_starts")


@pytest.fixture
def fresh_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the last tick each time."""
    monkeypatch.setattr(last_prices, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(quotes, "SHARED_SECONDS", 0.0)


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be one second all the time: pools have other prices in each."""
    now = int(time.time())
    monkeypatch.setattr(SimulatedPools, "_now", lambda pools: now)


@pytest_asyncio.fixture
async def execution() -> AsyncIterator[Execution]:
    yield Execution(journal_of_this_loop(), quotes_of_this_loop()._exchange)


async def preview(order: Any, **headers: str) -> Answer:
    return await post("/api/orders/preview", order, **headers)


def counts() -> list[int]:
    return [execute(conninfo(), f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]


async def building_of(order_id: str, execution: Execution) -> dict[str, Any]:
    (claimed,) = await journal_of_this_loop().claim_named(order_id)
    await execution.carry_order(claimed)
    events = (await get(f"/api/orders/{order_id}/events")).json["events"]
    (data,) = [event["data"] for event in events if event["status"] == "building"]
    return without_ages(data)


def without_ages(data: Any) -> Any:
    if isinstance(data, list):
        return [without_ages(one) for one in data]
    if isinstance(data, dict):
        return {name: without_ages(one) for name, one in data.items() if name != "ageMs"}
    return data


@pytest.mark.parametrize(
    "order",
    [
        SELL_SOL,
        {"baseToken": "SOL", "quoteToken": "USDC", "side": "buy", "amountOut": "2"},
        {**SELL_SOL, "venues": ["raydium"], "slippageBps": 7},
        {**LIMIT, "limitPrice": "50", "timeInForce": "ioc"},
    ],
)
@pytest.mark.usefixtures("one_second")
async def test_preview_stores_nothing_and_agrees_with_what_the_order_then_does(
    order: dict[str, Any], execution: Execution
) -> None:
    """42."""
    before = counts()
    answer = await preview(order)
    assert answer.status == 200, answer.text
    assert counts() == before
    told = answer.json
    assert_shape(told, "Preview")
    assert told["executesNow"] is True

    placed = (await post("/execute", order)).json
    assert told["summary"] == placed["summary"] or "expiresAt" in placed
    built = await building_of(placed["orderId"], execution)
    assert {name: without_ages(told[name]) for name in built} == built
    assert 0 <= told["expiresInMs"] <= 1000


@pytest.mark.parametrize(
    ("limit", "executes"), [("999", False), ("100.01", False), ("100", True), ("50", True)]
)
async def test_a_limit_starts_or_rests_as_its_preview_says(limit: str, executes: bool) -> None:
    """42."""
    set_tick(100)
    order = {**LIMIT, "limitPrice": limit}
    told = (await preview(order)).json
    placed = (await post("/execute", order)).json

    assert told["executesNow"] is executes
    assert placed["status"] == ("pending" if executes else "open")
    assert told["summary"] == placed["summary"]
    assert told["minAmountOut"] == placed["minAmountOut"]
    assert told["reserved"] == {"token": "SOL", "amount": "1.5"}
    if not executes:
        assert told["wouldTrigger"] is False
        assert told["price"] == "100"


async def test_a_stop_is_refused_or_goes_off_as_its_preview_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """42."""
    with monkeypatch.context() as patched:
        patched.setattr(Quotes, "_tick", no_prices)
        away = await preview({**STOP, "triggerPrice": "95"})
    assert (away.status, away.json["error"]) == (503, "prices_unavailable")
    set_tick(100)
    far = (await preview({**STOP, "triggerPrice": "95"})).json
    assert (far["executesNow"], far["wouldTrigger"], far["distanceBps"]) == (False, False, "500.00")
    crossed = {**STOP, "triggerPrice": "100"}
    refused, placed = await preview(crossed), await post("/execute", crossed)
    assert refused.status == placed.status == 400
    assert refused.json == placed.json
    meant = (await preview({**STOP, "triggerPrice": "102", "ifCrossed": "execute"})).json
    assert (meant["wouldTrigger"], meant["distanceBps"]) == (True, "-200.00")


@pytest.mark.usefixtures("one_second")
async def test_a_preview_tells_whether_the_whole_amount_nets_the_limit() -> None:
    set_tick(100)
    quote = (await get("/api/quotes?tokenIn=SOL&tokenOut=USDC&amountIn=1.5")).json["quote"]
    net = float(quote["amountOut"]) / 1.5
    fits = (await preview({**LIMIT, "limitPrice": f"{net - 0.01:.4f}"})).json
    assert fits["sized"]["fits"] is True
    above = f"{net + 1:.4f}"
    misses = (await preview({**LIMIT, "limitPrice": above})).json["sized"]
    assert misses["fits"] is False
    assert float(misses["netPrice"]) == pytest.approx(net)
    assert float(misses["atPrice"]) == pytest.approx(float(above) * 100 / net)


async def test_the_two_orders_of_an_oco_are_previewed_each() -> None:
    set_tick(100)
    order = {
        **{"type": "oco", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
        **{"amountIn": "1", "takeProfit": {"limitPrice": "150"}, "stopLoss": {"trailBps": 400}},
    }
    told = (await preview(order)).json
    assert_shape(told, "Preview")
    target, stop = told["orders"]
    assert (target["type"], target["distanceBps"]) == ("limit", "5000.00")
    assert (stop["type"], stop["distanceBps"], stop["wouldTrigger"]) == (
        "trailingStop",
        "400",
        False,
    )
    assert "orderId" not in target
    assert "groupId" not in target


async def test_a_twap_is_previewed_with_its_slots() -> None:
    set_tick(100)
    twap = {**SELL_SOL, "type": "twap", "slices": 4, "intervalSeconds": 60}
    told = (await preview(twap)).json
    assert_shape(told, "Preview")
    assert [slot["amountIn"] for slot in told["slots"]] == ["0.375"] * 4
    times = [datetime.fromisoformat(slot["at"]) for slot in told["slots"]]
    assert [late - early for early, late in pairwise(times)] == [timedelta(seconds=60)] * 3
    assert told["executesNow"] is False


@pytest.mark.parametrize(
    ("order", "warnings"),
    [
        (SELL_SOL, []),
        ({**SELL_SOL, "slippageBps": 300}, []),
        ({**SELL_SOL, "slippageBps": 301}, ["wide_slippage"]),
        ({**STOP, "triggerPrice": "95", "slippageBps": 50}, []),
        ({**STOP, "triggerPrice": "80", "slippageBps": 50}, []),
        ({**STOP, "triggerPrice": "79.9", "slippageBps": 50}, ["far_from_market"]),
        ({**LIMIT, "limitPrice": "120.1"}, ["far_from_market"]),
        ({**SELL_SOL, "amountIn": "0.00005"}, []),
        ({**SELL_SOL, "amountIn": "0.00004"}, ["below_cost_of_network"]),
    ],
)
async def test_a_preview_warns_of_what_is_probably_not_meant(
    order: dict[str, Any], warnings: list[str]
) -> None:
    set_tick(100)
    answer = await preview(order)
    assert answer.status == 200, answer.text
    assert answer.json["warnings"] == warnings


async def test_what_is_no_order_is_refused_as_the_order_would_be() -> None:
    for wrong in (
        {**SELL_SOL, "amountIn": "-1"},
        {**SELL_SOL, "limitPrice": "1"},
        {"inputToken": "SOL", "outputToken": "USDC", "amount": "0"},
        [],
    ):
        refused, placed = await preview(wrong), await post("/execute", wrong)
        assert refused.status == placed.status == 400
        assert refused.json == placed.json


async def test_an_order_that_would_fail_is_previewed_as_it_fails() -> None:
    told = (
        await preview({"tokenIn": "SOL", "tokenOut": "USDC", "amountOut": "9000000000000"})
    ).json
    assert_shape(told, "Preview")
    assert told["failureCode"] in ("insufficient_liquidity", "price_impact_too_high")


async def test_previews_count_with_quotes_and_apart_from_orders() -> None:
    with override_settings(PREVIEW_RATE_LIMIT=Rate(1, 3600), ACCOUNT_RATE_LIMIT=Rate(1, 3600)):
        assert (await preview(SELL_SOL)).status == 200
        assert (await post("/execute", SELL_SOL)).status == 201
        assert (await preview(SELL_SOL)).status == 429
        assert (await get("/api/quotes?tokenIn=SOL&tokenOut=USDC&amountIn=1")).status == 429


async def test_a_preview_without_any_quote_is_503_and_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotes_of_this_loop(), "_exchange", NO_VENUE_ANSWERS)
    answer = await preview(SELL_SOL)
    assert (answer.status, answer.json["error"]) == (503, "prices_unavailable")


async def test_a_key_that_only_reads_may_preview(account: Account) -> None:
    execute(conninfo(), "UPDATE api_keys SET may_trade = false")
    before = count_stored()
    assert (await preview(SELL_SOL)).status == 200
    assert (await post("/execute", SELL_SOL)).status == 403
    assert count_stored() == before
