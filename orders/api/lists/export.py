"""Orders as a table for spreadsheets, sent while they are read.

The orders are read in pieces along the list's own index, each piece by statements of its own. So
memory holds one piece, a slow client keeps no connection, and no transaction stays open. However
many tables a process sends, it reads one piece at a time. The answer is an asynchronous iterator:
Django's ASGI handler would first read all of a synchronous one.
"""

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import QuerySet
from django.http import StreamingHttpResponse

from orders.models import Order
from orders.representation import order_as_json

PIECE = 500  # orders
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?[0-9.]+")
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
FOR_OPERATORS = frozenset(("owner", "needsAttention"))
FOR_CLIENTS = tuple(name for name in COLUMNS if name not in FOR_OPERATORS)

Row = Callable[[Order], dict[str, Any]]
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


def csv_download(
    orders: QuerySet[Order],
    along: QuerySet[Order],
    columns: tuple[str, ...] = FOR_CLIENTS,
    row_of: Row = order_as_json,
) -> StreamingHttpResponse:
    """Return these orders as a table with a head, newest first.

    `along` has all of them and can be read by an index. It decides where each piece ends.
    """
    return download(_lines(orders, along, columns, row_of), "text/csv; charset=utf-8", "orders.csv")


def download(chunks: AsyncIterator[str], kind: str, name: str) -> StreamingHttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingHttpResponse(chunks, content_type=kind, headers=headers)


async def _lines(
    orders: QuerySet[Order], along: QuerySet[Order], columns: tuple[str, ...], row_of: Row
) -> AsyncIterator[str]:
    def write(piece: list[Order]) -> str:
        rows = map(row_of, piece)
        return _as_lines([cell(row.get(name)) for name in columns] for row in rows)

    yield _as_lines([columns])
    async for text in pieces(orders, along, write):
        yield text


def _as_lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def cell(value: object) -> object:
    """Return a value that a spreadsheet does not run: such a text begins with a quote here."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


async def pieces(
    orders: QuerySet[Order], along: QuerySet[Order], write: Callable[[list[Order]], str]
) -> AsyncIterator[str]:
    """Yield the orders as text, newest first, some at a time.

    They are read and written in a thread, so the loop can take new orders meanwhile.
    """
    turn = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    until: datetime | None = None
    while True:
        async with turn:
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
