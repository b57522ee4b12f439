"""How an order was routed, attempt by attempt, from its log."""

from itertools import groupby
from typing import Any

from orders.events import timestamp
from orders.lifecycle import Status
from orders.models import Order, OrderEvent
from routing.stored_decision import StoredDecision


def route_log(order: Order) -> dict[str, Any]:
    """Return all decisions, oldest first. `route` is the latest one that was carried out.

    Before the first one, `route` is None.
    """
    events = order.events.filter(attempt__gt=0).order_by("seq")
    built = [event for event in events if event.status == Status.BUILDING]
    return {
        "orderId": str(order.id),
        "status": order.status,
        "route": _decision(order, built[-1]) if built else None,
        "attempts": [
            _attempt(order, number, list(rows))
            for number, rows in groupby(events, key=lambda event: event.attempt)
        ],
    }


def _attempt(order: Order, number: int, events: list[OrderEvent]) -> dict[str, Any]:
    faults = [event.data for event in events if "failureCode" in event.data]
    fault: dict[str, Any] = faults[0] if faults else {}
    decisions = [(event.at, data) for event in events if (data := _decision(order, event))]
    decided_at, decision = decisions[0] if decisions else (None, None)
    return {
        "attempt": number,
        "startedAt": timestamp(events[0].at),
        "decidedAt": timestamp(decided_at) if decided_at else None,
        "decision": decision,
        "dropped": (decision or fault).get("dropped", []),
        "failureCode": fault.get("failureCode"),
        "reason": fault.get("reason"),
    }


def _decision(order: Order, event: OrderEvent) -> dict[str, Any] | None:
    """Return what an event stores of a decision; one that broke the bound is in the fault's."""
    is_built = event.status == Status.BUILDING
    data: dict[str, Any] | None = event.data if is_built else event.data.get("decision")
    return data and StoredDecision(data, order.base, order.quote, order.side).data
