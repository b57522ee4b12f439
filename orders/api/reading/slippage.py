"""Reads how far a price may slip: in bps, or as a fraction."""

from decimal import ROUND_UP, Context, Decimal
from typing import Any

from orders.api.reading.fields import refuse
from orders.models import MAX_SLIPPAGE_BPS
from routing.venue import BPS

MAX_SLIPPAGE_FRACTION = Decimal("0.1")
"""A larger number means percent: the least percent that clients of such engines send is 0.3."""
_SHOWN = Context(prec=12, rounding=ROUND_UP)


def read_slippage(given: dict[str, Any], within: str = "") -> int | None:
    """Return the slippage in bps; None if none is given. `within` begins the fields' names.

    :raises ValidationError: it is out of range, too precise, or given twice.
    """
    bps, fraction = given.get("slippageBps"), given.get("slippage")
    if bps is not None and fraction is not None:
        raise refuse("slippage", "conflict", "Give slippage or slippageBps, not both.")
    if fraction is not None:
        return _bps_of(fraction)
    if bps is None:
        return None
    field = f"{within}slippageBps"
    if not 0 <= bps <= MAX_SLIPPAGE_BPS:
        raise refuse(field, "out_of_range", f"From 0 to {MAX_SLIPPAGE_BPS} bps: 100 is 1 %.")
    if bps != int(bps):
        raise refuse(field, "too_precise", "A whole number of bps: 100 is 1 %.")
    return int(bps)


def _bps_of(fraction: Decimal) -> int:
    if not 0 <= fraction <= MAX_SLIPPAGE_FRACTION:
        raise refuse("slippage", "out_of_range", not_a_fraction(fraction))
    exact = int(fraction * BPS)
    if Decimal(exact) / BPS != fraction:  # compared so, because a product may be rounded
        raise refuse("slippage", "too_precise", "At most four decimals: 0.0001 is 1 bps.")
    return exact


def not_a_fraction(sent: Decimal) -> str:
    """Return why a slippage is refused. The text is made from it: it may be meant as a percent."""
    text = f"A fraction from 0 to {MAX_SLIPPAGE_FRACTION}."
    if sent < 0:
        return f"{text} 0.01 is 1 %."
    shown, percent = number_text(sent), number_text(_SHOWN.multiply(sent, Decimal(100)))
    return f"{text} {shown} would be {percent} % here; give slippageBps: 100 is 1 %."


def number_text(number: Decimal) -> str:
    """Return a number for people, without an exponent. Of many digits it has only the first."""
    return f"{_SHOWN.plus(number).normalize():f}"
