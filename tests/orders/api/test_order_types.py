"""Orders of each type as clients send them: what is taken, what is refused, what is answered."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.runtime.rate import Rate
from orders.api.related import related
from orders.engine.quotes import Quotes
from orders.engine.triggers.last_prices import LastPrices
from orders.engine.triggers.ticks import Tick
from orders.models import Order
from orders.terms.type_rules import RULES, SPECIAL
from tests.support.accounts import Account, make_account
from tests.support.client import SELL_SOL, connected, count_stored, get, post, request
from tests.support.database import Database, rewrite
from tests.support.order_types import (
    BY_TYPE,
    LIMIT,
    OCO,
    SELLING_BRACKET,
    STOP,
    STOP_LIMIT,
    TARGET,
    TRAIL,
    VALUES,
    no_prices,
)

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PATH = "/api/orders/execute"


async def place(sent: dict[str, Any], **headers: str) -> Any:
    answer = await post(PATH, sent, **headers)
    assert answer.status == 201, answer.text
    return answer.json


async def refused(sent: dict[str, Any], **headers: str) -> list[tuple[str, str]]:
    answer = await post(PATH, sent, **headers)
    assert answer.status == 400, answer.text
    assert answer.json["error"] == "invalid_order"
    return [(one["field"], one["code"]) for one in answer.json["errors"]]


# Fields


@pytest.mark.parametrize(
    ("order_type", "name"),
    [(kind, name) for kind in RULES for name in sorted(SPECIAL - RULES[kind].fields)],
)
async def test_every_field_on_every_type_that_has_no_use_for_it_is_refused(
    order_type: str, name: str, prices: None, account: Account
) -> None:
    sent = BY_TYPE[order_type] | {name: VALUES[name]}
    if name == "amountOut":
        del sent["amountIn"]
    assert (name, "not_for_this_type") in await refused(sent)
    assert count_stored() == 0


@pytest.mark.parametrize("order_type", RULES)
async def test_a_type_takes_the_fields_that_its_table_says(
    order_type: str, prices: None, account: Account
) -> None:
    taken = RULES[order_type].fields
    for name in sorted(taken - set(BY_TYPE[order_type])):
        sent = BY_TYPE[order_type] | {name: VALUES[name]}
        if name == "amountOut":
            del sent["amountIn"]
        if name == "limitPrice":
            sent |= {"limitPrice": "112"}
        if name == "maxWaitSeconds" and order_type == "limit":
            sent |= {"timeInForce": "ioc"}
        if name == "durationSeconds":
            del sent["intervalSeconds"]
        if name == "expiresInSeconds" and order_type == "twap":
            sent |= {"expiresInSeconds": 3600}  # after its last slice
        await place(sent)


@pytest.mark.parametrize("name", ["slippageBps", "slippage"])
async def test_a_limit_price_that_is_the_bound_leaves_no_slippage(name: str, prices: None) -> None:
    sent = TARGET | {"limitPrice": "111", name: VALUES[name]}
    assert await refused(sent) == [(name, "not_for_this_type")]
    shown = await place(TARGET | {"limitPrice": "111"})
    assert shown["slippageBps"] is None


@pytest.mark.parametrize("word", ["stop_limit", "STOP-LIMIT", "stoplimit", "StopLimit"])
async def test_a_type_is_known_in_any_letter_case_with_or_without_dashes(
    word: str, prices: None
) -> None:
    assert (await place(STOP_LIMIT | {"type": word}))["type"] == "stopLimit"


@pytest.mark.parametrize("word", ["iceberg", "dca"])
async def test_a_type_that_is_not_built_is_refused(word: str) -> None:
    assert await refused(SELL_SOL | {"type": word}) == [("type", "unsupported_type")]


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({"type": "limit"}, ("limitPrice", "required")),
        ({"type": "stop"}, ("triggerPrice", "required")),
        ({"type": "trailingStop"}, ("trailBps", "required")),
        (LIMIT | {"limitPrice": "0"}, ("limitPrice", "out_of_range")),
        (LIMIT | {"limitPrice": "-1"}, ("limitPrice", "out_of_range")),
        (LIMIT | {"limitPrice": "1e21"}, ("limitPrice", "out_of_range")),
        (LIMIT | {"limitPrice": "1." + "0" * 20 + "1"}, ("limitPrice", "too_precise")),
        (LIMIT | {"limitPrice": "abc"}, ("limitPrice", "invalid_number")),
        (LIMIT | {"limitPrice": True}, ("limitPrice", "invalid_number")),
        (LIMIT | {"limitPrice": "1e-20"} | {"amountIn": "0.000000001"}, None),
        (TRAIL | {"trailBps": 0}, ("trailBps", "out_of_range")),
        (TRAIL | {"trailBps": 5050}, ("trailBps", "out_of_range")),
        (TRAIL | {"trailBps": 101}, ("trailBps", "too_precise")),
        (TRAIL | {"trailBps": 1010}, ("trailBps", "too_precise")),
        (TRAIL | {"trailBps": "1.5"}, ("trailBps", "too_precise")),
        (STOP | {"triggerBy": "last"}, ("triggerBy", "invalid_choice")),
        (STOP | {"ifCrossed": "maybe"}, ("ifCrossed", "invalid_choice")),
        (OCO | {"stopLoss": None}, ("stopLoss", "leg_required")),
        (OCO | {"takeProfit": None}, ("takeProfit", "leg_required")),
        (OCO | {"takeProfit": 5}, ("takeProfit", "not_an_object")),
        (OCO | {"takeProfit": {}}, ("takeProfit.limitPrice", "required")),
        (OCO | {"stopLoss": {"limitPrice": "95"}}, ("stopLoss.triggerPrice", "required")),
        (OCO | {"takeProfit": {"price": "95"}}, ("takeProfit.price", "unknown_field")),
        (OCO | {"takeProfit": {"trailBps": 5}}, ("takeProfit.trailBps", "not_for_this_type")),
        (
            OCO | {"stopLoss": {"triggerPrice": "95", "trailBps": 5}},
            ("stopLoss.triggerPrice", "conflict"),
        ),
        (
            OCO | {"stopLoss": {"triggerPrice": "95", "limitPrice": "94", "slippageBps": 5}},
            ("stopLoss.slippageBps", "not_for_this_type"),
        ),
        (
            SELL_SOL | {"stopLoss": {"triggerPrice": "120", "clientOrderId": "x"}},
            ("stopLoss.clientOrderId", "not_for_this_type"),
        ),
    ],
)
async def test_a_wrong_field_is_refused_by_name(
    sent: dict[str, Any], wrong: tuple[str, str] | None, prices: None
) -> None:
    assert wrong is None or wrong in await refused(SELL_SOL | sent)


async def test_an_orders_wrong_fields_are_all_told_at_once(prices: None) -> None:
    sent = STOP_LIMIT | {"triggerPrice": "0", "limitPrice": "x", "side": "hold", "amountIn": "-1"}
    assert {name for name, _ in await refused(sent)} == {"limitPrice", "triggerPrice"}
    sent = STOP | {"triggerPrice": None, "timeInForce": "ioc", "triggerBy": "x", "amountIn": "-1"}
    assert {name for name, _ in await refused(sent)} == {
        *("triggerPrice", "timeInForce", "triggerBy", "amountIn"),
    }


BUY = {"tokenIn": "USDC", "tokenOut": "SOL", "amountIn": "150"}
BUY_AT_100 = BUY | {"type": "limit", "limitPrice": "100"}
OUT_OF_ORDER = [
    (STOP_LIMIT | {"limitPrice": "95.01"}, "limitPrice"),
    (BUY | {"type": "stopLimit", "triggerPrice": "105", "limitPrice": "104"}, "limitPrice"),
    (OCO | {"takeProfit": {"limitPrice": "95"}}, "takeProfit"),
    (BUY | OCO | BUY, "takeProfit"),
    (OCO | {"stopLoss": {"triggerPrice": "95", "limitPrice": "96"}}, "stopLoss.limitPrice"),
    (
        BUY | {"type": "limit", "limitPrice": "100", "takeProfit": {"limitPrice": "99"}},
        "takeProfit",
    ),
    (BUY | {"type": "limit", "limitPrice": "100", "stopLoss": {"triggerPrice": "100"}}, "stopLoss"),
    (LIMIT | {"takeProfit": {"limitPrice": "113"}}, "takeProfit"),
    (LIMIT | {"stopLoss": {"triggerPrice": "111"}}, "stopLoss"),
    (BUY | {"takeProfit": {"limitPrice": "90"}, "stopLoss": {"triggerPrice": "95"}}, "takeProfit"),
]


@pytest.mark.parametrize(("sent", "field"), OUT_OF_ORDER)
async def test_prices_that_contradict_each_other_are_refused(
    sent: dict[str, Any], field: str, prices: None
) -> None:
    assert await refused(sent) == [(field, "invalid_price_order")]


async def test_equal_prices_of_a_stop_limit_are_taken(prices: None) -> None:
    await place(STOP_LIMIT | {"limitPrice": "95"})
    await place(BUY | {"type": "stopLimit", "triggerPrice": "105", "limitPrice": "105"})


# How long


TIMES = {
    "market": ("ioc", "fok"),
    "limit": ("gtc", "gtd", "ioc", "fok"),
    **dict.fromkeys(("stop", "stopLimit", "takeProfit", "trailingStop", "oco"), ("gtc", "gtd")),
}


@pytest.mark.parametrize("order_type", TIMES)
@pytest.mark.parametrize("word", ["gtc", "gtd", "ioc", "fok", "day"])
async def test_a_type_takes_the_times_in_force_of_the_table(
    order_type: str, word: str, prices: None
) -> None:
    sent = BY_TYPE[order_type] | {"timeInForce": word.upper()}
    if word == "gtd":
        sent |= {"expiresInSeconds": 60}
    if word in TIMES[order_type]:
        shown = await place(sent)
        shown = shown["orders"][0] if order_type == "oco" else shown
        assert shown.get("timeInForce", "ioc") == word
    else:
        assert ("timeInForce", "unsupported_time_in_force") in await refused(sent)


async def test_an_end_implies_gtd_and_the_answer_tells_it_by_the_databases_clock(
    prices: None, database: Database
) -> None:
    shown = await place(LIMIT | {"expiresInSeconds": 3600})
    assert (shown["timeInForce"], shown["status"]) == ("gtd", "open")
    ((ends, created),) = await database.rows("SELECT expires_at, created_at FROM orders")
    assert ends - created == timedelta(hours=1)
    assert datetime.fromisoformat(shown["expiresAt"]) == ends
    assert shown["summary"].endswith(f"; good till {shown['expiresAt']}.")


async def test_the_clients_clock_does_not_matter_to_expires_in_seconds(
    prices: None, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    headers = {"date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    shown = await place(LIMIT | {"expiresInSeconds": 60}, **headers)
    ((left,),) = await database.rows("SELECT expires_at - now() FROM orders")
    assert timedelta(seconds=30) < left <= timedelta(seconds=60)
    assert shown["expiresAt"].endswith("Z")


async def test_an_order_rests_at_most_max_resting_days(
    prices: None, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setattr(settings, "MAX_RESTING_DAYS", 2)
    far = (datetime.now(UTC) + timedelta(days=2, minutes=1)).isoformat()
    assert await refused(LIMIT | {"expiresAt": far}) == [("expiresAt", "expires_too_late")]
    sent = LIMIT | {"expiresInSeconds": 2 * 86_400 + 1}
    assert await refused(sent) == [("expiresInSeconds", "expires_too_late")]
    await place(LIMIT | {"expiresInSeconds": 2 * 86_400})
    shown = await place(LIMIT)
    assert shown["expiresAt"] is None
    rows = await database.rows("SELECT max(expires_at - queued_at) FROM watches")
    assert rows == [(timedelta(days=2),)]


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({"expiresAt": "2020-01-01T00:00:00Z"}, ("expiresAt", "expires_too_soon")),
        ({"expiresInSeconds": 0}, ("expiresInSeconds", "expires_too_soon")),
        ({"expiresInSeconds": "1.5"}, ("expiresInSeconds", "too_precise")),
        ({"expiresAt": "2030-01-01T00:00:00"}, ("expiresAt", "invalid_time")),
        ({"expiresAt": 5}, ("expiresAt", "invalid_time")),
        ({"timeInForce": "gtd"}, ("expiresAt", "required")),
        ({"timeInForce": "gtc", "expiresInSeconds": 5}, ("expiresInSeconds", "conflict")),
        (
            {"expiresAt": "2030-01-01T00:00:00Z", "expiresInSeconds": 5},
            ("expiresInSeconds", "conflict"),
        ),
        ({"maxWaitSeconds": 5}, ("maxWaitSeconds", "not_for_this_type")),
        ({"timeInForce": "ioc", "maxWaitSeconds": 3601}, ("maxWaitSeconds", "out_of_range")),
    ],
)
async def test_an_end_that_cannot_be_is_refused(
    ends: dict[str, Any], code: tuple[str, str], prices: None
) -> None:
    assert await refused(LIMIT | ends) == [code]


async def test_orders_that_are_not_to_rest_start_at_once_and_have_a_deadline(
    database: Database,
) -> None:
    for word, seconds in (("ioc", 60), ("fok", 5)):
        wait = {} if word == "ioc" else {"maxWaitSeconds": 5}
        shown = await place(LIMIT | {"timeInForce": word} | wait)
        assert (shown["status"], shown["minAmountOut"]) == ("pending", "168")
        created, ends = map(datetime.fromisoformat, (shown["createdAt"], shown["expiresAt"]))
        assert ends - created == timedelta(seconds=seconds)
    allowed = await database.rows("SELECT attempts_allowed FROM orders ORDER BY created_at")
    assert allowed == [(None,), (1,)]
    assert await database.rows("SELECT 1 FROM watches") == []


async def test_a_market_order_waits_as_long_as_the_operator_says(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    await place(SELL_SOL)
    monkeypatch.setattr(settings, "MARKET_MAX_WAIT_SECONDS", 30.0)
    await place(SELL_SOL)
    await place(SELL_SOL | {"maxWaitSeconds": 5})
    rows = await database.rows(
        "SELECT terms, expires_at - created_at FROM orders ORDER BY created_at"
    )
    assert rows == [(None, None), ({}, timedelta(seconds=30)), ({}, timedelta(seconds=5))]


async def test_a_plain_market_order_is_stored_and_answered_as_ever(database: Database) -> None:
    shown = await place(SELL_SOL | {"timeInForce": "IOC"})
    assert "timeInForce" not in shown
    assert "releases" not in shown
    assert await database.rows("SELECT terms, time_in_force, releases FROM orders") == [
        (None, None, None)
    ]


# The market


CROSSED = {
    "stop": STOP | {"triggerPrice": "100"},
    "stopLimit": STOP_LIMIT | {"triggerPrice": "101"},
    "takeProfit": TARGET | {"triggerPrice": "100"},
    "trailingStop": TRAIL | {"activationPrice": "99"},
}


@pytest.mark.parametrize("order_type", CROSSED)
async def test_if_crossed_refuses_by_default_and_executes_if_asked(
    order_type: str, prices: None
) -> None:
    sent = CROSSED[order_type]
    answer = await post(PATH, sent)
    (error,) = answer.json["errors"]
    field = "activationPrice" if order_type == "trailingStop" else "triggerPrice"
    assert (answer.status, error["field"]) == (400, field)
    assert (error["code"], error["price"]) == ("would_trigger_immediately", "100")
    assert "100" in error["message"]
    assert count_stored() == 0
    assert (await place(sent | {"ifCrossed": "execute"}))["status"] == "open"


@pytest.mark.parametrize(
    ("sent", "is_crossed"),
    [
        (STOP | {"triggerPrice": "99.99"}, False),
        (STOP | {"triggerPrice": "100.1", "triggerBy": "reference"}, False),
        (STOP | {"triggerPrice": "100.2", "triggerBy": "reference"}, True),
        (BUY | {"type": "stop", "triggerPrice": "100.4"}, True),
        (BUY | {"type": "stop", "triggerPrice": "100.41"}, False),
        (BUY | {"type": "takeProfit", "triggerPrice": "100.4"}, True),
        (BUY | {"type": "takeProfit", "triggerPrice": "100.39"}, False),
        (TRAIL, False),
        (OCO | {"stopLoss": {"triggerPrice": "100"}}, True),
    ],
)
async def test_a_trigger_is_compared_with_the_line_that_the_order_watches(
    sent: dict[str, Any], is_crossed: bool, prices: None
) -> None:
    answer = await post(PATH, sent)
    assert answer.status == (400 if is_crossed else 201), answer.text


TWO_HOPS = {"tokenIn": "RAY", "tokenOut": "USDT"}
"""A pair without pools of its own, at about 2 USDT for a RAY."""


@pytest.mark.parametrize("pair", [TWO_HOPS, {"tokenIn": "RAY", "tokenOut": "SOL"}])
@pytest.mark.parametrize("trigger_by", ["executable", "reference"])
async def test_the_first_stop_of_a_pair_is_compared_with_a_quote(
    pair: dict[str, str], trigger_by: str, database: Database
) -> None:
    """Nothing has ticks before it: it is the very first order of its engine."""
    assert await database.rows("SELECT 1 FROM simulated_pools") == []
    sent = STOP | pair | {"triggerBy": trigger_by}
    crossed = await post(PATH, sent | {"triggerPrice": "1000"})
    (error,) = crossed.json["errors"]
    assert (crossed.status, error["code"]) == (400, "would_trigger_immediately")
    price = Decimal(error["price"])
    assert count_stored() == 0
    assert (await place(sent | {"triggerPrice": f"{price / 2:.9f}"}))["status"] == "open"
    assert await database.rows("SELECT 1 FROM price_ticks") == []


async def test_an_amended_and_a_previewed_stop_are_compared_with_a_quote() -> None:
    placed = await place(STOP | TWO_HOPS | {"triggerPrice": "0.1"})
    path = f"/api/orders/{placed['orderId']}"
    body = {"seq": 1, "triggerPrice": "1000"}
    crossed = await request(
        "PATCH", path, json.dumps(body).encode(), content_type="application/json"
    )
    assert crossed.json["errors"][0]["code"] == "would_trigger_immediately"
    told = await post("/api/orders/preview", STOP | TWO_HOPS | {"triggerPrice": "0.1"})
    assert told.json["wouldTrigger"] is False
    assert Decimal(told.json["distanceBps"]) > 0


async def test_orders_that_come_together_share_the_quote(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    prices = Quotes._tick

    async def counted(*arguments: Any) -> Tick:
        nonlocal asked
        asked += 1
        return await prices(*arguments)

    monkeypatch.setattr(Quotes, "_tick", counted)
    monkeypatch.setattr(LastPrices, "second", lambda _: 1_700_000_000)
    sent = STOP | TWO_HOPS | {"triggerPrice": "0.1"}
    await asyncio.gather(*(place(sent) for _ in range(8)))
    assert asked == 1


@pytest.mark.parametrize("order_type", CROSSED)
async def test_if_no_venue_quotes_only_what_may_execute_is_taken(
    order_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quotes, "_tick", no_prices)
    answer = await post(PATH, CROSSED[order_type])
    assert (answer.status, answer.json["error"]) == (503, "prices_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert count_stored() == 0
    await place(CROSSED[order_type] | {"ifCrossed": "execute"})
    await place(LIMIT)
    await place(TRAIL)


async def test_a_limit_that_the_market_meets_starts_and_another_rests(prices: None) -> None:
    assert (await place(LIMIT | {"limitPrice": "100"}))["status"] == "pending"
    assert (await place(LIMIT | {"limitPrice": "100.01"}))["status"] == "open"


async def test_without_a_fresh_tick_a_limit_rests() -> None:
    assert (await place(LIMIT | {"limitPrice": "1"}))["status"] == "open"


# Answers


SAID = {
    "Sell 1.5 SOL at 112 USDC per SOL or better, fees included; good till cancelled.": LIMIT,
    "Sell 1.5 SOL for USDC once the best bid is 95 USDC or lower, slippage at most 5 %;"
    " good till cancelled.": STOP,
    "Sell 1.5 SOL at 94.5 USDC per SOL or better, fees included, once the best bid is 95 USDC or"
    " lower; good till cancelled.": STOP_LIMIT,
    "Sell 1.5 SOL for USDC once the best bid is 112 USDC or higher, slippage at most 1 %;"
    " good till cancelled.": TARGET,
    "Sell 1.5 SOL for USDC once the best bid is 1.5 % below its highest from now on, slippage at"
    " most 5 %; good till cancelled.": TRAIL,
    "Buy SOL with 150 USDC once the reference price is 105 USDC or higher, slippage at most 5 %;"
    " good till cancelled.": BUY
    | {"type": "stop", "triggerPrice": "105", "triggerBy": "reference"},
    "Buy SOL with 150 USDC once the best ask is 1 % above its lowest after it was 90 USDC or"
    " lower, slippage at most 5 %; good till cancelled.": BUY
    | {"type": "trailingStop", "trailBps": 100, "activationPrice": "90"},
    "Sell 1.5 SOL for USDC, slippage at most 1 %; in one attempt or not at all; then a target at"
    " 88; then a stop 2 % behind the best price.": SELL_SOL
    | SELLING_BRACKET
    | {"timeInForce": "fok"},
}


@pytest.mark.parametrize(("said", "sent"), SAID.items())
async def test_the_summary_says_what_the_stored_order_asks(
    said: str, sent: dict[str, Any], prices: None
) -> None:
    answered = await place(sent)
    shown = (await get(f"/api/orders/{answered['orderId']}")).json
    log = (await get(f"/api/orders/{answered['orderId']}/events")).json
    assert answered["summary"] == shown["summary"] == said
    assert log["events"][0]["data"]["order"]["summary"] == said


@pytest.mark.parametrize("order_type", RULES)
async def test_an_accepted_order_is_answered_as_it_is_shown(order_type: str, prices: None) -> None:
    answered = await place(BY_TYPE[order_type] | {"tags": {"desk": "a"}})
    for one in answered["orders"] if order_type == "oco" else [answered]:
        shown = (await get(f"/api/orders/{one['orderId']}")).json
        known = set(shown) - {"watermark", "currentTriggerPrice", "armedTick"}
        for name in known - {"order", "data", "success"}:
            assert one[name] == shown[name], name


async def test_an_answer_has_the_fields_of_its_type(prices: None) -> None:
    shown = await place(TRAIL | {"activationPrice": "120.50", "tags": {"bot": "a"}})
    wanted = {
        **{"type": "trailingStop", "trailBps": 150, "activationPrice": "120.5"},
        **{"triggerBy": "executable", "timeInForce": "gtc", "expiresAt": None},
        **{"status": "open", "phase": "unarmed", "slippageBps": 500, "tags": {"bot": "a"}},
        **{"releases": 0, "seq": 1},
    }
    assert {name: shown[name] for name in wanted} == wanted
    shown = await place(LIMIT | SELLING_BRACKET)
    wanted = {
        **{"limitPrice": "112", "minAmountOut": "168", "slippageBps": None, "phase": "waiting"},
        "takeProfit": {"limitPrice": "88"},
        "stopLoss": {"trailBps": 200, "slippageBps": 500},
    }
    assert {name: shown[name] for name in wanted} == wanted


async def test_the_first_event_of_an_order_that_rests_is_accepted_and_open(prices: None) -> None:
    shown = await place(STOP)
    (event,) = (await get(f"/api/orders/{shown['orderId']}/events")).json["events"]
    assert (event["event"], event["status"], event["seq"]) == ("accepted", "open", 1)
    assert event["data"]["order"]["triggerPrice"] == "95"


async def test_a_frame_places_an_order_that_rests(prices: None) -> None:
    async with connected(PATH) as socket:
        await socket.send(STOP)
        event = await socket.message()
        assert (event["status"], event["event"]) == ("open", "accepted")
        await socket.send(STOP | {"triggerPrice": "101"})
        refusal = await socket.message()
        assert refusal["errors"][0]["code"] == "would_trigger_immediately"
        await socket.send(OCO)
        both = [await socket.message(), await socket.message()]
        roles = [one["data"]["order"]["groupRole"] for one in both]
        assert roles == ["takeProfit", "stopLoss"]


async def test_one_order_tells_what_it_trails_and_where_it_goes_off(
    prices: None, database: Database
) -> None:
    sold = await place(TRAIL | {"trailBps": 150})
    bought = await place(BUY | {"type": "trailingStop", "trailBps": 200})
    waits = await place(TRAIL | {"activationPrice": "120"})
    await database.rows(
        "INSERT INTO price_peaks SELECT pair, line, armed_tick + step, 101 - step FROM watches,"
        " generate_series(-1, 1) AS step WHERE armed_tick IS NOT NULL RETURNING 1"
    )
    shown = (await get(f"/api/orders/{sold['orderId']}")).json
    assert (shown["watermark"], shown["currentTriggerPrice"]) == ("101", "99.485")
    shown = (await get(f"/api/orders/{bought['orderId']}")).json
    assert (shown["watermark"], shown["currentTriggerPrice"]) == ("101", "103.02")
    shown = (await get(f"/api/orders/{waits['orderId']}")).json
    assert "watermark" not in shown


async def test_a_page_of_groups_takes_no_statement_for_each(prices: None, account: Account) -> None:
    for _ in range(3):
        await place(OCO)

    def statements(orders: list[Order]) -> int:
        with CaptureQueriesContext(connection) as queries:
            found = related(orders)
        assert all("siblingOrderId" in one for one in found.values())
        return len(queries)

    orders = [order async for order in Order.objects.all()]
    assert await sync_to_async(statements)(orders) == 1
    assert await sync_to_async(statements)(orders[:1]) == 1
    listed = (await get("/api/orders")).json["results"]
    siblings = {one["orderId"]: one["siblingOrderId"] for one in listed}
    assert all(siblings[siblings[one]] == one for one in siblings)


async def test_an_entry_tells_the_exits_that_were_made_of_it(
    prices: None, account: Account, database_conninfo: str
) -> None:
    entry = await place(SELL_SOL | SELLING_BRACKET)
    exits = [await place(STOP), await place(LIMIT)]
    ids = [one["orderId"] for one in exits]
    parent = "UPDATE orders SET parent_id = %s WHERE id = ANY(%s::uuid[])"
    rewrite(database_conninfo, parent, entry["orderId"], ids)
    fill = (
        "UPDATE orders SET status = 'confirmed', finished_at = now(), signature = 's',"
        " venue = 'raydium', filled_in = 1, filled_out = 1 WHERE id = %s"
    )
    rewrite(database_conninfo, fill, entry["orderId"])
    shown = (await get(f"/api/orders/{entry['orderId']}")).json
    assert shown["children"] == ids
    child = (await get(f"/api/orders/{ids[0]}")).json
    assert child["parentOrderId"] == entry["orderId"]


# Tags


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({f"t{n}": "x" for n in range(11)}, "too_many"),
        ({"a b": "x"}, "invalid_text"),
        ({"": "x"}, "invalid_text"),
        ({"a" * 65: "x"}, "invalid_text"),
        ({"a": "x" * 65}, "invalid_text"),
        ({"a": "x\n"}, "invalid_text"),
        ({"a": "\x00"}, "invalid_text"),
        ({"a": "\ud800"}, "invalid_text"),
        ({"a": 1}, "invalid_text"),
        (["a"], "not_an_object"),
    ],
)
async def test_tags_that_cannot_be_kept_are_refused(tags: Any, code: str) -> None:
    assert await refused(SELL_SOL | {"tags": tags}) == [("tags", code)]


async def test_tags_are_kept_and_shown(account: Account) -> None:
    tags = {"desk": "A", "x.y-z_1": "ünï =1+1", "empty": ""}
    shown = await place(SELL_SOL | {"tags": tags})
    assert shown["tags"] == tags
    listed = (await get("/api/orders")).json["results"]
    assert listed[0]["tags"] == tags


# Keys


@pytest.mark.parametrize("order_type", RULES)
async def test_the_same_order_under_a_key_is_one_order(
    order_type: str, prices: None, account: Account
) -> None:
    sent = BY_TYPE[order_type]
    first = await post(PATH, sent, idempotency_key="k")
    again = await post(PATH, sent, idempotency_key="k")
    same = f"{Decimal(sent['amountIn']):.2f}"
    respelled = await post(PATH, sent | {"amountIn": same}, idempotency_key="k")
    other = await post(PATH, sent | {"amountIn": "2"}, idempotency_key="k")
    assert [one.status for one in (first, again, respelled, other)] == [201, 200, 200, 422]
    assert again.json == first.json == respelled.json
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]


async def test_an_end_in_seconds_is_repeated_under_its_key(prices: None, account: Account) -> None:
    sent = LIMIT | {"expiresInSeconds": 60}
    first = await post(PATH, sent, idempotency_key="k")
    again = await post(PATH, sent | {"limitPrice": "112.0"}, idempotency_key="k")
    other = await post(PATH, sent | {"expiresInSeconds": 61}, idempotency_key="k")
    assert (again.status, again.json, other.status) == (200, first.json, 422)


@pytest.mark.parametrize("first", [SELL_SOL, OCO])
async def test_a_key_is_not_for_one_order_and_for_two(
    first: dict[str, Any], prices: None, account: Account
) -> None:
    second = OCO if first is SELL_SOL else SELL_SOL
    await place(first, idempotency_key="k")
    answer = await post(PATH, second, idempotency_key="k")
    assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")


# OCO


async def test_an_oco_is_two_orders_of_one_group(
    prices: None, account: Account, database: Database
) -> None:
    answer = await post(PATH, OCO, idempotency_key="k")
    told = answer.json
    assert set(told) == {"groupId", "orders"}
    assert answer.headers["location"] == f"/api/orders?groupId={told['groupId']}"
    target, stop = told["orders"]
    assert (target["type"], stop["type"]) == ("limit", "stop")
    assert (target["groupRole"], stop["groupRole"]) == ("takeProfit", "stopLoss")
    assert target["siblingOrderId"] == stop["orderId"]
    assert stop["siblingOrderId"] == target["orderId"]
    assert {target["amountIn"], stop["amountIn"]} == {"1.5"}
    keys = await database.rows("SELECT idempotency_key FROM orders ORDER BY idempotency_key")
    assert keys == [("k 0",), ("k 1",)]
    watches = await database.rows("SELECT group_id::text, kind, act FROM watches ORDER BY kind")
    assert watches == [(told["groupId"], "<", "f"), (told["groupId"], ">", "s")]
    groups = await database.rows("SELECT id::text, live_order FROM order_groups")
    assert groups == [(told["groupId"], None)]
    transactions = await database.rows("SELECT DISTINCT xmin::text FROM orders")
    assert len(transactions) == 1


async def test_an_ocos_target_that_the_market_meets_does_not_start_by_itself(prices: None) -> None:
    sent = OCO | {"takeProfit": {"limitPrice": "99"}, "stopLoss": {"triggerPrice": "95"}}
    told = await place(sent)
    assert [one["status"] for one in told["orders"]] == ["open", "open"]


async def test_of_an_oco_whose_stop_has_a_taken_name_neither_is_stored(
    prices: None, account: Account
) -> None:
    await place(SELL_SOL | {"clientOrderId": "taken"})
    before = count_stored()
    stop = OCO["stopLoss"] | {"clientOrderId": "taken"}
    target = OCO["takeProfit"] | {"clientOrderId": "free"}
    answer = await post(PATH, OCO | {"stopLoss": stop, "takeProfit": target})
    assert (answer.status, answer.json["error"]) == (409, "client_order_id_taken")
    assert count_stored() == before
    assert not [one async for one in Order.objects.filter(client_order_id="free")]


async def test_an_oco_is_found_again_by_the_names_of_its_orders(
    prices: None, account: Account
) -> None:
    named = OCO | {"takeProfit": OCO["takeProfit"] | {"clientOrderId": "a"}}
    named |= {"stopLoss": OCO["stopLoss"] | {"clientOrderId": "b"}}
    first, again = await post(PATH, named), await post(PATH, named)
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert [one["clientOrderId"] for one in first.json["orders"]] == ["a", "b"]


async def test_one_oco_sent_many_times_at_once_is_stored_once(
    prices: None, account: Account, database: Database
) -> None:
    sent = [post(PATH, OCO, idempotency_key="k") for _ in range(10)]
    answers = await asyncio.gather(*sent)
    assert sorted(one.status for one in answers) == [200] * 9 + [201]
    assert all(one.json == answers[0].json for one in answers)
    assert await database.rows("SELECT count(*) FROM orders") == [(2,)]


async def test_an_anonymous_oco_has_no_names(prices: None) -> None:
    sent = OCO | {"stopLoss": OCO["stopLoss"] | {"clientOrderId": "b"}}
    answer = await post(PATH, sent)
    assert (answer.status, answer.json["error"]) == (400, "account_required")
    assert count_stored() == 0


# Limits


async def test_open_orders_of_an_account_are_bounded(
    prices: None, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAX_OPEN_ORDERS", 3)
    await place(STOP)
    await place(OCO)
    for sent in (STOP, OCO, LIMIT):
        answer = await post(PATH, sent)
        assert (answer.status, answer.json["error"]) == (409, "too_many_open_orders")
    await place(SELL_SOL)
    await place(LIMIT | {"timeInForce": "ioc"})
    other = make_account()
    await place(STOP, **other.headers)


async def test_what_ended_makes_room_for_other_open_orders(
    prices: None, account: Account, monkeypatch: pytest.MonkeyPatch, database_conninfo: str
) -> None:
    monkeypatch.setattr(settings, "MAX_OPEN_ORDERS", 1)
    monkeypatch.setattr("orders.access.open_orders.COUNTED_SECONDS", 0.0)
    await place(STOP)
    assert (await post(PATH, STOP)).status == 409
    end = "UPDATE orders SET status = 'expired', resting = false, finished_at = now(), seq = 2"
    rewrite(database_conninfo, end)
    await place(STOP)


async def test_an_anonymous_sender_has_twenty_open_orders(prices: None) -> None:
    answers = await asyncio.gather(*(post(PATH, STOP) for _ in range(25)))
    assert sorted(one.status for one in answers) == [201] * 20 + [409] * 5


async def test_what_rests_is_counted_apart_from_what_starts(
    prices: None, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RESTING_RATE_LIMIT", Rate(2, 3600))
    monkeypatch.setattr(settings, "ACCOUNT_RATE_LIMIT", Rate(1, 3600))
    resting = [await post(PATH, sent) for sent in (STOP, OCO, LIMIT)]
    assert [one.status for one in resting] == [201, 201, 429]
    assert resting[0].headers["ratelimit-limit"] == "2"
    starting = [await post(PATH, sent) for sent in (SELL_SOL, LIMIT | {"timeInForce": "ioc"})]
    assert [one.status for one in starting] == [201, 429]


async def test_what_rests_takes_no_place_in_the_backlog(
    prices: None, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAX_BACKLOG", 2)
    monkeypatch.setattr(settings, "SENDER_BACKLOG_SHARE", 1.0)
    for _ in range(5):
        await place(STOP)
    await place(SELL_SOL)
    await place(SELL_SOL)
    assert (await post(PATH, SELL_SOL)).status == 503
    await place(STOP)


async def test_an_order_that_rests_is_not_among_the_active_ones_of_redis(
    prices: None, redis_client: Any
) -> None:
    await place(STOP)
    assert redis_client.hlen("active_orders") == 0
