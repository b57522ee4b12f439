"""What time alone makes due."""

import asyncio

import psycopg
import pytest
from django.conf import settings

from orders.engine.journal import Journal
from orders.engine.triggers import clock, clock_sql
from routing.venue import VenueUnavailable
from tests.orders.engine.test_execution import FaultyVenue
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import Desk
from tests.support.database import as_owner, rewrite
from tests.support.resting import amend, cancel, carry, order_of_type


async def end(desk: Desk, *orders: str, column: str = "now()") -> None:
    """Let the time of these orders be over, past the triggers that keep what was asked."""
    await asyncio.to_thread(
        rewrite,
        desk.database.conninfo,
        f"UPDATE orders SET expires_at = {column} WHERE expires_at IS NOT NULL AND id = ANY(%s)",
        list(orders),
    )
    await desk.database.rows(
        f"UPDATE watches SET expires_at = {column} WHERE order_id = ANY(%s)", list(orders)
    )


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"time_in_force": "gtd", "expires_in": 60.0}, "gtd"),
        ({"time_in_force": "gtc"}, "max_age"),
        ({"time_in_force": "ioc", "expires_in": 60.0}, "not_marketable"),
        ({"time_in_force": "fok", "expires_in": 60.0}, "not_marketable"),
    ],
)
async def test_an_order_whose_time_is_over_expires_and_says_why(
    desk: Desk, asked: dict, reason: str
) -> None:
    order = await desk.rest("limit", limit_price="120", **asked)
    other = await desk.rest("limit", limit_price="120", **asked)
    await end(desk, order)
    await desk.evaluate()
    assert await desk.statuses(order, other) == ["expired", "open"]
    assert await desk.database.order(order, "reason") == reason
    assert await desk.last_data(order) == {"reason": reason}
    assert await desk.database.order(order, "failure_code") is None
    assert await desk.watch(order, "kind") is None


async def test_no_order_rests_longer_than_max_resting_days(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    days = await desk.watch(order, "extract(epoch FROM expires_at - queued_at) / 86400")
    assert days == settings.MAX_RESTING_DAYS
    await end(desk, order)
    await desk.evaluate()
    assert await desk.status(order) == "expired"
    assert await desk.database.order(order, "reason") == "max_age"


async def test_nothing_triggers_whose_time_is_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "REPEATS", 0)  # the clock is late
    orders = [
        await desk.rest("stop", trigger_price="95"),
        await desk.rest("limit", limit_price="90"),
        await desk.rest("trailingStop", trail_bps=100),
        await desk.rest("stopLimit", trigger_price="95", limit_price="90"),
    ]
    await desk.tick(evaluates=False, bid="120")
    await end(desk, *orders)
    await desk.tick(bid="94", ask="95")
    assert await desk.is_evaluated()
    assert [await desk.events(order) for order in orders] == [["open"]] * 4


async def test_expiry_against_trigger_1000_orders_on_the_same_second(
    desk: Desk, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is expired xor released."""
    monkeypatch.setattr(clock_sql, "MOST", 20)
    orders = await asyncio.gather(*(desk.rest("stop", trigger_price="95") for _ in range(1000)))
    await desk.tick(evaluates=False, bid="94")
    await end(desk, *orders, column="clock_timestamp() + random() * interval '0.6 s'")
    other = make_evaluator()
    while await desk.database.rows("SELECT 1 FROM watches LIMIT 1"):
        await asyncio.gather(desk.evaluate(), other.evaluate(desk.second))
    rows = dict(await desk.database.rows("SELECT status, count(*) FROM orders GROUP BY 1"))
    assert set(rows) <= {"expired", "pending"}
    assert sum(rows.values()) == 1000
    logs = await desk.database.rows(
        "SELECT array_agg(coalesce(event, status) ORDER BY seq) FROM order_events"
        " WHERE event IS DISTINCT FROM 'expiringSoon' GROUP BY order_id"
    )
    assert {tuple(log) for (log,) in logs} <= {("open", "expired"), ("open", "triggered")}


async def test_expiry_of_one_leg_ends_both(desk: Desk) -> None:
    limit, stop = await desk.group(
        ("limit", {"limit_price": "120"}), ("stop", {"trigger_price": "80"})
    )
    await end(desk, limit)
    await desk.evaluate()
    assert await desk.statuses(limit, stop) == ["expired", "cancelled"]
    assert await desk.database.order(stop, "reason") == "group_cancelled"
    assert await desk.last_data(stop) == {"reason": "group_cancelled", "by": "engine"}
    rows = await desk.database.rows("SELECT ended_at IS NOT NULL, live_order FROM order_groups")
    assert rows == [(True, None)]


async def test_a_leg_does_not_expire_while_somebody_holds_the_other(
    desk: Desk, database_conninfo: str
) -> None:
    limit, stop = await desk.group(
        ("limit", {"limit_price": "120"}), ("stop", {"trigger_price": "80"})
    )
    await end(desk, limit)
    with psycopg.connect(as_owner(database_conninfo)) as other:
        other.execute("SELECT FROM watches WHERE order_id = %s FOR UPDATE", [stop])
        await desk.evaluate()
        assert await desk.statuses(limit, stop) == ["open", "open"]
        other.rollback()
    await desk.evaluate()
    assert await desk.statuses(limit, stop) == ["expired", "cancelled"]


async def test_a_held_leg_does_not_expire_by_itself(desk: Desk) -> None:
    limit, stop = await desk.group(
        ("limit", {"limit_price": "120"}), ("stop", {"trigger_price": "95"})
    )
    await desk.tick(bid="94", ask="96")
    await end(desk, limit)
    await desk.evaluate()
    assert await desk.statuses(limit, stop) == ["open", "pending"]


@pytest.mark.parametrize("began", [False, True])
async def test_an_order_that_was_not_sent_in_time_expires_while_it_waits(
    desk: Desk, began: bool
) -> None:
    late, in_time, dated = [
        await desk.rest("stop", trigger_price="95", time_in_force=word, expires_in=60.0)
        for word in ("ioc", "ioc", "gtd")
    ]
    await desk.tick(bid="94")
    if began:
        await desk.database.rows("UPDATE orders SET started_at = clock_timestamp()")
    await end(desk, late, dated)
    await desk.evaluate()
    assert await desk.statuses(late, in_time, dated) == ["expired", "pending", "expired"]
    reasons = [await desk.database.order(order, "reason") for order in (late, dated)]
    assert reasons == ["queue_deadline", "gtd"]


async def test_a_trail_that_expires_while_it_waits_leaves_no_watch(desk: Desk) -> None:
    order = await desk.rest("trailingStop", trail_bps=100, time_in_force="gtd", expires_in=60.0)
    for bid in ("100", "98"):
        await desk.tick(bid=bid)
    await end(desk, order)
    await desk.evaluate()
    assert await desk.status(order) == "expired"
    assert await desk.watch(order, "kind") is None


async def test_a_leg_that_expires_while_it_waits_ends_the_held_one(desk: Desk) -> None:
    asked = {"time_in_force": "gtd", "expires_in": 60.0}
    limit, stop = await desk.group(
        ("limit", {"limit_price": "120", **asked}), ("stop", {"trigger_price": "95", **asked})
    )
    await desk.tick(bid="94", ask="96")
    await end(desk, stop)
    await desk.evaluate()
    assert await desk.statuses(limit, stop) == ["cancelled", "expired"]
    assert await desk.watch(limit, "kind") is None


async def test_a_stop_whose_release_failed_is_released_again_with_a_new_bound(
    desk: Desk,
) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="94")
    for release in (2, 3, 4):
        await desk.latch(order)
        assert await desk.database.order(order, "min_out") == 140_000_000
        await desk.tick(bid="150")  # without waiting for the price to cross once more
        assert await desk.status(order) == "pending"
        assert await desk.last_data(order) == {"release": release, "latched": True}
        assert await desk.database.order(order, "min_out") is None
        attempts = await desk.database.order(order, "attempts")
        allowed = await desk.database.order(order, "attempts_allowed")
        assert allowed == attempts + settings.ORDER_ATTEMPTS
    assert (await desk.events(order)).count("triggered") == 1


async def test_a_latched_stop_waits_for_its_time_and_for_trading(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="94")
    await desk.latch(order)
    await desk.change_watch(order, "check_at = clock_timestamp() + interval '5 s'")
    await desk.evaluate()
    assert await desk.status(order) == "open"
    await desk.halt()
    await desk.change_watch(order, "check_at = clock_timestamp()")
    await desk.evaluate()
    assert await desk.status(order) == "open"
    await desk.halt(False)
    await desk.evaluate()
    assert await desk.status(order) == "pending"


REFUSAL = VenueUnavailable("refuses, as the test wants it")
FAILED = ["routing", "pending"] * 2 + ["routing", "returned"]


async def failed_stop(desk: Desk, journal: Journal) -> str:
    """Return a stop that was triggered, and whose release has failed three times."""
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="94")
    await carry(journal, desk.database, venues=[FaultyVenue(*[REFUSAL] * 3)])
    assert await desk.events(order) == ["open", "triggered", *FAILED]
    return order


async def rest_is_over(desk: Desk, order: str) -> None:
    """Let the clock do what it does when the order has rested long enough."""
    await desk.change_watch(order, "check_at = clock_timestamp()")
    await desk.tick(bid="150")


@pytest.mark.usefixtures("quick")
async def test_a_stop_that_is_amended_between_two_releases_takes_its_new_bound(
    desk: Desk, journal: Journal
) -> None:
    """8."""
    order = await failed_stop(desk, journal)
    smaller = order_of_type("stop", trigger_price="95", amount_in=10**9, slippage_bps=50)
    await amend(desk.database, order, smaller, "amountIn", "slippageBps")
    assert await desk.database.order(order, "phase") == "latched"
    await rest_is_over(desk, order)
    await carry(journal, desk.database, venues=[FaultyVenue(*[REFUSAL] * 3)])
    await rest_is_over(desk, order)
    await carry(journal, desk.database)

    assert await desk.events(order) == [
        *("open", "triggered", *FAILED, "amended", "released", *FAILED, "released"),
        *("routing", "building", "submitted", "confirmed"),
    ]
    assert await desk.database.order(order, "filled_in") == 10**9
    # Half a percent below a quote at 100, of which 0.3 % are fees.
    assert await desk.database.order(order, "min_out") == 99_201_500


@pytest.mark.usefixtures("quick")
async def test_a_stop_that_is_cancelled_between_two_releases_is_not_released_again(
    desk: Desk, journal: Journal
) -> None:
    """8."""
    order = await failed_stop(desk, journal)
    await cancel(order)
    await rest_is_over(desk, order)
    await carry(journal, desk.database)

    assert await desk.events(order) == ["open", "triggered", *FAILED, "cancelled"]
    assert await desk.watch(order, "kind") is None
    assert await desk.database.rows("SELECT 1 FROM order_transactions") == []


async def test_a_latched_leg_keeps_its_group_and_holds_its_sibling_once(desk: Desk) -> None:
    limit, stop = await desk.group(
        ("limit", {"limit_price": "105"}), ("stop", {"trigger_price": "95"})
    )
    await desk.tick(bid="94", ask="96")
    await desk.latch(stop)
    await desk.tick(bid="106", ask="107")
    assert await desk.statuses(limit, stop) == ["open", "pending"]
    assert await desk.events(limit) == ["open", "held"]


async def test_what_was_latched_can_still_expire(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95", time_in_force="gtd", expires_in=60.0)
    await desk.tick(bid="94")
    await desk.latch(order)
    await end(desk, order)
    await desk.evaluate()
    assert await desk.status(order) == "expired"


async def test_expiring_soon_is_told_once_a_day_before(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    order = await desk.rest("stop", trigger_price="95")
    dated = await desk.rest("stop", trigger_price="95", time_in_force="gtd", expires_in=60.0)
    await desk.evaluate()
    assert await desk.events(order) == ["open"]
    await desk.change_watch(order, "expires_at = clock_timestamp() + interval '23 hours'")
    await desk.evaluator.close()
    desk.evaluator = make_evaluator()
    for _ in range(2):
        await desk.evaluate()
    await make_evaluator().evaluate(desk.second)
    assert await desk.events(order) == ["open", "expiringSoon"]
    assert await desk.status(order) == "open"
    assert await desk.events(dated) == ["open"]


async def test_expiry_goes_on_while_trading_is_halted(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95", time_in_force="gtd", expires_in=60.0)
    await desk.halt()
    await end(desk, order)
    await desk.evaluate()
    assert await desk.status(order) == "expired"
