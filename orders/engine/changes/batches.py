"""Takes many orders of one sender at once, in one statement: each by itself, or all or none."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

from config.runtime import group_commit
from orders.engine.crash_points import crash_point
from orders.engine.journal import journal_of_this_loop
from orders.engine.moves import AlreadyAccepted, NewOrder
from orders.engine.submission import (
    OrderRequest,
    OutcomeUnknown,
    Submitted,
    SubmittedGroup,
    accepted,
    conflict_with,
    orders_of,
    recognise,
    recognise_group,
    room_for,
)
from orders.events import Event

logger = logging.getLogger(__name__)

Answer = Submitted | SubmittedGroup

BATCH = "batchFingerprint"
"""In the data of an order's first event: of which batch it is."""


class Item(NamedTuple):
    """One order of a batch, or an OCO."""

    request: OrderRequest
    key: str | None
    sent: object
    batch: str | None = None
    """The fingerprint of its batch, by which a repeated one is known."""
    order_ids: tuple[str, ...] = ()
    """Of what is stored; empty: new ones."""


class _Drafted(NamedTuple):
    item: Item
    orders: list[NewOrder]


async def submit_each(
    items: Sequence[Item], owner: int | None, *, stranger: int
) -> list[Answer | Exception]:
    """Store the orders that can be stored; return for each what became of it.

    Plain orders share one statement. The two orders of an OCO stand or fall together, so each OCO
    has one of its own. What is returned instead of an order is what `submit_order` would raise.

    :raises psycopg.OperationalError: the database does not answer; nothing is stored.
    """
    found: list[Answer | Exception | None] = [None] * len(items)
    async with AsyncExitStack() as rooms:
        single: dict[int, _Drafted] = {}
        for place, item in enumerate(items):
            try:
                orders = _orders_of(item, owner, stranger)
                await rooms.enter_async_context(room_for(orders))
            except Exception as refused:  # noqa: BLE001  # it is the item's answer
                found[place] = refused
                continue
            if len(orders) == 1:
                single[place] = _Drafted(item, orders)
            else:
                found[place] = await _store_group(item, orders)
        stored = await _store_single([drafted.orders[0] for drafted in single.values()])
        for (place, drafted), answer in zip(single.items(), stored, strict=True):
            found[place] = _answer(drafted.item, answer)
    return [one for one in found if one is not None]


async def submit_together(
    items: Sequence[Item], owner: int | None, *, stranger: int
) -> list[Answer]:
    """Store all orders in one statement, or none.

    :raises AlreadyAccepted: an order has a key that is known by now.
    :raises Exception: what `submit_order` raises; nothing is stored.
    """
    drafted = [_orders_of(item, owner, stranger) for item in items]
    orders = [order for together in drafted for order in together]
    async with AsyncExitStack() as rooms:
        for together in drafted:
            await rooms.enter_async_context(room_for(together))
        try:
            events = iter(await journal_of_this_loop().accept_together(orders))
        except group_commit.OutcomeUnknown as error:
            logger.warning("a batch may be stored: %s", error, extra={"order_id": orders[0].id})
            raise OutcomeUnknown(orders[0].id) from error
    crash_point("after_accept")
    return [accepted([next(events) for _ in together]) for together in drafted]


def _orders_of(item: Item, owner: int | None, stranger: int) -> list[NewOrder]:
    orders = orders_of(
        *(item.request, owner),
        stranger=stranger,
        order_ids=item.order_ids,
        idempotency_key=item.key,
        sent=item.sent,
    )
    if item.batch is None:
        return orders
    return [order._replace(data=order.data | {BATCH: item.batch}) for order in orders]


async def _store_single(
    orders: Sequence[NewOrder],
) -> Sequence[Event | AlreadyAccepted | OutcomeUnknown]:
    if not orders:
        return []
    try:
        return await journal_of_this_loop().accept_each(orders)
    except group_commit.OutcomeUnknown as error:
        logger.warning("orders may be stored: %s", error, extra={"order_id": orders[0].id})
        return [OutcomeUnknown(order.id) for order in orders]


async def _store_group(item: Item, orders: Sequence[NewOrder]) -> Answer | Exception:
    try:
        return accepted(await journal_of_this_loop().accept_together(orders))
    except AlreadyAccepted as before:
        return await recognise_group(item.sent, before) or conflict_with(before)
    except group_commit.OutcomeUnknown:
        return OutcomeUnknown(orders[0].id)


def _answer(item: Item, stored: Event | AlreadyAccepted | OutcomeUnknown) -> Answer | Exception:
    """Return what is answered for an item; its key may have become known meanwhile."""
    if isinstance(stored, Event):
        return accepted([stored])
    if isinstance(stored, OutcomeUnknown):
        return stored
    return recognise(item.sent, stored) or conflict_with(stored)
