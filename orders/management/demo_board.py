"""The demo's output: a line for each order, updated in place on a terminal, and then a table."""

import shutil
import textwrap
import time
from collections.abc import Sequence

from django.core.management.base import OutputWrapper

from orders.management.demo_client import SentOrder
from orders.management.demo_money import gain_of_order, token_of
from orders.management.gains import grouped, rounded
from orders.management.telling import short

UP = "\x1b[{}F"
CLEAR_LINE = "\x1b[2K"
HEADERS = ("order", "side", "venue", "price", "more", "hash", "time")
LEFT_OUT = ("hash", "side", "more", "price")
"""Columns that a narrow terminal does without, in this order."""
GREEN, RED, YELLOW, PLAIN = "32", "31", "33", ""
COLOURS = {"confirmed": GREEN, "failed": RED, "expired": RED, "cancelled": PLAIN}


class Board:
    """Lines of orders in progress. Where they cannot be updated, each event gets a line."""

    def __init__(self, out: OutputWrapper, *, no_color: bool = False) -> None:
        self._out = out
        self._is_live = out.isatty()
        self._has_colours = self._is_live and not no_color
        # A line that wraps cannot be updated. Where it cannot be updated, it may be long.
        self._columns = shutil.get_terminal_size().columns - 1 if self._is_live else 200
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
        columns = fitting(list(map(list, zip(*rows, strict=True))), self._columns)
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns, strict=True)
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        self._write("\n" + "\n".join(lines))

    def say(self, sentence: str) -> None:
        """Write a sentence; on a terminal, above the lines that are updated in place."""
        sentence = textwrap.fill(sentence, self._columns)
        if self._is_live and any(order.ended_at is None for order in self._orders):
            self._write(UP.format(len(self._orders)) + CLEAR_LINE + sentence)
            self._write("\n".join(self._lines()))
        else:
            self._write(sentence)

    def _lines(self) -> list[str]:
        return [CLEAR_LINE + self._line(order) for order in self._orders]

    def _line(self, order: SentOrder) -> str:
        """Return the order's way; where that does not fit, its last steps."""
        steps = [str(event.status) for event in order.events] or ["..."]
        name = order.name.ljust(self._width)
        while len(steps) > 1 and len(f"{name}  {' > '.join(steps)}") > self._columns:
            steps = ["..", *steps[2:]] if steps[0] == ".." else ["..", *steps[1:]]
        line = f"{name}  {' > '.join(steps)}"[: self._columns]
        colour = COLOURS.get(order.status, YELLOW)
        if not (self._has_colours and colour and line.endswith(steps[-1])):
            return line
        return f"{line.removesuffix(steps[-1])}\x1b[{colour}m{steps[-1]}\x1b[0m"

    def _write(self, lines: str) -> None:
        self._out.write(lines)  # ends the last line
        self._out.flush()


def fitting(columns: list[list[str]], room: int) -> list[list[str]]:
    """Return the columns that have room side by side; their first cells are HEADERS."""
    left_out = list(LEFT_OUT)
    while left_out and sum(max(map(len, column)) + 2 for column in columns) - 2 > room:
        name = left_out.pop(0)
        columns = [column for column in columns if column[0] != name]
    return columns


def _row(order: SentOrder) -> tuple[str, ...]:
    last = order.events[-1] if order.events else None
    told = order.order
    more = ""
    if last is None:
        result = f"{order.status}: nothing was heard"
    elif order.status == "confirmed":
        result = f"{grouped(last.executed_price or '0')} {told.quote_token}"
        gain = gain_of_order(order)
        more = "" if gain is None else f"{rounded(gain.amount)} {token_of(gain, told)}"
    else:
        result = f"{order.status}: {last.error or last.message}"
    return (
        order.name,
        told.side,
        (last and last.route) or "-",
        result,
        more or "-",
        short((last and last.tx_hash) or "-"),
        f"{order.seconds:.2f} s",
    )
