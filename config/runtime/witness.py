"""Sees whether the parts of this process move, and ends a process in which one stands still.

A part is a loop or a thread. It calls `note_turn` in each turn, about once a second. The
witness is a thread that counts its own looks and compares no times. It does not look either while
the process is frozen or its machine sleeps. So a jump of the clock counts against no part.
A supervisor restarts the process that the witness ends.
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

LOOK_SECONDS: float = getattr(settings, "LOOK_SECONDS", 1.0)  # only tests set it
Excuses = Mapping[str, Callable[[], bool]]

STILL_LOOKS = 30  # a part that has not moved in so many looks is past help
EXIT_CODE = 70
LAST_WORDS_SECONDS = 1.0  # for the log: writing to it may hang as well


class Witness:
    """`note_turn` and `note_rest` may be called from any thread, `look` from one."""

    def __init__(self) -> None:
        self._number = count(1)  # a new number for each turn of any part
        self._turns: dict[str, int] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def note_turn(self, part: str) -> None:
        """Note that this part moves. From now on it has to, until it `rests`."""
        self._turns[part] = next(self._number)

    def note_rest(self, part: str) -> None:
        """Note that this part need not move until it turns again."""
        self._turns.pop(part, None)

    def look(self) -> dict[str, int]:
        """Return for each part the number of looks, with this one, since it last moved."""
        before = self._seen
        self._seen = {
            part: (turn, before[part][1] + 1 if before.get(part, (0,))[0] == turn else 0)
            for part, turn in list(self._turns.items())
        }
        return {part: looks for part, (_, looks) in self._seen.items()}

    def still_seconds(self) -> float:
        """Return for how many seconds the stillest part has not moved."""
        return max((looks for _, looks in self._seen.values()), default=0) * LOOK_SECONDS

    def is_stuck(self) -> bool:
        """Whether a part has stood still for so long that the process will soon be ended."""
        return self.still_seconds() >= STILL_LOOKS * LOOK_SECONDS / 2


witness = Witness()


def watch(is_over: threading.Event, excuses: Excuses = MappingProxyType({})) -> None:
    """Look from a thread until `is_over`, and end the process when a part stands still."""

    def run() -> None:
        while not is_over.wait(LOOK_SECONDS):
            if part := stuck_part(witness, excuses):
                since = datetime.now(UTC) - timedelta(seconds=STILL_LOOKS * LOOK_SECONDS)
                leave(f"{part} has stood still since {since.isoformat(timespec='seconds')}")

    threading.Thread(target=run, name="witness", daemon=True).start()


def stuck_part(witness: Witness, excuses: Excuses) -> str | None:
    """Look, and return a part that has stood still for too long without an excuse.

    An excuse says whether its part would stand still in a new process as well. A part with an
    excuse gets its full time again, because what it waits for may come at any moment.
    """
    for part, looks in witness.look().items():
        if looks < STILL_LOOKS:
            continue
        if part not in excuses or not excuses[part]():
            return part
        witness.note_turn(part)
    return None


def leave_within(seconds: float) -> None:
    """End the process after so many seconds. Call it when the process was asked to stop."""
    text = f"what was to be done before the end was not done within {seconds:g} s"
    timer = threading.Timer(seconds, leave, [text])
    timer.daemon = True
    timer.start()


def leave(why: str) -> None:
    """End the process at once, whatever its threads wait for."""
    words = threading.Thread(
        target=logger.critical, args=["%s: this process ends", why], daemon=True
    )
    words.start()
    words.join(LAST_WORDS_SECONDS)
    os._exit(EXIT_CODE)
