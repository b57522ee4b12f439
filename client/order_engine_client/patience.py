"""How long the client goes on, and how it waits before it comes again."""

import random
from asyncio import sleep
from time import monotonic

from order_engine_client.errors import EngineError

FIRST_PAUSE, MOST_PAUSE = 0.2, 5.0


class Patience:
    """A bound in time. `give_up_after`: seconds from now, or from the last that came."""

    def __init__(self, give_up_after: float) -> None:
        self._seconds = give_up_after
        self.begin_anew()

    def begin_anew(self) -> None:
        """Something came: the bound and the pauses begin anew."""
        self._ends_at = monotonic() + self._seconds
        self._pause = FIRST_PAUSE

    async def wait(self, error: EngineError, unknown: EngineError | None = None) -> None:
        """Wait as the error says (`Retry-After`), else a little, and longer each time.

        :raises EngineError: there is no time left to come again. It is this error, or that of an
            earlier try which may have been done.
        """
        own = self._pause * random.uniform(0.5, 1)  # so that clients do not come at once
        pause = max(own, error.retry_after or 0)
        if monotonic() + pause > self._ends_at:
            raise unknown or error
        self._pause = min(2 * self._pause, MOST_PAUSE)
        await sleep(pause)
