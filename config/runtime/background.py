"""Background work of a loop: one task at a time. It begins when there is work."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class Background:
    """Work for many callers. It has a context of its own, so its log lines name no request."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the work unless it is under way. Work that failed or ended starts again."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), context=Context())

    async def wait_until_done(self, seconds: float | None = None) -> None:
        """Return when nothing is under way, or after so many seconds."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
