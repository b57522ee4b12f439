"""How the admin's pages say things."""

import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.utils.html import format_html
from django.utils.safestring import SafeString

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
    FailureCode.WALLET_REFUSED: (
        "The wallet did not sign: the order is beyond a limit, or its transaction was not what "
        "the order asked. Nothing was swapped. The worker's log says which."
    ),
    FailureCode.WORKER_LOST: (
        "Every worker that carried this order was lost before it was submitted. Nothing was "
        "swapped. Look at the workers' logs before the order is sent again."
    ),
    FailureCode.EXPIRED: "The order's time ran out before it was submitted. Nothing was swapped.",
}

WHOLE_PART = re.compile(r"(?<![\w.,…])\d{4,}(?!\w)")


def grouped(text: str) -> str:
    """Return a text with the digits of its numbers in groups: "5,000,000 BONK"."""
    return WHOLE_PART.sub(lambda found: f"{int(found[0]):,}", text)


def short_id(order_id: UUID) -> SafeString:
    """Return the eight characters by which all pages call an order. The search takes them, too."""
    text = str(order_id)
    return format_html('<span class="order-id" title="{}">…{}</span>', text, text[-8:])


def copy_button(text: object) -> SafeString:
    """Return a button that copies a text; admin.js shows it and does it."""
    return format_html(
        '<button type="button" class="copy" data-copy="{}" hidden>Copy</button>', text
    )


def aligned(numbers: Sequence[str]) -> list[str]:
    """Return the numbers of one column with grouped digits, and as many decimals as the longest."""
    decimals = [len(number.partition(".")[2]) for number in numbers]
    return [f"{Decimal(number):,.{max(decimals)}f}" for number in numbers]


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


def ago(seconds: float) -> str:
    """Return for how long something has been over: "14 s ago", "3 d 2 h ago"."""
    return f"{span_text(seconds)} ago"


def span_text(seconds: float) -> str:
    """Return a time in whole units, as a glance needs it: "14 s", "6 min", "3 d 2 h"."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 120:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def bytes_text(count: int | None) -> str:
    return "-" if count is None else f"{count / 1_000_000:,.0f} MB"


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
