"""How far the chain has come, so that a node that is behind or stands still is not believed."""

import time
from collections.abc import Callable

from routing.solana.rpc.provider import RpcUnavailable

SLOWEST_SLOT = 5.0
"""Seconds. In this time a chain that runs makes more than a slot, whatever happens."""
MOST_EXPECTED = 25
"""However long nothing was asked, so many slots more are enough: the chain may have paused."""
QUICKEST_SLOT = 0.05
LEAP = 5_000
"""So many slots more than there can be are a lie, which would have us refuse every true answer."""


class Progress:
    """Knows the highest slot that was seen, and when."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._slot = 0
        self._seen_at = 0.0

    def least_slot(self) -> int:
        """Return the slot that an answer has to have reached to be believed."""
        if not self._slot:
            return 0
        passed = self._clock() - self._seen_at
        return self._slot + min(int(passed / SLOWEST_SLOT), MOST_EXPECTED)

    def note(self, slot: int) -> None:
        """Take note of the slot of an answer.

        :raises RpcUnavailable: the chain cannot have come so far.
        """
        now = self._clock()
        if self._slot and slot > self._slot + LEAP + (now - self._seen_at) / QUICKEST_SLOT:
            raise RpcUnavailable(f"slot {slot} cannot come after {self._slot}")
        if slot > self._slot:
            self._slot, self._seen_at = slot, now
