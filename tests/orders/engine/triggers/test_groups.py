"""At most one leg of a group is on its way."""

import asyncio

import pytest

from orders.engine.triggers import passes_sql
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import Desk


async def oco(desk: Desk, target: str = "105", stop: str = "95") -> list[str]:
    return await desk.group(("limit", {"limit_price": target}), ("stop", {"trigger_price": stop}))


async def test_a_release_of_a_leg_holds_its_sibling(desk: Desk) -> None:
    limit, stop = await oco(desk)
    await desk.tick(bid="94", ask="96")
    assert await desk.statuses(limit, stop) == ["open", "pending"]
    assert await desk.events(limit) == ["open", "held"]
    assert await desk.last_data(limit) == {"sibling": stop}
    assert await desk.database.order(limit, "phase") == "held"
    assert await desk.watch(limit, "held") is True
    rows = await desk.database.rows("SELECT live_order::text FROM order_groups")
    assert rows == [(stop,)]


async def test_both_legs_hit_in_one_tick_the_stop_goes(desk: Desk) -> None:
    limit, stop = await oco(desk, target="99")
    await desk.tick(bid_low="94", bid_high="120", ask="121")
    assert await desk.statuses(limit, stop) == ["open", "pending"]
    assert await desk.events(limit) == ["open", "held"]


async def test_a_held_leg_triggers_nothing_and_still_arms(desk: Desk) -> None:
    _, trail = await desk.group(
        ("limit", {"limit_price": "99"}),
        ("trailingStop", {"trail_bps": 100, "activation_price": "110"}),
    )
    await desk.tick(bid="99.5", ask="121")
    assert await desk.events(trail) == ["open", "held"]
    tick = await desk.tick(bid="111", ask="121")
    assert await desk.events(trail) == ["open", "held", "activated"]
    assert await desk.database.order(trail, "phase") == "held"
    await desk.tick(bid="50", ask="121")
    assert await desk.status(trail) == "open"
    assert await desk.watch(trail, "armed_tick") == tick


async def test_a_leg_whose_group_is_taken_does_not_move(desk: Desk) -> None:
    limit, stop = await oco(desk)
    await desk.database.rows("UPDATE order_groups SET live_order = %s", limit)
    await desk.tick(bid="94", ask="96")
    assert await desk.statuses(limit, stop) == ["open", "open"]


async def test_a_leg_that_became_a_limit_order_claims_the_group_when_it_is_released(
    desk: Desk,
) -> None:
    target, stop = await desk.group(
        ("takeProfit", {"trigger_price": "120"}),
        ("stopLimit", {"trigger_price": "95", "limit_price": "94"}),
    )
    await desk.tick(bid="93", ask="96")
    assert await desk.events(stop) == ["open", "triggered"]
    assert await desk.events(target) == ["open"]
    await desk.tick(bid="94.5", ask="96")
    assert await desk.statuses(target, stop) == ["open", "pending"]
    assert await desk.events(target) == ["open", "held"]


@pytest.mark.parametrize("lock", ["pairs' locks", "no locks"])
async def test_two_schedulers_and_both_legs_never_two_in_flight(
    desk: Desk, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    if lock == "no locks":
        monkeypatch.setattr(passes_sql, "LOCK_PAIR", "SELECT %(pair)s::text IS NOT NULL")
    groups = await asyncio.gather(
        *(
            desk.group(("takeProfit", {"trigger_price": "105"}), ("stop", {"trigger_price": "95"}))
            for _ in range(1000)
        )
    )
    await desk.tick(evaluates=False, bid_low="94", bid_high="106", ask="107")
    await desk.tick(evaluates=False, bid_low="93", bid_high="107", ask="108")
    both = desk.evaluator, make_evaluator()
    while not await desk.is_evaluated():
        await asyncio.gather(*(each.evaluate(desk.second - 1) for each in both))
    rows = await desk.database.rows(
        "SELECT type, status, phase, seq, count(*) FROM orders GROUP BY 1, 2, 3, 4"
    )
    assert len(groups) == 1000
    found = {(kind, status): count for kind, status, _, _, count in rows}
    assert {row[1:4] for row in rows} == {("pending", None, 2), ("open", "held", 2)}
    fired = found["stop", "pending"]
    assert found["takeProfit", "open"] == fired, "of each group one rests"
    assert sum(found.values()) == 2000
    # The price reached both. Without the lock, an evaluator that waited for another one's stops in
    # vain goes on to the targets.
    assert fired == 1000 or lock == "no locks"
