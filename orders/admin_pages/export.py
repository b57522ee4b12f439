"""Exports of orders as CSV or JSON, sent while they are read.

The orders are read in pieces along the list's own index, each piece by statements of its own. So
memory holds one piece, a slow client keeps no connection, and no transaction stays open. The answer
is an asynchronous iterator: Django's ASGI handler would first read all of a synchronous one.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from orders.models import Order
from orders.representation import order_as_json

PIECE = 500  # orders
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    *("orderId", "createdAt", "startedAt", "finishedAt", "status", "type", "side"),
    *("baseToken", "quoteToken", "tokenIn", "tokenOut", "amountIn", "amountOut", "slippageBps"),
    *("minAmountOut", "maxAmountIn", "routedDex", "executedPrice", "executedAmountIn"),
    *("executedAmountOut", "attempts", "seq", "txHash", "failureCode", "error"),
    *("owner", "clientOrderId", "needsAttention"),
    *("venues", "excludeVenues", "maxPriceImpactBps"),
    *("timeInForce", "expiresAt", "limitPrice", "triggerPrice", "triggerBy", "trailBps"),
    *("activationPrice", "takeProfit", "stopLoss", "phase", "triggeredAt", "releases"),
    *("restUntil", "groupId", "groupRole", "parentOrderId", "slice", "replaces", "replacedBy"),
    *("cancelRequested", "reason", "tags"),
)


def csv_export(orders: QuerySet[Order], along: QuerySet[Order]) -> StreamingHttpResponse:
    """Return these orders as a table with a head, for spreadsheets.

    `along` has all of them and can be read by an index. It decides where each piece ends.
    """
    return _download(_lines(orders, along), "text/csv; charset=utf-8", "orders.csv")


def json_export(orders: QuerySet[Order], along: QuerySet[Order]) -> StreamingHttpResponse:
    """Return these orders as one JSON array, an order a line; `along` as in `csv_export`."""
    return _download(_array(orders, along), "application/json", "orders.json")


def _download(chunks: AsyncIterator[str], kind: str, name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(chunks, content_type=kind, headers=headers)


async def _lines(orders: QuerySet[Order], along: QuerySet[Order]) -> AsyncIterator[str]:
    yield _as_lines([COLUMNS])
    async for text in pieces(orders, along, _as_table):
        yield text


async def _array(orders: QuerySet[Order], along: QuerySet[Order]) -> AsyncIterator[str]:
    separator = "[\n"
    async for text in pieces(orders, along, _as_members):
        yield separator + text
        separator = ",\n"
    yield "\n]\n" if separator == ",\n" else "[]\n"


def _as_table(orders: list[Order]) -> str:
    rows = map(row_of, orders)
    return _as_lines([cell(row.get(name)) for name in COLUMNS] for row in rows)


def _as_members(orders: list[Order]) -> str:
    return ",\n".join(json.dumps(row_of(order)) for order in orders)


def _as_lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def row_of(order: Order) -> dict[str, Any]:
    """Return the order as the API shows it, with what only operators see."""
    return order_as_json(order) | {
        "owner": order.owner.get_username() if order.owner else None,
        "clientOrderId": order.client_order_id,
        "needsAttention": order.needs_attention,
    }


def cell(value: object) -> object:
    """Return a value that a spreadsheet does not run: such a text begins with a quote here."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


async def pieces(
    orders: QuerySet[Order], along: QuerySet[Order], write: Callable[[list[Order]], str]
) -> AsyncIterator[str]:
    """Yield the orders as text, newest first, some at a time.

    They are read and written in a thread, so the loop can take new orders meanwhile.
    """
    until: datetime | None = None
    while True:
        text, until = await sync_to_async(_write_piece)(orders, along, until, write)
        if text:
            yield text
        if until is None:
            return


def _write_piece(
    orders: QuerySet[Order],
    along: QuerySet[Order],
    until: datetime | None,
    write: Callable[[list[Order]], str],
) -> tuple[str, datetime | None]:
    piece, begin = read_piece(orders, along, until)
    return write(piece) if piece else "", begin


def read_piece(
    orders: QuerySet[Order], along: QuerySet[Order], until: datetime | None
) -> tuple[list[Order], datetime | None]:
    """Return the wanted orders among the next PIECE, and where the following piece begins.

    A piece ends at a time and not at an order, so orders of one moment stay together. It is
    measured before the other filters apply. So a filter that few orders pass makes no long
    statement.
    """
    if until is not None:
        orders, along = orders.filter(created_at__lt=until), along.filter(created_at__lt=until)
    newest_first = along.order_by("-created_at", "-id").values_list("created_at", flat=True)
    try:
        begin = newest_first[PIECE - 1 :].first()
        if begin is not None:
            orders = orders.filter(created_at__gte=begin)
        return list(orders.order_by("-created_at", "-id").select_related("owner")), begin
    finally:
        close_old_connections()  # to the pool, as at the end of a request
