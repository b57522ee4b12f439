"""One answer for all who ask within its age, and one question for all who ask at once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Asks by `ask`; an answer serves for `seconds`. A failure is told to all who waited for it."""

    def __init__(self, ask: Callable[[], Awaitable[Value]], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._answer: tuple[Value, float] | None = None
        self._task: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        """Return the answer, asked for anew if it is too old. It raises what `ask` raises."""
        now = asyncio.get_running_loop().time()
        if self._answer is not None and now - self._answer[1] < self._seconds:
            return self._answer[0]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew(now))
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Ask no more. Who waits is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = self._answer = None

    async def _renew(self, asked_at: float) -> Value:
        value = await self._ask()
        self._answer = value, asked_at
        return value
