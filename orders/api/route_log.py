"""How an order was routed, attempt by attempt, out of its log."""

from itertools import groupby
from typing import Any

from orders.events import timestamp
from orders.lifecycle import Status
from orders.models import Order, OrderEvent


def route_log(order: Order) -> dict[str, Any]:
    """Return all decisions, oldest first, and the latest of those that were carried out as `route`.

    None before the first.
    """
    events = order.events.filter(attempt__gt=0).order_by("seq")
    built = [event for event in events if event.status == Status.BUILDING]
    return {
        "orderId": str(order.id),
        "status": order.status,
        "route": _decision(order, built[-1].data) if built else None,
        "attempts": [
            _attempt(order, number, list(rows))
            for number, rows in groupby(events, key=lambda event: event.attempt)
        ],
    }


def _attempt(order: Order, number: int, events: list[OrderEvent]) -> dict[str, Any]:
    faults = [event.data for event in events if "failureCode" in event.data]
    fault: dict[str, Any] = faults[0] if faults else {}
    decided = next(filter(_decided, events), None)
    decision = _decided(decided) if decided else None
    return {
        "attempt": number,
        "startedAt": timestamp(events[0].at),
        "decidedAt": timestamp(decided.at) if decided else None,
        "decision": _decision(order, decision) if decision else None,
        "dropped": (decision or fault).get("dropped", []),
        "failureCode": fault.get("failureCode"),
        "reason": fault.get("reason"),
    }


def _decided(event: OrderEvent) -> dict[str, Any] | None:
    """Return the decision that an event stores; one that broke the bound is in the fault's."""
    is_built = event.status == Status.BUILDING
    found: dict[str, Any] | None = event.data if is_built else event.data.get("decision")
    return found


def _decision(order: Order, data: dict[str, Any]) -> dict[str, Any]:
    """Return a stored decision. One of a single leg is stored without it: it is the quote."""
    if "legs" in data or "quote" not in data:
        return data
    leg = {"market": f"{order.base}/{order.quote}", "side": order.side, **data["quote"]}
    leg.pop("ageMs", None)
    leg.pop("through", None)
    return data | {"legs": [leg]}
