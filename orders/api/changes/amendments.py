"""Reads what an order that rests is to be amended to.

The order as it stands is written as a request, the amendment is laid over it, and both are read by
the code that reads new orders: so the same rules hold.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.reading.fields import all_of, refuse, whole_number
from orders.api.reading.serializers import ORDER_REQUEST, InvalidOrder, check_value, no_such_field
from orders.api.reading.time_fields import DAY_SECONDS
from orders.engine.changes.amending import Amendment
from orders.engine.submission import OrderRequest
from orders.models import Order
from orders.representation import decimal, terms_as_json, terms_of, tokens_of
from orders.terms.exits import STOP, TARGET
from orders.words import OrderType

PRICES = ("limitPrice", "triggerPrice", "trailBps", "activationPrice")
AMOUNTS = ("amountIn", "amountOut")
SLIPPAGE = ("slippageBps", "slippage")
ENDS = ("expiresAt", "expiresInSeconds")
AMENDABLE = {*PRICES, *AMOUNTS, *SLIPPAGE, *ENDS, "tags", "takeProfit", "stopLoss", "catchUp"}
OF_SLICED = {"limitPrice", "amountIn", *SLIPPAGE, "tags", "catchUp"}
"""What of a TWAP can be amended: its slots stay where they are."""
BESIDES = {"seq", "ifCrossed"}
COMPARED = (
    *(*PRICES, *AMOUNTS, "slippageBps", "expiresAt", "tags", "takeProfit", "stopLoss", "catchUp"),
)
"""The fields that an event tells, if they differ."""
SEQ_TAG = re.compile(r'(?:W/)?"(\d{1,9})"', re.ASCII)
TRIGGERED = (
    *(OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TAKE_PROFIT, OrderType.TRAILING_STOP),
)
TRIGGERS = {"triggerPrice", "activationPrice"}
"""With these the price of the moment is compared anew."""


def read_seq(if_match: str | None, sent: Any) -> int | None:
    """Return at which seq the client saw the order; None if it does not say.

    :raises ValidationError: it is no seq, or there are two.
    """
    given = sent.get("seq") if isinstance(sent, dict) else None
    in_body = None if given is None else _seq_of(given)
    if if_match is None:
        return in_body
    found = SEQ_TAG.fullmatch(if_match.strip())
    if found is None:
        raise refuse("If-Match", "invalid_text", 'A seq in quotes, such as "3".')
    in_header = int(found[1])
    if in_body is not None and in_body != in_header:
        raise refuse("seq", "conflict", "If-Match names another seq.")
    return in_header


def _seq_of(given: Any) -> int:
    text = str(given) if isinstance(given, int) and not isinstance(given, bool) else given
    return whole_number(text if isinstance(text, str) else "", "seq", "The order's seq.")


def read_amendment(order: Order, sent: Any, seq: int, by: str) -> Amendment | None:
    """Return what is to be changed; None: nothing, it asks for what the order has.

    :raises InvalidOrder: with an error for every field that is wrong.
    """
    changes = _changes_in(sent, OF_SLICED if order.type == OrderType.TWAP else AMENDABLE)
    body = _laid_over(order, changes)
    names = sorted(changes)[:50]
    try:
        asked = _started(ORDER_REQUEST.read(body), order)
        check_value(body, asked)
        _check_of_group(order, asked)
    except ValidationError as refused:
        raise InvalidOrder(refused.detail, names) from None
    keeps_end = not any(name in changes for name in ENDS)
    before, after = compared(order), _compared_of(asked)
    if keeps_end:
        after["expiresAt"] = before["expiresAt"]
    elif asked.terms is not None and asked.terms.expires_in is not None:
        after["expiresAt"] = None  # the database's clock makes it
    changed = {name for name in COMPARED if before[name] != after[name]}
    if "expiresInSeconds" in changes:
        changed.add("expiresAt")
    if not changed:
        return None
    return Amendment(
        str(order.id),
        seq,
        asked,
        frozenset(changed),
        before={name: before[name] for name in COMPARED if name in changed},
        after={name: after[name] for name in COMPARED if name in changed},
        keeps_end=keeps_end,
        by=by,
    )


def _changes_in(sent: Any, amendable: set[str]) -> dict[str, Any]:
    """:raises InvalidOrder: it is no object, has a field that is not amendable, or none."""
    if not isinstance(sent, dict):
        raise InvalidOrder(
            refuse("order", "not_an_object", "An amendment is a JSON object.").detail, []
        )
    names = sorted(sent)[:50]
    errors: dict[str, list[ErrorDetail]] = {}
    for name in names:
        if name in amendable | BESIDES:
            continue
        if name in ORDER_REQUEST.fields:
            text = "It cannot be amended: replace the order by another one."
            errors[name] = [ErrorDetail(text, "not_amendable")]
        else:
            errors[name[:64]] = [ErrorDetail(no_such_field(name), "unknown_field")]
    if not errors and not amendable & sent.keys():
        errors["order"] = [ErrorDetail(f"Give one of {_listed(amendable)}.", "required")]
    if errors:
        raise InvalidOrder(all_of(errors).detail, names)
    return {name: value for name, value in sent.items() if name != "seq"}


def _laid_over(order: Order, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the request for the order as it would be. What is null there is not asked."""
    body = as_request(order)
    for names in (AMOUNTS, SLIPPAGE):
        if any(changes.get(name) is not None for name in names):
            body |= dict.fromkeys(names)
    is_target = order.type == OrderType.TAKE_PROFIT
    if is_target and changes.get("limitPrice") is not None and body["limitPrice"] is None:
        body["slippageBps"] = None  # the price is the bound from now on
    if order.type == OrderType.SNIPER and not any(name in changes for name in ENDS):
        body["expiresInSeconds"] = DAY_SECONDS  # it has to have an end; its own is kept
    return body | changes


def as_request(order: Order) -> dict[str, Any]:
    """Return the request that an order would come of, but for its end and its keys."""
    fields = compared(order)
    fields.pop("expiresAt")
    terms = terms_of(order)
    more = {name: value for name, value in (order.terms or {}).items() if name != "startAt"}
    return {
        **more,
        "type": order.type,
        "side": order.side,
        "baseToken": order.base,
        "quoteToken": order.quote,
        "triggerBy": terms.trigger_by if terms and order.type in TRIGGERED else None,
        **fields,
        **(order.constraints or {}),
    }


def compared(order: Order) -> dict[str, Any]:
    """Return the fields of `COMPARED` as the order has them."""
    token_in, token_out = tokens_of(order)
    terms = terms_of(order)
    asked = {} if terms is None else terms_as_json(order.type, terms, token_in, token_out)
    asked |= {
        "amountIn": decimal(token_in, order.amount_in),
        "amountOut": decimal(token_out, order.amount_out),
        "slippageBps": order.slippage_bps,
    }
    return {name: asked.get(name) for name in COMPARED}


def _compared_of(asked: OrderRequest) -> dict[str, Any]:
    token_in, token_out = asked.tokens
    terms = asked.terms
    told = {} if terms is None else terms_as_json(asked.type, terms, token_in, token_out)
    told |= {
        "amountIn": decimal(token_in, asked.amount_in),
        "amountOut": decimal(token_out, asked.amount_out),
        "slippageBps": asked.slippage_bps,
    }
    return {name: told.get(name) for name in COMPARED}


def _started(asked: OrderRequest, order: Order) -> OrderRequest:
    """Return what is asked with the start of the slots, which is past by now and stays."""
    start = (order.terms or {}).get("startAt")
    if asked.terms is None or start is None:
        return asked
    return replace(asked, terms=asked.terms._replace(more=asked.terms.more | {"startAt": start}))


def _check_of_group(order: Order, asked: OrderRequest) -> None:
    """:raises ValidationError: it asks what an order of a group cannot."""
    if order.group_id is None:
        return
    if asked.amount_in is None:
        raise refuse("amountOut", "not_for_this_type", "The amount of a group is an amountIn.")
    for role in (TARGET, STOP):
        if asked.terms is not None and role in asked.terms.more:
            raise refuse(role, "not_for_this_type", "An order of a group has no exits.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
