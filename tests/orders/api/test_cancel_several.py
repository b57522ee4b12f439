"""`POST /api/orders/cancel` by ids, and `POST /api/orders/cancel-all` by a filter."""

import asyncio
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from orders.engine.submission import new_order_id
from orders.lifecycle import Status
from routing.venue import Side
from tests.support.accounts import Account, execute, make_account
from tests.support.client import CREDENTIALS, Answer, connected, get, post, submit
from tests.support.resting_orders import rest, rest_limit, rest_stop, resting_order
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account")

TO_SUBMITTED = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)


async def cancel(ids: list[Any], **more: Any) -> Answer:
    return await post("/api/orders/cancel", {"orderIds": ids, **more})


async def cancel_all(sent: dict[str, Any] | None = None, **headers: str) -> Answer:
    return await post("/api/orders/cancel-all", sent or {}, **headers)


async def status_of(order_id: str) -> tuple[str, str | None]:
    order = (await get(f"/api/orders/{order_id}")).json
    return order["status"], order.get("reason")


def watched() -> set[str]:
    return {row[0] for row in execute(conninfo(), "SELECT order_id::text FROM watches")}


def group_is_over(group: str) -> bool:
    ((ended,),) = execute(
        conninfo(), "SELECT ended_at IS NOT NULL FROM order_groups WHERE id = %s", group
    )
    return bool(ended)


async def test_what_is_no_id_and_cannot_be_repeated_is_answered() -> None:
    answer = await cancel([1.5, "\ud800", {"a": [0.1]}, True])

    assert [(one["status"], one["orderId"]) for one in answer.json] == [
        *((404, None), (404, None), (404, None), (404, True)),
    ]


async def test_each_order_is_cancelled_or_says_why_not(account: Account) -> None:
    limit, market, sent, ended = (
        await rest_limit(account.id, 112),
        *[await submit() for _ in range(3)],
    )
    await Walker(sent).walk(*TO_SUBMITTED)
    await confirm(ended)
    foreign = await rest_limit(make_account().id, 112)
    answer = await cancel([limit, market.upper(), sent, ended, foreign, "no id", 7, limit])

    assert answer.status == 207, answer.text
    assert [one["status"] for one in answer.json] == [200, 200, 409, 409, 404, 404, 404, 200]
    assert [one["index"] for one in answer.json] == list(range(8))
    assert answer.json[2]["problem"]["orderStatus"] == "submitted"
    assert answer.json[3]["problem"]["orderStatus"] == "confirmed"
    assert answer.json[0]["order"]["reason"] == "user"
    assert await status_of(limit) == ("cancelled", "user")
    assert watched() == {foreign}
    again = await cancel([limit])
    assert [one["status"] for one in again.json] == [200], "once more does no harm"
    events = (await get(f"/api/orders/{limit}/events")).json["events"]
    assert [event["event"] for event in events] == ["accepted", "cancelled"]
    assert events[1]["data"] == {"reason": "user", "by": account.key[:12]}


async def test_when_possible_marks_what_was_submitted() -> None:
    sent, waiting = await submit(), await submit()
    await Walker(sent).walk(*TO_SUBMITTED)
    answer = await cancel([sent, waiting], whenPossible=True)
    assert [one["status"] for one in answer.json] == [202, 200]
    assert answer.json[0]["order"]["cancelRequested"] is True
    assert await status_of(sent) == ("submitted", None)


async def test_cancelling_one_of_a_group_ends_both_and_neither_while_one_is_submitted(
    account: Account,
) -> None:
    async def group() -> tuple[str, str, str]:
        name = new_order_id()
        legs = await rest(
            resting_order(account.id, limit_price="112", group_id=name),
            resting_order(account.id, "stop", trigger_price="95", group_id=name),
        )
        return name, legs[0], legs[1]

    name, target, stop = await group()
    assert [one["status"] for one in (await cancel([target])).json] == [200]
    assert await status_of(target) == ("cancelled", "user")
    assert await status_of(stop) == ("cancelled", "group_cancelled")
    assert group_is_over(name)
    name, target, stop = await group()
    with psycopg.connect(conninfo()) as connection:
        connection.execute(
            "UPDATE orders SET status = 'pending', resting = false, phase = NULL, seq = seq + 1"
            " WHERE id = %s",
            [target],
        )
        connection.execute("DELETE FROM watches WHERE order_id = %s", [target])
        connection.execute("UPDATE order_groups SET live_order = %s WHERE id = %s", [target, name])
    await Walker(target).walk(*TO_SUBMITTED)
    kept = await cancel([stop])
    assert [one["status"] for one in kept.json] == [409]
    assert await status_of(stop) == ("open", None)
    assert not group_is_over(name)
    marked = await cancel([stop], whenPossible=True)
    assert [one["status"] for one in marked.json] == [202]
    requested = execute(
        conninfo(), "SELECT bool_and(cancel_requested) FROM orders WHERE group_id = %s", name
    )
    assert requested == [(True,)]


async def test_cancel_all_with_filter_and_entries_and_new_orders_untouched(
    account: Account,
) -> None:
    """41."""
    entry = await rest_limit(account.id, 90, side=Side.BUY, tags={"book": "a"})
    jup = await rest_limit(account.id, 9, base="JUP", amount_in=1_000_000)
    market = await submit()
    stop = await rest_stop(account.id, 80)
    exit_ = await rest_limit(account.id, 120, parent_id=new_order_id())
    group = new_order_id()
    legs = await rest(
        resting_order(account.id, "takeProfit", trigger_price="120", group_id=group),
        resting_order(account.id, "trailingStop", trail_bps=500, group_id=group),
    )
    foreign, anonymous = await rest_limit(make_account().id, 112), await rest_limit(None, 112)

    by_tag = await cancel_all({"tag.book": "a"})
    assert by_tag.json == {"cancelled": 1, "requested": 0, "orderIds": [entry]}
    by_market = await cancel_all({"market": "JUP/USDC", "side": "sell", "types": ["limit"]})
    assert by_market.json["orderIds"] == [jup]
    assert (await cancel_all({"types": ["stopLimit", "market"], "side": "buy"})).json[
        "cancelled"
    ] == 0
    entries = await cancel_all({"scope": "entries"})
    assert entries.json["orderIds"] == [market]
    late = await submit()
    for spared in (stop, exit_, *legs):
        assert (await status_of(spared))[0] == "open"
    everything = await cancel_all()
    assert set(everything.json["orderIds"]) == {stop, exit_, late, *legs}
    assert everything.json["cancelled"] == 5
    for order_id in (stop, exit_, *legs):
        assert await status_of(order_id) == ("cancelled", "cancel_all")
    assert group_is_over(group)
    new = await submit()
    assert (await status_of(new))[0] == "pending"
    assert watched() == {foreign, anonymous}
    assert (await cancel_all()).json["cancelled"] == 1, "the new one, and nothing twice"


async def test_cancel_all_leaves_alone_or_marks_what_was_submitted() -> None:
    sent = await submit()
    await Walker(sent).walk(*TO_SUBMITTED)
    assert (await cancel_all()).json == {"cancelled": 0, "requested": 0, "orderIds": []}
    marked = await cancel_all({"whenPossible": True})
    assert marked.json == {"cancelled": 0, "requested": 1, "orderIds": [sent]}


async def test_cancel_all_is_for_accounts_that_may_trade(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(conninfo(), "UPDATE api_keys SET may_trade = false")
    assert (await cancel_all()).json["error"] == "insufficient_scope"
    monkeypatch.delitem(CREDENTIALS, "authorization")
    refused = await cancel_all()
    assert (refused.status, refused.json["error"]) == (401, "not_authenticated")


async def test_two_cancel_alls_and_a_release_never_wait_for_each_other(account: Account) -> None:
    groups = [new_order_id() for _ in range(20)]
    for group in groups:
        await rest(
            resting_order(account.id, limit_price="112", group_id=group),
            resting_order(account.id, "stop", trigger_price="95", group_id=group),
        )
    answers = await asyncio.gather(*(cancel_all() for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert sum(answer.json["cancelled"] for answer in answers) == 40
    assert watched() == set()
    ((events,),) = execute(conninfo(), "SELECT count(*) FROM order_events WHERE seq = 2")
    assert events == 40


async def test_what_is_cancelled_so_is_told_on_its_stream(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    async with connected(f"/ws/orders/{order_id}") as socket:
        await socket.message()
        await cancel_all()
        told, code = await socket.rest()
    assert ([one["event"] for one in told], code) == (["cancelled"], 1000)
    assert told[0]["data"] == {"reason": "cancel_all", "by": account.key[:12]}


@pytest.mark.parametrize(
    ("path", "body", "field", "code"),
    [
        ("cancel", {}, "orderIds", "invalid_list"),
        ("cancel", {"orderIds": []}, "orderIds", "out_of_range"),
        ("cancel", {"orderIds": ["x"] * 501}, "orderIds", "out_of_range"),
        ("cancel", {"orderIds": ["x"], "whenPossible": 1}, "whenPossible", "invalid_flag"),
        ("cancel", {"ids": ["x"]}, "ids", "unknown_field"),
        ("cancel-all", [], "body", "not_an_object"),
        ("cancel-all", {"scope": "some"}, "scope", "invalid_choice"),
        ("cancel-all", {"market": None}, "market", "null"),
        ("cancel-all", {"tag.book": None}, "tag.book", "null"),
        ("cancel-all", {"side": "long"}, "side", "invalid_choice"),
        ("cancel-all", {"side": 1}, "side", "invalid_text"),
        ("cancel-all", {"market": "SOL"}, "market", "unknown_market"),
        ("cancel-all", {"types": []}, "types", "out_of_range"),
        ("cancel-all", {"types": ["oco"]}, "types", "invalid_choice"),
        ("cancel-all", {"tag.": "x"}, "tag.", "invalid_text"),
        ("cancel-all", {"tag.a": 1}, "tag.a", "invalid_text"),
        ("cancel-all", {"status": "open"}, "status", "unknown_field"),
    ],
)
async def test_a_filter_that_means_nothing_cancels_nothing(
    account: Account, path: str, body: Any, field: str, code: str
) -> None:
    order_id = await rest_limit(account.id, 112)
    answer = await post(f"/api/orders/{path}", body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request"), answer.text
    assert [(one["field"], one["code"]) for one in answer.json["errors"]] == [(field, code)]
    assert await status_of(order_id) == ("open", None)
