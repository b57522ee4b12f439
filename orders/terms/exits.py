"""The two ways out of a position: a target and a stop. A bracket's wait for its entry to fill."""

from decimal import Decimal
from typing import Any, NamedTuple

from orders.terms.terms import price_text
from orders.terms.type_rules import RULES
from routing.venue import Side

TARGET, STOP = "takeProfit", "stopLoss"
"""The fields of a request, and the roles in a group."""


class Exit(NamedTuple):
    """What one exit asks beyond the amount. Prices are quote tokens per base token of the pair."""

    role: str
    """`takeProfit` or `stopLoss`."""
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    trail_bps: int | None = None
    activation_price: Decimal | None = None
    slippage_bps: int | None = None
    """None: its limit price is its bound."""

    @property
    def type(self) -> str:
        """The type of the order that it becomes."""
        if self.role == TARGET:
            return "limit" if self.trigger_price is None else "takeProfit"
        if self.trail_bps is not None:
            return "trailingStop"
        return "stop" if self.limit_price is None else "stopLimit"

    @property
    def price(self) -> Decimal | None:
        """Where it goes off; None of one that trails."""
        return self.limit_price if self.trigger_price is None else self.trigger_price

    def as_json(self) -> dict[str, Any]:
        """Return it in the words of the API, its defaults filled in."""
        asked = {
            "limitPrice": price_text(self.limit_price),
            "triggerPrice": price_text(self.trigger_price),
            "trailBps": self.trail_bps,
            "activationPrice": price_text(self.activation_price),
            "slippageBps": self.slippage_bps,
        }
        return {name: value for name, value in asked.items() if value is not None}

    @classmethod
    def of_json(cls, role: str, asked: dict[str, Any]) -> "Exit":
        """Return the exit of what `as_json` wrote."""

        def price(name: str) -> Decimal | None:
            return None if asked.get(name) is None else Decimal(asked[name])

        return cls(
            role,
            price("limitPrice"),
            price("triggerPrice"),
            asked.get("trailBps"),
            price("activationPrice"),
            asked.get("slippageBps"),
        )


def default_slippage_bps(order_type: str, limit_price: Decimal | None, usual: int) -> int | None:
    """Return what an order tolerates that does not say; None: its limit price is its bound."""
    if limit_price is not None and order_type in ("limit", "stopLimit", "takeProfit"):
        return None
    return RULES[order_type].slippage_bps or usual


def role_in_group(order_type: str) -> str:
    """Return which of a group's two exits an order of this type is."""
    return TARGET if order_type in ("limit", "takeProfit") else STOP


def is_better(side: Side, price: Decimal, than: Decimal) -> bool:
    """Whether a price is better for an order of this side; the same price is not."""
    return price > than if side is Side.SELL else price < than


class WrongPrice(ValueError):
    """A price that contradicts another. `field` names it in the words of the API."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        super().__init__(text)


def check_stop_limit(side: Side, limit_price: Decimal, trigger_price: Decimal) -> None:
    """:raises WrongPrice: once it is triggered, the limit would be out of reach."""
    if is_better(side, limit_price, trigger_price):
        where = "at or below" if side is Side.SELL else "at or above"
        raise WrongPrice(
            "limitPrice", f"Of a {side} it has to be {where} triggerPrice, or it could not fill."
        )


def check_exits(side: Side, exits: dict[str, Exit], entry: Decimal | None = None) -> None:
    """Check the prices of exits against each other, and against the limit of their entry.

    `side` is that of the exits.

    :raises WrongPrice: naming the member that is out of order.
    """
    target, stop = exits.get(TARGET), exits.get(STOP)
    if stop is not None and stop.limit_price is not None and stop.trigger_price is not None:
        try:
            check_stop_limit(side, stop.limit_price, stop.trigger_price)
        except WrongPrice as wrong:
            raise WrongPrice(f"{STOP}.{wrong.field}", str(wrong)) from None
    aim, floor = target and target.price, stop and stop.price
    above, below = ("above", "below") if side is Side.SELL else ("below", "above")
    if aim is not None and floor is not None and not is_better(side, aim, floor):
        raise WrongPrice(TARGET, f"Of a {side} its price has to be {above} that of stopLoss.")
    if entry is not None and aim is not None and not is_better(side, aim, entry):
        raise WrongPrice(TARGET, f"Its price has to be {above} limitPrice, at which one enters.")
    if entry is not None and floor is not None and not is_better(side, entry, floor):
        raise WrongPrice(STOP, f"Its price has to be {below} limitPrice, at which one enters.")
