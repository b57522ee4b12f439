"""Each type of order fires at its price, and at no other."""

import time
from collections.abc import Sequence

import pytest
from django.conf import settings

from config.runtime.postgres import Link
from config.runtime.rate import Rate
from orders.engine.triggers.ticks import Ticker
from routing.venue import Liquidity, Swap
from routing.venues import Exchange
from tests.orders.engine.triggers.support import PAIR, Desk, constant_product
from tests.support.stubs import ScriptedNetwork
from tests.support.venue_stubs import PoolVenue


class PoolOfNow(PoolVenue):
    """Its pool is in the state of this second."""

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        return [one._replace(now=int(time.time())) for one in await super().liquidity(swap)]


PROTECTIVE = (
    ("stop", "sell", {"trigger_price": "95"}, {"bid": "95"}, {"bid": "95.01"}),
    ("stop", "buy", {"trigger_price": "105"}, {"ask": "105"}, {"ask": "104.99"}),
)
TARGETS = (
    ("takeProfit", "sell", {"trigger_price": "105"}, {"bid": "105"}, {"bid": "104.99"}),
    ("takeProfit", "buy", {"trigger_price": "95"}, {"ask": "95"}, {"ask": "95.01"}),
)


async def test_a_stop_fires_at_equality_not_one_tick_before(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="95.000001", ask="96")
    assert await desk.status(order) == "open"
    tick = await desk.tick(bid="95", ask="96")
    assert await desk.status(order) == "pending"
    assert await desk.events(order) == ["open", "triggered"]
    data = await desk.last_data(order)
    assert data.pop("lateByMs") >= 0
    assert data == {"tick": tick, "price": "95", "line": "bid", "triggerPrice": "95"}
    assert await desk.database.order(order, "trigger_tick") == tick


@pytest.mark.parametrize("case", PROTECTIVE + TARGETS)
async def test_an_order_fires_at_equality_on_both_sides(desk: Desk, case: tuple) -> None:
    name, side, asked, reached, missed = case
    order = await desk.rest(name, side=side, **asked)
    by_reference = await desk.rest(name, side=side, trigger_by="reference", **asked)
    await desk.tick(**missed)
    assert await desk.statuses(order, by_reference) == ["open", "open"]
    await desk.tick(**reached)
    assert await desk.statuses(order, by_reference) == ["pending", "open"]
    await desk.tick(reference=next(iter(reached.values())))
    assert await desk.status(by_reference) == "pending"


async def test_a_stop_does_not_fire_when_one_of_two_venues_dips(
    desk: Desk, database_conninfo: str
) -> None:
    venues = [
        PoolOfNow(name, {PAIR: constant_product(100_000, 10_000_000)})
        for name in ("raydium", "meteora")
    ]
    link = Link(database_conninfo, "a test's ticks")
    ticker = Ticker.of(Exchange(tuple(venues), ScriptedNetwork()), link)
    order = await desk.rest("stop", trigger_price="95")
    second = int(await ticker.clock())
    await desk.change_watch(order, f"from_tick = {second}")
    for dips in (0, 1):
        venues[dips].pools[PAIR] = constant_product(100_000, 9_000_000)
        assert await desk.status(order) == "open"
        await ticker.make(second + dips)
        await desk.evaluator.evaluate(second + dips)
        assert await desk.status(order) == ["open", "pending"][dips]
    await link.close()


async def test_a_tick_without_a_price_fires_nothing(desk: Desk) -> None:
    orders = [
        await desk.rest("stop", trigger_price="95"),
        await desk.rest("takeProfit", trigger_price="90"),
    ]
    await desk.tick()
    assert await desk.statuses(*orders) == ["open", "open"]


async def test_a_spike_of_one_second_fires_a_take_profit(desk: Desk) -> None:
    order = await desk.rest("takeProfit", trigger_price="110")
    await desk.tick(bid_low="99", bid_high="110.5", ask="100")
    assert await desk.status(order) == "pending"


async def test_an_order_is_not_looked_at_before_the_first_whole_tick(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.change_watch(order, f"from_tick = {desk.second + 1}")
    await desk.tick(bid="90")
    assert await desk.status(order) == "open"
    await desk.tick(bid="90")
    assert await desk.status(order) == "pending"


async def test_a_jump_past_trigger_and_limit_fills_the_stop_and_rests_the_stop_limit(
    desk: Desk,
) -> None:
    stop = await desk.rest("stop", trigger_price="110")
    stop_limit = await desk.rest("stopLimit", trigger_price="110", limit_price="109")
    tick = await desk.tick(bid="100", ask="101")
    assert await desk.status(stop) == "pending"
    assert await desk.status(stop_limit) == "open"
    assert await desk.events(stop_limit) == ["open", "triggered"]
    assert await desk.database.order(stop_limit, "phase") == "limit"
    assert await desk.database.order(stop_limit, "trigger_tick") == tick
    await desk.tick(bid="100", ask="101")
    assert await desk.status(stop_limit) == "open"


async def test_what_becomes_a_limit_order_is_sized_in_the_same_tick(desk: Desk) -> None:
    order = await desk.rest("stopLimit", trigger_price="99.7", limit_price="99")
    tick = await desk.tick(bid="99.6", ask="101")
    assert await desk.events(order) == ["open", "triggered", "released"]
    assert await desk.database.order(order, "trigger_tick") == tick
    assert await desk.database.order(order, "min_out") == 148_500_000


async def test_a_take_profit_with_a_limit_becomes_a_limit_order(desk: Desk) -> None:
    order = await desk.rest("takeProfit", trigger_price="95", limit_price="120", side="sell")
    await desk.tick(bid="100", ask="101")
    assert await desk.events(order) == ["open", "triggered"]
    assert await desk.watch(order, "act") == "s"
    assert await desk.watch(order, "wake_price") == 120


async def test_a_release_has_attempts_of_its_own(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    fok = await desk.rest("stop", trigger_price="95", time_in_force="fok")
    await desk.database.rows("UPDATE orders SET attempts = 4 WHERE id = ANY(%s)", [order, fok])
    await desk.tick(bid="95")
    assert await desk.database.order(order, "attempts_allowed") == 4 + settings.ORDER_ATTEMPTS
    assert await desk.database.order(fok, "attempts_allowed") == 5
    assert await desk.database.order(order, "releases") == 1
    assert await desk.watch(order, "kind") is None


async def test_protective_orders_are_claimed_before_targets_and_senders_take_turns(
    desk: Desk,
) -> None:
    target = await desk.rest("takeProfit", trigger_price="90", stranger=1)
    mine = [await desk.rest("stop", trigger_price="95", stranger=2) for _ in range(2)]
    other = await desk.rest("stop", trigger_price="95", stranger=3)
    came = await desk.market()
    await desk.tick(bid="95")
    rows = await desk.database.rows("SELECT id::text FROM orders ORDER BY turn, next_check, id")
    assert [row[0] for row in rows] == [mine[0], other, mine[1], target, came]


async def test_targets_are_released_only_as_the_minutes_budget_is_free(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(3, 60))
    await desk.market()
    targets = [await desk.rest("takeProfit", trigger_price="90") for _ in range(4)]
    limits = [await desk.rest("limit", limit_price="90") for _ in range(2)]
    await desk.tick(bid="91", ask="101")
    assert await desk.statuses(*targets) == ["pending", "pending", "open", "open"]
    assert await desk.statuses(*limits) == ["open", "open"]
    stops = [await desk.rest("stop", trigger_price="95") for _ in range(5)]
    await desk.tick(bid="91", ask="101")
    assert await desk.statuses(*stops) == ["pending"] * 5
    assert await desk.statuses(*targets[2:], *limits) == ["open"] * 4


async def test_a_limit_that_came_back_takes_no_budget(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(1, 60))
    await desk.market()
    first, again = [await desk.rest("limit", limit_price="90") for _ in range(2)]
    await desk.database.rows(
        "UPDATE orders SET started_at = clock_timestamp(), releases = 1 WHERE id = %s", again
    )
    await desk.tick(bid="91", ask="101")
    assert await desk.statuses(first, again) == ["open", "pending"]


async def test_while_halted_nothing_triggers_and_watermarks_move(desk: Desk) -> None:
    stop = await desk.rest("stop", trigger_price="95")
    limit = await desk.rest("limit", limit_price="90")
    trail = await desk.rest("trailingStop", trail_bps=100)
    await desk.halt()
    await desk.tick(bid="120", ask="121")
    await desk.tick(bid="94", ask="95")
    assert await desk.statuses(stop, limit, trail) == ["open"] * 3
    await desk.halt(False)
    await desk.tick(bid="118", ask="121")
    assert await desk.statuses(stop, limit, trail) == ["open", "pending", "pending"]
    assert (await desk.last_data(trail))["watermark"] == "120"
