"""The client of asyncio programs. `Client` (sync.py) does the same for others."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Unpack

from order_engine_client.answers import Cancelled, Event, Order, Outcome, Preview, build
from order_engine_client.bodies import Changes, NewOrder, is_pair, plain
from order_engine_client.errors import NotNow, OutcomeUnknown, Refused, error_of
from order_engine_client.events import Events, Transport, follow, log_of, pages
from order_engine_client.http import EXECUTE, Engine

Side = Literal["buy", "sell"]


class AsyncClient:
    """One engine, for one account: the holder of `api_key`. Without a key it is anonymous.

    `timeout`: seconds until an answer counts as lost. `give_up_after`: seconds until a call that
    was not answered is given up, and a stream on which no line can be had any more.

    Each call raises `Refused` (it was not done, and would be refused again), `NotNow` (it was not
    done, and may be later) or `OutcomeUnknown` (it may have been done).
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        timeout: float = 5.0,
        give_up_after: float = 60.0,
    ) -> None:
        """:raises ValueError: it is no URL of http or https."""
        self._engine = Engine(url, api_key, timeout=timeout, give_up_after=give_up_after)

    async def aclose(self) -> None:
        await self._engine.http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Read any path of the API, such as /api/prices, as values."""
        return await self._engine.ask("GET", path, query=_texts(query or {}))

    async def place(self, order: NewOrder, *, key: str | None = None) -> Order:
        """Place an order; for an account, once, whatever happens to the answers.

        `key` is its Idempotency-Key, for a program that keeps its own: it may send the same again
        after its own restart, and gets the same order.
        """
        if is_pair(order):
            raise ValueError("an oco is two orders: place_pair")
        return build(Order, await self._engine.enter(EXECUTE, order, key))

    async def place_pair(self, order: NewOrder, *, key: str | None = None) -> tuple[Order, Order]:
        """Place an oco, and return its target and its stop."""
        found = await self._engine.enter(EXECUTE, order, key)
        if "orders" not in found:  # one of the two was asked for after a lost answer
            sibling = await self._engine.ask("GET", f"/api/orders/{found['siblingOrderId']}")
            is_target = found["groupRole"] == "takeProfit"
            found = {"orders": [found, sibling] if is_target else [sibling, found]}
        target, stop = (build(Order, one) for one in found["orders"])
        return target, stop

    async def preview(self, order: NewOrder) -> Preview:
        """Return what an order would do now; nothing is stored."""
        return build(Preview, await self._engine.ask("POST", "/api/orders/preview", order))

    async def batch(
        self, orders: Sequence[NewOrder], *, all_or_none: bool = False, key: str | None = None
    ) -> list[Outcome]:
        """Place up to 100 orders: each by itself, or all of them or none (`batch_refused`).

        It is sent again, under its key, while it is not known of one what became of it.
        """
        body = {"orders": orders, "mode": "all" if all_or_none else "independent"}
        key, patience = key or self._engine.new_key(), self._engine.patience()
        while True:
            found = _outcomes(await self._engine.enter("/api/orders/batch", body, key))
            errors = [one.error for one in found if isinstance(one.error, OutcomeUnknown)]
            if key is None or not errors:
                return found
            try:
                await patience.wait(errors[0])
            except OutcomeUnknown:
                return found

    async def replace(self, order_id: str, order: NewOrder, *, key: str | None = None) -> Order:
        """Cancel an order and place another one in the same moment, or neither."""
        path = f"/api/orders/{order_id}/replace"
        return build(Order, await self._engine.enter(path, order, key))

    async def cancel(self, order_id: str, *, when_possible: bool = False) -> Order:
        """Cancel an order; one that was cancelled before is returned as it is.

        `when_possible`: also one that was submitted, if its transaction proves dead.
        """
        body = {"whenPossible": when_possible}
        found = await self._engine.ask("POST", f"/api/orders/{order_id}/cancel", body)
        return build(Order, found)

    async def cancel_many(
        self, order_ids: Sequence[str], *, when_possible: bool = False
    ) -> list[Outcome]:
        """Cancel up to 500 orders, each by itself."""
        body: dict[str, Any] = {"orderIds": order_ids, "whenPossible": when_possible}
        return _outcomes(await self._engine.ask("POST", "/api/orders/cancel", body))

    async def cancel_all(
        self,
        *,
        market: str | None = None,
        side: Side | None = None,
        types: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        scope: Literal["all", "entries"] = "all",
        when_possible: bool = False,
    ) -> Cancelled:
        """Cancel all of the account's orders that pass the filters.

        If an answer was lost it is done again, and what is returned is of the last time alone.
        """
        wanted = {"market": market, "side": side, "types": types, **_tags(tags)}
        body: dict[str, Any] = {name: one for name, one in wanted.items() if one is not None}
        body |= {"scope": scope, "whenPossible": when_possible}
        return build(Cancelled, await self._engine.ask("POST", "/api/orders/cancel-all", body))

    async def amend(self, order_id: str, seq: int, **changes: Unpack[Changes]) -> Order:
        """Change an order that rests and is still at this seq (else `order_changed`)."""
        path, unknown = f"/api/orders/{order_id}", None
        patience = self._engine.patience()
        while True:
            try:
                return build(Order, await self._engine.once("PATCH", path, {**changes, "seq": seq}))
            except Refused:
                if not (unknown and await self._is_amended(order_id, seq, changes)):
                    raise
                return await self.order(order_id)
            except (NotNow, OutcomeUnknown) as error:
                unknown = error if isinstance(error, OutcomeUnknown) else unknown
                await patience.wait(error, unknown)

    async def order(self, order_id: str) -> Order:
        return build(Order, await self._engine.ask("GET", f"/api/orders/{order_id}"))

    def orders(
        self, /, *, tags: Mapping[str, str] | None = None, **filters: Any
    ) -> AsyncIterator[Order]:
        """Yield the account's orders, the newest first.

        Filters are those of docs/api.md by their names there: `status`, `state`, `market`, …
        """
        return pages(self._engine, _texts(filters | _tags(tags)))

    async def order_events(self, order_id: str, after: int = 0) -> list[Event]:
        """Return the events of an order so far, after this seq."""
        return await log_of(self._engine, order_id, after)

    def follow(self, order_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Yield the events of one order to its last, however often the line breaks."""
        return follow(self._engine, order_id, after)

    def events(
        self,
        cursor: str | None = None,
        *,
        snapshot: bool = False,
        market: str | None = None,
        types: Iterable[str] = (),
        tags: Mapping[str, str] | None = None,
        seen: Mapping[str, int] | None = None,
        transport: Transport = "ws",
    ) -> Events:
        """Yield all events of the account's orders, from a cursor on, or from now on.

        `snapshot`: without a cursor, begin with all open orders, as one `Snapshot`. One comes,
        too, if the engine does not know the cursor (`is_anew`). `seen`: the last seq of each open
        order in your books, so that nothing comes twice, and a hole is seen, across your restart.
        """
        filters = {"market": market, "type": ",".join(types)} | _tags(tags)
        return Events(
            self._engine,
            cursor=cursor,
            snapshot=snapshot,
            seen=seen or {},
            filters={name: one for name, one in filters.items() if one},
            transport=transport,
        )

    async def _is_amended(self, order_id: str, seq: int, changes: Changes) -> bool:
        """Whether the order's next event is the very amendment whose answer was lost."""
        later = await self.order_events(order_id, seq)
        if not later or later[0].event != "amended":
            return False
        after = later[0].data.get("after", {})
        return all(_same(after[name], one) for name, one in changes.items() if name in after)


def _same(told: Any, sent: Any) -> bool:
    return bool(told == (Decimal(str(sent)) if isinstance(told, Decimal) else sent))


def _outcomes(found: list[dict[str, Any]]) -> list[Outcome]:
    return [
        Outcome(
            one["index"],
            one["status"],
            tuple(build(Order, order) for order in one.get("orders") or _one(one.get("order"))),
            error_of(one["status"], one["problem"]) if "problem" in one else None,
        )
        for one in found
    ]


def _one(order: Any) -> list[Any]:
    return [] if order is None else [order]


def _tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    return {f"tag.{name}": text for name, text in (tags or {}).items()}


def _texts(query: Mapping[str, Any]) -> dict[str, Any]:
    """Return a query without what is None, its values as httpx takes them."""
    return {
        name: one if isinstance(one, str | int) else plain(one)
        for name, one in query.items()
        if one is not None
    }
