"""The WebSocket doors: follow one order, or send orders and follow them all on one socket.

A socket joins the group first and reads the log second, so nothing falls between; after that a
hint that comes next in line is passed on, an older one is dropped, a newer one makes it read the
gap. What the layer loses, the resync finds (`orders/sockets/streams.py`).
"""

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import IntEnum
from typing import Any, NoReturn, cast
from urllib.parse import parse_qs
from uuid import UUID

import msgpack
import orjson
import psycopg
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.utils import await_many_dispatch
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import ValidationError

from config.http.door import RETRY, RETRY_SECONDS, TOO_MANY_SOCKETS, can_be_told, refuse_handshake
from config.http.refusal import Refusal
from config.runtime.counters import counts
from config.runtime.session import answered_within
from orders.access.accounts import NOBODY, NotAuthenticated, accounts_of_this_loop
from orders.access.admission import ShareIsFull, allowance_of, sender_of
from orders.access.authentication import (
    CHALLENGE,
    authenticate_socket,
    challenge_for,
    said_of_scope,
    tell_of_limit,
)
from orders.access.keys import READ, TRADE
from orders.api.dialects import PONG, is_ping
from orders.api.fields import IDEMPOTENCY_KEY, idempotency_key_of, refuse
from orders.api.filters import check_query
from orders.api.parsers import MalformedJSON, parse_json
from orders.api.problems import (
    AWAY,
    REFUSALS,
    Problem,
    invalid_fields,
    problem,
    refusal,
    said_of_order,
    said_of_path,
    too_many_requests,
)
from orders.api.serializers import (
    InvalidOrder,
    as_written,
    read_order,
    read_repeated_order,
    translated,
    unknown_fields,
)
from orders.engine.submission import (
    OrderRequest,
    accepted_before,
    new_order_id,
    recognised,
    repeat_order,
    submit_order,
)
from orders.events import Event, group_of
from orders.sockets.streams import LAYER_FAULTS, Streams, UnknownOrder, Watch, streams_of_this_loop

logger = logging.getLogger(__name__)

SEND_SECONDS = 10.0  # for one message, to a client that does not read
IDLE_SECONDS = 3.0  # after the last order on a socket has ended
LAYER_SECONDS = 1.0  # for Redis to answer; without it the resync serves
LAST_WORD_SECONDS = 1.0  # to say why a socket is closed
HEARING_SECONDS = 1.0  # for the client to hear it
MAX_OPEN_ORDERS = 200  # on one socket
MAX_FRAMES = 200  # a second
DATABASE_ERRORS = (psycopg.Error, OperationalError, InterfaceError)
ORDER_SECONDS = 2.0  # for the database to take an order
DATABASE_AWAY = ("database_unavailable", AWAY)


class Close(IntEnum):
    DONE = 1000
    TRY_AGAIN_LATER = 1013
    JUNK = 4400
    WHO_ARE_YOU = 4401
    NOT_FOR_THIS = 4403
    NO_SUCH_ORDER = 4404
    TOO_SLOW = 4408
    TOO_MUCH = 4429


# What a socket takes from where. Who can write to Redis names no other method of it.
FROM_SERVER = frozenset({"websocket.connect", "websocket.receive", "websocket.disconnect"})
FROM_OURSELVES = frozenset({"order.behind", "order.idle", "credential.withdrawn"})
FROM_REDIS = frozenset({"order.event"})
HINT = {"type": str, "order_id": str, "seq": int, "is_final": bool, "text": str}
Receive = Callable[[], Awaitable[dict[str, Any]]]


def is_hint(message: Any) -> bool:
    """Whether a message of the layer has the form of a hint (`orders/engine/hints.py`)."""
    return (
        isinstance(message, dict)
        and message.keys() == HINT.keys()
        and all(type(message[name]) is kind for name, kind in HINT.items())
        and message["seq"] > 0
    )


def encode_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def error_frame(found: Problem) -> str:
    """Return the problem as a frame: its type tells it from an event.

    No number in `status`: clients take it for an order's, which is a word.
    """
    members = {name: value for name, value in found.items() if name != "status"}
    return encode_json(members | {"type": "error", "httpStatus": found["status"]})


class Ended(StopConsumer):  # type: ignore[misc]  # Channels has no types
    """The socket is to be closed with this code; nothing more is read or told."""

    def __init__(self, code: Close) -> None:
        self.code = code
        super().__init__(code)


class OrderStream(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """`/ws/orders/{id}?after=SEQ`: the order's events after SEQ, live to the last, then 1000."""

    streams: Streams
    principal = NOBODY
    _only_follows = True  # one order, with which the socket ends

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Channels' own loop, for a layer that may be away, and with the resync as a source."""
        self.scope, self.base_send = scope, self._send_if_there
        self._receive, self._send, self._has_gone = receive, send, False
        self.streams = streams_of_this_loop()
        self._is_open = self._is_known = False
        self.watches: dict[str, Watch] = {}
        self.nudges: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._frames, self._second = 0, 0.0
        sources = [
            functools.partial(self._next, FROM_SERVER, self._hear),
            functools.partial(self._next, FROM_OURSELVES, self.nudges.get),
        ]
        self.channel_layer = await self._reach_layer()
        if self.channel_layer is not None:
            sources.append(functools.partial(self._next, FROM_REDIS, self._hear_redis))
        counts["sockets_opened"] += 1
        try:
            await await_many_dispatch(sources, self.dispatch)
        except Ended as ended:
            await self._close(ended.code)
        except StopConsumer:
            pass
        finally:
            counts["sockets_closed"] += 1
            accounts_of_this_loop().unwatch(self.principal, self._withdraw)
            for watch in list(self.watches.values()):
                await self._forget(watch)

    async def dispatch(self, message: dict[str, Any]) -> None:
        # Channels' own would visit the one thread that all sockets share, for every message, to
        # close Django connections that these handlers never open.
        await getattr(self, get_handler_name(message))(message)

    async def _next(self, taken: frozenset[str], receive: Receive) -> dict[str, Any]:
        """Return the next message of a source that may come from it; count the others."""
        while True:
            message = await receive()
            if message["type"] in taken:
                return message
            counts["messages_passed_over"] += 1

    async def _hear_redis(self) -> dict[str, Any]:
        """Return the next message of the layer that is in our form; count the others."""
        while True:
            try:
                message = await self.channel_layer.receive(self.channel_name)
            except (ValueError, msgpack.UnpackException):
                message = None  # no msgpack
            if is_hint(message):
                return cast(dict[str, Any], message)
            counts["messages_passed_over"] += 1

    async def accept(self, *args: Any, **options: Any) -> None:
        """Accept the socket, unless a server that was asked to stop has just refused it."""
        try:
            await super().accept(*args, **options)
        except RuntimeError as error:  # "got 'websocket.accept'": ASGI has no other word for it
            logger.info("a socket was refused before it was accepted: %s", error)
            raise StopConsumer from error
        self._is_open = True

    async def admit(self, scope: str = READ) -> None:
        """Open the socket; a program that may not have it is told by a status instead."""
        if can_be_told(self.scope):
            await self.identify(scope)
        await self.accept()

    async def connect(self) -> None:
        await self.admit()
        await self.check_query({"after", "ticket"})
        await self.identify()
        await self.follow(self.scope["url_route"]["kwargs"]["order_id"])

    async def check_query(self, known: set[str]) -> None:
        """Refuse what the query has beside these, so that nothing is dropped in silence."""
        try:
            check_query(self._query_lists().items(), known)
        except ValidationError as refused:
            await self._end(Close.JUNK, invalid_fields(refused))

    async def identify(self, scope: str = READ) -> None:
        """Learn for whom this socket acts, for as long as its credential holds.

        A key that is not for `scope` is refused.
        """
        if not self._is_known:
            await self._learn_for_whom()
        if not self.principal.may(scope):
            found = problem(403, "insufficient_scope", said_of_scope(scope))
            await self._end(Close.NOT_FOR_THIS, found, challenge_for(scope))

    async def _learn_for_whom(self) -> None:
        try:
            self.principal = await authenticate_socket(self.scope)
        except NotAuthenticated as refused:
            found = problem(401, "not_authenticated", str(refused))
            await self._end(Close.WHO_ARE_YOU, found)
        except DATABASE_ERRORS:
            if not self._is_open:
                await self.accept()
            await self._end(Close.TRY_AGAIN_LATER, problem(503, *DATABASE_AWAY))
        self._is_known = True
        place = self.scope.get("place")
        if place and self.principal.owner and not place.move(f"account:{self.principal.owner}"):
            counts["sockets_refused"] += 1
            tell_of_limit("sockets", self.scope, self.principal)
            found = problem(
                429, "too_many_sockets", TOO_MANY_SOCKETS.detail, retryAfter=RETRY_SECONDS
            )
            await self._end(Close.TOO_MUCH, found)
        accounts_of_this_loop().watch(self.principal, self._withdraw)

    async def credential_withdrawn(self, nudge: dict[str, Any]) -> None:
        detail = "The credential of this socket no longer holds."
        await self._end(Close.WHO_ARE_YOU, problem(401, "not_authenticated", detail))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        frame = await self._read_frame(text_data)
        if is_ping(frame):
            await self.say(encode_json({"type": PONG}))
        else:
            await self.handle_frame(frame)

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        detail = "This socket only tells of its order; send orders to /api/orders/execute."
        await self.say_problem(problem(400, "unexpected_frame", detail))

    async def follow(self, text: str, greeting: dict[str, Any] | None = None) -> None:
        """Send the order's log from `?after=` on, then what comes."""
        try:
            after = self._after()
        except ValueError:
            detail = "`after` is a seq: a whole number, 0 or more."
            await self._end(Close.JUNK, problem(400, "invalid_after", detail))
        try:
            order_id = str(UUID(text))
        except ValueError:
            detail = "There is no such order: an id is a UUID."
            await self._end(Close.NO_SUCH_ORDER, problem(404, "order_not_found", detail))
        watch = await self._join(order_id, after)
        try:
            if greeting:
                await self.say(encode_json(greeting))
            await self._catch_up(watch)
            if watch.sent == after > 0:
                await self._go_back_to_the_end(watch)
        except UnknownOrder:
            detail = "There is no such order."
            await self._end(Close.NO_SUCH_ORDER, problem(404, "order_not_found", detail))
        except psycopg.Error:
            await self._end(Close.TRY_AGAIN_LATER, problem(503, *DATABASE_AWAY))

    async def order_event(self, hint: dict[str, Any]) -> None:
        """A hint from the channel layer."""
        counts["hints_received"] += 1
        watch = self.watches.get(hint["order_id"])
        if watch is None or hint["seq"] <= watch.sent:
            return
        if hint["seq"] > watch.sent + 1:
            counts["hints_missed"] += hint["seq"] - watch.sent - 1
            await self._catch_up_if_possible(watch)
            return
        await self._pass_on(watch, hint["seq"], hint["text"], is_final=hint["is_final"])

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

    async def say(self, text: str) -> None:
        """Send a message; a client that does not take it in time is let go."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self.send(text)
        except TimeoutError:
            logger.info("a client was too slow")
            raise Ended(Close.TOO_SLOW) from None

    async def say_problem(self, found: Problem) -> None:
        await self.say(error_frame(found))

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
        detail = "There is no such order."
        found = problem(404, "order_not_found", detail, orderId=watch.order_id)
        if self._only_follows:
            await self._end(Close.NO_SUCH_ORDER, found)
        await self.say_problem(found)
        await self._end_watch(watch)

    async def _catch_up(self, watch: Watch) -> None:
        for event in await self._history(watch, watch.sent):
            await self.pass_on_event(watch, event)

    async def _go_back_to_the_end(self, watch: Watch) -> None:
        """Nothing came after `?after=`: it is the end of the log so far, or lies beyond it."""
        last = (await self._history(watch, 0))[-1]
        watch.sent = min(watch.sent, last.seq)
        if last.is_final and watch.sent == last.seq:
            await self._end_watch(watch)

    async def _history(self, watch: Watch, after: int) -> list[Event]:
        return await self.streams.history(watch.order_id, after, self.principal.owner)

    async def pass_on_event(self, watch: Watch, event: Event) -> None:
        await self._pass_on(watch, event.seq, event.as_text().decode(), is_final=event.is_final)

    async def _pass_on(self, watch: Watch, seq: int, text: str, *, is_final: bool) -> None:
        await self.say(text)
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
        if self.channel_layer is not None:
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    await self.channel_layer.group_add(group_of(order_id), self.channel_name)
            except LAYER_FAULTS as error:
                logger.warning(
                    "no hints, the resync serves: %s", error, extra={"order_id": order_id}
                )
        return watch

    async def _forget(self, watch: Watch) -> None:
        self.streams.unwatch(watch)
        self.watches.pop(watch.order_id, None)
        if self.channel_layer is not None:
            try:
                async with asyncio.timeout(LAYER_SECONDS):
                    await self.channel_layer.group_discard(
                        group_of(watch.order_id), self.channel_name
                    )
            except LAYER_FAULTS as error:
                logger.info("group not left: %s", error, extra={"order_id": watch.order_id})

    def _nudge(self, order_id: str) -> None:
        if self.nudges.qsize() < MAX_OPEN_ORDERS:
            self.nudges.put_nowait({"type": "order.behind", "order_id": order_id})

    def _withdraw(self) -> None:
        self.nudges.put_nowait({"type": "credential.withdrawn"})

    async def _reach_layer(self) -> Any:
        layer = get_channel_layer()
        try:
            async with asyncio.timeout(LAYER_SECONDS):
                self.channel_name = await self.streams.new_channel(layer)
        except LAYER_FAULTS as error:
            logger.warning("the channel layer is away, the resync serves: %s", error)
            return None
        return layer

    def _after(self) -> int:
        """:raises ValueError: `after` is not a whole number."""
        text = self._query().get("after", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise ValueError(text)
        return int(text)

    def _query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self._query_lists().items()}

    def _query_lists(self) -> dict[str, list[str]]:
        return parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)

    async def _read_frame(self, text: str | None) -> dict[str, Any]:
        """Return the JSON object in a frame; anything else ends the socket."""
        if self._is_flooding():
            await self._end(Close.TOO_MUCH, problem(429, "too_many_frames", "Send less at once."))
        try:
            if text is None:
                raise MalformedJSON("binary frames are not read")
            frame = parse_json(text)
            if not isinstance(frame, dict):
                raise MalformedJSON("a frame is a JSON object")
        except MalformedJSON as error:
            await self._end(Close.JUNK, problem(400, "malformed_json", f"Not readable: {error}."))
        return frame

    def _is_flooding(self) -> bool:
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._frames = now, 0
        self._frames += 1
        return self._frames > MAX_FRAMES

    async def _end(self, code: Close, found: Problem, challenge: str = CHALLENGE) -> NoReturn:
        """Say why, and close; a client that reads nothing is not waited for."""
        if not self._is_open and can_be_told(self.scope):
            asked = ((b"www-authenticate", challenge.encode()),)
            headers = RETRY if code == Close.TOO_MUCH else asked
            said = Refusal(found["status"], found["error"], found["detail"], headers)
            await refuse_handshake(self.scope, self._send, said)
            raise StopConsumer
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await self.send(error_frame(found))
        raise Ended(code)

    async def _close(self, code: Close) -> None:
        """Close, and meanwhile drop what still comes.

        A client that is busy sending sees the code only if it gets rid of its frames; and what
        is left unread when the connection ends takes the code with it.
        """
        dropping = asyncio.create_task(self._drop_frames())
        try:
            with suppress(StopConsumer):
                await self.close(code)
        finally:
            dropping.cancel()
            await asyncio.gather(dropping, return_exceptions=True)

    async def _drop_frames(self) -> None:
        """Read for a while, or until the client has gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARING_SECONDS):
                while not self._has_gone:
                    await self._hear()

    async def _hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._receive()
        self._has_gone = message["type"] == "websocket.disconnect"
        return message

    async def _send_if_there(self, message: dict[str, Any]) -> None:
        """Send; to a client known to have gone, the server would not let us."""
        if self._has_gone:
            raise StopConsumer
        await self._send(message)


class OrderEntry(OrderStream):
    """The path of POST: `?orderId=` follows an order, frames are orders, many on one socket."""

    async def connect(self) -> None:
        self._idle: asyncio.TimerHandle | None = None
        self._only_follows = "orderId" in self._query()
        scope = READ if self._only_follows else TRADE
        await self.admit(scope)
        known = {"orderId", "ticket"}
        await self.check_query(known | {"after"} if self._only_follows else known)
        await self._refuse_key()
        await self.identify(scope)
        if self._only_follows:
            order_id = self._query()["orderId"]
            await self.follow(order_id, greeting={"orderId": order_id, "status": "connected"})

    async def _refuse_key(self) -> None:
        """An order would be without its protection: one key is for one order, a socket for many."""
        try:
            key = idempotency_key_of(self.scope["headers"])
            if key is not None:
                text = "Orders that are sent as frames have a clientOrderId instead."
                raise refuse(IDEMPOTENCY_KEY, "unknown_header", text)
        except ValidationError as refused:
            await self._end(Close.JUNK, invalid_fields(refused))

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        if "action" not in frame:
            await self.take_order(frame)
        elif frame["action"] == "execute" and (beside := frame.keys() - {"action", "order"}):
            await self.say_problem(invalid_fields(unknown_fields(beside, frame)))
        elif frame["action"] == "execute":
            await self.take_order(frame.get("order"))
        else:
            detail = "Send an order, or {'action': 'execute', 'order': {...}}."
            await self.say_problem(problem(400, "unknown_action", detail))

    async def take_order(self, sent: Any) -> None:
        await self.identify(TRADE)  # the socket may be one that was opened to follow an order
        if len(self.watches) >= MAX_OPEN_ORDERS:
            detail = f"One socket follows at most {MAX_OPEN_ORDERS} orders."
            await self._end(Close.TOO_MUCH, problem(429, "too_many_orders", detail))
        with answered_within(ORDER_SECONDS):
            try:
                await self._translate_and_take(sent)
            except InvalidOrder as refused:
                await self.say_problem(invalid_fields(refused))
            except tuple(REFUSALS) as refused:
                await self.say_problem(refusal(refused) or {})
            except DATABASE_ERRORS as error:
                logger.warning("an order was not taken: %s", error)
                await self.say_problem(problem(503, "database_unavailable", said_of_order(sent)))

    async def _translate_and_take(self, sent: Any) -> None:
        meant = translated(sent)
        self.ignored = meant.ignored
        try:
            await self._recognise_or_take(meant.body)
        except InvalidOrder as refused:
            raise as_written(refused, sent, meant) from None

    async def _recognise_or_take(self, sent: Any) -> None:
        name = sent.get("clientOrderId") if isinstance(sent, dict) else None
        owner = self.principal.owner
        if (before := await accepted_before(owner, None, name)) is not None:
            if recognised(sent, before) is None:
                repeated = await read_repeated_order(sent, before)
                repeat_order(repeated, owner, None, before)
            self._stop_waiting()
            await self._follow_again(before.event.order_id)
            return
        allowance = await allowance_of(self.principal, (self.scope.get("client") or ("",))[0])
        if allowance is not None and allowance.wait:
            tell_of_limit("orders", self.scope, self.principal)
            await self.say_problem(too_many_requests(allowance.wait))
            return
        await self._take(await read_order(sent), sent)

    async def _take(self, request: OrderRequest, sent: Any) -> None:
        order_id = new_order_id()
        watch = await self._join(order_id, 0)
        try:
            _, event, is_replay = await submit_order(
                request,
                self.principal.owner,
                stranger=sender_of(self.principal, (self.scope.get("client") or ("",))[0]),
                order_id=order_id,
                sent=sent,
            )
        except Exception as error:
            if isinstance(error, ShareIsFull):
                tell_of_limit("waiting", self.scope, self.principal)
            await self._forget(watch)
            raise
        self._stop_waiting()
        if is_replay:
            await self._forget(watch)
            await self._follow_again(event.order_id)
        else:
            ignored = {"ignored": list(self.ignored)} if self.ignored else {}
            text = encode_json(event.as_message() | ignored)
            await self._pass_on(watch, event.seq, text, is_final=event.is_final)

    async def _follow_again(self, order_id: str) -> None:
        """Follow an order that was accepted before, unless this socket does already."""
        if order_id not in self.watches:
            await self._catch_up_if_possible(await self._join(order_id, 0))

    async def all_ended(self) -> None:
        """Close, or stay open a little for another order."""
        if self._only_follows:
            raise Ended(Close.DONE)
        self._wait_for_another(IDLE_SECONDS)

    async def order_idle(self, nudge: dict[str, Any]) -> None:
        if not self.watches:
            raise Ended(Close.DONE)

    def _wait_for_another(self, seconds: float) -> None:
        self._stop_waiting()
        self._idle = asyncio.get_running_loop().call_later(
            seconds, self.nudges.put_nowait, {"type": "order.idle"}
        )

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()


class NoSuchPath(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Every other path: says so instead of failing the handshake."""

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
