"""What clients ask of the engine: take this order, cancel that one."""

import logging
import secrets
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config.counts import counts
from orders import bell
from orders.crash_points import passing
from orders.events import Event
from orders.hints import publish_now
from orders.journal import advance_now, journal_of_this_loop
from orders.lifecycle import CANCELLABLE, Status
from orders.models import Order
from orders.moves import Move, NewOrder, Overtaken
from orders.representation import accepted_as_json, request_as_json
from routing.tokens import Market
from routing.venue import Side

logger = logging.getLogger(__name__)

RECEIVED = "Order received and queued"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A valid request; the amount that is not None is fixed, in atoms."""

    type: str
    market: Market
    side: Side
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int


class NotCancellable(Exception):
    """The order may have filled, or has ended. Trying again does not help."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(f"the order is {status}")


async def submit_order(
    request: OrderRequest, order_id: str | None = None
) -> tuple[dict[str, Any], Event]:
    """Store the order, ring the bell, and return the order for its client and its first event.

    The order is safe once this returns: the bell is best effort, and the scheduler rings for
    whoever was not rung for.

    :raises psycopg.OperationalError: the database does not answer; nothing is stored.
    """
    order = NewOrder(
        id=order_id or new_order_id(),
        type=request.type,
        side=request.side.value,
        base=request.market.base.symbol,
        quote=request.market.quote.symbol,
        amount_in=request.amount_in,
        amount_out=request.amount_out,
        slippage_bps=request.slippage_bps,
        message=RECEIVED,
        data={},
    )
    asked = request_as_json(order)
    event = await journal_of_this_loop().accept(order._replace(data={"order": asked}))
    passing("after_accept")
    counts["orders_accepted"] += 1
    logger.info("order accepted", extra={"order_id": order.id})
    bell.ring_soon()
    return {"message": RECEIVED, **accepted_as_json(asked, event.at)}, event


def cancel_order(order_id: UUID) -> Event:
    """Cancel the order unless it was submitted, and return the event.

    A compare-and-set: the worker that carries it either moved it before, and then this looks
    again, or finds itself overtaken. So an order is cancelled or executed, never both.

    :raises Order.DoesNotExist: there is no such order.
    :raises NotCancellable: it was submitted or has ended.
    """
    while True:
        order = Order.objects.only("status", "seq", "lease_token").get(pk=order_id)
        status = Status(order.status)
        if status not in CANCELLABLE:
            raise NotCancellable(status)
        try:
            event = advance_now(
                Move(
                    order_id=str(order.id),
                    lease_token=order.lease_token,
                    seq=order.seq,
                    before=status,
                    status=Status.CANCELLED,
                    message="Order cancelled",
                    data={},
                )
            )
        except Overtaken:
            continue  # at most once for each step the order can still take
        passing("after_cancel")
        publish_now(event)
        return event


def new_order_id() -> str:
    """Return a UUID of version 7 (RFC 9562): in order of time, so that indexes grow at one end."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    return str(UUID(int=value & ~(0x3 << 62) | (0x2 << 62)))
