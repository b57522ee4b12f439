"""`/ws/orders`: every event of every order of an account, on one socket; orders are entered there.

The frames: `hello`, perhaps `snapshot`, events, and `checkpoint` with a cursor from which another
connection goes on, over any transport (docs/sockets.md).
"""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from rest_framework.exceptions import ValidationError
from websockets.frames import Frame, Opcode

from orders.api.problems import (
    DatabaseUnavailable,
    invalid_fields,
    problem,
    problem_of,
    refusal,
)
from orders.api.reading.event_query import CHOICES, position_in, read_choice
from orders.events import Event
from orders.sockets.entry import ACTION, REQUEST, EntrySocket
from orders.sockets.protocol import DATABASE_ERRORS, Close, encode_json
from orders.streams.account_log import LogLost
from orders.streams.account_reader import HEARTBEAT_SECONDS, AccountReader
from orders.streams.account_tail import Told, account_tail_of_this_loop
from orders.streams.cursor import Position, UnknownCursor
from orders.streams.open_orders import open_orders

logger = logging.getLogger(__name__)

MOST_KEPT = 200
"""Messages for a client that does not take them at once. If there are more, it is behind."""
WAKE = {"type": "account.behind"}


def frame_of(text: str) -> bytes:
    return bytes(Frame(Opcode.TEXT, text.encode()).serialize(mask=False))


class AccountStream(EntrySocket):
    """`/ws/orders?cursor=&snapshot=open`, with filters by `market`, `type` and `tag.NAME`."""

    reader: AccountReader | None = None
    _saying, _is_withdrawn = 0, False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._announced: set[str] = set()
        self._held: list[tuple[str, str | None]] = []
        """Messages with their orders' ids; None: it is a checkpoint."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self.reader is not None:
                await account_tail_of_this_loop().close_reader(self.reader)
                self.reader = None  # a circle, which would wait for the collector

    async def connect(self) -> None:
        await self.admit()
        await self.check_query({*CHOICES, "cursor", "snapshot", "ticket"})
        await self.identify()
        if self.principal.owner is None:
            detail = "A stream of all orders is an account's: send a key, a session or a ticket."
            await self.end(Close.WHO_ARE_YOU, problem(401, "not_authenticated", detail))
        try:
            await self._begin(self.principal.owner)
        except ValidationError as refused:
            await self.end(Close.JUNK, invalid_fields(refused))
        except UnknownCursor as unknown:
            await self.end(Close.JUNK, refusal(unknown) or {})
        except LogLost as lost:
            await self.end(Close.TRY_AGAIN_LATER, refusal(lost) or {})
        except DATABASE_ERRORS:
            await self.end(Close.TRY_AGAIN_LATER, problem_of(DatabaseUnavailable()))

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        if ACTION in frame and REQUEST in frame:
            await self.entry.take(frame)
            return
        detail = "A frame has an action and a requestId."
        await self.say_problem(problem(400, "unexpected_frame", detail))

    async def announce(self, order_ids: Sequence[str]) -> None:
        self._announced.update(order_ids)

    async def acked(self, order_ids: Sequence[str], events: Sequence[Event]) -> None:
        self._announced.difference_update(order_ids)
        held, self._held = self._held, []
        for text in [text for text, order_id in held if not self._holds(text, order_id)]:
            await self.say(text)

    async def say(self, text: str) -> None:
        self._saying += 1
        try:
            await super().say(text)
        finally:
            self._saying -= 1

    async def account_told(self, nudge: dict[str, Any]) -> None:
        """A message that could not be written at once."""
        await self.say(nudge["text"])

    async def account_behind(self, nudge: dict[str, Any]) -> None:
        """Read the log to its end, and join those that hear of what is new.

        After each page, others have a turn: frames, and what is to be said of them.
        """
        if self.reader is None:
            return
        try:
            async with aclosing(self.reader.catch_up()) as found:
                async for one in found:
                    await self._say_found(one)
                    if isinstance(one, str) and self.reader.has_more:
                        self._wake()
                        return
        except UnknownCursor as unknown:
            await self.end(Close.JUNK, refusal(unknown) or {})
        except LogLost as lost:
            await self.end(Close.TRY_AGAIN_LATER, refusal(lost) or {})

    async def _say_found(self, one: Told | str) -> None:
        if self._is_withdrawn:
            await self.credential_withdrawn({})
        text, order_id = (one, None) if isinstance(one, str) else (one.text, one.order_id)
        if not self._holds(text, order_id):
            await self.say(text)

    def _withdraw(self) -> None:
        self._is_withdrawn = True  # a page may be long, and its reader slow
        super()._withdraw()

    async def _begin(self, owner: int) -> None:
        query = self.query()
        choice = await read_choice(query)
        position = await position_in(query, owner)
        self.reader = AccountReader(
            owner, choice, position, tell=self._tell, say=self._say_soon, wake=self._wake
        )
        await account_tail_of_this_loop().open(self.reader)
        hello = {"cursor": position.as_cursor(), "heartbeatSeconds": HEARTBEAT_SECONDS}
        await self.say(encode_json({"type": "hello", **hello}))
        if "snapshot" in query:
            async for orders, more in open_orders(owner, choice):
                await self.say(encode_json({"type": "snapshot", "orders": orders, "more": more}))
        self._wake()

    def _holds(self, text: str, order_id: str | None) -> bool:
        """Hold back an event of an order that is not acknowledged, and a checkpoint behind one.

        A checkpoint says that all events before it were sent.
        """
        is_held = order_id in self._announced if order_id else bool(self._held)
        if is_held:
            self._held.append((text, order_id))
        return is_held

    def _tell(self, told: Told) -> bool:
        if self._holds(told.text, told.order_id):
            return True
        if self._can_write() and self._write(told.made(frame_of)):
            return True
        return self._keep(told.text)

    def _say_soon(self, text: str, position: Position | None) -> bool:
        if position is not None and self._holds(text, None):
            return True
        if self._can_write() and self._write(frame_of(text)):
            return True
        return self._keep(text)

    def _can_write(self) -> bool:
        """Whether nothing else is to be said before."""
        return not self._saying and self.nudges.empty()

    def _keep(self, text: str) -> bool:
        if self.nudges.qsize() >= MOST_KEPT:
            return False
        self.nudges.put_nowait({"type": "account.told", "text": text})
        return True

    def _wake(self) -> None:
        self.nudges.put_nowait(WAKE)
