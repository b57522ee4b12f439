"""Orders and moves for tests, the same everywhere unless a test says otherwise."""

from typing import Any

from orders.engine.moves import ClaimedOrder, Move, NewOrder
from orders.engine.submission import new_order_id
from orders.lifecycle import Status


def new_order(**changes: Any) -> NewOrder:
    """An order to sell 1.5 SOL for USDC."""
    values = {
        "id": new_order_id(),
        "type": "market",
        "side": "sell",
        "base": "SOL",
        "quote": "USDC",
        "amount_in": 1_500_000_000,
        "amount_out": None,
        "slippage_bps": 100,
        "message": "Order received and queued",
        "data": {},
    }
    return NewOrder(**values | changes)


def move_of(order: ClaimedOrder, status: Status, **changes: Any) -> Move:
    """The move of a claimed order to `status`."""
    values = {
        "order_id": order.id,
        "lease_token": order.lease_token,
        "seq": order.seq,
        "before": order.status,
        "status": status,
        "message": status.value,
        "data": {},
    }
    return Move(**values | changes)


def to_building(order: ClaimedOrder, **changes: Any) -> Move:
    return move_of(order, Status.BUILDING, **{"venue": "raydium", "min_out": 140_000_000} | changes)


def to_submitted(order: ClaimedOrder, signature: str, **changes: Any) -> Move:
    signed = {"signature": signature, "payload": b"bytes", "expires_at_height": 2**40}
    return move_of(order, Status.SUBMITTED, **signed | changes)


def moved(order: ClaimedOrder, move: Move) -> ClaimedOrder:
    """The claimed order after that move was made."""
    return order._replace(
        status=move.status,
        seq=order.seq + 1,
        venue=move.venue or order.venue,
        min_out=move.min_out or order.min_out,
        signature=move.signature or order.signature,
    )
