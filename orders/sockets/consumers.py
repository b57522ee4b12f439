"""The WebSocket doors: follow one order, or send orders and follow them all on one socket.

A socket joins an order's followers before it reads the log, so it misses no event in between. After
that it passes on a hint with the next seq, and drops an older hint. If a hint skips a seq, the
socket reads the gap from the log. The resync finds events whose hints were lost
(`orders/streams/resync.py`).
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.utils import await_many_dispatch
from rest_framework.exceptions import APIException, ValidationError

from config.runtime.counters import counts
from orders.access.keys import READ, TRADE
from orders.api.problems import (
    DatabaseUnavailable,
    OrderNotFound,
    invalid_fields,
    problem,
    problem_of,
    said_of_path,
)
from orders.api.reading.fields import IDEMPOTENCY_KEY, idempotency_key_of, refuse, whole_number
from orders.api.reading.serializers import unknown_fields
from orders.events import Event, group_of
from orders.sockets import protocol
from orders.sockets.entry import REQUEST, EntrySocket
from orders.sockets.protocol import (
    Close,
    Ended,
    Socket,
    encode_json,
    error_frame,
)
from orders.streams.followers import LAYER_FAULTS, Form, Hint, followers_of_this_loop
from orders.streams.resync import UnknownOrder, Watch, streams_of_this_loop

logger = logging.getLogger(__name__)

IDLE_SECONDS = 3.0  # after the last order on a socket has ended
MAX_OPEN_ORDERS = 200  # on one socket


class OrderStream(Socket):
    """`/ws/orders/{id}?after=SEQ`: the order's events after SEQ, live to the last, then 1000."""

    _only_follows = True  # one order, with which the socket ends
    _hears_redis = True
    form: Form = staticmethod(str)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.streams = streams_of_this_loop()
        self.watches: dict[str, Watch] = {}
        try:
            await super().__call__(scope, receive, send)
        finally:
            for watch in list(self.watches.values()):
                await self._forget(watch)

    async def connect(self) -> None:
        await self.admit()
        await self.check_query({"after", "ticket"})
        await self.identify()
        await self.follow(self.scope["url_route"]["kwargs"]["order_id"])

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        detail = "This socket only tells of its order; send orders to /api/orders/execute."
        await self.say_problem(problem(400, "unexpected_frame", detail))

    async def follow(self, text: str, greeting: dict[str, Any] | None = None) -> None:
        """Send the order's log from `?after=` on, then what comes."""
        try:
            after = whole_number(self.query().get("after", "0"), "after")
        except ValidationError:
            detail = "`after` is a seq: a whole number, 0 or more."
            await self.end(Close.JUNK, problem(400, "invalid_after", detail))
        try:
            order_id = str(UUID(text))
        except ValueError:
            unknown = OrderNotFound("There is no such order: an id is a UUID.")
            await self.end(Close.NO_SUCH_ORDER, problem_of(unknown))
        watch = await self._join(order_id, after)
        try:
            if greeting:
                await self.say(encode_json(greeting))
            await self._catch_up(watch)
            if watch.sent == after > 0:
                await self._go_back_to_the_end(watch)
        except UnknownOrder:
            await self.end(Close.NO_SUCH_ORDER, problem_of(OrderNotFound()))
        except psycopg.Error:
            await self.end(Close.TRY_AGAIN_LATER, problem_of(DatabaseUnavailable()))

    def hear(self, hint: Hint) -> None:
        """Pass a hint on at once if the socket is caught up, and its client as well; else later."""
        watch = self.watches.get(hint.order_id)
        if watch is None or hint.seq <= watch.sent:
            return
        if hint.seq == watch.sent + 1 and self.say_at_once(hint.frame(self.form)):
            watch.sent = hint.seq
            if hint.is_final:
                self.nudges.put_nowait({"type": "order.ended", "order_id": hint.order_id})
        elif self.nudges.qsize() < MAX_OPEN_ORDERS:
            self.nudges.put_nowait({"type": "order.event", "hint": hint})

    async def order_event(self, nudge: dict[str, Any]) -> None:
        """A hint that could not be passed on at once."""
        hint: Hint = nudge["hint"]
        watch = self.watches.get(hint.order_id)
        if watch is None or hint.seq <= watch.sent:
            return
        if hint.seq > watch.sent + 1:
            counts["hints_missed"] += hint.seq - watch.sent - 1
            await self._catch_up_if_possible(watch)
            return
        await self._pass_on(watch, hint.seq, hint.text, is_final=hint.is_final)

    async def order_ended(self, nudge: dict[str, Any]) -> None:
        """The final event was passed on at once."""
        watch = self.watches.get(nudge["order_id"])
        if watch is not None:
            await self._end_watch(watch)

    async def order_behind(self, nudge: dict[str, Any]) -> None:
        """The resync found events that no hint told us of."""
        watch = self.watches.get(nudge["order_id"])
        if watch is not None:
            sent = watch.sent
            try:
                await self._catch_up_if_possible(watch)
            finally:  # the final event ends the socket from in there
                counts["events_resynced"] += watch.sent - sent

    async def all_ended(self) -> None:
        """Nothing is left to tell on this socket."""
        raise Ended(Close.DONE)

    async def _catch_up_if_possible(self, watch: Watch) -> None:
        try:
            await self._catch_up(watch)
        except UnknownOrder:  # the database went back to before its acceptance
            await self._say_gone(watch)
        except psycopg.Error as error:
            logger.warning(
                "the log cannot be read, the resync will try again: %s",
                error,
                extra={"order_id": watch.order_id},
            )

    async def _say_gone(self, watch: Watch) -> None:
        """Say that there is no such order any more; a socket that has others goes on."""
        found = problem_of(OrderNotFound(), orderId=watch.order_id)
        if self._only_follows:
            await self.end(Close.NO_SUCH_ORDER, found)
        await self.say_problem(found)
        await self._end_watch(watch)

    async def _catch_up(self, watch: Watch) -> None:
        for event in await self._history(watch, watch.sent):
            text = event.as_text().decode()
            await self._pass_on(watch, event.seq, text, is_final=event.is_final)

    async def _go_back_to_the_end(self, watch: Watch) -> None:
        """Handle an `?after=` without later events: it is the end of the log, or lies beyond it."""
        last = (await self._history(watch, 0))[-1]
        watch.sent = min(watch.sent, last.seq)
        if last.is_final and watch.sent == last.seq:
            await self._end_watch(watch)

    async def _history(self, watch: Watch, after: int) -> list[Event]:
        return await self.streams.history(watch.order_id, after, self.principal.owner)

    async def _pass_on(self, watch: Watch, seq: int, text: str, *, is_final: bool) -> None:
        await self.say(self.form(text))
        watch.sent = seq
        if is_final:
            await self._end_watch(watch)

    async def _end_watch(self, watch: Watch) -> None:
        await self._forget(watch)
        if not self.watches:
            await self.all_ended()

    async def _join(self, order_id: str, sent: int) -> Watch:
        watch = Watch(order_id, sent, self._nudge)
        self.watches[order_id] = watch
        self.streams.watch(watch)
        if self._hears_redis:
            try:
                async with asyncio.timeout(protocol.LAYER_SECONDS):
                    await followers_of_this_loop().join(group_of(order_id), self)
            except LAYER_FAULTS as error:
                self._hears_redis = False
                logger.warning(
                    "no hints, the resync serves: %s", error, extra={"order_id": order_id}
                )
        return watch

    async def _forget(self, watch: Watch) -> None:
        self.streams.unwatch(watch)
        self.watches.pop(watch.order_id, None)
        try:
            async with asyncio.timeout(protocol.LAYER_SECONDS):
                await followers_of_this_loop().leave(group_of(watch.order_id), self)
        except LAYER_FAULTS as error:
            logger.info("group not left: %s", error, extra={"order_id": watch.order_id})

    def _nudge(self, order_id: str) -> None:
        if self.nudges.qsize() < MAX_OPEN_ORDERS:
            self.nudges.put_nowait({"type": "order.behind", "order_id": order_id})


class TooManyOrders(APIException):
    """This socket follows as many orders as it may. Nothing was stored; use another socket."""

    status_code = 429
    default_detail = f"One socket follows at most {MAX_OPEN_ORDERS} orders."
    default_code = "too_many_orders"


class OrderEntry(EntrySocket, OrderStream):
    """The path of POST: `?orderId=` follows an order, frames are orders, many on one socket."""

    _idle: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._held: dict[str, list[Hint]] = {}
        """What happened to orders before their acceptance was told."""
        await super().__call__(scope, receive, send)

    async def connect(self) -> None:
        self._only_follows = "orderId" in self.query()
        scope = READ if self._only_follows else TRADE
        await self.admit(scope)
        known = {"orderId", "ticket"}
        await self.check_query(known | {"after"} if self._only_follows else known)
        await self._refuse_key()
        await self.identify(scope)
        if self._only_follows:
            order_id = self.query()["orderId"]
            await self.follow(order_id, greeting={"orderId": order_id, "status": "connected"})

    async def _refuse_key(self) -> None:
        """Refuse an Idempotency-Key header: a key is for one order, a socket for many orders."""
        try:
            key = idempotency_key_of(self.scope["headers"])
            if key is not None:
                text = "Orders that are sent as frames have a clientOrderId instead."
                raise refuse(IDEMPOTENCY_KEY, "unknown_header", text)
        except ValidationError as refused:
            await self.end(Close.JUNK, invalid_fields(refused))

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        if "action" not in frame:
            await self.take_order(frame)
        elif REQUEST in frame:
            if self._idle is not None:
                self._wait_for_another(IDLE_SECONDS)
            await self.entry.take(frame)
        elif frame["action"] == "execute" and (beside := frame.keys() - {"action", "order"}):
            await self.say_problem(invalid_fields(unknown_fields(beside, frame)))
        elif frame["action"] == "execute":
            await self.take_order(frame.get("order"))
        else:
            detail = "Send an order, or {'action': 'execute', 'order': {...}}."
            await self.say_problem(problem(400, "unknown_action", detail))

    async def take_order(self, sent: Any) -> None:
        """Take an order, and answer it by its first event, or by an error."""
        await self.identify(TRADE)  # it may have been opened only to follow an order
        await self.refuse_one_too_many()
        asked = await self.entry.place(sent)
        if asked.answered is None:
            await self.say_problem(asked.problem)
        ignored = asked.answered.body.get("ignored") if asked.answered else None
        await self.acked(asked.order_ids, asked.events, ignored)

    async def refuse_one_too_many(self) -> None:
        """End a socket that follows as many orders as it may and is asked for one more."""
        if len(self.watches) >= MAX_OPEN_ORDERS:
            await self.end(Close.TOO_MUCH, problem_of(TooManyOrders()))

    async def announce(self, order_ids: Sequence[str]) -> None:
        """Follow these orders, and tell nothing of them until `acked`.

        :raises TooManyOrders: this socket follows as many as it may.
        """
        if len(self.watches) + len(order_ids) > MAX_OPEN_ORDERS:
            raise TooManyOrders
        self._held |= {order_id: [] for order_id in order_ids}
        await asyncio.gather(*(self._join(order_id, 0) for order_id in order_ids))

    async def acked(
        self,
        order_ids: Sequence[str],
        events: Sequence[Event],
        ignored: Sequence[str] | None = None,
    ) -> None:
        """Tell of the orders that were stored, each from its first event on; forget the others."""
        stored = {event.order_id for event in events}
        for order_id in order_ids:
            if order_id not in stored:
                del self._held[order_id]
                await self._forget(self.watches[order_id])
        for event in events:
            self._stop_waiting()
            if event.order_id in self._held:
                await self._say_accepted(event, ignored)
            elif event.order_id not in self.watches and len(self.watches) < MAX_OPEN_ORDERS:
                # It was accepted before.
                await self._catch_up_if_possible(await self._join(event.order_id, 0))

    async def _say_accepted(self, event: Event, ignored: Sequence[str] | None) -> None:
        held = self._held.pop(event.order_id)
        told = event.as_message() | ({"ignored": ignored} if ignored else {})
        watch = self.watches[event.order_id]
        await self._pass_on(watch, event.seq, encode_json(told), is_final=event.is_final)
        for hint in held:
            self.hear(hint)

    def hear(self, hint: Hint) -> None:
        if (held := self._held.get(hint.order_id)) is not None:
            held.append(hint)
        else:
            super().hear(hint)

    async def order_behind(self, nudge: dict[str, Any]) -> None:
        if nudge["order_id"] not in self._held:  # else the resync says it again
            await super().order_behind(nudge)

    async def all_ended(self) -> None:
        """Close, or stay open a little for another order."""
        if self._only_follows and not self.is_busy:
            raise Ended(Close.DONE)
        self._wait_for_another(IDLE_SECONDS)

    async def order_idle(self, nudge: dict[str, Any]) -> None:
        if self.is_busy:
            self._wait_for_another(IDLE_SECONDS)
        elif not self.watches:
            raise Ended(Close.DONE)

    def _wait_for_another(self, seconds: float) -> None:
        self._stop_waiting()
        self._idle = asyncio.get_running_loop().call_later(
            seconds, self.nudges.put_nowait, {"type": "order.idle"}
        )

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


class NoSuchPath(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Every other path. It opens the socket to say that there is nothing here."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Channels' own loop, without the layer: nobody has anything to tell here."""
        self.scope, self.base_send, self.channel_layer = scope, send, None
        with suppress(StopConsumer):
            await await_many_dispatch([receive], self.dispatch)

    async def connect(self) -> None:
        await self.accept()
        detail = (
            f"{said_of_path(self.scope['path'])} An order is followed at /ws/orders/{{id}}, and"
            " orders are sent to /api/orders/execute."
        )
        await self.send(error_frame(problem(404, "not_found", detail)))
        await self.close(Close.NO_SUCH_ORDER)
