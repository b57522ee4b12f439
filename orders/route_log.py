"""How an order was routed, attempt by attempt, out of its log."""

from itertools import groupby
from typing import Any

from orders.events import timestamp
from orders.lifecycle import Status
from orders.models import Order, OrderEvent


def route_log(order: Order) -> dict[str, Any]:
    """Return all decisions, oldest first, and the latest as `route`; None before the first."""
    events = order.events.filter(attempt__gt=0).order_by("seq")
    attempts = [
        _attempt(order, number, list(rows))
        for number, rows in groupby(events, key=lambda event: event.attempt)
    ]
    decisions = [attempt["decision"] for attempt in attempts if attempt["decision"]]
    return {
        "orderId": str(order.id),
        "status": order.status,
        "route": decisions[-1] if decisions else None,
        "attempts": attempts,
    }


def _attempt(order: Order, number: int, events: list[OrderEvent]) -> dict[str, Any]:
    decided = next((event for event in events if event.status == Status.BUILDING), None)
    faults = [event.data for event in events if "failureCode" in event.data]
    fault: dict[str, Any] = faults[0] if faults else {}
    return {
        "attempt": number,
        "startedAt": timestamp(events[0].at),
        "decidedAt": timestamp(decided.at) if decided else None,
        "decision": _decision(order, decided.data) if decided else None,
        "failureCode": fault.get("failureCode"),
        "reason": fault.get("reason"),
    }


def _decision(order: Order, data: dict[str, Any]) -> dict[str, Any]:
    """Return a stored decision. One of a single leg is stored without it: it is the quote."""
    if "legs" in data or "quote" not in data:
        return data
    leg = {"market": f"{order.base}/{order.quote}", "side": order.side, **data["quote"]}
    leg.pop("ageMs", None)
    leg.pop("through", None)
    return data | {"legs": [leg]}
