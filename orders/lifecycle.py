"""Which status may follow which. The one table; nothing else in the engine decides this."""

from enum import StrEnum


class Status(StrEnum):
    PENDING = "pending"
    ROUTING = "routing"
    BUILDING = "building"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


P, R, B, S = Status.PENDING, Status.ROUTING, Status.BUILDING, Status.SUBMITTED

TRANSITIONS: dict[Status, frozenset[Status]] = {
    P: frozenset({R, Status.CANCELLED, Status.EXPIRED}),
    R: frozenset({B, P, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    B: frozenset({S, P, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    # From here on it may have filled: neither cancelled nor expired, and back to pending or
    # failed only with the proof that its transaction is dead.
    S: frozenset({Status.CONFIRMED, P, Status.FAILED}),
    Status.CONFIRMED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
}

AT_ONCE = {(R, S): B}
"""Two moves that one commit may make: from, to, and the status between, which has its event too."""

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
ACTIVE = frozenset(TRANSITIONS) - FINAL
CANCELLABLE = frozenset(s for s, following in TRANSITIONS.items() if Status.CANCELLED in following)

# An order waits until a worker begins it, and is begun until it ends. Each has an index, which
# PostgreSQL finds by these very words.
IS_WAITING = "finished_at IS NULL AND started_at IS NULL"
IS_BEGUN = "finished_at IS NULL AND started_at IS NOT NULL"


class IllegalTransition(Exception):
    """The table does not let this status follow that one: a bug in the caller."""


def check_transition(before: Status, after: Status, *, passes: bool = False) -> None:
    """Check one move, or the two of `AT_ONCE` if the order `passes` a status on its way.

    :raises IllegalTransition: `after` may not follow `before`.
    """
    if passes != ((before, after) in AT_ONCE) or not (passes or after in TRANSITIONS[before]):
        raise IllegalTransition(f"{before} may not be followed by {after}")
