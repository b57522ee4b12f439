"""What a TWAP's answer tells of its slices: how many were made, what they have traded together."""

from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Max, Q, Sum

from orders.lifecycle import FINAL, Status
from orders.models import Order
from orders.representation import decimal, time, tokens_of
from orders.terms.slicing import Plan
from orders.words import OrderType
from routing.pricing import execution_price
from routing.registry import look_up
from routing.venue import Side

_HUNDREDTH = Decimal("0.01")


class Sums(NamedTuple):
    """Of all slices of one parent; amounts are atoms."""

    filled_in: int = 0
    filled_out: int = 0
    filled: int = 0
    last_slot: int | None = None


def sums_of(orders: Iterable[Order]) -> dict[UUID, Sums]:
    """Return what the slices of each TWAP among these orders have done, in one query."""
    parents = [order.id for order in orders if order.type == OrderType.TWAP]
    if not parents:
        return {}
    rows = (
        Order.objects.filter(parent_id__in=parents, slice__isnull=False)
        .order_by()
        .values("parent_id")
        .annotate(
            paid=Sum("filled_in"),
            got=Sum("filled_out"),
            filled=Count("id", filter=Q(status=Status.CONFIRMED.value)),
            last=Max("slice"),
        )
    )
    found = {
        row["parent_id"]: Sums(row["paid"] or 0, row["got"] or 0, row["filled"], row["last"])
        for row in rows
    }
    return {parent: found.get(parent, Sums()) for parent in parents}


def slices_as_json(order: Order, sums: Sums) -> dict[str, Any]:
    """Return what a TWAP has beside what all orders have."""
    token_in, token_out = tokens_of(order)
    total = order.amount_in or 0
    shown: dict[str, Any] = {
        "slicesFilled": sums.filled,
        "executedAmountIn": decimal(token_in, sums.filled_in or None),
        "executedAmountOut": decimal(token_out, sums.filled_out or None),
        "executedPrice": _price(order, sums),
        "remainingAmount": token_in.to_text(total - sums.filled_in),
        "filledPercent": _percent(sums.filled_in, total),
        "nextSliceAt": _next_slice_at(order, sums),
    }
    return shown


def _percent(part: int, total: int) -> str:
    share = (Decimal(part) * 100 / total).quantize(_HUNDREDTH, rounding=ROUND_DOWN)
    return f"{share.normalize():f}"


def _price(order: Order, sums: Sums) -> str | None:
    """Return the price of all fills together."""
    if not (sums.filled_in and sums.filled_out):
        return None
    market = look_up(
        lambda known: known.market_of_order(known.token(order.base), known.token(order.quote))
    )
    return f"{execution_price(market, Side(order.side), sums.filled_in, sums.filled_out):f}"


def _next_slice_at(order: Order, sums: Sums) -> str | None:
    """Return when the next slot is due; None after the last, and if no slice will follow."""
    next_slot = 0 if sums.last_slot is None else sums.last_slot + 1
    plan = Plan.of(order.terms or {}, order.amount_in or 0, order.created_at, order.expires_at)
    is_over = Status(order.status) in FINAL or next_slot >= plan.slices
    return None if is_over or order.cancel_requested else time(plan.due_at(next_slot))
