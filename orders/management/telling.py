"""Writes the events of an order: for people with both quotes and the gain, or as JSON."""

import asyncio
import shutil
import textwrap
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from django.core.management.base import OutputWrapper

from orders.events import Event
from orders.lifecycle import Status
from orders.management.gains import gain_of, grouped
from routing.venues import LABELS

NAME_WIDTH = 12
"""Of an order among others, in the lines that tell its events."""
INDENT = " " * 11
CLEAR = "\r\x1b[2K"
TICK_SECONDS = 0.1
COLOURS = {
    Status.CONFIRMED: "32",
    Status.FAILED: "31",
    Status.EXPIRED: "31",
    Status.CANCELLED: "2",
}
UNDER_WAY, WINNER, QUIET = "33", "1", "2"
WAITS = {
    Status.PENDING: "waits for a worker",
    Status.ROUTING: "asks both venues",
    Status.BUILDING: "signs the transaction",
    Status.SUBMITTED: "waits for the network",
}


class Telling:
    """Writes events: lines for people, or the stream's messages as JSON.

    On a terminal, statuses have colours, and the last line counts the seconds.
    """

    def __init__(
        self,
        out: OutputWrapper,
        *,
        as_json: bool,
        name: str = "",
        order: dict[str, Any] | None = None,
        no_color: bool = False,
    ) -> None:
        """`name` tells the lines of an order from those of another; `order` is as in the API."""
        self._out = out
        self._name = f"{name:<{NAME_WIDTH}}" if name else ""
        self._order = order or {}
        self.as_json = as_json
        is_terminal = out.isatty() and not as_json
        self._has_colours = is_terminal and not no_color
        self._width = shutil.get_terminal_size().columns - 1 if is_terminal else None
        self._is_live = is_terminal and not name
        self._began: tuple[datetime, float] | None = None
        self._building: dict[str, Any] = {}
        self.last: Event | None = None

    def tell(self, event: Event) -> None:
        self.last = event
        if self.as_json:
            self._out.write(event.as_text().decode())
            self._out.flush()
            return
        self._learn(event)
        seconds = (event.at - self._began[0]).total_seconds() if self._began else 0.0
        status = self._coloured(f"{event.status:<9}", COLOURS.get(event.status, UNDER_WAY))
        start = f"{seconds:7.3f} s  {self._name}"
        first, *others = self._lines_of(event)
        self._write(start, status + "  ", first, len(start) + 11)
        for line in others:
            self._write(INDENT + self._name, "", line, len(INDENT + self._name))
        self._out.flush()

    def say(self, words: str) -> None:
        """Write a sentence that is no event."""
        if words:
            self._write(f"{INDENT}{self._name}{'':11}", "", words, 11 + len(self._name) + 11)
            self._out.flush()

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[None]:
        """Have the seconds counted below the events, on a terminal."""
        task = asyncio.create_task(self._count()) if self._is_live else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                self._clear()

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.last is not None and self._began is not None and self.last.status in WAITS:
                seconds = time.monotonic() - self._began[1]
                text = f"{seconds:7.1f} s  {self.last.status:<9}  {WAITS[self.last.status]} ..."
                self._out.write(CLEAR + self._coloured(text[: self._width], QUIET), ending="")
                self._out.flush()

    def _learn(self, event: Event) -> None:
        if self._began is None:
            self._began = (event.at, time.monotonic())
        self._order = event.data.get("order") or self._order
        if event.status is Status.BUILDING:
            self._building = event.data

    def _lines_of(self, event: Event) -> list[str]:
        if event.status is Status.BUILDING and event.data.get("quotes"):
            return [self._decided(event.data), *self._offers(event.data)]
        if event.status is Status.SUBMITTED and event.data.get("txHash"):
            return [f"Sent to the network as {short(event.data['txHash'])}"]
        if event.status is Status.CONFIRMED and event.data.get("amountOut"):
            return [self._filled(event), *self._gained(event.data)]
        if event.status is Status.PENDING and event.seq == 1 and self._order.get("summary"):
            return [self._order["summary"]]
        return [said(event)]

    def _decided(self, data: dict[str, Any]) -> str:
        venues = " and ".join(label(leg["dex"]) for leg in data.get("legs") or ())
        if data.get("marginBps") is None:
            return f"{venues}, alone" if len(data["quotes"]) == 1 else venues
        return f"{venues}, by {grouped(data['marginBps'])} bps"

    def _offers(self, data: dict[str, Any]) -> Iterator[str]:
        """Yield a line for each venue, with its amount net of fees, and one for the bound."""
        unit, limit = unit_of(data)
        used = {leg["dex"] for leg in data.get("legs") or ()}
        rows = [(label(one["dex"]), one[unit], one["price"], one["dex"]) for one in data["quotes"]]
        bound = "at least" if unit == "amountOut" else "at most"
        width = max(len(grouped(amount)) for _, amount, *_ in [*rows, ("", data[limit])])
        of_price = max(len(grouped(price)) for _, _, price, _ in rows)
        for name, amount, price, venue in rows:
            sign = ">" if venue in used else " "
            text = f"{sign} {name:<9} {grouped(amount):>{width}} {self._token(unit)}"
            text += f" at {grouped(price):>{of_price}}"
            yield self._coloured(text, WINNER) if venue in used else text
        for one in data.get("dropped") or ():
            yield f"  {label(one['dex']):<9} {one['reason']}"
        yield f"  {bound:<9} {grouped(data[limit]):>{width}} {self._token(unit)}"

    def _filled(self, event: Event) -> str:
        unit, _ = unit_of(self._building)
        price = grouped(event.data["executedPrice"])
        return f"{grouped(event.data[unit])} {self._token(unit)} at {price}"

    def _gained(self, fill: dict[str, Any]) -> Iterator[str]:
        gain = gain_of(self._building, fill)
        if gain is None:
            return
        token = self._token("amountOut" if gain.in_output else "amountIn")
        more = ("more", "less") if gain.in_output else ("less", "more")
        word = more[0] if gain.amount >= 0 else more[1]
        text = f"{grouped(abs(gain.amount))} {token} {word} than {gain.against} offered"
        yield self._coloured(text, COLOURS[Status.CONFIRMED] if gain.amount > 0 else QUIET)

    def _token(self, unit: str) -> str:
        return str(self._order.get("tokenOut" if unit == "amountOut" else "tokenIn") or "")

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._has_colours else text

    def _write(self, start: str, mark: str, text: str, indent: int) -> None:
        """Write a line. On a terminal, a long one goes on below its beginning."""
        self._clear()
        if self._width is not None and "\x1b" not in text:
            room = max(20, self._width - indent)
            text = f"\n{' ' * indent}".join(textwrap.wrap(text, room) or [""])
        self._out.write(start + mark + text)

    def _clear(self) -> None:
        if self._is_live:
            self._out.write(CLEAR, ending="")


def unit_of(data: dict[str, Any]) -> tuple[str, str]:
    """Return which amount of a decision was not fixed, and the name of its bound."""
    if data.get("minAmountOut") is not None or "maxAmountIn" not in data:
        return "amountOut", "minAmountOut"
    return "amountIn", "maxAmountIn"


def label(venue: str) -> str:
    return LABELS.get(venue, venue)


def said(event: Event) -> str:
    """Return an event's message, with what happened if neither status nor message say it."""
    happened = event.event
    if happened is None or event.message.lower().startswith(happened):
        return event.message
    return f"{happened}: {event.message}"


def short(signature: str) -> str:
    """Return the beginning and the end of a signature."""
    return signature if len(signature) <= 16 else f"{signature[:6]}...{signature[-6:]}"
