"""An account's events as one stream without a gap, however often the line breaks."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Literal

from order_engine_client import lines
from order_engine_client.answers import Event, Order, Snapshot, build
from order_engine_client.errors import EngineError, Refused
from order_engine_client.http import Engine

Transport = Literal["ws", "sse", "feed"]
CURSOR_UNKNOWN = "cursor_unknown"
MOST_ENDED = 10_000
"""Orders that have ended and whose last seq is kept, to know events that come twice."""


class Seqs:
    """The last seq that was told of each order: of those that ended, of the last 10,000."""

    def __init__(self, seen: Mapping[str, int]) -> None:
        self._open = dict(seen)
        self._ended: dict[str, int] = {}

    def of(self, order_id: str) -> int | None:
        return self._open.get(order_id, self._ended.get(order_id))

    def note(self, order_id: str, seq: int, *, is_final: bool) -> None:
        if not is_final:
            self._open[order_id] = seq
            return
        self._open.pop(order_id, None)
        self._ended[order_id] = seq
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]


class Events(AsyncIterator[Event | Snapshot]):
    """The events of an account's orders: of each order by `seq`, without a gap, and none twice.

    Keep `cursor` with what you made of the events, in one transaction, and begin there the next
    time. All events before it were given to you; some after it may come again.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        cursor: str | None,
        snapshot: bool,
        seen: Mapping[str, int],
        filters: Mapping[str, str],
        transport: Transport,
    ) -> None:
        self.cursor = cursor
        self._engine, self._filters, self._transport = engine, filters, transport
        self._snapshot, self._is_anew, self._is_whole = snapshot, False, False
        self._seqs = Seqs(seen)
        self._told = self._tell()

    async def __anext__(self) -> Event | Snapshot:
        return await anext(self._told)

    async def aclose(self) -> None:
        await self._told.aclose()

    async def __aenter__(self) -> "Events":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _tell(self) -> AsyncGenerator[Event | Snapshot, None]:
        while True:
            try:
                async with aclosing(lines.messages(self._engine, self._line)) as messages:
                    begins_at: str | None = None
                    orders: list[Order] = []
                    async for message in messages:
                        match message["type"]:
                            case "hello":
                                begins_at, orders = message["cursor"], []
                                if not self._wants_snapshot:
                                    self.cursor = self.cursor or begins_at
                                elif self._transport == "feed":  # it has no snapshots
                                    orders = await self._open_orders()
                                    yield self._begin(begins_at, orders)
                            case "snapshot":
                                orders += [build(Order, one) for one in message["orders"]]
                                if not message["more"]:
                                    yield self._begin(begins_at, orders)
                            case "status_update":
                                for event in await self._new(build(Event, message)):
                                    yield event
                            case "checkpoint":
                                self.cursor = message["cursor"]
            except Refused as error:
                if error.code != CURSOR_UNKNOWN or self.cursor is None:
                    raise
                self.cursor, self._snapshot, self._is_anew = None, True, True

    @property
    def _wants_snapshot(self) -> bool:
        return self._snapshot and self.cursor is None

    def _begin(self, cursor: str | None, orders: list[Order]) -> Snapshot:
        """Go on after a snapshot: from now on every order is known, or new."""
        self.cursor, self._is_whole = cursor, True
        self._seqs = Seqs({order.order_id: order.seq for order in orders})
        is_anew, self._is_anew = self._is_anew, False
        return Snapshot(tuple(orders), is_anew)

    async def _new(self, event: Event) -> list[Event]:
        """Return the event with those before it that were not told; none, if it was told."""
        last = self._seqs.of(event.order_id)
        if last is None:  # without a snapshot the order may be older than this stream
            last = 0 if self._is_whole else event.seq - 1
        if event.seq <= last:
            return []
        found = await without_hole(self._engine, event, last)
        self._seqs.note(event.order_id, found[-1].seq, is_final=found[-1].is_final)
        return found

    def _line(self) -> lines.Line:
        query = dict(self._filters)
        if self.cursor is not None:
            query["cursor"] = self.cursor
        if self._transport == "feed":
            return lines.feed(self._engine, query)
        if self._wants_snapshot:
            query["snapshot"] = "open"
        if self._transport == "sse":
            return lines.sse(self._engine, query)
        return lines.socket(self._engine, "/ws/orders", query, lines.SILENT_SECONDS)

    async def _open_orders(self) -> list[Order]:
        query = {"state": "active", "limit": "200", **self._filters}
        return [one async for one in pages(self._engine, query)]


async def follow(engine: Engine, order_id: str, after: int) -> AsyncGenerator[Event, None]:
    """Tell the events of one order after this seq, to its last; it needs no account.

    :raises EngineError: there is no such order, or no engine.
    """

    def line() -> lines.Line:
        return lines.socket(engine, f"/ws/orders/{order_id}", {"after": after}, None)

    async with aclosing(lines.messages(engine, line)) as messages:
        async for message in messages:
            event = build(Event, message)
            for one in await without_hole(engine, event, after) if event.seq > after else ():
                after = one.seq
                yield one
                if one.is_final:
                    return


async def without_hole(engine: Engine, event: Event, last: int) -> list[Event]:
    """Return the events of its order after this seq, to this event or further.

    :raises EngineError: the engine's own log has a hole.
    """
    if event.seq == last + 1:
        return [event]
    found = await log_of(engine, event.order_id, last)
    if [one.seq for one in found[: event.seq - last]] != [*range(last + 1, event.seq + 1)]:
        detail = f"The log of order {event.order_id} has a hole after seq {last}."
        raise EngineError("hole_in_log", detail)
    return found


async def log_of(engine: Engine, order_id: str, after: int) -> list[Event]:
    found = await engine.ask("GET", f"/api/orders/{order_id}/events", query={"after": after})
    return [build(Event, one) for one in found["events"]]


async def pages(engine: Engine, query: Mapping[str, Any]) -> AsyncGenerator[Order, None]:
    """Yield the orders of a list, page by page."""
    place: str | None = "/api/orders"
    asked: Mapping[str, Any] | None = query
    while place is not None:
        page = await engine.ask("GET", place, query=asked)
        for one in page["results"]:
            yield build(Order, one)
        place, asked = page["next"], None
