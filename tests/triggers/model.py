"""Resting orders in plain Python: each has its own state, and looks at every tick."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

LINES = {"sell": "bid", "buy": "ask"}
PASSES = ("stop", "stopLimit", "trailingStop", "arm", "takeProfit")
"""Of two legs that one tick reaches, the protective one fires."""


@dataclass(frozen=True, slots=True)
class Prices:
    """The lowest and the highest price of each line in one second."""

    tick: int
    low: dict[str, Decimal]
    high: dict[str, Decimal]


@dataclass(slots=True)
class Group:
    legs: list["Modelled"] = field(default_factory=list)
    live: "Modelled | None" = None
    """The leg that is on its way. The other one is held."""


@dataclass(slots=True)
class Modelled:
    """One order, as it should be."""

    id: str
    pair: str
    side: str
    type: str
    from_tick: int
    trigger: Decimal | None = None
    trail_bps: int = 0
    activation: Decimal | None = None
    by_reference: bool = False
    group: Group | None = None
    armed_from: int | None = None
    watermark: Decimal | None = None
    fired: list[int] = field(default_factory=list)
    """The ticks at which it fired, in order."""
    armed_at: int | None = None
    may_have_fired: int | None = None
    """A tick that was not evaluated yet when somebody ended or amended it: both are right."""
    may_be_unarmed: bool = False
    """The same of the tick that armed it."""
    is_over: bool = False
    """It fires no more: it fired, became a limit order, or has ended."""

    @property
    def line(self) -> str:
        return "reference" if self.by_reference else LINES[self.side]

    @property
    def is_held(self) -> bool:
        return self.group is not None and self.group.live not in (None, self)

    def is_beyond(self, price: Decimal, level: Decimal, *, adverse: bool) -> bool:
        if (self.side == "sell") == adverse:
            return price <= level
        return price >= level

    def adverse(self, prices: Prices) -> Decimal:
        return (prices.low if self.side == "sell" else prices.high)[self.line]

    def favourable(self, prices: Prices) -> Decimal:
        return (prices.high if self.side == "sell" else prices.low)[self.line]


class Model:
    """All orders, by their ids."""

    def __init__(self) -> None:
        self.orders: dict[str, Modelled] = {}

    def add(self, order: Modelled) -> None:
        self.orders[order.id] = order
        if order.group is not None:
            order.group.legs.append(order)
        if order.type == "trailingStop" and order.activation is None:
            order.armed_from = order.from_tick

    def see(self, pair: str, prices: Prices) -> None:
        """Compare all orders of a pair with its next tick."""
        watching = [order for order in self.orders.values() if order.pair == pair]
        for each in PASSES:
            for order in watching:
                if not order.is_over and order.from_tick <= prices.tick:
                    STEPS[each](order, prices)
        for order in watching:
            _follow(order, prices)

    def differences(self, engine: dict[str, tuple[list[int], int | None]]) -> Iterator[str]:
        """Say what differs; `engine` has for each order when it fired and when it was armed."""
        for order in self.orders.values():
            fired, armed = engine.get(order.id, ([], None))
            right = [order.fired]
            if order.may_have_fired is not None:
                right.append([*order.fired, order.may_have_fired])
            if fired not in right:
                yield f"{order.type} {order.id} fired at {fired}, and should have at {order.fired}"
            if armed != order.armed_at and not (order.may_be_unarmed and armed is None):
                yield f"{order.id} was armed at {armed}, and should have been at {order.armed_at}"


def _fire(order: Modelled, tick: int) -> None:
    order.fired.append(tick)
    order.is_over = True
    if order.group is not None and order.type != "stopLimit":
        order.group.live = order


def _level(kind: str, *, adverse: bool) -> Callable[[Modelled, Prices], None]:
    def step(order: Modelled, prices: Prices) -> None:
        if order.type != kind or order.is_held or order.trigger is None:
            return
        price = order.adverse(prices) if adverse else order.favourable(prices)
        if order.is_beyond(price, order.trigger, adverse=adverse):
            _fire(order, prices.tick)

    return step


def _trail(order: Modelled, prices: Prices) -> None:
    if order.type != "trailingStop" or order.is_held or order.watermark is None:
        return
    away = -order.trail_bps if order.side == "sell" else order.trail_bps
    # price * 10000 against watermark * (10000 -+ bps): exactly, without a division
    reached = order.adverse(prices) * 10_000
    if order.is_beyond(reached, order.watermark * (10_000 + away), adverse=True):
        _fire(order, prices.tick)


def _arm(order: Modelled, prices: Prices) -> None:
    if order.type != "trailingStop" or order.armed_from is not None or order.activation is None:
        return
    if order.is_beyond(order.favourable(prices), order.activation, adverse=False):
        order.armed_from = order.armed_at = prices.tick


def _follow(order: Modelled, prices: Prices) -> None:
    """The watermark counts from the tick that armed the order on, also while it is held."""
    if order.armed_from is None or prices.tick < order.armed_from:
        return
    price = order.favourable(prices)
    if order.watermark is None or order.is_beyond(price, order.watermark, adverse=False):
        order.watermark = price


STEPS: dict[str, Callable[[Modelled, Prices], None]] = {
    "stop": _level("stop", adverse=True),
    "stopLimit": _level("stopLimit", adverse=True),
    "trailingStop": _trail,
    "arm": _arm,
    "takeProfit": _level("takeProfit", adverse=False),
}
