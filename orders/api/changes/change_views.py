"""What changes an order that rests: an amendment."""

from typing import Any

from asgiref.sync import async_to_sync
from django.db import Error
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request

from orders.access.accounts import Principal
from orders.access.admission import allowance_of
from orders.access.authentication import client_of, principal_of, tell_of_limit
from orders.api.changes.amendments import TRIGGERS, read_amendment, read_seq
from orders.api.problems import (
    AmendmentUnknown,
    SeqRequired,
    TooManyRequests,
    is_database_away,
)
from orders.api.reading.fields import all_of
from orders.api.reading.present_price import at_present
from orders.api.reading.serializers import InvalidOrder
from orders.engine.changes.amending import (
    AlreadyTriggered,
    Amendment,
    AmountOutOfRange,
    NotAmendable,
    OrderChanged,
    WouldTrigger,
    amend_order,
)
from orders.lifecycle import Status
from orders.models import Order
from orders.terms.exits import WrongPrice
from orders.terms.terms import price_text
from orders.words import OrderType


def amend(request: Request, order: Order, headers: dict[str, str]) -> None:
    """Amend an order as the request says.

    :raises SeqRequired: it does not say at which seq it saw the order.
    :raises OrderChanged, NotAmendable, PricesUnavailable: as `amend_order`.
    :raises InvalidOrder: with an error for every field that is wrong.
    :raises AmendmentUnknown: the database did not say whether it was amended.
    """
    sent = request.data
    seq = read_seq(request.META.get("HTTP_IF_MATCH"), sent)
    if seq is None:
        raise SeqRequired
    _admit_change(request, headers)
    if order.seq != seq:
        raise OrderChanged(order.seq, Status(order.status))
    if order.status != Status.OPEN:
        raise NotAmendable(Status(order.status))
    amendment = read_amendment(order, sent, seq, said_by(principal_of(request)))
    if amendment is None:
        return
    if TRIGGERS & amendment.changed:
        _compare_with_present(amendment)
    _write(amendment, order)


def said_by(principal: Principal) -> str:
    """Return who acts, as events tell it."""
    return principal.key_prefix or "user"


def _admit_change(request: Request, headers: dict[str, str]) -> None:
    """Count an amendment as an order that rests.

    :raises TooManyRequests: the sender changes too much.
    """
    principal = principal_of(request)
    allowance = async_to_sync(allowance_of)(principal, client_of(request), rests=True)
    if allowance is None:
        return
    headers |= allowance.headers()
    if allowance.wait:
        tell_of_limit("orders", request, principal)
        raise TooManyRequests(allowance.wait)


def _compare_with_present(amendment: Amendment) -> None:
    try:
        async_to_sync(at_present)(amendment.asked)
    except ValidationError as refused:
        raise InvalidOrder(refused.detail, sorted(amendment.changed)) from None


def _write(amendment: Amendment, order: Order) -> None:
    group_id = None if order.group_id is None else str(order.group_id)
    try:
        amend_order(amendment, group_id)
    except AlreadyTriggered as refused:
        text = "The order was triggered: this means nothing any more."
        raise _invalid(amendment, refused.field, "already_triggered", text) from None
    except WouldTrigger as refused:
        price = price_text(refused.price) or ""
        text = f"The price is {price}, so it would go off at once. If that is meant, give"
        text += " ifCrossed: execute."
        raise _invalid(amendment, "trailBps", "would_trigger_immediately", text) from None
    except WrongPrice as wrong:
        field = next(iter(sorted(amendment.changed)))
        raise _invalid(amendment, field, "invalid_price_order", str(wrong)) from None
    except AmountOutOfRange:
        text = "At the limit price of the group's other order, the other amount is out of range."
        if amendment.asked.type == OrderType.TWAP:
            text = "Less than what its slices have traded, or are about to."
        raise _invalid(amendment, "amountIn", "out_of_range", text) from None
    except Error as error:
        if not is_database_away(error):
            raise
        raise AmendmentUnknown(str(order.id)) from error


def _invalid(amendment: Amendment, field: str, code: str, text: str) -> InvalidOrder:
    detail: dict[str, Any] = {field: [ErrorDetail(text, code)]}
    return InvalidOrder(all_of(detail).detail, sorted(amendment.changed))
