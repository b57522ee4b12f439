"""What other rows tell of orders: the other order of a group, exits that were made, the trail."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from orders.api.slices import slices_as_json, sums_of
from orders.lifecycle import Status
from orders.models import Order
from orders.terms.exits import STOP, TARGET
from orders.terms.terms import price_text
from routing.venue import BPS, Side

Told = dict[str, Any]

# The best price since the order was armed is the first step at or after that tick.
TRAIL = """
SELECT (SELECT peak.price FROM price_peaks AS peak
  WHERE peak.pair = watch.pair AND peak.line = watch.line AND peak.tick >= watch.armed_tick
  ORDER BY peak.tick LIMIT 1)
FROM watches AS watch WHERE watch.order_id = %s AND watch.armed_tick IS NOT NULL
"""


def related(orders: Sequence[Order]) -> dict[UUID, Told]:
    """Return by their ids what applies of siblings, children and slices: three statements."""
    found: dict[UUID, Told] = {order.id: {} for order in orders}
    siblings = _siblings_of([order for order in orders if order.group_id is not None])
    children = _children_of([order for order in orders if _has_exits(order)])
    sums = sums_of(orders)
    for order in orders:
        if order.id in sums:
            found[order.id] |= slices_as_json(order, sums[order.id])
        if order.id in siblings:
            found[order.id]["siblingOrderId"] = siblings[order.id]
        if order.id in children:
            found[order.id]["children"] = children[order.id]
    return found


def trail_of(order: Order) -> Told:
    """Return the best price that an armed trailing stop follows, and where it goes off now."""
    if not order.resting or order.trail_bps is None:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(TRAIL, [order.id])
        row = cursor.fetchone()
    if row is None or row[0] is None:
        return {}
    watermark: Decimal = row[0]
    away = -order.trail_bps if order.side == Side.SELL else order.trail_bps
    goes_off = watermark * (BPS + away) / BPS
    return {"watermark": price_text(watermark), "currentTriggerPrice": price_text(goes_off)}


def _has_exits(order: Order) -> bool:
    is_bracket = order.terms is not None and not order.terms.keys().isdisjoint((TARGET, STOP))
    return is_bracket and order.status == Status.CONFIRMED


def _siblings_of(orders: Sequence[Order]) -> dict[UUID, str]:
    """Return for each order the other one of its group, by statements for all of them."""
    if not orders:
        return {}
    members: dict[UUID | None, list[UUID]] = defaultdict(list)
    groups = {order.group_id for order in orders}
    for group_id, order_id in Order.objects.filter(group_id__in=groups).values_list(
        "group_id", "id"
    ):
        members[group_id].append(order_id)
    return {
        order.id: str(other)
        for order in orders
        for other in members[order.group_id]
        if other != order.id
    }


def _children_of(orders: Sequence[Order]) -> dict[UUID | None, list[str]]:
    if not orders:
        return {}
    children: dict[UUID | None, list[str]] = defaultdict(list)
    parents = [order.id for order in orders]
    made = Order.objects.filter(parent_id__in=parents, slice=None).order_by("id")
    for parent_id, order_id in made.values_list("parent_id", "id"):
        children[parent_id].append(str(order_id))
    return children
