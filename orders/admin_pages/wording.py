"""How the admin's pages say things."""

from datetime import timedelta
from decimal import Decimal

from orders.models import FailureCode, Order
from orders.terms.terms import price_text
from orders.words import OrderType
from routing.constraints import Constraints
from routing.venues import LABELS

# What happened, and what an operator can do about it.
FAILURE_MEANINGS: dict[str, str] = {
    FailureCode.SLIPPAGE_EXCEEDED: (
        "The price moved further than the order's slippage allows, on every attempt. Nothing was "
        "swapped. The client may send it again with a larger tolerance."
    ),
    FailureCode.INSUFFICIENT_LIQUIDITY: (
        "No venue can fill this amount: it is too large, or too small to pay anything out. Trying "
        "again with the same amount does not help."
    ),
    FailureCode.PRICE_IMPACT_TOO_HIGH: (
        "The order would move the price further than it allows, or than MAX_PRICE_IMPACT_BPS, if "
        "it does not say. Nothing was swapped. It may be larger than its sender meant: the client "
        "may send a smaller one, or one with a larger maxPriceImpactBps."
    ),
    FailureCode.VENUES_UNAVAILABLE: (
        "No venue gave a usable quote, or the chosen one could not build the transaction, on every "
        "attempt. Look at what the events say of each venue."
    ),
    FailureCode.UNSUPPORTED_TOKEN: (
        "No venue trades this market, or none that the order allows. Trying again does not help "
        "until one does."
    ),
    FailureCode.NETWORK_REJECTED: (
        "The transaction landed with an error, on every attempt. Nothing was swapped."
    ),
    FailureCode.NEVER_LANDED: (
        "The network never took the transaction before it expired, on every attempt; each is "
        "proven dead. Nothing was swapped."
    ),
    FailureCode.INSUFFICIENT_FUNDS: (
        "The engine's wallet lacks the input, or the SOL for fees. Nothing was swapped. Fund it "
        "before the order is sent again."
    ),
    FailureCode.INTERNAL_ERROR: (
        "A fault of the engine's own, on every attempt, before anything was sent. Nothing was "
        "swapped. The worker's log has its traceback."
    ),
    FailureCode.WORKER_LOST: (
        "Every worker that carried this order was lost before it was submitted. Nothing was "
        "swapped. Look at the workers' logs before the order is sent again."
    ),
    FailureCode.EXPIRED: "The order's time ran out before it was submitted. Nothing was swapped.",
}


def duration(span: timedelta) -> str:
    """Return how long something took, in the unit that fits."""
    seconds = span.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:.3g} ms" if abs(seconds) < 0.1 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def duration_of(seconds: float) -> str:
    return duration(timedelta(seconds=seconds))


def label_of(venue: str | None) -> str:
    """Return a venue's name in the form that people write."""
    return LABELS.get(venue, venue) if venue else "-"


def terms_text(order: Order) -> str:
    """Return an order's type with its prices, such as "stop at 90"; empty of a market order."""
    if order.terms is None:
        return ""
    word = "at" if order.type == OrderType.LIMIT else "limit"
    prices = (
        order.trigger_price is not None and f"at {price_text(order.trigger_price)}",
        order.limit_price is not None and f"{word} {price_text(order.limit_price)}",
        order.trail_bps is not None and f"by {order.trail_bps} bps",
    )
    return " ".join([order.type, *(text for text in prices if text)])


def limits_text(order: Order) -> str:
    """Return the limits that an order sets to its route; empty if it sets none."""
    asked = Constraints.from_json(order.constraints or {})
    impact = asked.max_price_impact_bps
    limits = (
        asked.venues and f"{_labels(asked.venues, ' or ')} only",
        asked.exclude_venues and f"not {_labels(asked.exclude_venues, ' nor ')}",
        impact is not None and f"price impact at most {impact} bps",
    )
    return ", ".join(text for text in limits if text)


def _labels(venues: tuple[str, ...], conjunction: str) -> str:
    return conjunction.join(label_of(venue) for venue in venues)


def basis_points(part: int, whole: int) -> Decimal:
    """Return `part` of `whole` in bps, rounded down to hundredths."""
    return Decimal(part * 1_000_000 // whole).scaleb(-2)
