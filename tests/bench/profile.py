"""What one order costs: statements, Redis commands, milliseconds of CPU, by process."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.bench import engine

TICKS = os.sysconf("SC_CLK_TCK")
Costs = dict[str, float]


@contextmanager
def costs_per_order(orders: int, processes: dict[str, int]) -> Iterator[Costs]:
    """Yield a dict that holds, afterwards, what was used in between, divided by `orders`.

    `processes` are process ids by name; PostgreSQL and Redis are found by themselves.
    """
    found: Costs = {}
    before = _reading(processes)
    yield found
    time.sleep(1.5)  # PostgreSQL's counters are up to a second late
    after = _reading(processes)
    found |= {name: (after[name] - before.get(name, 0)) / orders for name in after}


def _reading(processes: dict[str, int]) -> Costs:
    cpu = {f"{name} CPU ms": _cpu_ms(pid) for name, pid in processes.items()}
    return cpu | {
        "postgres CPU ms": sum(_cpu_ms(pid, with_dead=True) for pid in _named("postgres")),
        "redis CPU ms": sum(_cpu_ms(pid) for pid in _named("valkey-server", "redis-server")),
        "transactions": float(str(engine.query(COMMITS)[0])),
        "redis commands": _redis_commands(),
    }


COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


def _redis_commands() -> float:
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    try:
        return float(client.info("stats")["total_commands_processed"])
    finally:
        client.close()


def _cpu_ms(process_id: int, *, with_dead: bool = False) -> float:
    """Return the CPU time of a process, and of its children that have ended."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    if with_dead:
        ticks += int(fields[13]) + int(fields[14])
    return ticks * 1000 / TICKS


def _named(*names: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text().strip() in names:
                found.append(int(folder.name))
        except OSError:
            continue
    return found
