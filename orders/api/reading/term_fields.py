"""Reads what an order asks beyond a plain market order: prices, how long it stands, its exits.

`READERS` is the table of types; each reader returns the order's terms but for the bound, for which
the amount has to be known. The rules are in `orders/terms`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from rest_framework.exceptions import ErrorDetail

from orders.api.reading.exit_fields import (
    MOST_TRAIL_BPS,
    STOP_FIELDS,
    names_of_legs,
    read_exits,
    read_trail_bps,
)
from orders.api.reading.fields import (
    Given,
    NumberField,
    ObjectField,
    PriceField,
    TagsField,
    TimeField,
    WordField,
    all_of,
    needed,
    optional,
    refuse,
    try_read,
)
from orders.api.reading.slice_and_pool_fields import (
    SliceAndPoolFields,
    read_pool,
    read_slices,
)
from orders.api.reading.time_fields import MOST_WAIT_SECONDS, read_time_in_force
from orders.terms.exits import (
    STOP,
    TARGET,
    Exit,
    WrongPrice,
    check_exits,
    check_stop_limit,
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

REJECT, EXECUTE = "reject", "execute"


class TermFields(SliceAndPoolFields):
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


class Draft(NamedTuple):
    """What was read of an order's terms, before its amount is known."""

    terms: Terms
    exits: dict[str, Exit] = {}
    if_crossed: str | None = None
    names: dict[str, str] = {}
    """The client order ids of an OCO's orders, by their roles."""


def read_draft(order_type: str | None, given: Given, usual_bps: int) -> Draft | None:
    """Return what is asked; None: its type is not known.

    `usual_bps`: the slippage of an exit that does not say. A field that the type has no use for
    counts as not given here: `refuse_unused` refuses it.

    :raises ValidationError: with an error for every field that is wrong.
    """
    if order_type is None:
        return None
    takes = RULES[order_type].fields
    used = {name: given[name] for name in given if name not in SPECIAL or name in takes}
    errors: dict[str, Any] = {}
    stands = try_read(errors, read_time_in_force, order_type, used)
    draft = try_read(errors, READERS[order_type], used, usual_bps)
    if errors or stands is None or draft is None:
        raise all_of(errors)
    return draft._replace(terms=stands._replace(**_changed(draft.terms), tags=given.get("tags")))


def is_plain(order_type: str | None, given: Given) -> bool:
    """Whether it is a market order that asks nothing more, nor does the engine for it."""
    if order_type != "market" or settings.MARKET_MAX_WAIT_SECONDS is not None:
        return False
    asked = () if NAMES.isdisjoint(given) else NAMES.intersection(given)
    return not asked or (asked == {"timeInForce"} and given["timeInForce"].lower() == IOC)


def may_rest(sent: Any) -> bool:
    """Whether a request, as it came, asks for an order that would rest. It may be no order."""
    if not isinstance(sent, dict):
        return False
    word = sent.get("type") or sent.get("orderType")
    order_type = type_named(word) if isinstance(word, str) else None
    if order_type is None or order_type == "market":
        return False
    return str(sent.get("timeInForce") or "").strip().lower() not in AT_ONCE


def client_order_id_in(sent: Any) -> Any:
    """Return the first client order id in a request, as it came: an oco has them in its exits."""
    if not isinstance(sent, dict):
        return None
    if TARGET not in sent and STOP not in sent:
        return sent.get("clientOrderId") or None
    exits = [sent.get(role) for role in (TARGET, STOP)]
    places = [sent, *(one for one in exits if isinstance(one, dict))]
    return next((one["clientOrderId"] for one in places if one.get("clientOrderId")), None)


def refuse_unused(order_type: str | None, given: Given) -> None:
    """:raises ValidationError: with an error for every field that the type has no use for."""
    if order_type is None:
        return
    unused = SPECIAL.intersection(given) - RULES[order_type].fields
    reasons = dict.fromkeys(unused, f"Orders of type {order_type} have no use for it.")
    has_limit = order_type in ("takeProfit", "sniper") and "limitPrice" in given
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


def _read_market(given: Given, usual_bps: int) -> Draft:
    return Draft(Terms(IOC), read_exits(given, usual_bps))


def _read_limit(given: Given, usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    price = try_read(errors, needed, given, "limitPrice")
    exits = try_read(errors, read_exits, given, usual_bps)
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
    trigger = try_read(errors, needed, given, "triggerPrice")
    limit = try_read(errors, needed, given, "limitPrice") if has_limit else given.get("limitPrice")
    trigger_by = try_read(errors, _trigger_by, given)
    if_crossed = try_read(errors, _if_crossed, given)
    exits = try_read(errors, read_exits, given, usual_bps)
    if errors or exits is None:
        raise all_of(errors)
    terms = Terms(GTC, limit_price=limit, trigger_price=trigger, trigger_by=trigger_by)
    return Draft(terms, exits, if_crossed)


def _read_trailing_stop(given: Given, _usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    trail = try_read(errors, read_trail_bps, given)
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
    exits = try_read(errors, read_exits, given, usual_bps, STOP_FIELDS | {"clientOrderId"})
    names = try_read(errors, names_of_legs, given)
    if errors or exits is None or names is None:
        raise all_of(errors)
    return Draft(Terms(GTC), exits, None, names)


def _read_twap(given: Given, _usual_bps: int) -> Draft:
    return Draft(Terms(GTC, limit_price=given.get("limitPrice"), more=read_slices(given)))


def _read_sniper(given: Given, usual_bps: int) -> Draft:
    errors: dict[str, Any] = {}
    pool = try_read(errors, read_pool, given)
    exits = try_read(errors, read_exits, given, usual_bps)
    if errors or pool is None or exits is None:
        raise all_of(errors)
    return Draft(Terms(GTD, limit_price=given.get("limitPrice"), more=pool), exits)


Reader = Callable[[Given, int], Draft]
READERS: dict[str, Reader] = {
    "market": _read_market,
    "limit": _read_limit,
    "stop": _read_stop,
    "stopLimit": _read_stop_limit,
    "takeProfit": _read_stop,
    "trailingStop": _read_trailing_stop,
    "twap": _read_twap,
    "sniper": _read_sniper,
    "oco": _read_oco,
}
"""By type: what reads its own fields. The time in force and the tags are read for all of them."""


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
