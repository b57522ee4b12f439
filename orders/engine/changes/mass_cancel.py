"""Cancels many orders of one account in one statement, once all of them are locked.

It locks in the order of all who write here: watches by their order's id, groups, orders. Both
orders of a group end together. Orders that were submitted may have filled: they are left alone, or
marked to be cancelled once their transactions are proven dead.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from django.db import connection, transaction

from orders.engine.changes import mass_cancel_sql as sql
from orders.engine.journal import again_after_deadlock
from orders.events import Cancelled, Event
from orders.lifecycle import Status
from orders.words import EndReason


class Found(NamedTuple):
    """What became of one order, as the statement tells it."""

    id: str
    status: Status
    seq: int
    attempts: int
    at: datetime
    is_named: bool
    """Whether it was named, and not only the other order of its group."""
    is_cancelled: bool
    """Whether this has cancelled it."""
    is_requested: bool
    """Whether it is marked to be cancelled when that is possible."""
    owner: int | None
    """Its account; None as well if this has not cancelled it."""

    def event(self, reason: EndReason, by: str) -> Event:
        own = reason if self.is_named else EndReason.GROUP_CANCELLED
        message, data = Cancelled(own.value, by if self.is_named else "engine").words()
        told = self.id, self.seq, self.status, self.attempts, message, self.at, data
        return Event(*told, owner=self.owner)


class MassCancellation(NamedTuple):
    """What became of all of them, and the events that tell it."""

    orders: list[Found]
    events: list[Event]

    @property
    def cancelled(self) -> list[str]:
        return [order.id for order in self.orders if order.is_cancelled]

    @property
    def requested(self) -> list[str]:
        return [order.id for order in self.orders if order.is_requested]


def cancel_orders(
    order_ids: Sequence[str], *, reason: EndReason, by: str, when_possible: bool
) -> MassCancellation:
    """Cancel these orders through Django's connection. Publish the events yourself.

    It may run twice: what has ended stays as it is.
    """
    if not order_ids:
        return MassCancellation([], [])
    message, data = Cancelled(reason.value, by).words()
    of_group, data_of_group = Cancelled(EndReason.GROUP_CANCELLED.value).words()
    params = {
        "ids": list(order_ids),
        "when_possible": when_possible,
        "reason": reason.value,
        "group_reason": EndReason.GROUP_CANCELLED.value,
        **{"message": message, "data": orjson.dumps(data).decode()},
        **{"group_message": of_group, "group_data": orjson.dumps(data_of_group).decode()},
    }
    rows = again_after_deadlock(lambda: _cancel(params))
    found = [Found(row[0], Status(row[1]), *row[2:]) for row in rows]
    events = [order.event(reason, by) for order in found if order.is_cancelled]
    return MassCancellation(found, events)


def _cancel(params: dict[str, Any]) -> list[Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (sql.LOCK_WATCHES, sql.LOCK_GROUPS, sql.LOCK_ORDERS, sql.CANCEL):
            cursor.execute(statement, params)
        rows: list[Any] = cursor.fetchall()
    return rows
