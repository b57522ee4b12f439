"""Named points between two effects where a test makes the process die, as by kill -9, or hang.

They exist in tests only: `CRASH_AT` and `HANG_AT` are settings of `tests/settings.py` and of
nothing else.
"""

import os
import signal
import threading

from django.conf import settings

CRASH_POINTS = (
    "after_accept",  # stored, no bell rung
    "after_ring",  # rung, the client perhaps not answered
    "after_cancel",  # cancelled, the world not told
    "after_amend",  # amended, the world not told
    "after_replace",  # cancelled and stored, the world not told
    "after_heard",  # the bell is gone, nothing claimed
    "after_claim",  # in routing, no quote asked
    "after_quotes",  # decided, the decision not stored
    "after_building",  # decision stored, no transaction built
    "after_build",  # signed, not stored
    "after_submitted",  # stored, not sent
    "after_send",  # sent, nothing known of it
    "after_fill_seen",  # filled, not stored
    "after_confirmed",  # stored, the world not told
    "after_fault",  # refused, or the transaction proven dead; not stored
    "after_moved",  # moved and not committed; watches and siblings are as before
    "after_effects",  # all that follows from the move is written, nothing committed
    "after_release_written",  # orders are released, their siblings held; not committed
    "after_release",  # committed, the world not told
    "after_slice_stored",  # a slice is stored and not committed, its parent's log is as before
    "after_slice",  # committed, the world not told
    "after_attempt",  # stored, rests or waits for another attempt, the world not told
)


CRASH_AT: str | None = getattr(settings, "CRASH_AT", None)
HANG_AT: str | None = getattr(settings, "HANG_AT", None)


def crash_point(point: str) -> None:
    """Die or hang here if a test says so. `point` names the moment that has just passed."""
    if point == CRASH_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    if point == HANG_AT:
        threading.Event().wait()
