"""One reader of an account's log: first from its cursor to the end, then what is new.

A transport (a WebSocket, server-sent events) says how a message is written, and calls `catch_up`
when it is woken.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import orjson
import psycopg

from orders.streams.account_log import Choice, LogLost, account_log_of_this_loop
from orders.streams.account_tail import Told, account_tail_of_this_loop
from orders.streams.cursor import Position, UnknownCursor

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5
PAGE = 200  # events
PAUSE = 1.0  # seconds, until the log is asked again that could not be read


def encode(message: dict[str, Any]) -> str:
    return orjson.dumps(message).decode()


PING = encode({"type": "ping"})


class AccountReader:
    """Follows one account.

    `tell` writes an event at once, or keeps it to be written soon; False: it can do neither. `say`
    does so with a message that is not an event. `wake` has `catch_up` called.
    """

    def __init__(
        self,
        owner: int,
        choice: Choice,
        position: Position,
        *,
        tell: Callable[[Told], bool],
        say: Callable[[str, Position | None], bool],
        wake: Callable[[], None],
    ) -> None:
        self.owner, self.choice, self.position = owner, choice, position
        self._tell, self._say, self._wake = tell, say, wake
        self.seen = position
        self.has_more = True
        """Whether the log may have more than what was read of it."""
        self._has_news = False
        self._said_at = time.monotonic()

    def hear(self, told: Told) -> bool:
        self._has_news = True
        if self._tell(told):
            return True
        self._wake()
        return False

    def reach(self, seen: Position, last: int) -> None:
        self.seen = seen
        self.position = position = seen.up_to(max(last, self.position.following - 1))
        if self._has_news or self._is_beat_due():
            self._has_news = False
            self._said_at = time.monotonic()
            self._say(self.checkpoint(), position)

    def fall_behind(self) -> None:
        self._wake()

    def wait(self) -> None:
        if self._is_beat_due():
            self._said_at = time.monotonic()
            self._say(PING, None)

    def checkpoint(self) -> str:
        """Return the message that names the position: all before it has been told."""
        return encode({"type": "checkpoint", "cursor": self.position.as_cursor()})

    async def catch_up(self) -> AsyncGenerator[Told | str, None]:
        """Yield events and checkpoints from the position to the end of the log; then join.

        What was told since the last checkpoint may come again. A caller may stop at a text, and
        call again later.

        :raises UnknownCursor: the log has no such position.
        :raises LogLost: the log cannot be read by transactions.
        """
        while True:
            try:
                page = await account_log_of_this_loop().page(
                    (self.owner,), self.position, PAGE, described=bool(self.choice)
                )
            except psycopg.Error as error:
                logger.warning("the log of an account cannot be read for now: %s", error)
                self.has_more = True
                await asyncio.sleep(PAUSE)
                yield PING
                continue
            for row in page.events:
                if self.choice.takes(row.order):
                    yield Told(row.event)
            self.position, self._said_at = page.position, time.monotonic()
            self.has_more = not page.is_whole
            if page.events or not page.is_whole:
                yield self.checkpoint()
            if page.seen is not None:
                self.seen = page.seen
                if account_tail_of_this_loop().join(self):
                    return

    def _is_beat_due(self) -> bool:
        return time.monotonic() - self._said_at > HEARTBEAT_SECONDS - PAUSE / 2


__all__ = ["HEARTBEAT_SECONDS", "PAGE", "AccountReader", "LogLost", "UnknownCursor"]
