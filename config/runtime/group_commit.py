"""Many callers, one statement: the writes that wait while a statement runs share the next one.

A lone caller pays for one statement at once; a crowd shares one. Each caller gets the answer to its
own item, or its own error. It gets that within its own `patience`, whatever the server does:

- a constraint or data error: the items run once more, one by one, and only the culprit gets it;
- a row that is locked elsewhere (`lock_timeout`), or a cancelled statement: also one by one;
- a deadlock: the same items again;
- a connection that is lost or does not answer: it is thrown away. `recover` reads back which items
  were committed, and the other items run again.

A caller whose item gets no answer learns one of two things: nothing was written, or it is not
known whether the item was written (`OutcomeUnknown`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import errors

from config.runtime.postgres import LINK_SECONDS, Link, LinkConnection
from config.runtime.session import is_connection_lost, leaves_doubt, remaining

__all__ = ["Connection", "GroupCommit", "OutcomeUnknown", "PassingRefusal", "is_connection_lost"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Connection = LinkConnection

RECONNECT_PAUSE = 0.2
TRIES = 5  # after deadlocks, and after a statement that met its own earlier send
SMALL = 64  # a batch of up to so many items is never divided
ALONE = "SELECT set_config('lock_timeout', '10', false)"  # ms: a crowd waits behind each item
TOGETHER = "SELECT set_config('lock_timeout', '500', false)"
TOO_LATE = TimeoutError("its caller was answered before it could be sent")
# Other errors are the item's own: its earlier send met them as well.
UNDECIDED = (psycopg.OperationalError, errors.UniqueViolation)


class OutcomeUnknown(psycopg.OperationalError):
    """The statement was sent, and we could not learn in time whether it was committed.

    Look later whether it was. It may be under way for as long as a statement may take.
    """


class PassingRefusal(Exception):
    """An answer of `run`: the item is not written, for a reason that may be new.

    Its earlier send, which seemed lost, did not meet that reason and may still be committed.
    """


@dataclass(slots=True, eq=False)
class Waiter(Generic[Item, Answer]):
    """A caller: its item, the place for its answer, and its deadline (`time.monotonic`)."""

    item: Item
    future: asyncio.Future[Answer]
    ends_at: float
    is_sent: bool = False
    """A statement with it is under way."""
    is_doubtful: bool = False
    """A statement with it was sent on a connection that was lost."""

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            doubt = (self.is_sent or self.is_doubtful) and isinstance(error, UNDECIDED)
            self.future.set_exception(_unknown(error) if doubt else error)

    def take(self, answer: Answer | Exception) -> None:
        if self.future.done():
            return
        if isinstance(answer, PassingRefusal) and self.is_doubtful:
            self.future.set_exception(_unknown(answer))
        elif isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class GroupCommit(Generic[Item, Answer]):
    def __init__(
        self,
        link: Link,
        run: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        recover: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Answer | None]]],
        *,
        patience: float,
        limit: int = 400,
        seconds: float = LINK_SECONDS,
    ) -> None:
        """Gather items for `run`, which answers each in order, in one transaction.

        If an answer is an exception, it is raised to the item's own caller.
        `recover` returns for each committed item what `run` would have answered, and None for
        each other item. `patience` is how long a caller waits. `seconds` is how long a statement
        may take before its connection is given up.
        """
        self._link = link
        self._run = run
        self._recover = recover
        self._patience = patience
        self._limit = limit
        self._seconds = seconds
        self._waiting: list[Waiter[Item, Answer]] = []
        self._under_way: Sequence[Waiter[Item, Answer]] = ()
        self._flushing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_error: Exception | None = None

    async def __call__(self, item: Item) -> Answer:
        """Return the answer to `item` once it is committed.

        :raises OutcomeUnknown: it is not known whether the item was committed.
        :raises psycopg.Error: its own constraint or data error, or the server stayed away;
            nothing was written.
        """
        loop = asyncio.get_running_loop()
        ends_at = time.monotonic() + remaining(self._patience)
        waiter: Waiter[Item, Answer] = Waiter(item, loop.create_future(), ends_at)
        self._waiting.append(waiter)
        if self._flushing is None:
            # An empty context: its log lines concern all callers and bear no request id.
            self._flushing = asyncio.create_task(self._flush(), context=Context())
        if self._timer is None:
            self._arm(ends_at)
        return await waiter.future

    def _arm(self, ends_at: float) -> None:
        wait = max(0.0, ends_at - time.monotonic())
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait, self._give_up_the_late, context=Context())

    def _give_up_the_late(self) -> None:
        """Answer the callers whose patience has ended. One timer serves all, and seldom fires."""
        self._timer = None
        now = time.monotonic()
        left: list[float] = []
        for waiter in [*self._under_way, *self._waiting]:
            if waiter.future.done():
                continue
            if waiter.ends_at <= now:
                waiter.fail(self._error_of_the_late())
            else:
                left.append(waiter.ends_at)
        if left:
            self._arm(min(left))

    def _error_of_the_late(self) -> psycopg.OperationalError:
        cause = self._last_error or "it did not answer in time"
        return psycopg.OperationalError(f"the database: {cause}")

    async def _flush(self) -> None:
        try:
            while self._waiting:
                # Half of the crowd at a time: while PostgreSQL writes one half, the callers of the
                # other half run. If all went at once, each side would wait for the other.
                size = min(self._limit, max(SMALL, len(self._waiting) // 2))
                batch, self._waiting = self._waiting[:size], self._waiting[size:]
                self._under_way = batch
                await self._settle(batch)
        except Exception as error:  # even after a bug of ours, each caller gets an answer
            for waiter in [*self._under_way, *self._waiting]:
                waiter.fail(error)
            self._waiting = []
            raise
        finally:
            self._flushing = None
            self._under_way = ()
            if self._timer is not None and not self._waiting:
                self._timer.cancel()
                self._timer = None

    async def _settle(self, batch: Sequence[Waiter[Item, Answer]]) -> None:
        """Answer each caller: with the server's answer, or when its patience ends."""
        is_resumed = any(waiter.is_doubtful for waiter in batch)
        tries = 0
        while batch := [waiter for waiter in batch if not waiter.future.done()]:
            try:
                answers = await self._answer(batch, is_resumed=is_resumed)
            except asyncio.CancelledError:
                for waiter in batch:
                    waiter.future.cancel()
                raise
            except Exception as error:  # noqa: BLE001  # each waiter gets it, none is lost
                _note(batch, error)
                is_resumed = is_resumed or any(waiter.is_doubtful for waiter in batch)
                if isinstance(error, psycopg.Error) and is_connection_lost(error):
                    is_resumed, self._last_error = True, error
                    await asyncio.sleep(RECONNECT_PAUSE)
                elif tries < TRIES - 1 and _may_go_again(batch, error):
                    tries += 1
                elif len(batch) > 1 and isinstance(error, psycopg.Error):
                    await self._settle_one_by_one(batch, error)
                    return
                else:
                    for waiter in batch:
                        waiter.fail(error)
            else:
                self._last_error = None
                for waiter, answer in zip(batch, answers, strict=True):
                    waiter.take(answer)

    async def _settle_one_by_one(
        self, batch: Sequence[Waiter[Item, Answer]], error: psycopg.Error
    ) -> None:
        is_locked = isinstance(error, errors.LockNotAvailable)
        if is_locked:
            await self._set(ALONE)
        for waiter in batch:
            await self._settle([waiter])
        if is_locked:
            await self._set(TOGETHER)

    async def _set(self, statement: str) -> None:
        """Change the session of this connection. A new one follows `config.runtime.session`."""
        try:
            async with self._link.connection(self._seconds) as connection:
                await connection.execute(statement)
        except psycopg.Error as error:
            logger.info("the session was not changed: %s", error)

    async def _answer(
        self, batch: Sequence[Waiter[Item, Answer]], *, is_resumed: bool
    ) -> Sequence[Answer | Exception]:
        async with self._link.connection(self._seconds) as connection:
            if is_resumed:
                return await self._resume(connection, batch)
            return await self._send(connection, batch)

    async def _send(
        self, connection: Connection, batch: Sequence[Waiter[Item, Answer]]
    ) -> Sequence[Answer | Exception]:
        """Run the items of those who still wait. Another was told that nothing was written."""
        for waiter in batch:
            waiter.is_sent = not waiter.future.done()
        items = [waiter.item for waiter in batch if waiter.is_sent]
        answers = iter(await self._run(connection, items) if items else ())
        return [next(answers) if waiter.is_sent else TOO_LATE for waiter in batch]

    async def _resume(
        self, connection: Connection, batch: Sequence[Waiter[Item, Answer]]
    ) -> Sequence[Answer | Exception]:
        """Run only the items that the lost connection has not committed by now.

        A server that was frozen may commit the lost statement later. The items that run here then
        conflict with it and are refused. So the refused items are read back once more.
        """
        known = await self._recover(connection, [waiter.item for waiter in batch])
        answers: list[Any] = list(known)
        missing = [place for place, answer in enumerate(known) if answer is None]
        if missing:
            rerun = await self._send(connection, [batch[place] for place in missing])
            for place, answer in zip(missing, rerun, strict=True):
                answers[place] = answer
        refused = [place for place in missing if isinstance(answers[place], Exception)]
        if refused:
            late = await self._recover(connection, [batch[place].item for place in refused])
            for place, recovered in zip(refused, late, strict=True):
                if recovered is not None:
                    answers[place] = recovered
        return answers


def _note(batch: Sequence[Waiter[Item, Answer]], error: Exception) -> None:
    """Note whether the items that were sent may have been committed in spite of the error."""
    if not isinstance(error, psycopg.Error):
        logger.error("a statement's answer could not be read", exc_info=error)
    for waiter in batch:
        waiter.is_doubtful = waiter.is_doubtful or (waiter.is_sent and leaves_doubt(error))
        waiter.is_sent = False


def _may_go_again(batch: Sequence[Waiter[Item, Answer]], error: Exception) -> bool:
    if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
        return True
    # An earlier statement with the same items seemed lost, but has been committed meanwhile.
    is_own = len(batch) == 1 and batch[0].is_doubtful
    return is_own and isinstance(error, errors.UniqueViolation)


def _unknown(error: Exception) -> OutcomeUnknown:
    unknown = OutcomeUnknown(f"the outcome is not known: {error}")
    unknown.__cause__ = error
    return unknown
