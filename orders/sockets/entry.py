"""Order entry by frames: each says what to do, has an id, and is answered under that id.

A frame does what the request of the same name does over HTTP, by the same functions. So checks,
limits, keys, scopes and errors are the same. A client may send more before it has an answer: up to
`MOST_UNDER_WAY` frames of a socket are under way at once, and the next one is read after that.
Frames are begun in the order in which they came. Changes of stored orders are also done in that
order, one after the other; everything else may overtake.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connection

from config.http.socket_origin import header, normalize_names, scheme_of
from config.runtime.session import answered_within
from orders.access.authentication import check_scope
from orders.access.keys import READ, TRADE
from orders.api.changes.batch_views import take_batch
from orders.api.changes.bodies import read_flag, read_object
from orders.api.changes.cancel_views import cancel_all, cancel_many, cancelled
from orders.api.changes.change_views import amended
from orders.api.changes.placing import place_order
from orders.api.changes.replace_views import replace
from orders.api.changes.senders import Answered, Sender
from orders.api.problems import (
    AWAY,
    DatabaseUnavailable,
    Problem,
    answer_to,
    invalid_fields,
    problem,
    problem_of,
    said_of_order,
)
from orders.api.quote_views import preview_order
from orders.api.reading.fields import IDEMPOTENCY_KEY, idempotency_key_of, refuse
from orders.events import Event
from orders.sockets.protocol import DATABASE_ERRORS, Socket, encode_json, error_frame

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0  # for the database
MOST_UNDER_WAY = 32
MOST_ANSWERS, MOST_KEPT = 100, 512 * 1024
"""How many answers are kept for a repeated id, and their characters in all."""
REQUEST_ID = re.compile(r"[!-~]{1,64}", re.ASCII)
ACTION, REQUEST, KEY = "action", "requestId", "idempotencyKey"

Frame = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """A frame, and what became of it."""

    request_id: str
    frame: Frame
    order_ids: list[str] = field(default_factory=list)
    """Of new orders, which were announced."""
    times: int = 1
    """How often it was sent."""
    answered: Answered | None = None
    problem: Problem = field(default_factory=dict)
    text: str = ""
    """The frame that answers it."""

    @property
    def events(self) -> Sequence[Event]:
        return self.answered.events if self.answered else ()

    def as_text(self) -> str:
        if self.answered is None:
            return error_frame(self.problem | {REQUEST: self.request_id})
        status, body = self.answered.status, self.answered.body
        told = {"type": "ack", REQUEST: self.request_id, "httpStatus": int(status), "body": body}
        return encode_json(told)


class Answers:
    """The newest answers of a socket, by the ids of their frames."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._kept = 0

    def get(self, request_id: str) -> str | None:
        return self._texts.get(request_id)

    def keep(self, request_id: str, text: str) -> None:
        """Keep an answer, and forget the oldest ones; the newest is kept however long it is."""
        self._texts[request_id] = text
        self._kept += len(text)
        while len(self._texts) > MOST_ANSWERS or (self._kept > MOST_KEPT and len(self._texts) > 1):
            oldest = next(iter(self._texts))
            self._kept -= len(self._texts.pop(oldest))


class EntrySocket(Socket):
    """A socket on which orders are entered. It tells nothing of an order before its ack."""

    _entry: "Entry | None" = None

    @property
    def entry(self) -> "Entry":
        """What takes this socket's frames, made at the first of them."""
        if self._entry is None:
            self._entry = Entry(self)
        return self._entry

    @property
    def is_busy(self) -> bool:
        """Whether frames are under way."""
        return self._entry is not None and self._entry.is_busy

    async def announce(self, order_ids: Sequence[str]) -> None:
        """Learn of orders that may be stored from now on. Hold back what happens to them.

        :raises APIException: this socket takes no more orders; nothing is stored.
        """
        raise NotImplementedError

    async def acked(self, order_ids: Sequence[str], events: Sequence[Event]) -> None:
        """Learn that the answer was said, and stop holding back what happens to these orders.

        `events` has the first event of each order that was stored, now or before. An order that was
        announced and has none there was not stored, as far as is known.
        """
        raise NotImplementedError

    async def entry_answered(self, nudge: dict[str, Any]) -> None:
        await self.entry.say(nudge["asked"])

    async def ready(self) -> None:
        if self._entry is not None:
            await self._entry.room()

    async def finish(self) -> None:
        if self._entry is not None:
            await self._entry.finish()
            self._entry = None  # a circle, which would wait for the collector


class Entry:
    """The frames of one socket that have a `requestId`."""

    def __init__(self, socket: "EntrySocket") -> None:
        self._socket = socket
        self._under_way: dict[str, Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = Answers()
        self._ended = asyncio.Event()
        self._changing = asyncio.Lock()
        scope = normalize_names(socket.scope)
        self._site = f"{scheme_of(scope)}://{header(scope, b'host') or ''}"

    @property
    def is_busy(self) -> bool:
        return bool(self._under_way)

    async def room(self) -> None:
        """Wait until one more frame may be under way."""
        while len(self._under_way) >= MOST_UNDER_WAY:
            self._ended.clear()
            await self._ended.wait()

    async def take(self, frame: Frame) -> None:
        """Begin what a frame asks for. A frame whose id is known gets the first one's answer."""
        request_id = frame[REQUEST]
        if not (isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id)):
            refused = refuse(REQUEST, "invalid_text", "1 to 64 visible ASCII characters.")
            await self._socket.say_problem(invalid_fields(refused))
        elif (answer := self._answers.get(request_id)) is not None:
            await self._socket.say(answer)
        elif (asked := self._under_way.get(request_id)) is not None:
            asked.times += 1
        else:
            self._begin(Asked(request_id, frame))

    async def say(self, asked: Asked) -> None:
        """Say the answer, as often as it was asked for, and tell the socket."""
        self._answers.keep(asked.request_id, asked.text)
        for _ in range(asked.times):
            await self._socket.say(asked.text)
        del self._under_way[asked.request_id]
        self._ended.set()
        await self._socket.acked(asked.order_ids, asked.events)

    async def place(self, order: Any) -> Asked:
        """Take an order that came without an id; what it gets is for the caller to say.

        :raises Exception: a bug.
        """
        asked = Asked("", {"order": order})
        await self._do(asked, ACTIONS["execute"])
        return asked

    async def finish(self) -> None:
        """Wait for what is under way: what was sent is done, although it can be told no more."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, asked: Asked) -> None:
        self._under_way[asked.request_id] = asked
        self._socket.uncount_frame()
        task = asyncio.create_task(self._answer(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: Asked) -> None:
        try:
            await self._do_if_known(asked)
            asked.text = asked.as_text()
        except Exception:
            logger.exception("a frame could not be answered")
            broken = problem(500, "internal_error", "Something broke on our side.")
            asked.answered, asked.problem = None, broken
            asked.text = asked.as_text()
        self._socket.nudges.put_nowait({"type": "entry.answered", "asked": asked})

    async def _do_if_known(self, asked: Asked) -> None:
        """:raises Exception: a bug."""
        name = asked.frame[ACTION]
        if isinstance(name, str) and name in ACTIONS:
            await self._do(asked, ACTIONS[name])
        else:
            detail = f"An action is one of {', '.join(ACTIONS)}."
            asked.problem = problem(400, "unknown_action", detail)

    async def _do(self, asked: Asked, action: "Action") -> None:
        """:raises Exception: a bug."""
        members = {name: one for name, one in asked.frame.items() if name not in (ACTION, REQUEST)}
        try:
            check_scope(self._socket.principal, action.scope)
            with answered_within(ANSWER_SECONDS):
                if not action.changes:
                    asked.answered = await action.act(members, self._sender(asked))
                    return
                async with self._changing, own_thread():
                    asked.answered = await action.act(members, self._sender(asked))
        except Exception as error:
            found = _problem_of(error, lambda: action.said_of_absence(members))
            if found is None:
                raise
            asked.problem = found

    def _sender(self, asked: Asked) -> Sender:
        async def announce(order_ids: Sequence[str]) -> None:
            await self._socket.announce(order_ids)
            asked.order_ids += order_ids

        scope = self._socket.scope
        client = (scope.get("client") or ("",))[0]
        return Sender(self._socket.principal, client, scope, {}, self._site, announce=announce)


@asynccontextmanager
async def own_thread() -> AsyncIterator[None]:
    """Have what is sync run in a thread that ends with the context, as a request has one."""
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            await sync_to_async(close_connection)()


def close_connection() -> None:
    """Close this thread's connection: no signal of a request would."""
    connection.close()


async def _execute(given: Frame, sender: Sender) -> Answered:
    read_object(given, {"order", KEY})
    return await place_order(given.get("order"), _key_in(given), sender)


async def _cancel(given: Frame, sender: Sender) -> Answered:
    if "orderIds" in given:
        return await cancel_many(given, sender)
    read = read_object(given, {"orderId", "whenPossible"})
    order_id, when_possible = _order_id_in(read), read_flag(read, "whenPossible")
    return await sync_to_async(cancelled)(order_id, sender, when_possible=when_possible)


async def _amend(given: Frame, sender: Sender) -> Answered:
    read = read_object(given, {"orderId", "seq", "changes"})
    order_id, changes = _order_id_in(read), read.get("changes")
    if not isinstance(changes, dict):
        raise refuse("changes", "not_an_object", "A JSON object of the fields to change.")
    if "seq" in changes:
        raise refuse("seq", "unknown_field", "It stands beside the changes.")
    return await sync_to_async(amended)(order_id, changes | {"seq": read.get("seq")}, sender)


async def _replace(given: Frame, sender: Sender) -> Answered:
    read = read_object(given, {"orderId", "order", KEY})
    return await replace(_order_id_in(read), given.get("order"), _key_in(given), sender)


async def _preview(given: Frame, sender: Sender) -> Answered:
    read_object(given, {"order"})
    return await preview_order(given.get("order"), sender)


async def _batch(given: Frame, sender: Sender) -> Answered:
    body = {name: value for name, value in given.items() if name != KEY}
    return await take_batch(body, _key_in(given), sender)


def _order_id_in(given: Frame) -> str:
    order_id = given.get("orderId")
    if order_id is None:
        raise refuse("orderId", "required", "The order's id.")
    if not isinstance(order_id, str):
        raise refuse("orderId", "invalid_text", "The order's id is a text.")
    return order_id


def _key_in(given: Frame) -> str | None:
    """Return the idempotency key of a frame, which is read as the header is.

    :raises ValidationError: it is no key.
    """
    key = given.get(KEY)
    if key is None:
        return None
    if not isinstance(key, str):
        raise refuse(IDEMPOTENCY_KEY, "invalid_text", "A text.")
    return idempotency_key_of([(IDEMPOTENCY_KEY.encode(), key.encode(errors="surrogatepass"))])


def _nothing(given: Frame) -> str:
    return AWAY


def _of_order(given: Frame) -> str:
    return said_of_order(given.get("order"), given.get(KEY))


class Action(NamedTuple):
    """What a frame may ask for."""

    act: Callable[[Frame, Sender], Awaitable[Answered]]
    scope: str = TRADE
    changes: bool = False
    """Whether it changes stored orders: one after the other, each in a thread."""
    said_of_absence: Callable[[Frame], str] = _nothing
    """What is true of it where the database does not answer."""


ACTIONS = {
    "execute": Action(_execute, said_of_absence=_of_order),
    "cancel": Action(_cancel, changes=True),
    "cancelAll": Action(cancel_all, changes=True),
    "amend": Action(_amend, changes=True),
    "replace": Action(_replace, changes=True, said_of_absence=_of_order),
    "preview": Action(_preview, READ),
    "batch": Action(_batch, said_of_absence=_of_order),
}


def _problem_of(error: Exception, said_of_absence: Callable[[], str]) -> Problem | None:
    """Return the problem of an exception; None: a bug."""
    found = answer_to(error, said_of_absence)
    if found is not None:
        return found[0]
    if isinstance(error, DATABASE_ERRORS):
        logger.warning("a frame was not answered: %s", error)
        return problem_of(DatabaseUnavailable(said_of_absence()))
    return None
