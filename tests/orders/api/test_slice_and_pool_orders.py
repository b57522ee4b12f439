"""TWAPs and snipers as clients send them: what is taken, what is refused, what is answered."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from orders.models import Order
from routing.models import Market, Token
from routing.operations.launches import Launch, launch_pool
from routing.registry import read_registry
from tests.support.client import get, post
from tests.support.database import Database
from tests.support.order_types import SNIPER
from tests.support.order_types import TWAP as QUICK
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PATH = "/api/orders/execute"
TWAP = QUICK | {"intervalSeconds": 60}
AHEAD = "2199-01-01T00:00:00Z"


async def place(sent: dict[str, Any]) -> Any:
    answer = await post(PATH, sent)
    assert answer.status == 201, answer.text
    return answer.json


async def errors(sent: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await post(PATH, sent)
    assert answer.status == 400, answer.text
    found: list[dict[str, Any]] = answer.json["errors"]
    return found


def later(**how: float) -> str:
    return (datetime.now(UTC) + timedelta(**how)).isoformat()


async def test_a_twap_is_taken_and_tells_its_slices_and_when_the_next_is_due(
    database: Database,
) -> None:
    answer = await place(TWAP | {"slippageBps": 50, "limitPrice": "99.5"})

    assert (answer["status"], answer["phase"]) == ("open", "slicing")
    assert (answer["slices"], answer["intervalSeconds"], answer["catchUp"]) == (3, 60, "spread")
    assert (answer["slicesFilled"], answer["filledPercent"]) == (0, "0")
    assert answer["remainingAmount"] == answer["amountIn"]
    assert answer["nextSliceAt"] == answer["createdAt"]
    assert answer["summary"].endswith(
        "or better, fees included, slippage at most 0.5 %; in 3 slices, one every 60 s from"
        " now on; what is missed is spread over those left."
    )
    shown = (await get(f"/api/orders/{answer['orderId']}")).json
    assert_shape(shown, "Order")
    for name in ("slices", "nextSliceAt", "remainingAmount", "filledPercent", "summary"):
        assert shown[name] == answer[name], name
    ((kind, is_due),) = await database.rows(
        "SELECT kind = 'c', check_at <= clock_timestamp() FROM watches"
    )
    assert (kind, is_due) == (True, True)


async def test_a_twap_that_starts_later_waits_for_its_start(database: Database) -> None:
    start = later(hours=2)
    answer = await place(
        TWAP
        | {"startAt": start, "catchUp": "SKIP", "durationSeconds": 180}
        | {"intervalSeconds": None}
    )

    assert datetime.fromisoformat(answer["nextSliceAt"]) == datetime.fromisoformat(start)
    assert (answer["intervalSeconds"], answer["catchUp"]) == (60, "skip")
    ((check_at,),) = await database.rows("SELECT check_at FROM watches")
    assert check_at == datetime.fromisoformat(start)


async def test_a_twap_tells_what_its_slices_have_traded_together(database: Database) -> None:
    answer = await place(TWAP)
    filled = {
        **{"type": "market", "side": "sell", "base": "SOL", "quote": "USDC", "slippage_bps": 50},
        **{"amount_in": 500_000_000, "status": "confirmed", "terms": {}, "venue": "raydium"},
        **{"signature": "s", "filled_in": 500_000_000, "filled_out": 49_000_000},
        **{"finished_at": datetime.now(UTC), "parent_id": answer["orderId"]},
    }
    await Order.objects.acreate(slice=0, **filled)
    await Order.objects.acreate(slice=1, **filled | {"filled_out": 51_000_000})
    shown = (await get(f"/api/orders/{answer['orderId']}")).json

    assert_shape(shown, "Order")
    assert (shown["executedAmountIn"], shown["executedAmountOut"]) == ("1", "100")
    assert Decimal(shown["executedPrice"]) == 100
    assert (shown["slicesFilled"], shown["filledPercent"]) == (2, "66.66")
    assert shown["remainingAmount"] == "0.5"
    due = datetime.fromisoformat(shown["createdAt"]) + timedelta(seconds=120)
    assert datetime.fromisoformat(shown["nextSliceAt"]) == due


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"slices": None}, "slices", "required"),
        ({"slices": 1}, "slices", "out_of_range"),
        ({"slices": 1001}, "slices", "out_of_range"),
        ({"slices": "2.5"}, "slices", "too_precise"),
        ({"intervalSeconds": None}, "intervalSeconds", "required"),
        ({"intervalSeconds": 0}, "intervalSeconds", "out_of_range"),
        ({"intervalSeconds": 86_401}, "intervalSeconds", "out_of_range"),
        ({"durationSeconds": 180}, "durationSeconds", "conflict"),
        ({"durationSeconds": 181, "intervalSeconds": None}, "durationSeconds", "uneven_duration"),
        ({"startAt": "2020-01-01T00:00:00Z"}, "startAt", "out_of_range"),
        ({"startAt": AHEAD}, "startAt", "out_of_range"),
        ({"startAt": "tomorrow"}, "startAt", "invalid_time"),
        ({"catchUp": "later"}, "catchUp", "invalid_choice"),
        ({"timeInForce": "ioc"}, "timeInForce", "unsupported_time_in_force"),
        ({"expiresInSeconds": 120}, "expiresInSeconds", "expires_too_soon"),
        ({"takeProfit": {"limitPrice": "1"}}, "takeProfit", "not_for_this_type"),
        ({"amountIn": None, "amountOut": "5"}, "amountOut", "not_for_this_type"),
    ],
)
async def test_a_twap_that_makes_no_sense_is_refused(
    change: dict[str, Any], field: str, code: str
) -> None:
    found = await errors(TWAP | change)

    assert [(one["field"], one["code"]) for one in found] == [(field, code)]


async def test_an_end_after_the_last_slice_is_taken() -> None:
    answer = await place(TWAP | {"expiresInSeconds": 125})

    assert answer["timeInForce"] == "gtd"


async def test_slices_below_the_minimum_are_refused_with_as_many_as_would_do(
    own_registry: None,
) -> None:
    await Market.objects.filter(base="SOL", quote="USDC").aupdate(min_base="0.4")
    await sync_to_async(read_registry)()
    (found,) = await errors(TWAP | {"slices": 4})

    assert (found["field"], found["code"], found["maxSlices"]) == (
        *("slices", "slice_below_minimum", 3),
    )
    assert (await place(TWAP | {"slices": found["maxSlices"]}))["slices"] == 3
    (found,) = await errors(TWAP | {"amountIn": "0.39"})
    assert (found["code"], found["minimum"]) == ("amount_below_minimum", "0.4")


async def test_a_sniper_is_taken_with_a_warning_if_it_has_no_limit(database: Database) -> None:
    asked = {"poolEvent": "launch", "minLiquidity": "50.0", "maxPoolAgeSeconds": 60}
    answer = await place(SNIPER | asked)

    assert (answer["status"], answer["phase"]) == ("open", "waiting")
    assert (answer["poolEvent"], answer["minLiquidity"]) == ("launch", "50")
    assert (answer["timeInForce"], answer["slippageBps"]) == ("gtd", 500)
    assert answer["warnings"] == ["no_price_limit"]
    lasts = datetime.fromisoformat(answer["expiresAt"]) - datetime.fromisoformat(
        answer["createdAt"]
    )
    assert lasts == timedelta(hours=24)
    assert await database.rows("SELECT kind::text FROM watches") == [("p",)]
    shown = (await get(f"/api/orders/{answer['orderId']}")).json
    assert_shape(shown, "Order")
    assert "that holds at least 50 USDC" in shown["summary"]


async def test_a_sniper_with_a_limit_has_its_bound_and_no_warning() -> None:
    answer = await place(SNIPER | {"limitPrice": "110"})

    assert "warnings" not in answer
    assert answer["slippageBps"] is None
    assert Decimal(answer["minAmountOut"]) == Decimal("0.013636364")


async def test_a_sniper_may_wait_for_a_token_without_a_market(own_registry: None) -> None:
    await Token.objects.acreate(symbol="NEW", mint="1" * 31 + "2", decimals=6)
    answer = await place(SNIPER | {"tokenIn": "SOL", "tokenOut": "NEW", "amountIn": "2"})
    assert (answer["baseToken"], answer["quoteToken"], answer["side"]) == ("NEW", "SOL", "buy")

    launch = Launch("NEW", "SOL", "raydium", Decimal(50), price=Decimal("0.001"))
    await sync_to_async(launch_pool)(launch)
    again = await place(SNIPER | {"tokenIn": "SOL", "tokenOut": "NEW", "amountIn": "2"})
    assert (again["baseToken"], again["quoteToken"]) == ("NEW", "SOL")


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"tokenOut": "NOTHING"}, "tokenOut", "unknown_token"),
        ({"poolEvent": "rug"}, "poolEvent", "invalid_choice"),
        ({"minLiquidity": "0"}, "minLiquidity", "out_of_range"),
        ({"minLiquidity": "0.0000001"}, "minLiquidity", "too_precise"),
        ({"maxPoolAgeSeconds": 0}, "maxPoolAgeSeconds", "out_of_range"),
        ({"timeInForce": "gtc"}, "timeInForce", "unsupported_time_in_force"),
        ({"amountIn": None, "amountOut": "5"}, "amountOut", "not_for_this_type"),
        ({"triggerPrice": "5"}, "triggerPrice", "not_for_this_type"),
        ({"limitPrice": "110", "slippageBps": 50}, "slippageBps", "not_for_this_type"),
    ],
)
async def test_a_sniper_that_makes_no_sense_is_refused(
    change: dict[str, Any], field: str, code: str
) -> None:
    found = await errors(SNIPER | change)

    assert [(one["field"], one["code"]) for one in found] == [(field, code)]
