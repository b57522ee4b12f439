"""Reads how long an order stands: its time in force, its end, and how long it may wait."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings

from orders.api.reading.fields import Given, refuse, whole
from orders.terms.terms import Terms
from orders.terms.type_rules import AT_ONCE, GTC, GTD, RULES

DAY_SECONDS = 86_400
MOST_WAIT_SECONDS = 3600
AT_ONCE_SECONDS = 60.0
"""In which an order that is not to rest has to be sent, if it does not say."""


def read_time_in_force(order_type: str, given: Given) -> Terms:
    """Return terms with how long the order stands, and nothing else.

    :raises ValidationError: the type does not take this, or its end is out of range.
    """
    times = RULES[order_type].times
    ends = [name for name in ("expiresAt", "expiresInSeconds") if name in given]
    if len(ends) > 1:
        raise refuse(ends[1], "conflict", "Give expiresAt or expiresInSeconds, not both.")
    word = given.get("timeInForce", GTD if ends else times[0]).lower()
    if word not in times:
        text = f"Orders of type {order_type} take {', '.join(times)}."
        raise refuse("timeInForce", "unsupported_time_in_force", text)
    if ends and word != GTD:
        raise refuse(ends[0], "conflict", f"Only with timeInForce gtd: {word} has no such end.")
    if word in AT_ONCE:
        return Terms(word, expires_in=_max_wait(order_type, given))
    if word == GTC:
        return Terms(word)
    if not ends and (usual := RULES[order_type].usual_seconds) is not None:
        return Terms(word, expires_in=usual)
    if not ends:
        raise refuse("expiresAt", "required", "With gtd, give expiresAt or expiresInSeconds.")
    if "expiresAt" in given:
        return Terms(word, expires_at=_end(given["expiresAt"]))
    return Terms(word, expires_in=_seconds_to_end(given["expiresInSeconds"]))


def _end(at: datetime) -> datetime:
    ahead = at - datetime.now(UTC)
    if ahead < timedelta(seconds=1):
        raise refuse("expiresAt", "expires_too_soon", "At least a second ahead.")
    if ahead > timedelta(days=settings.MAX_RESTING_DAYS):
        raise refuse("expiresAt", "expires_too_late", _at_most())
    return at


def _seconds_to_end(seconds: Decimal) -> float:
    if seconds < 1:
        raise refuse("expiresInSeconds", "expires_too_soon", "At least 1 second.")
    if seconds > settings.MAX_RESTING_DAYS * DAY_SECONDS:
        raise refuse("expiresInSeconds", "expires_too_late", _at_most())
    if seconds != int(seconds):
        raise refuse("expiresInSeconds", "too_precise", "A whole number of seconds.")
    return float(seconds)


def _at_most() -> str:
    return f"An order rests at most {settings.MAX_RESTING_DAYS} days."


def _max_wait(order_type: str, given: Given) -> float | None:
    seconds: Decimal | None = given.get("maxWaitSeconds")
    if seconds is None:
        return settings.MARKET_MAX_WAIT_SECONDS if order_type == "market" else AT_ONCE_SECONDS
    return float(whole(seconds, "maxWaitSeconds", 1, MOST_WAIT_SECONDS))
