"""What the processes of a stack use: processor time and memory (Linux)."""

import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
SERVERS = {"postgres": "PostgreSQL", "valkey-server": "Redis", "redis-server": "Redis"}

Roots = Mapping[str, Collection[int]]
"""Process ids by name; what these processes started counts with them."""
Costs = dict[str, float]
"""Milliseconds of processor time by a process's name."""


class Held(NamedTuple):
    """Memory of a process and what it started, in MB."""

    pss: float
    """Proportional set size: what several share is divided among them."""
    rss: float
    """Resident set size: what several share is counted for each."""

    def __str__(self) -> str:
        return f"{self.pss:.0f} / {self.rss:.0f}"


Memory = dict[str, Held]


@contextmanager
def cpu_of(roots: Roots) -> Iterator[Costs]:
    """Yield a dict that holds, afterwards, the milliseconds used in between, and those of `all`."""
    found: Costs = {}
    before = cpu_ms(roots)
    yield found
    after = cpu_ms(roots)
    found |= {name: after[name] - before[name] for name in after}
    found["all"] = sum(found.values())


def cpu_ms(roots: Roots) -> Costs:
    """Return what these processes and all below them have used, the ended ones with them.

    Who has ended is in the account of the parent that waited for it, so that the difference of
    two readings misses nothing and counts nothing twice.
    """
    below = _children()
    return {
        name: sum(_own_ms(process) + _ended_ms(process) for process in _families(pids, below))
        for name, pids in roots.items()
    }


def memory_mb(roots: Roots) -> Memory:
    """Return what these processes and all below them hold."""
    below = _children()
    return {
        name: Held(
            sum(_rollup_mb(process, "Pss:") for process in _families(pids, below)),
            sum(_rollup_mb(process, "Rss:") for process in _families(pids, below)),
        )
        for name, pids in roots.items()
    }


def servers_beside_us() -> Roots:
    """Return PostgreSQL and Redis of the `config.stack run` that runs us, or runs who runs us.

    :raises LookupError: none does.
    """
    below = _children()
    parents = {child: parent for parent, children in below.items() for child in children}
    process, found = os.getpid(), defaultdict[str, list[int]](list)
    while not found:
        if not (process := parents.get(process, 0)):
            raise LookupError("No servers: run this by `config.stack run`, as `make bench` does.")
        for beside in below[process]:
            if name := SERVERS.get(_text(beside, "comm").strip()):
                found[name].append(beside)
    return found


def told(costs: Costs, orders: float) -> str:
    """Return processor time an order, by process: `web 0.61 + PostgreSQL 0.12 = 0.73 ms CPU`."""
    parts = {name: ms / orders for name, ms in costs.items() if name != "all"}
    listed = " + ".join(f"{name} {ms:.2f}" for name, ms in parts.items())
    return f"{listed} = {costs['all'] / orders:.2f} ms CPU"


def _own_ms(process: int) -> float:
    """Return what a process has used, its ended threads with it, to the nanosecond."""
    clock = (~process << 3) | 2  # as clock_getcpuclockid of the C library makes it
    try:
        return time.clock_gettime(clock) * 1000
    except OSError:
        return 0.0  # it has ended


def _ended_ms(process: int) -> float:
    """Return what those children of a process have used that ended and were waited for."""
    words = _text(process, "stat").rpartition(")")[2].split()
    return sum(map(int, words[13:15])) * TICK_MS


def _rollup_mb(process: int, name: str) -> float:
    for line in _text(process, "smaps_rollup").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    return 0.0


def _families(processes: Collection[int], below: Mapping[int, list[int]]) -> Iterator[int]:
    for process in processes:
        yield process
        yield from _families(below[process], below)


def _children() -> defaultdict[int, list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for path in PROC.glob("[0-9]*"):
        words = _text(int(path.name), "stat").rpartition(")")[2].split()
        if words:
            found[int(words[1])].append(int(path.name))
    return found


def _text(process: int, name: str) -> str:
    """Return a file of a process; nothing if it has ended."""
    try:
        return (PROC / str(process) / name).read_text()
    except OSError:
        return ""
