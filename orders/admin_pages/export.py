"""Exports of orders for operators, as CSV or JSON, with what only they see."""

import json
from collections.abc import AsyncIterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from orders.api.lists.export import COLUMNS, csv_download, download, pieces
from orders.models import Order
from orders.representation import order_as_json


def csv_export(orders: QuerySet[Order], along: QuerySet[Order]) -> StreamingHttpResponse:
    """Return these orders as a table; `along` as in `csv_download`."""
    return csv_download(orders, along, COLUMNS, row_of)


def json_export(orders: QuerySet[Order], along: QuerySet[Order]) -> StreamingHttpResponse:
    """Return these orders as one JSON array, an order a line; `along` as in `csv_download`."""
    return download(_array(orders, along), "application/json", "orders.json")


async def _array(orders: QuerySet[Order], along: QuerySet[Order]) -> AsyncIterator[str]:
    separator = "[\n"
    async for text in pieces(orders, along, _as_members):
        yield separator + text
        separator = ",\n"
    yield "\n]\n" if separator == ",\n" else "[]\n"


def _as_members(orders: list[Order]) -> str:
    return ",\n".join(json.dumps(row_of(order)) for order in orders)


def row_of(order: Order) -> dict[str, Any]:
    """Return the order as the API shows it, with what only operators see."""
    return order_as_json(order) | {
        "owner": order.owner.get_username() if order.owner else None,
        "clientOrderId": order.client_order_id,
        "needsAttention": order.needs_attention,
    }
