"""How much of this machine other programs use, and what that allows a promise of time."""

import os
import time
from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")
BUSY = 0.2  # of all cores: from here on the clock tells of others more than of the engine
ON_A_BUSY_MACHINE = 10.0  # times as long


class Watch:
    """Measures from its making: the seconds, and what other programs had of the cores meanwhile.

    A promise of time is the engine's only where the engine gets the cores. Where others have them
    the same promise is held to ten times its seconds.
    """

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._spent, self._own = _seconds_spent()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began_at

    def share_of_others(self) -> float:
        """Return a part of all cores' time; zero where the system does not tell it."""
        spent, own = _seconds_spent()
        others = (spent - self._spent) - (own - self._own)
        return others / max(self.seconds * (os.cpu_count() or 1), 0.01)

    def allowed(self, promised: float) -> float:
        """Return for how many seconds a promise of so many may be late now."""
        return promised * (ON_A_BUSY_MACHINE if self.is_disturbed() else 1.0)

    def is_disturbed(self) -> bool:
        return self.share_of_others() > BUSY

    def assert_within(self, promised: float, what: str = "this") -> None:
        took = self.seconds
        allowed = self.allowed(promised)
        assert took < allowed, f"{what} took {took:.2f} s; allowed are {allowed:.2f} s"


def _seconds_spent() -> tuple[float, float]:
    """Return how long the cores have worked: for all, and for this run of tests."""
    if not (PROC / "stat").exists():
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    fields = [int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, hard, soft, _ = fields
    return (user + nice + system + hard + soft) / tick, _ticks_of_run() / tick


def _ticks_of_run() -> int:
    """Return what this process's parent and all below it have used, the ended ones with it.

    The parent is what runs the tests; with `-n` it is that of the other processes of tests, too.
    """
    used: dict[int, int] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for path in PROC.glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        process = int(path.parent.name)
        children[int(words[1])].append(process)
        used[process] = sum(int(word) for word in words[11:15])
    total, left = 0, [os.getppid()]
    while left:
        process = left.pop()
        total += used.get(process, 0)
        left += children[process]
    return total
