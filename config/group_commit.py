"""Many callers, one statement: the writes that wait while the last one is under way go together.

There is no timer. A lone caller pays for one statement at once; a crowd shares it. Each caller
gets the answer to its own item, or its own error:

- a constraint or data error: the items run once more, one by one, and only the culprit gets it;
- a row locked by somebody else (`lock_timeout`) or a cancelled statement: likewise, one by one;
- a deadlock: the same items again;
- a lost connection: what had been committed is read back (`recover`), the rest runs again,
  until `patience` (seconds) has passed since the trouble began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from config.postgres import Link

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Connection = AsyncConnection[TupleRow]

RECONNECT_PAUSE = 0.2
DEADLOCK_TRIES = 5
SMALL = 64  # items that go together in any case


class GroupCommit(Generic[Item, Answer]):
    def __init__(
        self,
        link: Link,
        run: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        recover: Callable[[Connection, Sequence[Item]], Awaitable[Sequence[Answer | None]]],
        *,
        patience: float,
        limit: int = 400,
    ) -> None:
        """Gather items for `run`, which answers each in order, in one transaction.

        An answer that is an exception is raised to the item's own caller.
        `recover` tells of each item what `run` would have answered had it been committed, or
        None if it was not.
        """
        self._link = link
        self._run = run
        self._recover = recover
        self._patience = patience
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Answer]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Answer:
        """Return the answer to `item` once it is committed.

        :raises psycopg.Error: its own constraint or data error, or the server stayed away.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flushing is None:
            # With no caller's request in its log: what it tells of concerns all of them.
            self._flushing = asyncio.create_task(self._flush(), context=Context())
        return await future

    async def _flush(self) -> None:
        try:
            while self._waiting:
                # Half a crowd at a time: while PostgreSQL writes the one half, the other half's
                # callers run. All at once, each would wait for the other.
                size = min(self._limit, max(SMALL, len(self._waiting) // 2))
                batch, self._waiting = self._waiting[:size], self._waiting[size:]
                await self._settle(batch)
        finally:
            self._flushing = None

    async def _settle(self, batch: Sequence[tuple[Item, asyncio.Future[Answer]]]) -> None:
        items = [item for item, _ in batch]
        try:
            answers = await self._committed(items)
        except Exception as error:  # noqa: BLE001  # each waiter gets it, none is lost
            if len(batch) > 1 and concerns_one_item(error):
                for one in batch:
                    await self._settle([one])
                return
            if isinstance(error, psycopg.Error) and is_connection_lost(error):
                # Those who wait behind would each wait for the same server as long again.
                batch, self._waiting = [*batch, *self._waiting], []
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)

    async def _committed(self, items: Sequence[Item]) -> Sequence[Answer | Exception]:
        deadline: float | None = None
        deadlocks = 0
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with self._link.connection() as connection:
                    if deadline is None:
                        return await self._run(connection, items)
                    return await self._resumed(connection, items)
            except (errors.DeadlockDetected, errors.SerializationFailure):
                deadlocks += 1
                if deadlocks == DEADLOCK_TRIES:
                    raise
            except psycopg.OperationalError as error:
                if not is_connection_lost(error):
                    raise
                deadline = deadline or clock() + self._patience
                if clock() + RECONNECT_PAUSE > deadline:
                    raise
                await asyncio.sleep(RECONNECT_PAUSE)

    async def _resumed(
        self, connection: Connection, items: Sequence[Item]
    ) -> Sequence[Answer | Exception]:
        """Run only what the lost connection had not committed."""
        known = await self._recover(connection, items)
        missing = [item for item, answer in zip(items, known, strict=True) if answer is None]
        rerun = iter(await self._run(connection, missing) if missing else ())
        return [next(rerun) if answer is None else answer for answer in known]


def is_connection_lost(error: psycopg.Error) -> bool:
    """Whether the server went away, so that nobody knows what became of the statement."""
    if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
        return False
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate[:2] in ("08", "57", "53")
    )


def concerns_one_item(error: Exception) -> bool:
    """Whether a single item of a batch may have caused the error alone."""
    return isinstance(error, psycopg.Error) and not (
        isinstance(error, psycopg.OperationalError) and is_connection_lost(error)
    )
