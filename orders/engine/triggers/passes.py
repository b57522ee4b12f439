"""The passes over a pair: which statement looks at which line, and in which order."""

from decimal import Decimal
from typing import Literal, NamedTuple

from orders.engine.triggers import passes_sql as sql
from orders.terms.watch import ARM, BECOME_LIMIT, FIRE, SIZE

Step = Literal["level", "trail", "limit", "arm", "sized"]

LINES = {"b": "bid", "a": "ask", "r": "reference", "q": "reference"}
"""By the letters of `orders.terms.watch`: which price it is. Sales look at b and r."""
SALES = ("b", "r")


class Prices(NamedTuple):
    """The extremes of one tick; None where there was no price."""

    tick: int
    bid_low: Decimal | None = None
    bid_high: Decimal | None = None
    ask_low: Decimal | None = None
    ask_high: Decimal | None = None
    reference_low: Decimal | None = None
    reference_high: Decimal | None = None

    def low(self, line: str) -> Decimal | None:
        price: Decimal | None = getattr(self, f"{LINES[line]}_low")
        return price

    def high(self, line: str) -> Decimal | None:
        price: Decimal | None = getattr(self, f"{LINES[line]}_high")
        return price


class Pass(NamedTuple):
    """One look at one line for one `act`, downwards (`<`) or upwards (`>`)."""

    step: Step
    line: str
    kind: sql.Kind
    is_protective: bool = False

    @property
    def is_sale(self) -> bool:
        return self.line in SALES

    @property
    def act(self) -> str:
        acts = {"level": FIRE, "trail": FIRE, "limit": BECOME_LIMIT, "arm": ARM, "sized": SIZE}
        return acts[self.step]

    @property
    def label(self) -> str:
        """What it releases, for metrics."""
        labels = {"trail": "trail", "sized": "limit"}
        return labels.get(self.step, "stop" if self.is_protective else "target")

    @property
    def price_name(self) -> str:
        return f"{LINES[self.line]}_{'low' if self.kind == '<' else 'high'}"

    def price(self, prices: Prices) -> Decimal | None:
        """Return what it compares: a low for what waits for a fall, a high for a rise."""
        return prices.low(self.line) if self.kind == "<" else prices.high(self.line)

    @property
    def found(self) -> str:
        if self.step == "trail":
            side = "sell" if self.is_sale else "buy"
            return sql.found_trail(self.line, side, self.price_name)
        return sql.found_level(self.line, self.kind, self.act, self.price_name)

    def statement(self, *, waits: bool) -> str:
        return STATEMENTS[self.key, waits]

    @property
    def key(self) -> tuple[Step, str, bool]:
        return self.step, self.kind, self.is_protective


def _adverse(line: str) -> sql.Kind:
    """Return where a price goes that hurts who wants to sell (or buy) at this line."""
    return "<" if line in SALES else ">"


def _favourable(line: str) -> sql.Kind:
    return ">" if line in SALES else "<"


ORDER = (
    *(Pass("level", line, _adverse(line), is_protective=True) for line in LINES),
    *(Pass("limit", line, _adverse(line), is_protective=True) for line in LINES),
    *(Pass("trail", line, _adverse(line), is_protective=True) for line in LINES),
    *(Pass("arm", line, _favourable(line)) for line in LINES),
    *(Pass("level", line, _favourable(line)) for line in LINES),
    *(Pass("limit", line, _favourable(line)) for line in LINES),
    *(Pass("sized", line, _favourable(line)) for line in ("b", "a")),
)
"""Protective orders first: of two legs that one tick reaches, the stop goes. What becomes a limit
order, or is armed, comes before what looks at it."""


def _statement(each: Pass, waits: bool) -> str:
    match each.step:
        case "level":
            return sql.fire_level(each.kind, budgeted=not each.is_protective, waits=waits)
        case "limit":
            return sql.become_limit(each.kind, waits=waits)
        case "trail":
            return sql.fire_trails("sell" if each.is_sale else "buy", waits=waits)
        case "arm":
            return sql.arm(each.kind, waits=waits)
        case "sized":
            return sql.release_sized(each.kind, waits=waits)


STATEMENTS = {
    (each.key, waits): _statement(each, waits) for each in ORDER for waits in (False, True)
}

FINDS = sql.finds([each.found for each in ORDER])
"""A column for each pass of `ORDER`: whether it would find anything."""
