"""`PATCH /api/orders/{id}`: an order that rests asks for something else, or stays as it was."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from orders.engine.quotes import Quotes
from orders.engine.submission import new_order_id
from orders.engine.triggers import last_prices
from orders.lifecycle import Status
from routing.venue import Side
from tests.support.accounts import Account, execute, make_account
from tests.support.client import SELL_SOL, Answer, get, post, request, submit
from tests.support.database import rewrite
from tests.support.order_types import no_prices
from tests.support.resting_orders import rest, rest_limit, rest_stop, resting_order
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client", "account")

MAY_LEAD_TO = "SELECT status, seq, limit_price, min_out FROM orders WHERE id = %s"


async def amend(order_id: str, sent: Any, **headers: str) -> Answer:
    body = json.dumps(sent).encode()
    path = f"/api/orders/{order_id}"
    return await request("PATCH", path, body, content_type="application/json", **headers)


def rows(statement: Any, *parameters: Any) -> list[Any]:
    return execute(conninfo(), statement, *parameters)


def watch_of(order_id: str) -> dict[str, Any]:
    with psycopg.connect(conninfo(), row_factory=psycopg.rows.dict_row) as connection:
        row = connection.execute(
            "SELECT kind::text, act::text, wake_price, trail_bps, held, from_tick, armed_tick,"
            " queued_at, check_at, expires_at FROM watches WHERE order_id = %s",
            [order_id],
        ).fetchone()
    assert row is not None
    return row


def set_tick(bid: object, ask: object | None = None) -> None:
    """Let this be the price of this second and of the next ones."""
    now = int(datetime.now(UTC).timestamp())
    for tick in range(now - 1, now + 2):
        execute(
            conninfo(),
            "INSERT INTO price_ticks (pair, tick, bid, ask, reference) VALUES ('SOL/USDC', %s,"
            " %s, %s, %s) ON CONFLICT (pair, tick) DO UPDATE SET bid = excluded.bid,"
            " ask = excluded.ask",
            *(tick, bid, ask or bid, bid),
        )


def refused(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 400, answer.text
    return [(one["field"], one["code"]) for one in answer.json["errors"]]


async def test_an_amended_limit_keeps_its_id_and_logs_what_it_was_and_is(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    rows("UPDATE watches SET from_tick = 0 WHERE order_id = %s RETURNING 1", order_id)
    before, now = watch_of(order_id), int(datetime.now(UTC).timestamp())
    answer = await amend(order_id, {"limitPrice": "111.5", "seq": 1})

    assert answer.status == 200, answer.text
    told = answer.json
    assert (told["orderId"], told["status"], told["seq"]) == (order_id, "open", 2)
    assert answer.headers["etag"] == '"2"'
    assert told["limitPrice"] == "111.5"
    assert told["minAmountOut"] == "167.25"
    assert "111.5" in told["summary"]
    _, event = (await get(f"/api/orders/{order_id}/events")).json["events"]
    assert (event["event"], event["status"], event["seq"]) == ("amended", "open", 2)
    assert event["data"] == {
        "before": {"limitPrice": "112"},
        "after": {"limitPrice": "111.5"},
        "by": account.key[:12],
        "goesBehind": True,
    }
    after = watch_of(order_id)
    assert (after["kind"], after["act"], after["wake_price"]) == (">", "s", 111.5)
    assert after["from_tick"] > now, "it is looked at from the next whole second on"
    assert after["expires_at"] == before["expires_at"]


async def test_a_stale_seq_and_a_missing_seq_change_nothing(account: Account) -> None:
    """43."""
    order_id = await rest_limit(account.id, 112)
    missing = await amend(order_id, {"limitPrice": "111"})
    assert (missing.status, missing.json["error"]) == (428, "seq_required")
    assert (await amend(order_id, {"limitPrice": "111", "seq": 1})).status == 200
    for sent, headers in (
        ({"limitPrice": "110", "seq": 1}, {}),
        ({"limitPrice": "110"}, {"if_match": '"1"'}),
        ({"limitPrice": "111"}, {"if_match": 'W/"7"'}),
    ):
        stale = await amend(order_id, sent, **headers)
        assert (stale.status, stale.json["error"]) == (409, "order_changed")
        assert (stale.json["seq"], stale.json["orderStatus"]) == (2, "open")
    assert rows(MAY_LEAD_TO, order_id) == [("open", 2, 111, 166_500_000)]
    fresh = await amend(order_id, {"limitPrice": "110"}, if_match='"2"')
    assert (fresh.status, fresh.json["seq"]) == (200, 3)
    assert len((await get(f"/api/orders/{order_id}/events")).json["events"]) == 3


@pytest.mark.parametrize(
    ("sent", "if_match", "field", "code"),
    [
        ({"limitPrice": "1", "seq": "x"}, "", "seq", "invalid_number"),
        ({"limitPrice": "1", "seq": True}, "", "seq", "invalid_number"),
        ({"limitPrice": "1", "seq": 2}, '"1"', "seq", "conflict"),
        ({"limitPrice": "1"}, "*", "If-Match", "invalid_text"),
        ({"limitPrice": "1"}, "1", "If-Match", "invalid_text"),
        ({"side": "buy", "seq": 1}, "", "side", "not_amendable"),
        ({"type": "stop", "seq": 1}, "", "type", "not_amendable"),
        ({"clientOrderId": "x", "seq": 1}, "", "clientOrderId", "not_amendable"),
        ({"limit": "1", "seq": 1}, "", "limit", "unknown_field"),
        ({"seq": 1}, "", "order", "required"),
        ({"seq": 1, "ifCrossed": "execute"}, "", "order", "required"),
        ({"limitPrice": "-1", "seq": 1}, "", "limitPrice", "out_of_range"),
        ({"limitPrice": None, "seq": 1}, "", "limitPrice", "required"),
        ({"triggerPrice": "90", "seq": 1}, "", "triggerPrice", "not_for_this_type"),
        ({"slippageBps": 50, "seq": 1}, "", "slippageBps", "not_for_this_type"),
        ({"amountIn": "0", "seq": 1}, "", "amountIn", "out_of_range"),
        ({"amountIn": "1", "amountOut": "1", "seq": 1}, "", "amountOut", "conflict"),
        ({"expiresInSeconds": 0, "seq": 1}, "", "expiresInSeconds", "expires_too_soon"),
        ({"expiresAt": "2099-01-01T00:00:00Z", "seq": 1}, "", "expiresAt", "expires_too_late"),
        ({"tags": {"a b": "x"}, "seq": 1}, "", "tags", "invalid_text"),
        (
            {"takeProfit": {"limitPrice": "120"}, "stopLoss": {"triggerPrice": "90"}, "seq": 1},
            "",
            "takeProfit",
            "invalid_price_order",
        ),
    ],
)
async def test_what_no_order_could_ask_is_refused_by_the_same_rules(
    account: Account, sent: Any, if_match: str, field: str, code: str
) -> None:
    order_id = await rest_limit(account.id, 112)
    headers = {"if_match": if_match} if if_match else {}
    assert (field, code) in refused(await amend(order_id, sent, **headers))
    assert rows(MAY_LEAD_TO, order_id)[0][1] == 1


async def test_an_amendment_that_changes_nothing_writes_nothing(account: Account) -> None:
    order_id = await rest_limit(account.id, 112, tags={"book": "a"})
    for sent in ({"limitPrice": "112.0"}, {"tags": {"book": "a"}}, {"amountIn": "1.50"}):
        answer = await amend(order_id, sent | {"seq": 1})
        assert (answer.status, answer.json["seq"]) == (200, 1)


async def test_a_larger_amount_or_another_price_goes_behind_and_a_smaller_amount_does_not(
    account: Account,
) -> None:
    order_id = await rest_limit(account.id, 112)
    first = watch_of(order_id)["queued_at"]
    seq = 1
    for sent, goes_behind in (
        ({"amountIn": "1.2"}, False),
        ({"tags": {"book": "a"}}, False),
        ({"expiresInSeconds": 600}, False),
        ({"amountIn": "1.3"}, True),
        ({"limitPrice": "111"}, True),
    ):
        answer = await amend(order_id, sent | {"seq": seq})
        assert answer.status == 200, answer.text
        seq = answer.json["seq"]
        queued_at = watch_of(order_id)["queued_at"]
        assert (queued_at > first) is goes_behind, sent
        first = queued_at


async def test_an_end_is_moved_set_and_taken_away(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    far = watch_of(order_id)["expires_at"]
    soon = (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)
    answer = await amend(order_id, {"expiresAt": soon.isoformat(), "seq": 1})
    assert answer.json["timeInForce"] == "gtd"
    assert datetime.fromisoformat(answer.json["expiresAt"]) == soon
    assert watch_of(order_id)["expires_at"] == soon
    answer = await amend(order_id, {"amountIn": "1", "seq": 2})
    assert datetime.fromisoformat(answer.json["expiresAt"]) == soon, "it keeps its end"
    answer = await amend(order_id, {"expiresInSeconds": 60, "seq": 3})
    ends_at = datetime.fromisoformat(answer.json["expiresAt"])
    assert timedelta(seconds=50) < ends_at - datetime.now(UTC) < timedelta(seconds=61)
    events = (await get(f"/api/orders/{order_id}/events")).json["events"]
    assert events[-1]["data"]["after"]["expiresAt"] == answer.json["expiresAt"]
    answer = await amend(order_id, {"expiresAt": None, "seq": 4})
    assert (answer.json["timeInForce"], answer.json["expiresAt"]) == ("gtc", None)
    assert watch_of(order_id)["expires_at"] == far


async def test_a_limit_that_was_sized_wakes_where_it_did_unless_its_price_or_amount_changes(
    account: Account,
) -> None:
    order_id = await rest_limit(account.id, 112)
    rows(
        "UPDATE watches SET wake_price = 115, check_at = now() WHERE order_id = %s RETURNING 1",
        order_id,
    )
    await amend(order_id, {"tags": {"book": "a"}, "seq": 1})
    assert watch_of(order_id)["wake_price"] == 115
    assert watch_of(order_id)["check_at"] is not None
    await amend(order_id, {"amountIn": "1", "seq": 2})
    assert watch_of(order_id)["wake_price"] == 112
    assert watch_of(order_id)["check_at"] is None


async def test_a_stop_that_would_fire_at_once_is_refused_unless_that_is_meant(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_prices, "FRESH_SECONDS", 0.0)
    order_id = await rest_stop(account.id, 90)
    with monkeypatch.context() as patched:
        patched.setattr(Quotes, "_tick", no_prices)
        away = await amend(order_id, {"triggerPrice": "95", "seq": 1})
    assert (away.status, away.json["error"]) == (503, "prices_unavailable")
    set_tick(100)
    crossed = await amend(order_id, {"triggerPrice": "100", "seq": 1})
    assert refused(crossed) == [("triggerPrice", "would_trigger_immediately")]
    meant = await amend(order_id, {"triggerPrice": "101", "ifCrossed": "execute", "seq": 1})
    assert (meant.status, meant.json["triggerPrice"]) == (200, "101")
    answer = await amend(order_id, {"slippageBps": 900, "seq": 2})
    assert answer.status == 200, "what is no trigger is not compared with the price"
    assert watch_of(order_id)["wake_price"] == 101


async def test_a_changed_trail_keeps_its_watermark(account: Account) -> None:
    (order_id,) = await rest(resting_order(account.id, "trailingStop", trail_bps=500))
    armed = watch_of(order_id)["armed_tick"]
    rows(
        "INSERT INTO price_peaks VALUES ('SOL/USDC', 'b', %s, 120) RETURNING 1",
        armed + 1,
    )
    set_tick(118)
    answer = await amend(order_id, {"trailBps": 300, "seq": 1})
    assert answer.status == 200, answer.text
    watch = watch_of(order_id)
    assert (watch["kind"], watch["trail_bps"], watch["armed_tick"]) == ("t", 300, armed)
    narrow = await amend(order_id, {"trailBps": 150, "seq": 2})  # 118.2: the price is below it
    assert refused(narrow) == [("trailBps", "would_trigger_immediately")]
    meant = await amend(order_id, {"trailBps": 150, "ifCrossed": "execute", "seq": 2})
    assert meant.status == 200
    assert watch_of(order_id)["armed_tick"] == armed
    late = await amend(order_id, {"activationPrice": "130", "seq": 3})
    assert refused(late) == [("activationPrice", "already_triggered")]


async def test_an_activation_that_is_taken_away_arms_the_trail(account: Account) -> None:
    order = resting_order(account.id, "trailingStop", trail_bps=300, activation_price="130")
    (order_id,) = await rest(order)
    set_tick(100)
    answer = await amend(order_id, {"activationPrice": "140", "seq": 1})
    assert answer.json["phase"] == "unarmed"
    assert watch_of(order_id)["wake_price"] == 140
    answer = await amend(order_id, {"activationPrice": None, "seq": 2})
    assert (answer.status, answer.json["phase"]) == (200, "waiting"), answer.text
    watch = watch_of(order_id)
    assert (watch["kind"], watch["armed_tick"]) == ("t", watch["from_tick"])


async def test_a_stop_limit_that_was_triggered_watches_its_new_limit(account: Account) -> None:
    order = resting_order(account.id, "stopLimit", trigger_price="95", limit_price="94")
    (order_id,) = await rest(order)
    rows("UPDATE orders SET phase = 'limit' WHERE id = %s RETURNING 1", order_id)
    rows(
        "UPDATE watches SET kind = '>', act = 's', wake_price = 94 WHERE order_id = %s RETURNING 1",
        order_id,
    )
    answer = await amend(order_id, {"limitPrice": "93", "seq": 1})
    assert (answer.status, answer.json["phase"]) == (200, "limit"), answer.text
    watch = watch_of(order_id)
    assert (watch["kind"], watch["act"], watch["wake_price"]) == (">", "s", 93)
    set_tick(100)
    late = await amend(order_id, {"triggerPrice": "96", "seq": 2})
    assert refused(late) == [("triggerPrice", "already_triggered")]


async def test_a_latched_stop_goes_on_waiting_and_takes_a_new_amount(account: Account) -> None:
    order_id = await rest_stop(account.id, 90)
    rows("UPDATE orders SET phase = 'latched' WHERE id = %s RETURNING 1", order_id)
    rows(
        "UPDATE watches SET kind = 'c', wake_price = NULL, check_at = now() WHERE order_id = %s"
        " RETURNING 1",
        order_id,
    )
    answer = await amend(order_id, {"amountIn": "1", "slippageBps": 900, "seq": 1})
    assert (answer.status, answer.json["phase"]) == (200, "latched"), answer.text
    assert answer.json["slippageBps"] == 900
    assert watch_of(order_id)["kind"] == "c"
    assert watch_of(order_id)["check_at"] is not None


async def test_the_amount_of_a_group_is_that_of_both_orders(account: Account) -> None:
    group = new_order_id()
    target, stop = await rest(
        resting_order(account.id, limit_price="112", group_id=group),
        resting_order(account.id, "stop", trigger_price="95", group_id=group),
    )
    answer = await amend(stop, {"amountIn": "1", "seq": 1})
    assert answer.status == 200, answer.text
    for order_id, bound in ((target, 112_000_000), (stop, None)):
        assert rows("SELECT amount_in, min_out, seq FROM orders WHERE id = %s", order_id) == [
            (1_000_000_000, bound, 2)
        ]
        event = (await get(f"/api/orders/{order_id}/events")).json["events"][-1]
        assert event["data"]["after"] == {"amountIn": "1"}
    set_tick(100)
    crossing = await amend(stop, {"triggerPrice": "113", "ifCrossed": "execute", "seq": 2})
    assert refused(crossing) == [("triggerPrice", "invalid_price_order")]
    by_output = await amend(stop, {"amountOut": "100", "seq": 2})
    assert refused(by_output) == [("amountOut", "not_for_this_type")]
    alone = await amend(target, {"limitPrice": "110", "seq": 2})
    assert (alone.status, rows("SELECT seq FROM orders WHERE id = %s", stop)) == (200, [(2,)])


async def test_a_group_of_which_one_is_on_its_way_keeps_its_amount(account: Account) -> None:
    group = new_order_id()
    target, stop = await rest(
        resting_order(account.id, limit_price="112", group_id=group),
        resting_order(account.id, "stop", trigger_price="95", group_id=group),
    )
    rows(
        "UPDATE orders SET status = 'pending', resting = false, phase = NULL, seq = seq + 1"
        " WHERE id = %s RETURNING 1",
        target,
    )
    rows("UPDATE orders SET phase = 'held' WHERE id = %s RETURNING 1", stop)
    rows("UPDATE watches SET held = true WHERE order_id = %s RETURNING 1", stop)
    kept = await amend(stop, {"amountIn": "1", "seq": 1})
    assert (kept.status, kept.json["error"]) == (409, "not_amendable")
    assert kept.json["orderStatus"] == "pending"
    set_tick(100)
    answer = await amend(stop, {"triggerPrice": "94", "seq": 1})
    assert (answer.status, answer.json["phase"]) == (200, "held"), answer.text
    assert watch_of(stop)["held"] is True


async def test_the_exits_of_a_bracket_are_amended_before_its_entry_fills(account: Account) -> None:
    order_id = await rest_limit(
        account.id, 90, side=Side.BUY, more={"stopLoss": {"triggerPrice": "80", "slippageBps": 500}}
    )
    exits = {"stopLoss": {"triggerPrice": "85"}, "takeProfit": {"limitPrice": "120"}}
    answer = await amend(order_id, exits | {"seq": 1})
    assert answer.status == 200, answer.text
    assert answer.json["takeProfit"] == {"limitPrice": "120"}
    assert answer.json["stopLoss"] == {"triggerPrice": "85", "slippageBps": 500}
    gone = await amend(order_id, {"takeProfit": None, "seq": 2})
    assert "takeProfit" not in gone.json
    wrong = await amend(order_id, {"stopLoss": {"triggerPrice": "95"}, "seq": 3})
    assert ("stopLoss", "invalid_price_order") in refused(wrong)


async def test_of_a_twap_its_price_tolerance_total_and_catch_up_are_amended() -> None:
    twap = {**SELL_SOL, "type": "twap", "amountIn": "4", "slices": 4, "intervalSeconds": 3600}
    soon = datetime.now(UTC) + timedelta(hours=1)
    placed = await post("/execute", twap | {"startAt": soon.isoformat()})
    assert placed.status == 201, placed.text
    order_id = placed.json["orderId"]
    watch = watch_of(order_id)
    change = {"limitPrice": "90", "slippageBps": 70, "catchUp": "skip", "amountIn": "8", "seq": 1}
    answer = await amend(order_id, change)
    assert answer.status == 200, answer.text
    told = answer.json
    assert (told["limitPrice"], told["slippageBps"], told["catchUp"]) == ("90", 70, "skip")
    assert (told["amountIn"], told["slices"]) == ("8", 4)
    assert told["startAt"] == placed.json["startAt"]
    assert told["phase"] == "slicing"
    assert watch_of(order_id)["check_at"] == watch["check_at"]
    later = await amend(order_id, {"slices": 5, "seq": 2})
    assert refused(later) == [("slices", "not_amendable")]
    for status, paid in (("confirmed", 3), ("pending", 2)):
        rewrite(conninfo(), SLICE, order_id, status, paid)
    less = await amend(order_id, {"amountIn": "4.9", "seq": 2})
    assert refused(less) == [("amountIn", "out_of_range")]
    assert (await amend(order_id, {"amountIn": "5", "seq": 2})).status == 200


SLICE = """
INSERT INTO orders (id, owner_id, parent_id, slice, type, side, base, quote, amount_in,
  slippage_bps,
  status, seq, attempts, lease_token, lost_leases, needs_attention, venue, signature, filled_in,
  filled_out, finished_at)
SELECT gen_random_uuid(), owner_id, id, paid, 'market', side, base, quote, paid * 1000000000, 100,
  status, 1, 0, 0, 0, false, 'raydium', 's' || paid,
  CASE status WHEN 'confirmed' THEN paid * 1000000000 END,
  CASE status WHEN 'confirmed' THEN 1 END, CASE status WHEN 'confirmed' THEN now() END
FROM (SELECT id, owner_id, side, base, quote FROM orders WHERE id = %s) AS parent,
  (SELECT %s::text AS status, %s::bigint AS paid) AS given
"""


async def test_a_sniper_keeps_its_end_and_takes_a_new_limit() -> None:
    sniper = {**SELL_SOL, "type": "sniper", "limitPrice": "90", "poolEvent": "migration"}
    placed = await post("/execute", sniper)
    assert placed.status == 201, placed.text
    answer = await amend(placed.json["orderId"], {"limitPrice": "91", "seq": 1})
    assert answer.status == 200, answer.text
    assert answer.json["limitPrice"] == "91"
    assert answer.json["expiresAt"] == placed.json["expiresAt"]
    assert answer.json["poolEvent"] == "migration"
    assert watch_of(placed.json["orderId"])["kind"] == "p"


async def test_what_rests_no_more_and_what_is_over_is_not_amendable(account: Account) -> None:
    market = await submit()
    on_its_way = await amend(market, {"slippageBps": 50, "seq": 1})
    assert (on_its_way.status, on_its_way.json["error"]) == (409, "not_amendable")
    assert on_its_way.json["orderStatus"] == "pending"
    await Walker(market).walk(Status.ROUTING)
    moved = await amend(market, {"slippageBps": 50, "seq": 1})
    assert (moved.status, moved.json["error"], moved.json["seq"]) == (409, "order_changed", 2)
    soon = datetime.now(UTC) + timedelta(hours=1)
    order_id = await rest_limit(account.id, 112, time_in_force="gtd", expires_at=soon)
    rewrite(conninfo(), "UPDATE orders SET expires_at = now() WHERE id = %s", order_id)
    over = await amend(order_id, {"limitPrice": "111", "seq": 1})
    assert (over.status, over.json["error"]) == (409, "not_amendable")


async def test_anothers_order_is_amended_by_nobody_else_and_an_anonymous_one_by_its_id(
    account: Account,
) -> None:
    mine, anonymous = await rest_limit(account.id, 112), await rest_limit(None, 112)
    change = {"limitPrice": "111", "seq": 1}
    other = make_account()
    foreign = await amend(mine, change, **other.headers)
    assert (foreign.status, foreign.json["error"]) == (404, "order_not_found")
    assert (await amend(new_order_id(), change)).status == 404
    assert (await amend(anonymous, change, **other.headers)).status == 200


async def test_amend_against_trigger(account: Account) -> None:
    """38: 409 or amended, and the fill obeys what the log says was in force."""
    orders = [await rest_limit(account.id, 112) for _ in range(30)]

    async def release(order_id: str) -> None:
        async with await psycopg.AsyncConnection.connect(conninfo()) as connection:
            await connection.execute(RELEASE_AS_THE_WATCHER, {"id": order_id})

    async def both(order_id: str, place: int) -> Answer:
        change = {"limitPrice": f"{100 + place}.5", "seq": 1}
        calls = [amend(order_id, change), release(order_id)]
        answered = await asyncio.gather(*(calls if place % 2 else calls[::-1]))
        return next(one for one in answered if isinstance(one, Answer))

    answers = await asyncio.gather(*(both(one, place) for place, one in enumerate(orders)))
    amended = 0
    for place, (order_id, answer) in enumerate(zip(orders, answers, strict=True)):
        ((status, _, limit, bound),) = rows(MAY_LEAD_TO, order_id)
        events = rows(
            "SELECT coalesce(event, '') FROM order_events WHERE order_id = %s ORDER BY seq",
            order_id,
        )
        named = [name for (name,) in events]
        assert status == "pending"
        if answer.status == 200:
            amended += 1
            assert named == ["", "amended", "released"]
            assert (float(limit), bound) == (100.5 + place, (100 * 10 + place * 10 + 5) * 150_000)
        else:
            assert (answer.status, answer.json["error"]) in (
                (409, "order_changed"),
                (409, "not_amendable"),
            )
            assert named == ["", "released"]
            assert (limit, bound) == (112, 168_000_000)
    assert 0 < amended < len(orders) or amended in (0, len(orders))


RELEASE_AS_THE_WATCHER = """
WITH locked AS MATERIALIZED (
  SELECT order_id FROM watches WHERE order_id = %(id)s FOR UPDATE
),
gone AS (DELETE FROM watches USING locked WHERE watches.order_id = locked.order_id),
moved AS (
  UPDATE orders SET status = 'pending', resting = false, phase = NULL, seq = orders.seq + 1,
    releases = releases + 1
  FROM locked WHERE orders.id = locked.order_id AND orders.status = 'open'
  RETURNING orders.id, orders.seq, orders.attempts
)
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at, event)
SELECT id, seq, 'pending', attempts, 'Released', '{}', clock_timestamp(), 'released' FROM moved
"""


async def test_two_amendments_of_one_seq_are_one(account: Account) -> None:
    order_id = await rest_limit(account.id, 112)
    answers = await asyncio.gather(
        *(amend(order_id, {"limitPrice": f"{100 + n}", "seq": 1}) for n in range(6))
    )
    assert sorted(answer.status for answer in answers) == [200] + [409] * 5
    assert rows(MAY_LEAD_TO, order_id)[0][1] == 2


async def test_an_amendment_is_told_on_the_orders_stream(account: Account) -> None:
    from tests.support.client import connected

    order_id = await rest_limit(account.id, 112)
    async with connected(f"/ws/orders/{order_id}") as socket:
        await socket.message()
        await amend(order_id, {"limitPrice": "111", "seq": 1})
        told = await socket.message()
    assert (told["event"], told["seq"]) == ("amended", 2)


async def test_a_market_order_of_now_has_nothing_to_amend() -> None:
    placed = await post("/execute", SELL_SOL)
    answer = await amend(placed.json["orderId"], {"amountIn": "1", "seq": 1})
    assert (answer.status, answer.json["error"]) == (409, "not_amendable")
