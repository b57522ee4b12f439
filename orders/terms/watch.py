"""What a resting order watches: the row of `watches` that the engine compares with each tick.

`line`: sells look at the bid (`b`), buys at the ask (`a`); by reference at `r` and `q`, which are
two because sells need its highs and buys its lows.
`kind`: `>` at or above `wake_price`, `<` at or below it, `t` trailing, `p` a pool, `c` a time only.
`act`, when it is reached: `f` fire, `s` size the whole amount first, `a` arm the trail, `l` become
a limit order.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from orders.terms.terms import Terms
from routing.venue import Side

FIRE, SIZE, ARM, BECOME_LIMIT = "f", "s", "a", "l"
UP, DOWN, TRAIL, POOL, CLOCK = ">", "<", "t", "p", "c"


class Watch(NamedTuple):
    line: str
    kind: str
    act: str = FIRE
    wake_price: Decimal | None = None
    trail_bps: int | None = None
    check_at: datetime | None = None
    """When it is looked at again, whatever the price."""
    check_in: float | None = None
    """The same in seconds from now, by the database's clock; never both."""


def line_of(side: Side, trigger_by: str | None) -> str:
    by_reference = trigger_by == "reference"
    if side is Side.SELL:
        return "r" if by_reference else "b"
    return "q" if by_reference else "a"


def limit_watch(side: Side, limit_price: Decimal) -> Watch:
    """Return what a limit order watches; a stop limit that was triggered is one."""
    kind = UP if side is Side.SELL else DOWN
    return Watch(line_of(side, None), kind, SIZE, limit_price)


def slot_watch(side: Side, more: dict[str, Any]) -> Watch:
    """Return what the parent of slices watches: the clock, from its first slot on."""
    if (start := more.get("startAt")) is not None:
        return Watch(line_of(side, None), CLOCK, check_at=datetime.fromisoformat(start))
    return Watch(line_of(side, None), CLOCK, check_in=0)


def first_watch(order_type: str, side: Side, terms: Terms) -> Watch:
    """Return what an order watches from its acceptance on, or after it was amended.

    :raises ValueError: orders of this type watch no price.
    """
    is_sale = side is Side.SELL
    line = line_of(side, terms.trigger_by)
    favourable, adverse = (UP, DOWN) if is_sale else (DOWN, UP)
    act = FIRE if terms.limit_price is None else BECOME_LIMIT
    match order_type:
        case "limit" if terms.limit_price is not None:
            return limit_watch(side, terms.limit_price)
        case "stop" | "stopLimit":
            return Watch(line, adverse, act, terms.trigger_price)
        case "takeProfit":
            return Watch(line, favourable, act, terms.trigger_price)
        case "trailingStop" if terms.activation_price is not None:
            return Watch(line, favourable, ARM, terms.activation_price, terms.trail_bps)
        case "trailingStop":
            return Watch(line, TRAIL, FIRE, None, terms.trail_bps)
        case "twap":
            return slot_watch(side, terms.more)
        case "sniper":
            return Watch(line, POOL)
    raise ValueError(f"{order_type} orders watch no price")


def watch_of_rest(
    order_type: str, side: Side, limit_price: Decimal | None, trigger_by: str | None
) -> Watch:
    """Return what an order watches when its release has ended without a fill.

    With a limit price it watches that again, or its pool. Without one it was triggered, and waits
    for its next release alone. The line that it trailed is still that of its watermark.
    """
    if limit_price is None:
        return Watch(line_of(side, trigger_by), CLOCK)
    if order_type == "sniper":
        return Watch(line_of(side, None), POOL)
    return limit_watch(side, limit_price)
