"""What one order costs: statements, Redis commands, milliseconds of CPU, by process."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tests.bench import engine
from tests.bench.processes import Costs, cpu_ms, servers_beside_us


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
    ours = {name: [process_id] for name, process_id in processes.items()}
    cpu = cpu_ms({**ours, **servers_beside_us()})
    return {f"{name} CPU ms": ms for name, ms in cpu.items()} | {
        "all CPU ms": sum(cpu.values()),
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
