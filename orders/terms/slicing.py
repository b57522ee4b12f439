"""When a TWAP's slices are due, and how large each of them is: rules without a database.

A slot is a place in time, a slice is the order that is sent there. Slots are numbered from 0. The
grid is fixed: a slice that comes late does not move the slots after it.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

SPREAD, SKIP = "spread", "skip"
CATCH_UP = (SPREAD, SKIP)
"""What becomes of an amount that its slot did not trade: spread over the slots that are left, or
left undone."""

FEWEST_SLICES, MOST_SLICES = 2, 1000
MOST_INTERVAL_SECONDS = 86_400
LONGEST_WAIT = timedelta(seconds=60)
"""A slice that was not sent by then expires, and its amount stays in what remains."""
MOST_AT_ONCE = 3
"""No slice is larger than so many equal shares, whatever was missed before it."""
LOOK_AGAIN = timedelta(seconds=1)
"""How soon a parent is looked at again that waits for something without a fixed time."""


class Plan(NamedTuple):
    """What a TWAP asks for; `total` is in atoms of the input token."""

    total: int
    slices: int
    interval: timedelta
    start: datetime
    catch_up: str = SPREAD
    ends_at: datetime | None = None
    """No slice is made from then on; None: the slots alone decide."""

    @classmethod
    def of(
        cls,
        terms: dict[str, Any],
        total: int,
        created_at: datetime,
        ends_at: datetime | None = None,
    ) -> "Plan":
        """Return the plan of an order's `terms`. Without `startAt` it starts when it was stored."""
        start = terms.get("startAt")
        return cls(
            total,
            terms["slices"],
            timedelta(seconds=terms["intervalSeconds"]),
            created_at if start is None else datetime.fromisoformat(start),
            terms["catchUp"],
            ends_at,
        )

    @property
    def end(self) -> datetime:
        """When no slice can be made any more: the last may come one interval late."""
        end = self.due_at(self.slices)
        return end if self.ends_at is None else min(end, self.ends_at)

    def due_at(self, slot: int) -> datetime:
        return self.start + slot * self.interval

    def slot_at(self, at: datetime) -> int | None:
        """Return the slot that is due at this time; None before the first and after the last."""
        slot = (at - self.start) // self.interval
        return slot if 0 <= slot < self.slices else None

    def share(self, slot: int) -> int:
        """Return what this slot trades if no slot is missed. The sum of all shares is the total."""
        whole, rest = divmod(self.total, self.slices)
        return whole + (slot < rest)

    @property
    def cap(self) -> int:
        return MOST_AT_ONCE * _divide_up(self.total, self.slices)

    @property
    def wait(self) -> timedelta:
        """How long a slice may wait until it is sent."""
        return min(LONGEST_WAIT, self.interval)

    def amount(self, slot: int, remaining: int, minimum: int = 0) -> int:
        """Return the amount of the slice of this slot, of what remains of the total.

        A slice is not below the minimum if there is enough for it. What would remain below the
        minimum for the slots after it is added to it. The cap holds all the same.
        """
        left = self.slices - slot
        wanted = self.share(slot) if self.catch_up == SKIP else _divide_up(remaining, left)
        amount = min(max(wanted, minimum), remaining, self.cap)
        rest = remaining - amount
        if left > 1 and rest < minimum and remaining <= self.cap:
            return remaining
        return amount


def most_slices(total: int, minimum: int) -> int:
    """Return the largest number of slices of which none is below the minimum; 0: not even one."""
    return min(total // minimum, MOST_SLICES) if minimum > 0 else MOST_SLICES


class LastSlice(NamedTuple):
    """The slice that was made last."""

    slot: int
    is_filled: bool


class Progress(NamedTuple):
    """How far a TWAP has come; amounts are in atoms of the input token."""

    filled: int = 0
    last: LastSlice | None = None
    is_on_its_way: bool = False
    """Whether a slice has not ended yet."""
    is_cancelled: bool = False
    """Whether its client asked for an end."""


class Wait(NamedTuple):
    until: datetime


class Slice(NamedTuple):
    """Make this slice, and look at the parent again at `until`: soon, since it may be cancelled
    while the slice is on its way."""

    slot: int
    amount: int
    missed: list[int]
    """The slots since the slice before that traded nothing."""
    remaining: int
    """What is left of the total beside this slice."""
    until: datetime


class End(NamedTuple):
    is_cancelled: bool
    is_complete: bool


Step = Wait | Slice | End


def next_step(
    plan: Plan, progress: Progress, now: datetime, *, minimum: int = 0, is_halted: bool = False
) -> Step:
    """Return what a TWAP does now. There is at most one slice of a slot, and one on its way."""
    remaining = plan.total - progress.filled
    if progress.is_on_its_way:
        return Wait(now + LOOK_AGAIN)
    if progress.is_cancelled or remaining <= 0:
        return End(is_cancelled=progress.is_cancelled, is_complete=remaining <= 0)
    last_slot = progress.last.slot if progress.last else -1
    if last_slot == plan.slices - 1 or now >= plan.end:
        return End(is_cancelled=False, is_complete=False)
    slot = plan.slot_at(now)
    if slot is None or slot <= last_slot:
        return Wait(plan.due_at(last_slot + 1))
    if is_halted:
        return Wait(now + LOOK_AGAIN)
    return _slice(plan, progress, now, slot, minimum)


def _slice(plan: Plan, progress: Progress, now: datetime, slot: int, minimum: int) -> Slice:
    remaining = plan.total - progress.filled
    amount = plan.amount(slot, remaining, minimum)
    until = min(now + LOOK_AGAIN, plan.due_at(slot + 1))
    return Slice(slot, amount, _missed(progress.last, slot), remaining - amount, until)


def _missed(last: LastSlice | None, slot: int) -> list[int]:
    if last is None:
        return list(range(slot))
    return list(range(last.slot + last.is_filled, slot))


def _divide_up(amount: int, parts: int) -> int:
    return -(-amount // parts)
