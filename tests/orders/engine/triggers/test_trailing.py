"""A trailing stop fires as if its watermark were kept for each order, exactly, every tick."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from orders.engine.triggers import passes_sql
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import Desk


@dataclass
class Modelled:
    """A trailing stop that keeps its own watermark."""

    side: str
    trail_bps: int
    activation: Decimal | None
    armed: bool
    watermark: Decimal | None = None
    fired_at: int | None = None

    def see(self, tick: int, low: Decimal, high: Decimal) -> None:
        """Compare with a tick of its line."""
        if self.fired_at is not None:
            return
        adverse, favourable = (low, high) if self.side == "sell" else (high, low)
        if self.armed and self.watermark is not None and self._is_reached(adverse):
            self.fired_at = tick
            return
        if not self.armed and self.activation is not None:
            reached = favourable >= self.activation
            if self.side == "buy":
                reached = favourable <= self.activation
            self.armed = reached
        if self.armed:
            best = max if self.side == "sell" else min
            known = favourable if self.watermark is None else self.watermark
            self.watermark = best(known, favourable)

    def _is_reached(self, price: Decimal) -> bool:
        assert self.watermark is not None
        if self.side == "sell":
            return price * 10_000 <= self.watermark * (10_000 - self.trail_bps)
        return price * 10_000 >= self.watermark * (10_000 + self.trail_bps)


def walk(chance: random.Random, start: str) -> Iterator[tuple[Decimal, Decimal]]:
    """Yield the lowest and the highest price of each second."""
    price = Decimal(start)
    while True:
        price += Decimal(chance.randint(-60, 60)) / 100
        spread = Decimal(chance.randint(0, 30)) / 100
        yield price - spread, price + spread


async def test_a_trail_is_compared_with_the_ticks_before_then_its_high_counts(desk: Desk) -> None:
    order = await desk.rest("trailingStop", trail_bps=100)
    await desk.tick(bid_low="90", bid_high="100")
    assert await desk.status(order) == "open"
    await desk.tick(bid_low="99.01", bid_high="101")
    assert await desk.status(order) == "open"
    await desk.tick(bid_low="99.99", bid_high="200")
    assert await desk.status(order) == "pending"
    data = await desk.last_data(order)
    assert (data["watermark"], data["triggerPrice"], data["price"]) == ("101", "99.99", "99.99")


async def test_an_activation_arms_at_its_own_high(desk: Desk) -> None:
    order = await desk.rest("trailingStop", trail_bps=100, activation_price="110")
    assert await desk.database.order(order, "phase") == "unarmed"
    await desk.tick(bid="105")
    tick = await desk.tick(bid_low="100", bid_high="112")
    assert await desk.events(order) == ["open", "activated"]
    assert await desk.watch(order, "armed_tick") == tick
    assert await desk.database.order(order, "phase") == "waiting"
    await desk.tick(bid="110.88")
    assert (await desk.last_data(order))["watermark"] == "112"


async def test_a_trail_that_was_released_keeps_its_watermark_and_fires_once(desk: Desk) -> None:
    order = await desk.rest("trailingStop", trail_bps=100)
    await desk.tick(bid="100")
    armed = await desk.watch(order, "armed_tick")
    for bid in ("98", "97", "120", "90"):
        await desk.tick(bid=bid)
    assert await desk.events(order) == ["open", "triggered"]
    assert await desk.watch(order, "armed_tick") == armed
    assert await desk.watch(order, "held") is True


@pytest.mark.parametrize("seed", range(3))
async def test_trailing_equals_a_model_with_a_watermark_for_each_order(
    desk: Desk, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Over a random walk, with restarts of the scheduler, two of them, and activations."""
    monkeypatch.setattr(passes_sql, "MOST", 3)  # so that passes are repeated
    chance = random.Random(seed)
    evaluators = [desk.evaluator, make_evaluator()]
    modelled: dict[str, Modelled] = {}
    walks = {
        "bid": walk(chance, "100"),
        "ask": walk(chance, "102"),
        "reference": walk(chance, "101"),
    }
    lines: dict[str, str] = {}
    for step in range(90):
        if step % 2 == 0:
            side = chance.choice(["sell", "buy"])
            by_reference = chance.random() < 0.3
            bps = chance.choice([30, 60, 100, 100, 100, 200])
            activation = None
            if chance.random() < 0.3:
                near = Decimal(100 + chance.randint(-3, 3))
                activation = near
            asked = {"activation_price": activation} if activation else {}
            order = await desk.rest(
                "trailingStop",
                side=side,
                trail_bps=bps,
                trigger_by="reference" if by_reference else "executable",
                **asked,
            )
            modelled[order] = Modelled(side, bps, activation, activation is None)
            lines[order] = "reference" if by_reference else {"sell": "bid", "buy": "ask"}[side]
        if step % 20 == 19:  # one of them is killed and comes again
            await evaluators[0].close()
            evaluators = [evaluators[1], make_evaluator()]
        prices = {name: next(each) for name, each in walks.items()}
        tick = await desk.tick(
            evaluates=False,
            **{f"{name}_low": low for name, (low, _) in prices.items()},
            **{f"{name}_high": high for name, (_, high) in prices.items()},
        )
        for order, model in modelled.items():
            model.see(tick, *prices[lines[order]])
        if chance.random() < 0.7:  # else several ticks are evaluated later, at once
            for evaluator in evaluators:
                await evaluator.evaluate(tick)
    for evaluator in evaluators:
        await evaluator.evaluate(desk.second)
    fired = await desk.database.rows("SELECT id::text, trigger_tick FROM orders")
    assert dict(fired) == {order: model.fired_at for order, model in modelled.items()}
    assert sum(model.fired_at is not None for model in modelled.values()) > 10
