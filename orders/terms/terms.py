"""What an order asks beyond a plain market order."""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from routing.pricing import MAX_ATOMS, atoms_ratio
from routing.tokens import Market
from routing.venue import Bound, Side


class Terms(NamedTuple):
    """Prices are whole quote tokens for one whole base token of the pair. None: not asked."""

    time_in_force: str
    """`gtc`, `gtd`, `ioc` or `fok`."""
    expires_at: datetime | None = None
    """When the order ends if it was not submitted before."""
    expires_in: float | None = None
    """The same in seconds from its acceptance, by the database's clock; never both."""
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    trigger_by: str | None = None
    """`executable` or `reference`."""
    trail_bps: int | None = None
    activation_price: Decimal | None = None
    bound: Bound = Bound()
    """What `limit_price` means for the order's amount, in atoms."""
    more: dict[str, Any] = {}
    """The column `orders.terms`: a bracket's exits, a TWAP's slices, a sniper's pool, in the words
    of the API."""
    tags: dict[str, str] | None = None
    group_id: str | None = None
    parent_id: str | None = None
    slice: int | None = None
    replaces: str | None = None
    may_start: bool = False
    """Whether it may start at once instead of resting, if the minute's budget is free."""


def price_text(price: Decimal | None) -> str | None:
    """Return a price as clients see it, without exponent or trailing zeros."""
    if price is None:
        return None
    text = f"{price:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def bound_of_limit(
    market: Market, side: Side, price: Decimal, amount_in: int | None, amount_out: int | None
) -> Bound:
    """Return the worst fill that nets the limit price, in atoms; exactly one amount is given.

    Sell: minOut = ceil(amountIn * L) or maxIn = floor(amountOut / L). Buy: minOut =
    ceil(amountIn / L) or maxIn = floor(amountOut * L).

    :raises ValueError: at this price the other amount is nothing, or more than an account can hold.
    """
    quote, base = atoms_ratio(market, price)
    out, into = (quote, base) if side is Side.SELL else (base, quote)
    if amount_in is not None:
        bound = Bound(min_out=-(-amount_in * out // into))
    else:
        bound = Bound(max_in=(amount_out or 0) * into // out)
    if not 0 < (bound.min_out or bound.max_in or 0) <= MAX_ATOMS:
        raise ValueError("the other amount is out of range")
    return bound
