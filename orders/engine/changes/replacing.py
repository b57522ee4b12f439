"""Replaces an order by another one: it is cancelled and the other stored, in one transaction.

So nobody can end up with both filled, nor with neither in force.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.db import connection

from orders.engine.crash_points import crash_point
from orders.engine.hints import hints_of_this_loop
from orders.engine.journal import Stored, first_event, run_now, storing_wide
from orders.engine.moves import NewOrder
from orders.engine.submission import (
    NotCancellable,
    OrderRequest,
    Submitted,
    SubmittedGroup,
    accepted,
    orders_of,
    room_for,
)
from orders.engine.terms_moves import Script, cancelling
from orders.events import Event
from orders.terms.terms import Terms
from orders.terms.type_rules import IOC
from orders.words import EndReason

NAME_SUCCESSOR = "UPDATE orders SET replaced_by = %(successor)s WHERE id = %(id)s"


class NotStored(Exception):
    """The new order was not stored, so nothing was changed: its key is taken, or trading is halted.

    `is_halted`: nothing was stored at all. Look for an order under its keys, which tells.
    """

    def __init__(self, *, is_halted: bool) -> None:
        self.is_halted = is_halted
        super().__init__("the new order was not stored")


class Replaced(NamedTuple):
    """The events of what was cancelled, and the first events of what was stored."""

    cancelled: list[Event]
    stored: list[Event]


async def replace_order(
    order_id: str,
    group_id: str | None,
    request: OrderRequest,
    owner: int | None,
    *,
    stranger: int,
    by: str,
    order_ids: Sequence[str] = (),
    idempotency_key: str | None,
    sent: object,
) -> Submitted | SubmittedGroup:
    """Cancel an order, the other one of its group with it, and store what takes its place.

    :raises NotCancellable: it, or the other order of its group, may have filled or has ended.
    :raises NotStored: a key of the new order is another order's, or trading is halted.
    :raises AccountRequired, Overloaded, ShareIsFull, TooManyOpenOrders: as `submit_order`.
    :raises django.db.Error: the database does not answer; it may have been done.
    """
    orders = orders_of(
        succeeding(request, order_id),
        owner,
        stranger=stranger,
        order_ids=order_ids,
        idempotency_key=idempotency_key,
        sent=sent,
    )
    async with room_for(orders):
        script = replacing(order_id, group_id, orders, by)
        replaced = await sync_to_async(_run)(script)
    crash_point("after_replace")
    hints = hints_of_this_loop()
    for event in (*replaced.cancelled, *replaced.stored):
        hints.publish(event)
    return accepted(replaced.stored)


def succeeding(request: OrderRequest, order_id: str) -> OrderRequest:
    """Return the request, which says which order it takes the place of."""
    terms = (request.terms or Terms(IOC))._replace(replaces=order_id)
    legs = tuple(succeeding(leg, order_id) for leg in request.legs)
    return replace(request, terms=terms, legs=legs)


def replacing(
    order_id: str, group_id: str | None, orders: Sequence[NewOrder], by: str
) -> Script[Replaced]:
    """:raises NotCancellable, NotStored: as `replace_order`."""
    found = yield from cancelling(
        order_id,
        group_id,
        when_possible=False,
        reason=EndReason.REPLACED,
        by=by,
        storing=storing_wide,
    )
    if not found.events:  # it was cancelled before
        raise NotCancellable(found.status)
    rows = yield storing_wide(orders)
    stored = {row[0]: Stored(*row[1:]) for row in rows}
    if len(stored) < len(orders):
        raise NotStored(is_halted=not stored)
    yield NAME_SUCCESSOR, {"id": order_id, "successor": orders[0].id}
    return Replaced(found.events, [first_event(order, stored[order.id]) for order in orders])


def _run(script: Script[Replaced]) -> Replaced:
    """Run it in a thread, on a connection that is asked whether it still stands."""
    connection.close_if_unusable_or_obsolete()
    return run_now(script)
