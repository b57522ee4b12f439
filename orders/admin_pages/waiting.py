"""What an order that rests waits for, and why it was not released yet: one query by keys."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from orders.admin_pages.wording import duration_of
from orders.lifecycle import IS_HALTED
from orders.models import Order
from orders.terms.terms import price_text
from orders.terms.watch import CLOCK, DOWN, POOL, SIZE, TRAIL
from orders.words import Phase

OLD_SECONDS = 3  # a price that is older triggers nothing
WATCH = f"""
SELECT w.line, w.kind, w.act, w.held, w.wake_price, w.trail_bps, w.armed_tick, w.from_tick,
  w.queued_at, w.check_at, w.expires_at, progress.evaluated_tick, last.tick,
  CASE w.line WHEN 'b' THEN last.bid WHEN 'a' THEN last.ask ELSE last.reference END,
  (SELECT k.price FROM price_peaks AS k WHERE k.pair = w.pair AND k.line = w.line
   AND k.tick >= w.armed_tick ORDER BY k.tick LIMIT 1),
  extract(epoch FROM clock_timestamp())::float8, {IS_HALTED}
FROM watches AS w
LEFT JOIN pair_progress AS progress ON progress.pair = w.pair
LEFT JOIN LATERAL (
  SELECT tick, bid, ask, reference FROM price_ticks
  WHERE price_ticks.pair = w.pair ORDER BY tick DESC LIMIT 1
) AS last ON true
WHERE w.order_id = %s
"""  # noqa: S608  # our own words
LINES = {"b": "bid", "a": "ask", "r": "reference price", "q": "reference price"}
SALES = ("b", "r")
ACTS = {
    "f": "it is released",
    "s": "its whole amount is quoted, and it is released if that nets its limit",
    "a": "its trail is armed",
    "l": "it becomes a limit order",
}


class Row(NamedTuple):
    """A row of `watches`, with what it is compared with. `now` and ticks are unix seconds."""

    line: str
    kind: str
    act: str
    held: bool
    wake_price: Decimal | None
    trail_bps: int | None
    armed_tick: int | None
    from_tick: int
    queued_at: datetime
    check_at: datetime | None
    expires_at: datetime
    evaluated_tick: int | None
    last_tick: int | None
    price: Decimal | None
    watermark: Decimal | None
    now: float
    is_halted: bool

    @property
    def line_name(self) -> str:
        return LINES[self.line]

    @property
    def trigger(self) -> Decimal | None:
        """The price at which something happens; None while there is none."""
        if self.kind != TRAIL:
            return self.wake_price
        if self.watermark is None or self.trail_bps is None:
            return None
        away = -self.trail_bps if self.line in SALES else self.trail_bps
        return self.watermark * (10_000 + away) / 10_000

    @property
    def waits_for_a_fall(self) -> bool:
        return self.line in SALES if self.kind == TRAIL else self.kind == DOWN

    @property
    def distance_bps(self) -> Decimal | None:
        """How far the price has to go, in bps of itself; 0 or less: it is there."""
        if self.trigger is None or self.price is None:
            return None
        way = (self.trigger - self.price) / self.price * 10_000
        return -way if self.waits_for_a_fall else way

    @property
    def tick_age(self) -> float | None:
        return None if self.last_tick is None else max(0.0, self.now - self.last_tick)


@dataclass(frozen=True, slots=True)
class Waiting:
    why: str
    """Why it was not released yet, in a sentence."""
    is_bad: bool
    """Whether an operator has to do something about it."""
    facts: tuple[tuple[str, str], ...]
    """The row that it watches by, as labels and values."""


def waiting_of(order: Order) -> Waiting | None:
    """Return what the order waits for; None if it does not rest."""
    if not order.resting:
        return None
    with connection.cursor() as cursor:
        cursor.execute(WATCH, [order.pk])
        found = cursor.fetchone()
    if found is None:
        return Waiting("It has no row in watches, so nothing will release it.", True, ())
    row = Row._make(found)
    return Waiting(why_waiting(order, row), False, facts_of(row))


def why_waiting(order: Order, row: Row) -> str:
    """Return the first reason that holds."""
    if row.is_halted:
        return "Trading is halted: nothing triggers."
    if row.held:
        return "The other order of its group is on its way. Meanwhile it triggers nothing."
    if row.kind == CLOCK:
        return _why_by_time(order, row)
    if row.kind == POOL:
        return "It waits for an open pool that fits."
    return _why_by_price(row)


def _why_by_time(order: Order, row: Row) -> str:
    at = time_text(row.check_at)
    if order.phase == Phase.SLICING:
        return f"Its next slice is due at {at}."
    if order.phase == Phase.LATCHED:
        return f"It was triggered and could not be filled. It is released again at {at}."
    return f"It is looked at again at {at}."


def _why_by_price(row: Row) -> str:
    if row.price is None or row.tick_age is None:
        return f"There is no {row.line_name}, so nothing can reach it."
    if row.tick_age > OLD_SECONDS:
        age = duration_of(row.tick_age)
        return f"The last prices are {age} old. An old price triggers nothing."
    if row.evaluated_tick is None or row.evaluated_tick < row.from_tick:
        return "It is compared with prices from the first whole second after its last change."
    if row.trigger is None or row.distance_bps is None:
        return "Its trail has no watermark yet."
    return _distance_text(row, row.trigger, row.distance_bps)


def _distance_text(row: Row, trigger: Decimal, distance: Decimal) -> str:
    if distance > 0:
        verb = "fall" if row.waits_for_a_fall else "rise"
        return f"The {row.line_name} has to {verb} by {distance:.1f} bps, to {price_text(trigger)}."
    if row.act == SIZE:
        return "The price is there. Its whole amount did not net its limit when it was last quoted."
    return "The price is there: the next evaluation releases it."


def facts_of(row: Row) -> tuple[tuple[str, str], ...]:
    """Return labels and values; what does not apply is left out."""
    trigger, distance = row.trigger, row.distance_bps
    direction = "at or below" if row.waits_for_a_fall else "at or above"
    facts = {
        "Watches": "the time alone" if row.kind == CLOCK else "a pool" if row.kind == POOL else "",
        "Trigger": trigger and f"{row.line_name} {direction} {price_text(trigger)}",
        "Then": ACTS[row.act] if row.kind not in (CLOCK, POOL) else "",
        "Price now": row.price and f"{row.line_name} {price_text(row.price)}",
        "Distance": f"{distance:.1f} bps" if distance is not None else "",
        "Watermark": row.watermark and price_text(row.watermark),
        "Trail": row.trail_bps and f"{row.trail_bps} bps",
        "Armed since": row.armed_tick and second_text(row.armed_tick),
        "Last tick": row.last_tick
        and f"{second_text(row.last_tick)}, {duration_of(row.tick_age or 0)} ago",
        "Evaluated up to": row.evaluated_tick and second_text(row.evaluated_tick),
        "Compared from": second_text(row.from_tick),
        "Held": "yes" if row.held else "no",
        "In line since": time_text(row.queued_at),
        "Looked at again": row.check_at and time_text(row.check_at),
        "Rests at most until": time_text(row.expires_at),
    }
    return tuple((label, str(value)) for label, value in facts.items() if value)


def time_text(at: datetime | None) -> str:
    return "-" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def second_text(second: int) -> str:
    return time_text(datetime.fromtimestamp(second, UTC))


def rows_of_terms(asked: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return an order's terms as labels and values, in the words of the API."""
    return tuple((name, _value_text(value)) for name, value in asked.items() if value is not None)


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value_text(part)}" for name, part in value.items()) or "none"
    return str(value)
