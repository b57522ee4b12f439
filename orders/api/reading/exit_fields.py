"""Reads the two exits of an order, which are objects within it: a target and a stop."""

from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.reading.fields import (
    ClientOrderIdField,
    Given,
    NumberField,
    PriceField,
    all_of,
    needed,
    refuse,
    try_read,
    whole,
)
from orders.api.reading.slippage import read_slippage
from orders.terms.exits import STOP, TARGET, Exit, default_slippage_bps

MOST_TRAIL_BPS = 5000
EXIT_FIELDS: dict[str, Any] = {
    "limitPrice": PriceField(),
    "triggerPrice": PriceField(),
    "trailBps": NumberField(),
    "activationPrice": PriceField(),
    "slippageBps": NumberField(),
    "clientOrderId": ClientOrderIdField(),
}
TARGET_FIELDS = frozenset(("limitPrice", "triggerPrice", "slippageBps"))
STOP_FIELDS = TARGET_FIELDS | {"trailBps", "activationPrice"}


def read_exits(
    given: Given, usual_bps: int, known: frozenset[str] = STOP_FIELDS
) -> dict[str, Exit]:
    """:raises ValidationError: with an error for every member that is wrong."""
    errors: dict[str, Any] = {}
    exits = {
        role: try_read(errors, _read_exit, role, given[role], known, usual_bps)
        for role in (TARGET, STOP)
        if role in given
    }
    if errors:
        raise all_of(errors)
    return {role: found for role, found in exits.items() if found is not None}


def _read_exit(role: str, sent: Given, known: frozenset[str], usual_bps: int) -> Exit:
    own = STOP_FIELDS if role == STOP else TARGET_FIELDS
    errors: dict[str, Any] = {}
    given: Given = {}
    for name, value in sorted(sent.items())[:50]:
        field = f"{role}.{name}"[:64]
        if name not in EXIT_FIELDS:
            errors[field] = [ErrorDetail("There is no such field.", "unknown_field")]
        elif name not in known or (name not in own and name != "clientOrderId"):
            errors[field] = [ErrorDetail("This exit has no use for it.", "not_for_this_type")]
        else:
            found = try_read(errors, _member, field, name, value)
            given |= {} if found is None else {name: found}
    if errors:
        raise all_of(errors)
    return _exit_of(role, given, usual_bps)


def _member(field: str, name: str, value: Any) -> Any:
    """Return a member's value.

    :raises ValidationError: it cannot be read; under the field's name in the whole request.
    """
    try:
        return EXIT_FIELDS[name].run_validation(value)
    except ValidationError as error:
        raise all_of({field: error.detail}) from None


def _exit_of(role: str, given: Given, usual_bps: int) -> Exit:
    trail = None
    if "trailBps" in given:
        trail = read_trail_bps(given, f"{role}.trailBps")
    elif "activationPrice" in given:
        text = "Only with trailBps."
        raise refuse(f"{role}.activationPrice", "not_for_this_type", text)
    _check_prices_of_exit(role, given)
    limit = given.get("limitPrice")
    found = Exit(role, limit, given.get("triggerPrice"), trail, given.get("activationPrice"))
    bps = read_slippage(given, f"{role}.")
    default = default_slippage_bps(found.type, limit, usual_bps)
    if bps is not None and default is None:
        text = "limitPrice is the bound of this order."
        raise refuse(f"{role}.slippageBps", "not_for_this_type", text)
    return found._replace(slippage_bps=default if bps is None else bps)


def _check_prices_of_exit(role: str, given: Given) -> None:
    """:raises ValidationError: it has not the prices of any type, or those of two."""
    if "trailBps" in given:
        for name in ("triggerPrice", "limitPrice"):
            if name in given:
                raise refuse(f"{role}.{name}", "conflict", f"Give trailBps or {name}, not both.")
    elif role == STOP and "triggerPrice" not in given:
        raise refuse(f"{role}.triggerPrice", "required", "Give triggerPrice, or trailBps.")
    elif "triggerPrice" not in given and "limitPrice" not in given:
        raise refuse(f"{role}.limitPrice", "required", "Give limitPrice, or triggerPrice.")


def names_of_legs(given: Given) -> dict[str, str]:
    """Return the client order ids of an OCO's orders."""
    names = {
        role: given[role]["clientOrderId"]
        for role in (TARGET, STOP)
        if "clientOrderId" in given.get(role, ())
    }
    if len(names) == 2 and names[TARGET] == names[STOP]:
        text = "Each of the two orders needs an id of its own."
        raise refuse(f"{STOP}.clientOrderId", "conflict", text)
    return names


def read_trail_bps(given: Given, field: str = "trailBps") -> int:
    """Return how far a stop trails; `field` is its name in the whole request.

    :raises ValidationError: it is missing, or not among the widths that are offered.
    """
    bps = whole(needed(given, "trailBps"), field, 1, MOST_TRAIL_BPS)
    step = 50 if bps > 1000 else 5 if bps > 100 else 1
    if bps % step:
        text = "Above 100 bps in steps of 5, above 1000 of 50."
        raise refuse(field, "too_precise", text)
    return bps
