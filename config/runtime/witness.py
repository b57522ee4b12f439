"""Sees whether the parts of this process move, and ends a process in which one stands still.

A part is a loop or a thread. It says `turned` each time it comes round, about once a second. The
witness is a thread that asks nobody and only counts its own looks: a process that was frozen, or
whose machine slept, has looked at nothing meanwhile, so the jump of the clock is held against
nobody. What ends here is started again by its supervisor.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from types import MappingProxyType

from django.conf import settings

logger = logging.getLogger(__name__)

LOOK_SECONDS: float = getattr(settings, "LOOK_SECONDS", 1.0)  # a setting of tests alone
Excuses = Mapping[str, Callable[[], bool]]

STILL_LOOKS = 30  # in which a part did not move: it is past help
EXIT_CODE = 70
LAST_WORDS_SECONDS = 1.0  # the log itself may be what hangs


class Witness:
    """`turned` and `rests` may be called from any thread, `look` from one."""

    def __init__(self) -> None:
        self._number = count(1)  # of each turn of whichever part, so that none is like another
        self._turns: dict[str, int] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def turned(self, part: str) -> None:
        """Say that this part moves. From now on it has to, until it `rests`."""
        self._turns[part] = next(self._number)

    def rests(self, part: str) -> None:
        """Say that nothing is expected of this part until it turns again."""
        self._turns.pop(part, None)

    def look(self) -> dict[str, int]:
        """Return for each part in how many looks, this one included, it has not moved."""
        before = self._seen
        self._seen = {
            part: (turn, before[part][1] + 1 if before.get(part, (0,))[0] == turn else 0)
            for part, turn in list(self._turns.items())
        }
        return {part: looks for part, (_, looks) in self._seen.items()}

    def still_seconds(self) -> float:
        """Return for how long the part that moved least has not moved."""
        return max((looks for _, looks in self._seen.values()), default=0) * LOOK_SECONDS

    def is_stuck(self) -> bool:
        """Whether a part has stood still for so long that the process will soon be ended."""
        return self.still_seconds() >= STILL_LOOKS * LOOK_SECONDS / 2


witness = Witness()


def watch(is_over: threading.Event, excuses: Excuses = MappingProxyType({})) -> None:
    """Look from a thread of its own until then, and end the process when a part stands still."""

    def run() -> None:
        while not is_over.wait(LOOK_SECONDS):
            if part := past_help(witness, excuses):
                since = datetime.now(UTC) - timedelta(seconds=STILL_LOOKS * LOOK_SECONDS)
                leave(f"{part} has stood still since {since.isoformat(timespec='seconds')}")

    threading.Thread(target=run, name="witness", daemon=True).start()


def past_help(witness: Witness, excuses: Excuses) -> str | None:
    """Look; return a part that has stood still for too long, and that a new process would not have.

    `excuses` tell, by part, whether a new process would stand as still. One that is excused gets
    its time anew: what it waited for may come in this moment.
    """
    for part, looks in witness.look().items():
        if looks < STILL_LOOKS:
            continue
        if part not in excuses or not excuses[part]():
            return part
        witness.turned(part)
    return None


def leave_within(seconds: float) -> None:
    """End the process then, if it has not ended by itself: for when it was asked to stop."""
    text = f"what was to be done before the end was not done within {seconds:g} s"
    timer = threading.Timer(seconds, leave, [text])
    timer.daemon = True
    timer.start()


def leave(why: str) -> None:
    """End the process here and now, whatever its threads wait for."""
    words = threading.Thread(
        target=logger.critical, args=["%s: this process ends", why], daemon=True
    )
    words.start()
    words.join(LAST_WORDS_SECONDS)
    os._exit(EXIT_CODE)
