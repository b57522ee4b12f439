"""Reads what an order asks beyond a plain market order: prices, how long it stands, its exits.

`READERS` is the table of types; each reader returns the order's terms but for the bound, for which
the amount has to be known. The rules are in `orders/terms`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.fields import (
    ClientOrderIdField,
    NumberField,
    ObjectField,
    PriceField,
    TagsField,
    TimeField,
    WordField,
    all_of,
    optional,
    refuse,
    try_read,
)
from orders.api.slippage import read_slippage
from orders.terms.exits import (
    STOP,
    TARGET,
    Exit,
    WrongPrice,
    check_exits,
    check_stop_limit,
    default_slippage_bps,
)
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.type_rules import (
    AT_ONCE,
    GTC,
    GTD,
    IOC,
    RULES,
    SPECIAL,
    TIMES_IN_FORCE,
    type_named,
)
from orders.words import TriggerBy
from routing.tokens import Market
from routing.venue import Side

Given = dict[str, Any]
"""The values of the fields that were given."""

DAY_SECONDS = 86_400
MOST_WAIT_SECONDS = 3600
AT_ONCE_SECONDS = 60.0
"""In which an order that is not to rest has to be sent, if it does not say."""
MOST_TRAIL_BPS = 5000
REJECT, EXECUTE = "reject", "execute"


class TermFields(serializers.Serializer[Any]):
    """The fields of a request that some types of orders take."""

    limitPrice = optional(PriceField, "The worst price, fees included: quote token per base token.")
    triggerPrice = optional(PriceField, "The price at which a stop or a target goes off.")
    triggerBy = optional(
        WordField, "executable, the best price that one really gets (default), or reference."
    )
    ifCrossed = optional(
        WordField, "If the trigger holds already: reject the order (default), or execute it."
    )
    trailBps = optional(NumberField, f"1 to {MOST_TRAIL_BPS}: how far it trails the best price.")
    activationPrice = optional(PriceField, "From which price on it trails; left out: at once.")
    timeInForce = optional(WordField, f"{', '.join(TIMES_IN_FORCE)}; each type takes some.")
    expiresAt = optional(TimeField, "When it ends if it was not sent: an RFC 3339 time.")
    expiresInSeconds = optional(NumberField, "The same in seconds from now, by our clock.")
    maxWaitSeconds = optional(
        NumberField, f"1 to {MOST_WAIT_SECONDS}: it expires if it was not sent by then."
    )
    takeProfit = optional(ObjectField, "A target: limitPrice, or triggerPrice; a JSON object.")
    stopLoss = optional(ObjectField, "A stop: triggerPrice, or trailBps; a JSON object.")
    tags = optional(TagsField, "Up to ten words of yours, by name; a JSON object.")


NAMES = frozenset(TermFields().fields)

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


class Draft(NamedTuple):
    """What was read of an order's terms, before its amount is known."""

    terms: Terms
    exits: dict[str, Exit] = {}
    if_crossed: str | None = None
    names: dict[str, str] = {}
    """The client order ids of an OCO's orders, by their roles."""


def read_draft(order_type: str | None, given: Given, usual_bps: int) -> Draft | None:
    """Return what is asked; None: it is a plain market order, or its type is not known.

    `usual_bps`: the slippage of an exit that does not say. A field that the type has no use for
    counts as not given here: `refuse_unused` refuses it.

    :raises ValidationError: with an error for every field that is wrong.
    """
    if order_type is None or (order_type == "market" and is_plain(given)):
        return None
    takes = RULES[order_type].fields
    used = {name: given[name] for name in given if name not in SPECIAL or name in takes}
    errors: dict[str, Any] = {}
    stands = try_read(errors, _read_time, order_type, used)
    draft = try_read(errors, READERS[order_type], used, usual_bps)
    if errors or stands is None or draft is None:
        raise all_of(errors)
    return draft._replace(terms=stands._replace(**_changed(draft.terms), tags=given.get("tags")))


def is_plain(given: Given) -> bool:
    """Whether a market order asks nothing more, nor does the engine for it."""
    if settings.MARKET_MAX_WAIT_SECONDS is not None:
        return False
    word = given.get("timeInForce", IOC).lower()
    return word == IOC and not NAMES.intersection(given) - {"timeInForce"}


def may_rest(sent: Any) -> bool:
    """Whether a request, as it came, asks for an order that would rest. It may be no order."""
    if not isinstance(sent, dict):
        return False
    word = sent.get("type", sent.get("orderType"))
    order_type = type_named(word) if isinstance(word, str) else None
    if order_type is None or order_type == "market":
        return False
    return str(sent.get("timeInForce") or "").strip().lower() not in AT_ONCE


def client_order_id_in(sent: Any) -> Any:
    """Return the first client order id in a request, as it came: an oco has them in its exits."""
    if not isinstance(sent, dict):
        return None
    exits = [sent.get(role) for role in (TARGET, STOP)]
    places = [sent, *(one for one in exits if isinstance(one, dict))]
    return next((one["clientOrderId"] for one in places if one.get("clientOrderId")), None)


def refuse_unused(order_type: str | None, given: Given) -> None:
    """:raises ValidationError: with an error for every field that the type has no use for."""
    if order_type is None:
        return
    unused = SPECIAL.intersection(given) - RULES[order_type].fields
    reasons = dict.fromkeys(unused, f"Orders of type {order_type} have no use for it.")
    has_limit = order_type == "takeProfit" and "limitPrice" in given
    for name in ("slippageBps", "slippage"):
        if has_limit and name in given:
            reasons[name] = "limitPrice is the bound of this order."
    rests = order_type == "limit" and str(given.get("timeInForce", GTC)).lower() not in AT_ONCE
    if rests and "maxWaitSeconds" in given:
        reasons["maxWaitSeconds"] = "Only with timeInForce ioc or fok: others rest."
    if reasons:
        raise all_of(
            {
                name: [ErrorDetail(reason, "not_for_this_type")]
                for name, reason in sorted(reasons.items())
            }
        )


def complete(
    draft: Draft, market: Market, side: Side, amount_in: int | None, amount_out: int | None
) -> Terms:
    """Return the terms with the bound that the limit price means for this amount.

    :raises ValidationError: the price allows no such bound.
    """
    terms = draft.terms
    if terms.limit_price is None:
        return terms
    try:
        bound = bound_of_limit(market, side, terms.limit_price, amount_in, amount_out)
    except ValueError:
        text = "At this price the other amount is nothing, or more than an account can hold."
        raise refuse("limitPrice", "out_of_range", text) from None
    return terms._replace(bound=bound)


def check_prices(order_type: str, draft: Draft, side: Side) -> None:
    """:raises ValidationError: prices of the order and its exits contradict each other."""
    terms, exits = draft.terms, draft.exits
    try:
        if order_type == "stopLimit" and terms.limit_price and terms.trigger_price:
            check_stop_limit(side, terms.limit_price, terms.trigger_price)
        if order_type == "oco":
            check_exits(side, exits)
        elif exits:
            other = Side.BUY if side is Side.SELL else Side.SELL
            check_exits(other, exits, terms.limit_price)
    except WrongPrice as wrong:
        raise refuse(wrong.field, "invalid_price_order", str(wrong)) from None


def _changed(terms: Terms) -> dict[str, Any]:
    """Return what a reader has set: what differs from terms that ask nothing."""
    nothing = Terms(terms.time_in_force)
    pairs = zip(Terms._fields, terms, nothing, strict=True)
    return {name: value for name, value, unset in pairs if value != unset}


# --- how long it stands --------------------------------------------------------------------------


def _read_time(order_type: str, given: Given) -> Terms:
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


# --- what each type asks -------------------------------------------------------------------------


def _read_market(given: Given, usual_bps: int) -> Draft:
    return Draft(Terms(IOC), _read_exits(given, usual_bps))


def _read_limit(given: Given, usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    price = try_read(errors, _needed, given, "limitPrice")
    exits = try_read(errors, _read_exits, given, usual_bps)
    if errors or exits is None:
        raise all_of(errors)
    return Draft(Terms(GTC, limit_price=price), exits)


def _read_stop(given: Given, usual_bps: int) -> Draft:
    return _read_triggered(given, usual_bps, has_limit=False)


def _read_stop_limit(given: Given, usual_bps: int) -> Draft:
    return _read_triggered(given, usual_bps, has_limit=True)


def _read_triggered(given: Given, usual_bps: int, *, has_limit: bool) -> Draft:
    """Read an order with a trigger price; `has_limit`: it needs a limit price as well."""
    errors: dict[str, Any] = {}
    trigger = try_read(errors, _needed, given, "triggerPrice")
    limit = try_read(errors, _needed, given, "limitPrice") if has_limit else given.get("limitPrice")
    trigger_by = try_read(errors, _trigger_by, given)
    if_crossed = try_read(errors, _if_crossed, given)
    exits = try_read(errors, _read_exits, given, usual_bps)
    if errors or exits is None:
        raise all_of(errors)
    terms = Terms(GTC, limit_price=limit, trigger_price=trigger, trigger_by=trigger_by)
    return Draft(terms, exits, if_crossed)


def _read_trailing_stop(given: Given, _usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    trail = try_read(errors, _trail_bps, given)
    trigger_by = try_read(errors, _trigger_by, given)
    if_crossed = try_read(errors, _if_crossed, given)
    if errors:
        raise all_of(errors)
    start = given.get("activationPrice")
    terms = Terms(GTC, trail_bps=trail, activation_price=start, trigger_by=trigger_by)
    return Draft(terms, {}, if_crossed)


def _read_oco(given: Given, usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    for name in (TARGET, STOP):
        if name not in given:
            text = "An oco has two exits: takeProfit and stopLoss."
            errors[name] = [ErrorDetail(text, "leg_required")]
    exits = try_read(errors, _read_exits, given, usual_bps, STOP_FIELDS | {"clientOrderId"})
    names = try_read(errors, _names_of_legs, given)
    if errors or exits is None or names is None:
        raise all_of(errors)
    return Draft(Terms(GTC), exits, None, names)


Reader = Callable[[Given, int], Draft]
READERS: dict[str, Reader] = {
    "market": _read_market,
    "limit": _read_limit,
    "stop": _read_stop,
    "stopLimit": _read_stop_limit,
    "takeProfit": _read_stop,
    "trailingStop": _read_trailing_stop,
    "oco": _read_oco,
}
"""By type: what reads its own fields. The time in force and the tags are read for all of them."""


def _needed(given: Given, name: str) -> Any:
    if name not in given:
        raise refuse(name, "required", "Orders of this type need it.")
    return given[name]


def _trigger_by(given: Given) -> str:
    return _word(given, "triggerBy", [*TriggerBy])


def _if_crossed(given: Given) -> str:
    return _word(given, "ifCrossed", (REJECT, EXECUTE))


def _word(given: Given, name: str, words: Any) -> str:
    """Return one of the words; the first if none is given."""
    word: str = given.get(name, words[0]).lower()
    if word not in words:
        raise refuse(name, "invalid_choice", f"Not one of {', '.join(words)}.")
    return word


def _trail_bps(given: Given, field: str = "trailBps") -> int:
    bps = whole(_needed(given, "trailBps"), field, 1, MOST_TRAIL_BPS)
    step = 50 if bps > 1000 else 5 if bps > 100 else 1
    if bps % step:
        text = "Above 100 bps in steps of 5, above 1000 of 50."
        raise refuse(field, "too_precise", text)
    return bps


def whole(number: Decimal, field: str, least: int, most: int) -> int:
    """:raises ValidationError: it is not a whole number in this range."""
    if not least <= number <= most:
        raise refuse(field, "out_of_range", f"From {least} to {most}.")
    if number != int(number):
        raise refuse(field, "too_precise", "A whole number.")
    return int(number)


# --- exits ---------------------------------------------------------------------------------------


def _read_exits(
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
        trail = _trail_bps(given, f"{role}.trailBps")
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


def _names_of_legs(given: Given) -> dict[str, str]:
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
