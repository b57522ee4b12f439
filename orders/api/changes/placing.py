"""Takes an order, whichever way it came."""

from typing import Any, NamedTuple

from rest_framework import status

from orders.access.admission import ShareIsFull
from orders.access.authentication import tell_of_limit
from orders.api.changes.senders import Answered, Sender, admit
from orders.api.reading import dialects
from orders.api.reading.dialects import Canonical
from orders.api.reading.fields import check_key_of_several
from orders.api.reading.serializers import (
    InvalidOrder,
    as_written,
    read_order,
    read_repeated_order,
    translate,
)
from orders.api.reading.term_fields import client_order_id_in, may_rest
from orders.api.related import links
from orders.engine import submission
from orders.engine.moves import AlreadyAccepted
from orders.engine.submission import OrderRequest, Submitted, SubmittedGroup
from orders.events import Event


class Taken(NamedTuple):
    """An order that was taken, now or before, or the two of an OCO, and how that is answered."""

    orders: list[dict[str, Any]]
    group_id: str | None
    status: int
    headers: dict[str, str]
    events: list[Event]
    """The first of each order."""

    def as_json(self, sender: Sender, ignored: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the answer's body; for programs with the names that other systems use."""
        orders = [with_links(order, sender) for order in self.orders]
        if self.group_id is None:
            return sender.told(orders[0], ignored)
        shown = [dialects.with_names(order) for order in orders] if sender.for_programs else orders
        answer = {"groupId": self.group_id, "orders": shown}
        return answer | {"ignored": list(ignored)} if ignored else answer


async def place_order(sent: Any, key: str | None, sender: Sender) -> Answered:
    """Take an order, and say what is answered.

    :raises Exception: what `take_order` raises.
    """
    meant = translate(sent)
    taken = await take_order(sent, meant, key, sender)
    told = taken.as_json(sender, meant.ignored)
    return Answered(taken.status, told, taken.headers, taken.events)


async def take_order(sent: Any, meant: Canonical, key: str | None, sender: Sender) -> Taken:
    """Take an order; `meant` is what was sent, in our names.

    :raises InvalidOrder: it is no order; told in the names that were sent.
    :raises TooManyRequests: the limit of the account is reached.
    :raises Exception: what `submission.submit_order` and `read_order` raise.
    """
    try:
        taken = await _submit(meant.body, key, sender)
    except InvalidOrder as refused:
        raise as_written(refused, sent, meant) from None
    return as_taken(taken)


def as_taken(taken: Submitted | SubmittedGroup) -> Taken:
    """Return how an order, or the two of an OCO, are answered."""
    code = status.HTTP_200_OK if taken.is_replay else status.HTTP_201_CREATED
    marker = {"Idempotent-Replayed": "true"} if taken.is_replay else {}
    if isinstance(taken, SubmittedGroup):
        location = {"Location": f"/api/orders?groupId={taken.group_id}"}
        return Taken(taken.orders, taken.group_id, code, location | marker, taken.events)
    location = {"Location": f"/api/orders/{taken.order['orderId']}"}
    return Taken([taken.order], None, code, location | marker, [taken.event])


def with_links(order: dict[str, Any], sender: Sender) -> dict[str, Any]:
    found = links(sender.site, order["orderId"], order["status"], is_staff=sender.is_staff)
    return order | {"links": found}


async def repeat(
    sent: Any, key: str | None, owner: int | None, before: AlreadyAccepted
) -> Submitted | SubmittedGroup:
    """Return the order, or the two of an OCO, that a request repeats.

    :raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for.
    :raises Exception: what `read_repeated_order` raises.
    """
    if submission.is_group(before):
        if (group := await submission.recognise_group(sent, before)) is not None:
            return group
    elif (known := submission.recognise(sent, before)) is not None:
        return known
    repeated = await read_repeated_order(sent, before)
    if repeated.legs:
        return await submission.repeat_group(repeated, owner, key, before)
    return submission.repeat_order(repeated, owner, key, before)


async def _submit(sent: Any, key: str | None, sender: Sender) -> Submitted | SubmittedGroup:
    """Find the order that is repeated, or take a new one, if as many may be sent."""
    owner, key = sender.principal.owner, sender.key_of(key)
    before = await submission.accepted_before(owner, key, client_order_id_in(sent))
    if before is not None:
        return await repeat(sent, key, owner, before)
    await admit(sender, rests=may_rest(sent))
    try:
        return await _store(await read_order(sent), sent, key, sender)
    except ShareIsFull:
        tell_of_limit("waiting", sender.source, sender.principal)
        raise


async def _store(
    request: OrderRequest, sent: Any, key: str | None, sender: Sender
) -> Submitted | SubmittedGroup:
    owner, stranger = sender.principal.owner, sender.number
    if not request.legs:
        (order_id,) = await sender.new_ids(1)
        return await submission.submit_order(
            *(request, owner), stranger=stranger, order_id=order_id, idempotency_key=key, sent=sent
        )
    if key is not None:
        check_key_of_several(key)
    order_ids = await sender.new_ids(len(request.legs))
    return await submission.submit_group(
        *(request, owner), stranger=stranger, order_ids=order_ids, idempotency_key=key, sent=sent
    )
