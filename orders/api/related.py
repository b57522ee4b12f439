"""What stands beside an order's own fields: links, and what other rows tell of it.

These are the other order of its group, exits that were made, slices, the trail, and how well it was
executed.
"""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse

from orders.api.slices import slices_as_json, sums_of
from orders.lifecycle import CANCELLABLE, Status
from orders.models import Order
from orders.quality.shown import qualities_of
from orders.representation import order_as_json
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


def as_shown(
    order: Order, site: str, beside: Told | None = None, *, is_staff: bool = False
) -> Told:
    """Return an order with its links. `site` is the scheme and host that its reader came to.

    `beside`: what other rows tell of it; if left out, it is read.
    """
    if beside is None:
        beside = related([order])[order.id] | trail_of(order)
    found = links(site, str(order.id), order.status, is_staff=is_staff)
    return order_as_json(order) | beside | {"links": found}


def links(site: str, order_id: str, order_status: str, *, is_staff: bool = False) -> dict[str, str]:
    """Return where an order's reader may go on, as whole URLs; to the admin, if they may enter."""
    order = f"{site}/api/orders/{order_id}"
    stream = f"{site.replace('http', 'ws', 1)}/ws/orders/{order_id}"
    found = {
        "order": order,
        "events": f"{order}/events",
        "route": f"{order}/route",
        "stream": stream,
    }
    if order_status in CANCELLABLE:
        found["cancel"] = f"{order}/cancel"
    if is_staff:
        found["admin"] = site + reverse("admin:orders_order_change", args=[order_id])
    return found | {"orders": f"{site}/api/orders"}


def related(orders: Sequence[Order]) -> dict[UUID, Told]:
    """Return by their ids what applies of siblings, children, slices and quality.

    It takes four statements at most.
    """
    found: dict[UUID, Told] = {order.id: {} for order in orders}
    siblings = _siblings_of([order for order in orders if order.group_id is not None])
    children = _children_of([order for order in orders if _has_exits(order)])
    sums = sums_of(orders)
    qualities = qualities_of(orders)
    for order in orders:
        found[order.id] |= qualities.get(order.id, {})
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
