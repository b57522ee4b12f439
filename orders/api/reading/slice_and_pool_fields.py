"""Reads what a TWAP and a sniper ask: its slices, and the pool that it waits for.

What is read becomes the order's `terms`, in the words of the API.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from orders.api.reading.fields import NumberField, TimeField, WordField, optional, refuse, whole
from orders.events import timestamp
from orders.terms.minimum import minimum_in
from orders.terms.pool_condition import POOL_EVENTS
from orders.terms.slicing import (
    CATCH_UP,
    FEWEST_SLICES,
    MOST_INTERVAL_SECONDS,
    MOST_SLICES,
    most_slices,
)
from orders.terms.terms import Terms
from routing.tokens import Market
from routing.venue import Side

MOST_DAYS_AHEAD = 30
MOST_AGE_SECONDS = 366 * 86_400

Given = dict[str, Any]


class SliceAndPoolFields(serializers.Serializer[Any]):
    """The fields of a request that twap and sniper take."""

    slices = optional(
        NumberField, f"{FEWEST_SLICES} to {MOST_SLICES}: into how many a twap is divided."
    )
    intervalSeconds = optional(
        NumberField, f"1 to {MOST_INTERVAL_SECONDS}: the time from one slice to the next."
    )
    durationSeconds = optional(NumberField, "Or: intervalSeconds times slices.")
    startAt = optional(
        TimeField, f"When the first slice is due, at most {MOST_DAYS_AHEAD} days ahead; now."
    )
    catchUp = optional(
        WordField, "spread what was missed over the slices that are left (default), or skip it."
    )
    poolEvent = optional(WordField, f"Which pools a sniper buys from: {', '.join(POOL_EVENTS)}.")
    minLiquidity = optional(NumberField, "The least that the pool holds of the input token.")
    maxPoolAgeSeconds = optional(NumberField, "For how long the pool may have been open.")


def read_slices(given: Given) -> dict[str, Any]:
    """Return the slices of a TWAP.

    :raises ValidationError: naming the field that is wrong.
    """
    slices = whole(_needed(given, "slices"), "slices", FEWEST_SLICES, MOST_SLICES)
    terms = {
        "slices": slices,
        "intervalSeconds": _interval(given, slices),
        "catchUp": _word(given, "catchUp", CATCH_UP),
    }
    start = given.get("startAt")
    return terms if start is None else terms | {"startAt": timestamp(_start(start))}


def read_pool(given: Given) -> dict[str, Any]:
    """Return the pool that a sniper waits for.

    :raises ValidationError: naming the field that is wrong.
    """
    terms: dict[str, Any] = {"poolEvent": _word(given, "poolEvent", POOL_EVENTS)}
    if (least := given.get("minLiquidity")) is not None:
        if least <= 0:
            raise refuse("minLiquidity", "out_of_range", "Above 0; without it, any will do.")
        terms["minLiquidity"] = f"{least.normalize():f}"
    if (age := given.get("maxPoolAgeSeconds")) is not None:
        terms["maxPoolAgeSeconds"] = whole(age, "maxPoolAgeSeconds", 1, MOST_AGE_SECONDS)
    return terms


def check_slices(market: Market, side: Side, amount_in: int | None, terms: Terms) -> None:
    """:raises ValidationError: slices would be too small, or come after the order's end."""
    total = _amount_in(amount_in)
    least, slices = minimum_in(market, side), terms.more["slices"]
    token = market.base if side is Side.SELL else market.quote
    minimum = f"{token.to_text(least)} {token.symbol}"
    if total < least:
        text = f"At least {minimum}."
        raise refuse("amountIn", "amount_below_minimum", text, minimum=token.to_text(least))
    if total // slices < least:
        most = most_slices(total, least)
        text = f"Each would be below {minimum}; {most} would do."
        raise refuse("slices", "slice_below_minimum", text, maxSlices=most)
    _check_end(terms)


def check_pool(market: Market, side: Side, amount_in: int | None, terms: Terms) -> None:
    """:raises ValidationError: the amounts are not of the input token."""
    _amount_in(amount_in)
    token = market.base if side is Side.SELL else market.quote
    try:
        token.to_atoms(Decimal(terms.more.get("minLiquidity", 0)))
    except ValueError as fault:
        raise refuse("minLiquidity", "too_precise", f"{fault}.") from None


def _amount_in(amount_in: int | None) -> int:
    if amount_in is None:  # it was given as `amount`, of what is bought
        raise refuse("amount", "not_for_this_type", "Give amountIn, what leaves the wallet.")
    return amount_in


def _check_end(terms: Terms) -> None:
    now = datetime.now(UTC)
    start = terms.more.get("startAt")
    begins = now if start is None else datetime.fromisoformat(start)
    last = begins + timedelta(seconds=(terms.more["slices"] - 1) * terms.more["intervalSeconds"])
    field, ends = "expiresAt", terms.expires_at
    if terms.expires_in is not None:
        field, ends = "expiresInSeconds", now + timedelta(seconds=terms.expires_in)
    if ends is not None and ends <= last:
        raise refuse(field, "expires_too_soon", "It ends after its last slice is due.")


def _interval(given: Given, slices: int) -> int:
    interval, duration = given.get("intervalSeconds"), given.get("durationSeconds")
    if interval is not None and duration is not None:
        raise refuse("durationSeconds", "conflict", "Give intervalSeconds or durationSeconds.")
    if duration is None:
        field = "intervalSeconds"
        return whole(_needed(given, field), field, 1, MOST_INTERVAL_SECONDS)
    most = slices * MOST_INTERVAL_SECONDS
    seconds = whole(duration, "durationSeconds", slices, most)
    if seconds % slices:
        text = f"It is divided into {slices} slices: a multiple of that."
        raise refuse("durationSeconds", "uneven_duration", text)
    return seconds // slices


def _start(at: datetime) -> datetime:
    ahead = at - datetime.now(UTC)
    if ahead < timedelta(0):
        raise refuse("startAt", "out_of_range", "It is in the past.")
    if ahead > timedelta(days=MOST_DAYS_AHEAD):
        raise refuse("startAt", "out_of_range", f"At most {MOST_DAYS_AHEAD} days ahead.")
    return at


def _word(given: Given, name: str, words: tuple[str, ...]) -> str:
    """Return one of the words; the first if none is given."""
    word: str = given.get(name, words[0]).lower()
    if word not in words:
        raise refuse(name, "invalid_choice", f"Not one of {', '.join(words)}.")
    return word


def _needed(given: Given, name: str) -> Any:
    if name not in given:
        raise refuse(name, "required", "Orders of this type need it.")
    return given[name]
