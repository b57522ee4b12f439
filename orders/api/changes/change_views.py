"""What changes an order that rests: an amendment."""

from typing import Any

from asgiref.sync import async_to_sync
from django.db import Error
from rest_framework.exceptions import ErrorDetail, ValidationError

from orders.api.changes.amendments import TRIGGERS, read_amendment, read_seq
from orders.api.changes.senders import Answered, Sender, admit, find_order
from orders.api.problems import (
    AmendmentUnknown,
    SeqRequired,
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


def amended(order_id: str, sent: Any, sender: Sender, if_match: str | None = None) -> Answered:
    """Amend an order; the answer shows it. `if_match`: a header that may name its seq.

    :raises OrderNotFound: no order has this id, or it is another account's.
    :raises Exception: what `amend` raises.
    """
    order = find_order(sender.principal, order_id)
    amend(order, sent, read_seq(if_match, sent), sender)
    order = find_order(sender.principal, order_id)
    return Answered(200, sender.told(sender.shown(order)), seq_tag(order))


def seq_tag(order: Order) -> dict[str, str]:
    return {"ETag": f'"{order.seq}"'}


def amend(order: Order, sent: Any, seq: int | None, sender: Sender) -> None:
    """Amend an order as a body says. `seq` is where its sender saw it.

    :raises SeqRequired: there is no seq.
    :raises TooManyRequests: the sender changes too much; it counts as an order that rests.
    :raises OrderChanged, NotAmendable, PricesUnavailable: as `amend_order`.
    :raises InvalidOrder: with an error for every field that is wrong.
    :raises AmendmentUnknown: the database did not say whether it was amended.
    """
    if seq is None:
        raise SeqRequired
    async_to_sync(admit)(sender, rests=True)
    if order.seq != seq:
        raise OrderChanged(order.seq, Status(order.status))
    if order.status != Status.OPEN:
        raise NotAmendable(Status(order.status))
    amendment = read_amendment(order, sent, seq, sender.said_by)
    if amendment is None:
        return
    if TRIGGERS & amendment.changed:
        _compare_with_present(amendment)
    _write(amendment, order)


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
