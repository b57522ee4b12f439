"""Ticks are evaluated one by one, once each, by one scheduler at a time; nothing is lost."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace

import psycopg
import pytest

from config.runtime.counters import counts
from orders.engine.triggers import evaluator as evaluator_module
from orders.engine.triggers import passes_sql
from orders.engine.triggers.evaluator import PairTick, PairTurn
from orders.engine.triggers.passes import Prices
from orders.engine.triggers.session import Session
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import PAIR, Desk
from tests.support.database import as_owner


@pytest.fixture
def other(database_conninfo: str) -> Iterator[psycopg.Connection]:
    """Somebody else's transaction."""
    with psycopg.connect(as_owner(database_conninfo)) as connection:
        yield connection
        connection.rollback()


async def test_ticks_that_a_scheduler_missed_are_evaluated_one_by_one(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="99", evaluates=False)
    tick = await desk.tick(bid="94", evaluates=False)
    for _ in range(20):
        await desk.tick(bid="99", evaluates=False)
    await desk.evaluate()
    assert await desk.database.order(order, "trigger_tick") == tick


async def test_older_ticks_are_passed_over_and_still_move_the_watermarks(desk: Desk) -> None:
    before = counts["ticks_skipped"]
    stop = await desk.rest("stop", trigger_price="95")
    trail = await desk.rest("trailingStop", trail_bps=100)
    for bid in ("98", "120", "94", "110"):
        await desk.tick(bid=bid, evaluates=False)
    desk.second += 61
    await desk.tick(bid="109")
    assert await desk.statuses(stop, trail) == ["open", "pending"]
    assert (await desk.last_data(trail))["watermark"] == "120"
    assert counts["ticks_skipped"] - before == 4


async def test_the_staircase_of_many_ticks_at_once_is_that_of_one_after_the_other(
    desk: Desk,
) -> None:
    for bid in ("98", "120", "94", "110", "109", "110", "90"):
        await desk.tick(bid=bid, ask=bid, evaluates=False)
    desk.second += 61
    await desk.tick()
    rows = await desk.database.rows(
        "SELECT line::text, price::text FROM price_peaks ORDER BY line, tick"
    )
    assert rows == [("a", "90"), ("b", "120"), ("b", "110"), ("b", "90")]


async def test_gaps_are_closed_so_that_no_tick_appears_behind(desk: Desk) -> None:
    await desk.tick(bid="99")
    missing = desk.second
    desk.second += 1
    await desk.tick(bid="99")
    late = await desk.database.rows(
        "INSERT INTO price_ticks (pair, tick, bid_low) VALUES (%s, %s, 1)"
        " ON CONFLICT DO NOTHING RETURNING 1",
        *(PAIR, missing),
    )
    assert late == []


async def test_a_crash_between_pass_and_advance_fires_nothing_twice_and_loses_nothing(
    desk: Desk, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    async def killed(*_: object) -> int:
        raise Killed

    stop = await desk.rest("stop", trigger_price="95")
    trail = await desk.rest("trailingStop", trail_bps=100, activation_price="90")
    tick = await desk.tick(evaluates=False, bid_low="94", bid_high="96")
    with monkeypatch.context() as crash:
        crash.setattr(evaluator_module, "_advance", killed)
        with pytest.raises(Killed):
            await desk.evaluate()
    await desk.evaluator.close()
    desk.evaluator = make_evaluator()
    await desk.evaluate()
    await desk.tick(bid="95.04")
    assert await desk.events(stop) == ["open", "triggered"]
    assert await desk.events(trail) == ["open", "activated", "triggered"]
    assert (await desk.last_data(trail))["watermark"] == "96"
    assert await desk.database.order(stop, "trigger_tick") == tick


async def test_the_fence_keeps_an_old_low_from_todays_staircase(desk: Desk) -> None:
    """An evaluator that lost its lock has read a low, and goes on after others went past it."""
    await desk.tick(bid="100")
    old = desk.second - 1
    trail = await desk.rest("trailingStop", trail_bps=100)
    await desk.tick(bid="99")
    await desk.tick(bid="110")
    prices = Prices(desk.second - 2, *[Decimal(99)] * 6)
    async with desk.evaluator._link.connection() as connection:
        turn = PairTurn(PAIR, old, old + 1, old + 1)
        tick = PairTick(desk.evaluator, Session(connection), turn, prices, old)
        async for _ in tick.passes():
            pass
    assert await desk.status(trail) == "open"


async def test_two_evaluators_without_the_pairs_lock_fire_nothing_at_a_price_it_never_saw(
    desk: Desk, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_sql, "LOCK_PAIR", "SELECT %(pair)s::text IS NOT NULL")
    both = desk.evaluator, make_evaluator()
    orders = {}
    for trigger in range(80, 120):
        orders[await desk.rest("stop", trigger_price=f"{trigger}")] = trigger
    lows = {}
    for step in range(40):
        bid = 120 - step
        lows[await desk.tick(evaluates=False, bid=f"{bid}")] = bid
    while not await desk.is_evaluated():
        await asyncio.gather(*(each.evaluate(desk.second - 1) for each in both))
    rows = await desk.database.rows(
        "SELECT id::text, trigger_tick FROM orders WHERE status <> 'open'"
    )
    assert all(lows[tick] == orders[order] for order, tick in rows)
    assert len(rows) == sum(trigger >= 81 for trigger in orders.values())


async def test_one_scheduler_at_a_time_evaluates_a_pair(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    await desk.tick(bid="100")
    order = await desk.rest("stop", trigger_price="95")
    tick = await desk.tick(evaluates=False, bid="94")
    other = make_evaluator()
    await other.evaluate(tick)
    assert await desk.status(order) == "open"
    await desk.evaluator.close()
    while await desk.status(order) == "open":  # until PostgreSQL has noticed
        await other.evaluate(tick)
    assert await desk.database.order(order, "trigger_tick") == tick


async def test_a_lock_of_somebody_else_costs_nobody_a_trigger(
    desk: Desk, other: psycopg.Connection
) -> None:
    locked, free = [await desk.rest("stop", trigger_price="95") for _ in range(2)]
    other.execute("SELECT FROM watches WHERE order_id = %s FOR UPDATE", [locked])
    tick = await desk.tick(evaluates=False, bid="94")
    evaluating = asyncio.create_task(desk.evaluate())
    while await desk.status(free) == "open":
        await asyncio.sleep(0.01)
    assert await desk.status(locked) == "open"
    other.rollback()
    await evaluating
    while not await desk.is_evaluated():
        await desk.evaluate()
    assert await desk.database.order(locked, "trigger_tick") == tick


async def test_waiting_for_a_lock_is_given_up_and_counted(
    desk: Desk, other: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.engine.triggers.session.WAITS", 2)
    before = counts["trigger_waits_given_up"]
    locked = await desk.rest("stop", trigger_price="95")
    other.execute("SELECT FROM watches WHERE order_id = %s FOR UPDATE", [locked])
    await desk.tick(evaluates=False, bid="94")
    while not await desk.is_evaluated():
        await desk.evaluate()
    assert await desk.status(locked) == "open"
    assert counts["trigger_waits_given_up"] == before + 1


async def test_a_storm_in_one_pair_does_not_hold_up_the_others(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_sql, "MOST", 1)
    storm = [await desk.rest("stop", trigger_price="95") for _ in range(30)]
    calm = await desk.rest("stop", trigger_price="95")
    await desk.change_watch(calm, "pair = 'ZZZ/USDC'")
    tick = await desk.tick(evaluates=False, bid="94")
    await desk.database.rows(
        "INSERT INTO price_ticks (pair, tick, bid_low) VALUES ('ZZZ/USDC', %s, 94)", tick
    )
    looks = iter([0.0] * 16)  # at the clock, after which time is up
    clock = SimpleNamespace(monotonic=lambda: next(looks, 1e9), time=time.time)
    monkeypatch.setattr(evaluator_module, "time", clock)
    await desk.evaluate()
    assert await desk.status(calm) == "pending"
    assert set(await desk.statuses(*storm)) == {"open", "pending"}
    monkeypatch.undo()
    while not await desk.is_evaluated():
        await desk.evaluate()
    assert set(await desk.statuses(*storm)) == {"pending"}


async def test_passes_are_repeated_until_they_find_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_sql, "MOST", 2)
    stops = [await desk.rest("stop", trigger_price=f"{95 + n % 3}") for n in range(9)]
    trails = [await desk.rest("trailingStop", trail_bps=100 + n % 3) for n in range(9)]
    await desk.tick(bid="100")
    tick = await desk.tick(bid="90")
    assert set(await desk.statuses(*stops, *trails)) == {"pending"}
    rows = await desk.database.rows("SELECT DISTINCT trigger_tick FROM orders")
    assert rows == [(tick,)]
