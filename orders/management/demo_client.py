"""The demo's orders: sent and followed as any program may, by the Python client (client/)."""

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack

from order_engine_client import AsyncClient, Changes, Event, NewOrder, Order, Refused

MOVED = frozenset(("order_changed", "not_amendable", "not_cancellable"))
"""Why an order that moved meanwhile is neither amended nor cancelled."""


@dataclass(slots=True)
class SentOrder:
    """An order that the engine took, and its events so far."""

    order: Order
    sent_at: float
    """`time.monotonic()` when it was sent."""
    events: list[Event] = field(default_factory=list)
    ended_at: float | None = None

    @property
    def name(self) -> str:
        """The order in a person's words, with the amount of the fixed side."""
        order = self.order
        if order.amount_in is not None:
            return f"{order.amount_in} {order.token_in} -> {order.token_out}"
        return f"{order.token_in} -> {order.amount_out} {order.token_out}"

    @property
    def status(self) -> str:
        return self.events[-1].status if self.events else "pending"

    @property
    def seconds(self) -> float:
        """The seconds from when it was sent to the last event, or to now."""
        return (self.ended_at or time.monotonic()) - self.sent_at


async def send(client: AsyncClient, body: NewOrder) -> SentOrder:
    """:raises EngineError: the order was not taken, or nobody knows."""
    sent_at = time.monotonic()
    return SentOrder(await client.place(body), sent_at)


async def follow(client: AsyncClient, sent: SentOrder, tell: Callable[[SentOrder], None]) -> None:
    """Read the order's events to its last.

    :raises EngineError: the engine does not show this order.
    """
    async with aclosing(client.follow(sent.order.order_id, len(sent.events))) as events:
        async for event in events:
            sent.events.append(event)
            if event.is_final:
                sent.ended_at = time.monotonic()
            tell(sent)


async def cancel(client: AsyncClient, sent: SentOrder) -> None:
    """Cancel an order that is not filling and has not ended.

    :raises EngineError: it was not done.
    """
    await _unless_moved(client.cancel(sent.order.order_id))


async def amend(client: AsyncClient, sent: SentOrder, **changes: Unpack[Changes]) -> bool:
    """Change an order that rests; False: it moved meanwhile.

    :raises EngineError: it was not done.
    """
    return await _unless_moved(client.amend(sent.order.order_id, len(sent.events), **changes))


async def _unless_moved(work: Awaitable[Order]) -> bool:
    try:
        await work
    except Refused as error:
        if error.code not in MOVED:
            raise
        return False
    return True


async def read_prices(client: AsyncClient, market: str, seconds: int) -> list[dict[str, Any]]:
    """Return the market's prices of the last seconds, in order: `bid` and `ask`, None without one.

    :raises EngineError: there is no such market, or no engine.
    """
    since = f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    found = await client.get("/api/prices", {"market": market, "from": since, "step": 1})
    return [
        {line: (point[line] or {}).get("last") for line in ("bid", "ask")}
        for point in found["points"]
    ]
