"""The demo's output: a line for each order, updated in place on a terminal, and then a table."""

import shutil
import time
from collections.abc import Sequence

from django.core.management.base import OutputWrapper

from orders.management.demo_client import SentOrder

UP = "\x1b[{}F"
CLEAR_LINE = "\x1b[2K"
HEADERS = ("order", "side", "venue", "price", "hash", "time")


class Board:
    """Lines of orders in progress. Where they cannot be updated, each event gets a line."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._is_live = out.isatty()
        self._orders: Sequence[SentOrder] = ()
        self._before: list[SentOrder] = []
        self._began_at = time.monotonic()
        self._width = 0

    def begin(self, orders: Sequence[SentOrder]) -> None:
        """Show these orders, below those that were shown before."""
        if not self._orders:
            self._began_at = min(order.sent_at for order in orders)
        self._before += self._orders
        self._orders = orders
        self._width = max(len(order.name) for order in orders)
        if self._is_live:
            self._write("\n".join(self._lines()))

    def show(self, order: SentOrder) -> None:
        """Show the order's newest event."""
        if self._is_live:
            self._write(UP.format(len(self._orders)) + "\n".join(self._lines()))
            return
        event = order.events[-1]
        seconds = time.monotonic() - self._began_at
        name = order.name.ljust(self._width)
        self._write(f"{seconds:7.3f} s  {name}  {event.status:<9}  {event.message}")

    def close(self) -> None:
        """Print the table of the orders' outcomes."""
        rows = [HEADERS, *(_row(order) for order in (*self._before, *self._orders))]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADERS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        self._write("\n" + "\n".join(lines))

    def say(self, sentence: str) -> None:
        """Write a sentence; on a terminal, above the lines that are updated in place."""
        if self._is_live and any(order.ended_at is None for order in self._orders):
            self._write(UP.format(len(self._orders)) + CLEAR_LINE + sentence)
            self._write("\n".join(self._lines()))
        else:
            self._write(sentence)

    def _lines(self) -> list[str]:
        columns = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be updated
        lines = []
        for order in self._orders:
            way = " > ".join(event.status for event in order.events) or "..."
            lines.append(CLEAR_LINE + f"{order.name.ljust(self._width)}  {way}"[:columns])
        return lines

    def _write(self, lines: str) -> None:
        self._out.write(lines)  # ends the last line
        self._out.flush()


def _row(order: SentOrder) -> tuple[str, ...]:
    last = order.events[-1] if order.events else None
    if last is None:
        result = f"{order.status}: nothing was heard"
    elif order.status == "confirmed":
        result = f"{last.executed_price} {order.order.quote_token} per {order.order.base_token}"
    else:
        result = f"{order.status}: {last.error or last.message}"
    return (
        order.name,
        order.order.side,
        (last and last.route) or "-",
        result,
        short((last and last.tx_hash) or "-"),
        f"{order.seconds:.2f} s",
    )


def short(signature: str) -> str:
    """Return the beginning and the end of a signature."""
    return signature if len(signature) <= 16 else f"{signature[:6]}...{signature[-6:]}"
