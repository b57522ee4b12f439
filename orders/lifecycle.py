"""Which status may follow which. The one table; nothing else in the engine decides this."""

from enum import StrEnum


class Status(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN, P, R, B = Status.OPEN, Status.PENDING, Status.ROUTING, Status.BUILDING
S = Status.SUBMITTED

TRANSITIONS: dict[Status, frozenset[Status]] = {
    # It rests. What happens to it meanwhile (amended, held, armed) is a move to where it is. Only
    # the parent of slices is confirmed from here.
    OPEN: frozenset({P, OPEN, Status.CONFIRMED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    P: frozenset({R, Status.CANCELLED, Status.EXPIRED}),
    R: frozenset({B, P, OPEN, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    B: frozenset({S, P, OPEN, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    # From here on it may have filled: all but confirmed only with the proof that its transaction is
    # dead, and cancelled only if that was asked for before.
    S: frozenset({Status.CONFIRMED, P, OPEN, Status.FAILED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

AT_ONCE = {(R, S): B}
"""Two moves that one commit may make: from, to, and the status between, which has its event too."""

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - FINAL
CANCELLABLE = ACTIVE - {S}
"""In which an order can be cancelled at once."""

# An order rests until it is released, waits until a worker begins it, and is begun until it ends or
# rests again. The last two have an index each, which PostgreSQL finds by these very words.
IS_WAITING = "finished_at IS NULL AND started_at IS NULL AND NOT resting"
IS_BEGUN = "finished_at IS NULL AND started_at IS NOT NULL AND NOT resting"

IS_HALTED = (
    "coalesce((SELECT state = 'halted' FROM trading_states ORDER BY id DESC LIMIT 1), false)"
)
"""Depends on no row of the statement it stands in, so that PostgreSQL asks it once."""


class IllegalTransition(Exception):
    """The table does not let this status follow that one: a bug in the caller."""


def check_transition(before: Status, after: Status, *, passes: bool = False) -> None:
    """Check one move, or the two of `AT_ONCE` if the order `passes` a status on its way.

    :raises IllegalTransition: `after` may not follow `before`.
    """
    if passes != ((before, after) in AT_ONCE) or not (passes or after in TRANSITIONS[before]):
        raise IllegalTransition(f"{before} may not be followed by {after}")
