"""What a resting order waits for, in plain words and with how far away that is."""

from decimal import Decimal
from typing import Any, NamedTuple

from orders.terms.terms import Terms
from orders.terms.watch import UP, Watch, first_watch, limit_watch
from routing.venue import BPS, Side

LINES = {"b": "bid", "a": "ask", "r": "reference price", "q": "reference price"}
OPEN = "open"


class Prices(NamedTuple):
    """The last prices of a pair; None where there is none."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    reference: Decimal | None = None

    def on(self, line: str) -> Decimal | None:
        """Return the price that a watch of this line looks at."""
        return {"b": self.bid, "a": self.ask}.get(line, self.reference)


def waiting_words(order: dict[str, Any], prices: Prices) -> str:
    """Return what an open order, as the API shows it, waits for."""
    return " ".join(filter(None, (_waits_for(order, prices), _ends(order))))


def _waits_for(order: dict[str, Any], prices: Prices) -> str:
    match order.get("phase"):
        case "held":
            return "It is held: the other exit of its group is on its way."
        case "latched":
            return f"It was triggered, could not be filled, and goes again{_again(order)}."
        case "slicing":
            done = order.get("slicesFilled") or 0
            return f"{done} of {order['slices']} slices are filled{_next_slice(order)}."
        case "unarmed":
            return f"It is armed when {_goal(order, prices)}"
        case "limit":
            return f"It was triggered, and is filled when {_goal(order, prices)}"
    if order["type"] == "trailingStop" and "currentTriggerPrice" not in order:
        return f"It trails the price by {order['trailBps']} bps, from its next tick on."
    if order["type"] == "sniper":
        return "It waits for a pool of its pair that fits."
    return f"It waits until {_goal(order, prices)}"


def _goal(order: dict[str, Any], prices: Prices) -> str:
    """Return where the price has to be, where it is, and how far that is away."""
    watch = watch_of(order)
    if watch is None or watch.wake_price is None:
        return "its price is known."
    line = LINES[watch.line]
    side = "at or above" if watch.kind == UP else "at or below"
    goal = f"the {line} is {side} {order_price(watch.wake_price)}"
    price = prices.on(watch.line)
    if price is None:
        return f"{goal}. There is no {line} now."
    return f"{goal}. Now it is {order_price(price)}, {_distance(watch, price)}."


def watch_of(order: dict[str, Any]) -> Watch | None:
    """Return what the order watches now; None: no price."""
    side = Side(order["side"])
    prices = {name: _price(order, name) for name in ("limitPrice", "triggerPrice")}
    if order.get("phase") == "limit" and prices["limitPrice"] is not None:
        return limit_watch(side, prices["limitPrice"])
    armed_at = _price(order, "activationPrice") if order.get("phase") == "unarmed" else None
    terms = Terms(
        "",
        limit_price=prices["limitPrice"],
        trigger_price=prices["triggerPrice"],
        trigger_by=order.get("triggerBy"),
        trail_bps=order.get("trailBps"),
        activation_price=armed_at,
    )
    try:
        watch = first_watch(order["type"], side, terms)
    except ValueError:
        return None
    if watch.trail_bps is not None and armed_at is None:  # a stop at a price that moves
        stop = terms._replace(trigger_price=_price(order, "currentTriggerPrice"))
        return first_watch("stop", side, stop)
    return watch


def distance_bps(watch: Watch, price: Decimal) -> Decimal | None:
    """Return how far the price has to go, in bps of itself; below 0: it is there already."""
    if watch.wake_price is None:
        return None
    way = watch.wake_price - price if watch.kind == UP else price - watch.wake_price
    return way / price * BPS


def _distance(watch: Watch, price: Decimal) -> str:
    away = distance_bps(watch, price)
    if away is None or away <= 0:
        return "which is there"
    return f"{away:.1f} bps away"


def order_price(price: Decimal) -> str:
    """Return a price with as many digits as people compare."""
    text = f"{price:.8g}" if price >= 1 else f"{price:.6g}"
    return f"{Decimal(text):f}"


def _price(order: dict[str, Any], name: str) -> Decimal | None:
    value = order.get(name)
    return None if value is None else Decimal(value)


def _again(order: dict[str, Any]) -> str:
    return f" at {order['restUntil']}" if order.get("restUntil") else " soon"


def _next_slice(order: dict[str, Any]) -> str:
    return f", the next one is due at {order['nextSliceAt']}" if order.get("nextSliceAt") else ""


def _ends(order: dict[str, Any]) -> str:
    return f"It ends at {order['expiresAt']}." if order.get("expiresAt") else ""
