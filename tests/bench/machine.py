"""How fast this machine is just now, and whether that moved."""

import time
from collections.abc import Sequence
from typing import NamedTuple

MOST_MOVED = 1.25
"""Times as long: beyond it two measurements tell of the machine, not of what was measured."""
TIMES = 20


class Loop(NamedTuple):
    """How long Python takes to add up a million numbers, in milliseconds."""

    wall: float
    """Other programs make it longer, which take the cores."""
    cpu: float
    """Other guests of the host make it longer, and nothing else."""

    def __str__(self) -> str:
        return f"{self.wall:.1f} ms, {self.cpu:.1f} ms of CPU"


def loop() -> Loop:
    """Measure this machine: the least of twenty, of each clock."""
    took = [_once() for _ in range(TIMES)]
    return Loop(min(wall for wall, _ in took), min(cpu for _, cpu in took))


def has_moved(took: Sequence[float]) -> bool:
    """Whether the slowest of these took more than a quarter longer than the quickest."""
    return max(took) > MOST_MOVED * min(took)


def speed_of(before: Loop, after: Loop) -> str:
    """Return how fast the machine was at both ends of a run, and what of it cannot be compared."""
    told = f"this machine, a loop of a million in Python: before {before}; after {after}"
    if has_moved((before.cpu, after.cpu)):
        return f"{told}\nIts speed moved by more than a quarter: compare nothing of this."
    if has_moved((before.wall, after.wall)):
        return f"{told}\nOthers took more of its cores meanwhile, or less: compare CPU alone."
    return told


def _once() -> Loop:
    wall, cpu = time.perf_counter(), time.process_time()
    sum(range(1_000_000))
    return Loop((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000)
