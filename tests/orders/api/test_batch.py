"""`POST /api/orders/batch`: many orders at once, each by itself, or all or none."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings

from config.database.conninfo import conninfo
from config.runtime.rate import Rate
from orders.engine import journal
from tests.support.accounts import Account, execute, make_account
from tests.support.client import SELL_SOL, Answer, count_stored, get, post
from tests.support.shapes import has_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account")

LIMIT = {
    "type": "limit",
    "tokenIn": "SOL",
    "tokenOut": "USDC",
    "amountIn": "1",
    "limitPrice": "999",
}
OCO = {
    **{"type": "oco", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell", "amountIn": "1"},
    "takeProfit": {"limitPrice": "999"},
    "stopLoss": {"trailBps": 500},
}
BAD = SELL_SOL | {"amountIn": "-1"}


async def send(orders: list[Any], mode: str | None = None, **headers: str) -> Answer:
    body = {"orders": orders} | ({"mode": mode} if mode else {})
    return await post("/api/orders/batch", body, **headers)


def stored() -> int:
    ((found,),) = execute(conninfo(), "SELECT count(*) FROM orders")
    return int(found)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count the statements that store orders."""
    seen: Counter[str] = Counter()
    run, wide = journal._store, journal._store_wide

    async def counted(*arguments: Any, **options: Any) -> Any:
        seen["plain"] += 1
        return await run(*arguments, **options)

    async def counted_wide(*arguments: Any, **options: Any) -> Any:
        seen["wide"] += 1
        return await wide(*arguments, **options)

    monkeypatch.setattr(journal, "_store", counted)
    monkeypatch.setattr(journal, "_store_wide", counted_wide)
    return seen


async def test_each_order_of_a_batch_is_taken_or_refused_by_itself() -> None:
    answer = await send([SELL_SOL, BAD, LIMIT, "no order", OCO])

    assert answer.status == 207, answer.text
    assert [(one["index"], one["status"]) for one in answer.json] == [
        (0, 201),
        (1, 400),
        (2, 201),
        (3, 400),
        (4, 201),
    ]
    assert [one.get("order", {}).get("status") for one in answer.json[:3]] == [
        "pending",
        None,
        "open",
    ]
    assert answer.json[1]["problem"]["errors"][0]["field"] == "amountIn"
    group = answer.json[4]
    assert {order["groupId"] for order in group["orders"]} == {group["groupId"]}
    for one in (answer.json[0], answer.json[2]):
        found = await get(f"/api/orders/{one['order']['orderId']}")
        assert found.json["status"] == one["order"]["status"]
    assert stored() == 4
    assert has_shape(answer.json[1:2], "BatchAnswer")


async def test_batch_all_with_one_bad_item_stores_none() -> None:
    """40."""
    before = count_stored()
    answer = await send([SELL_SOL, LIMIT, BAD, OCO], "all")

    assert (answer.status, answer.json["error"]) == (409, "batch_refused")
    (refused,) = answer.json["items"]
    assert (refused["index"], refused["status"]) == (2, 400)
    assert refused["problem"]["error"] == "invalid_order"
    assert count_stored() == before
    answer = await send([SELL_SOL, LIMIT, OCO], "all")
    assert [one["status"] for one in answer.json] == [201] * 3, answer.text
    assert stored() == 4


@pytest.mark.parametrize("mode", ["independent", "all"])
async def test_100_good_ones_in_one_statement(mode: str, statements: Counter[str]) -> None:
    """40."""
    answer = await send([SELL_SOL, LIMIT] * 50, mode)
    assert [one["status"] for one in answer.json] == [201] * 100
    assert statements == {"wide": 1}
    ((count, times),) = execute(
        conninfo(), "SELECT count(*), count(DISTINCT created_at) FROM orders"
    )
    assert (count, times) == (100, 1)
    statements.clear()
    answer = await send([SELL_SOL] * 100, mode)
    assert statements.total() == 1
    assert stored() == 200


async def test_a_repeated_batch_finds_its_orders_again() -> None:
    batch = [SELL_SOL, LIMIT, OCO, SELL_SOL | {"clientOrderId": "mine"}]
    for mode in ("independent", "all"):
        key = {"idempotency_key": f"batch-{mode}"}
        orders = batch[:3] if mode == "all" else batch
        first = await send(orders, mode, **key)
        again = await send(orders, mode, **key)
        assert {one["status"] for one in first.json} == {201}, first.text
        assert {one["status"] for one in again.json} == {200}, again.text
        assert ids_in(first) == ids_in(again)
    assert stored() == 5 + 4
    ((keys,),) = execute(
        conninfo(),
        "SELECT array_agg(idempotency_key ORDER BY idempotency_key) FROM orders"
        " WHERE idempotency_key LIKE 'batch-all%%'",
    )
    assert keys == ["batch-all 0", "batch-all 1", "batch-all 2 0", "batch-all 2 1"]


def ids_in(answer: Answer) -> list[Any]:
    return [
        one["order"]["orderId"] if "order" in one else [order["orderId"] for order in one["orders"]]
        for one in answer.json
    ]


@pytest.mark.parametrize("mode", ["independent", "all"])
async def test_a_batch_that_comes_twice_at_once_is_stored_once(mode: str) -> None:
    answers = await asyncio.gather(
        *(send([SELL_SOL, LIMIT, OCO], mode, idempotency_key="twice") for _ in range(4))
    )
    assert {answer.status for answer in answers} == {207}, [answer.text for answer in answers]
    assert len({str(ids_in(answer)) for answer in answers}) == 1
    assert stored() == 4


async def test_a_key_of_another_order_or_of_another_batch_is_refused() -> None:
    await post("/execute", SELL_SOL, idempotency_key="one")
    answer = await send([SELL_SOL], idempotency_key="one")
    assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")
    await post("/execute", OCO, idempotency_key="two")
    answer = await send([OCO, SELL_SOL, SELL_SOL], idempotency_key="two")
    assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")
    long = await send([SELL_SOL], idempotency_key="x" * 251)
    assert (long.status, long.json["errors"][0]["code"]) == (400, "invalid_text")
    assert stored() == 3


@pytest.mark.parametrize("mode", ["independent", "all"])
@pytest.mark.parametrize(
    "other",
    [
        [SELL_SOL, LIMIT, OCO, SELL_SOL],
        [SELL_SOL, LIMIT],
        [OCO],
        [LIMIT, SELL_SOL, OCO],
        [SELL_SOL, LIMIT | {"limitPrice": "998"}, OCO],
    ],
    ids=["one more", "one less", "another one", "turned round", "one changed"],
)
async def test_a_batch_repeated_under_its_key_with_other_items_stores_nothing(
    mode: str, other: list[Any]
) -> None:
    batch = [SELL_SOL, LIMIT, OCO]
    first = await send(batch, mode, idempotency_key="batch")
    answer = await send(other, mode, idempotency_key="batch")
    assert (answer.status, answer.json["error"]) == (422, "idempotency_key_reused")
    swapped = await send(batch, "all" if mode != "all" else None, idempotency_key="batch")
    assert swapped.status == 422
    assert stored() == 4
    again = await send(batch, mode, idempotency_key="batch")
    assert ids_in(again) == ids_in(first)


async def test_a_batch_of_which_one_was_refused_takes_it_when_it_is_repeated() -> None:
    batch = [SELL_SOL, LIMIT, OCO]
    with override_settings(MAX_ORDER_VALUE=Decimal(120)):
        first = await send(batch, idempotency_key="batch")
    assert [one["status"] for one in first.json] == [400, 201, 201]
    again = await send(batch, idempotency_key="batch")
    assert [one["status"] for one in again.json] == [201, 200, 200]
    corrected = await send([*batch[:2], SELL_SOL], idempotency_key="batch")
    assert corrected.status == 422


async def test_one_name_twice_in_a_batch_is_one_order() -> None:
    named = SELL_SOL | {"clientOrderId": "mine"}
    answer = await send([named, named, LIMIT | {"clientOrderId": "mine"}])
    assert sorted(one["status"] for one in answer.json) == [200, 201, 409]
    assert stored() == 1
    other = SELL_SOL | {"clientOrderId": "yours"}
    together = await send([other, other], "all")
    assert (together.status, stored()) == (409, 1)
    assert together.json["items"][0]["problem"]["error"] == "client_order_id_taken"


async def test_each_item_counts_against_the_accounts_rate() -> None:
    owner = make_account()
    with override_settings(ACCOUNT_RATE_LIMIT=Rate(3, 3600)):
        answer = await send([SELL_SOL] * 5, **owner.headers)
        assert sorted(one["status"] for one in answer.json) == [201] * 3 + [429] * 2
        whole = await send([SELL_SOL], "all", **owner.headers)
        assert (whole.status, whole.json["items"][0]["status"]) == (409, 429)
    assert stored() == 3


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ([], "body", "not_an_object"),
        ({}, "orders", "invalid_list"),
        ({"orders": []}, "orders", "out_of_range"),
        ({"orders": [SELL_SOL] * 101}, "orders", "out_of_range"),
        ({"orders": [SELL_SOL], "mode": "some"}, "mode", "invalid_choice"),
        ({"orders": [SELL_SOL], "order": SELL_SOL}, "order", "unknown_field"),
    ],
)
async def test_what_is_no_batch_is_refused_by_name(body: Any, field: str, code: str) -> None:
    answer = await post("/api/orders/batch", body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.text
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]
    assert stored() == 0


async def test_the_errors_of_an_item_have_the_names_that_were_sent() -> None:
    (one,) = (await send([{"inputToken": "SOL", "outputToken": "USDC", "amount": "0"}])).json
    assert [error["field"] for error in one["problem"]["errors"]] == ["amount"]
    (one,) = (await send([{"inputToken": "SOL", "outputToken": "USDC", "amount": "1"}])).json
    assert one["status"] == 201


async def test_a_batch_that_is_nested_too_deep_for_a_fingerprint_is_refused_by_its_items() -> None:
    deep: Any = "1"
    for _ in range(260):
        deep = [deep]
    for _ in range(2):
        answer = await send([SELL_SOL | {"tags": deep}, SELL_SOL], idempotency_key="deep")
        assert answer.json[0]["status"] == 400, answer.text
    assert stored() == 1


async def test_a_key_that_only_reads_sends_no_batch(account: Account) -> None:
    execute(conninfo(), "UPDATE api_keys SET may_trade = false")
    answer = await send([SELL_SOL])
    assert (answer.status, answer.json["error"]) == (403, "insufficient_scope")
    assert stored() == 0
