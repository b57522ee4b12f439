"""Each type of order fires at its price, and at no other."""

from tests.orders.engine.triggers.support import Desk


async def test_a_stop_fires_at_equality_not_one_tick_before(desk: Desk) -> None:
    order = await desk.rest("stop", trigger_price="95")
    await desk.tick(bid="95.000001", ask="96")
    assert await desk.status(order) == "open"
    tick = await desk.tick(bid="95", ask="96")
    assert await desk.status(order) == "pending"
    assert await desk.events(order) == ["open", "triggered"]
    data = await desk.last_data(order)
    assert data["tick"] == tick
    assert (data["price"], data["line"], data["triggerPrice"]) == ("95", "bid", "95")


async def test_a_limit_is_released_when_its_whole_amount_nets_it(desk: Desk) -> None:
    order = await desk.rest("limit", limit_price="99")
    await desk.tick(bid="98.9", ask="101")
    assert await desk.status(order) == "open"
    await desk.tick(bid="99.5", ask="101")
    assert await desk.status(order) == "pending"
    assert await desk.events(order) == ["open", "released"]
    assert await desk.last_data(order) == {"release": 1, "latched": False}
