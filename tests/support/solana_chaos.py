"""Chaos on a Solana cluster: workers die in the middle, and nodes lose, delay and deny."""

import random
import time
from pathlib import Path

from orders.engine.crash_points import CRASH_POINTS
from orders.engine.moves import NewOrder
from tests.support.engine import Engine, Process, wait_for
from tests.support.on_solana import (
    NODES,
    Cluster,
    Judgement,
    engine_on,
    judge,
)
from tests.support.samples import new_order

FAULTS = [
    {"kind": "drop", "share": 0.2},
    {"kind": "late", "share": 0.2, "slots": 30},
    {"kind": "lost_reply", "share": 0.05},
    {"kind": "wrong_null", "share": 0.1},
    {"kind": "unavailable", "share": 0.03},
]
FORKS = [{"kind": "fork", "share": 0.05}, {"kind": "lost_slot", "share": 0.02}]
POINTS = [
    *("after_claim", "after_quotes", "after_building", "after_build", "after_submitted"),
    *("after_send", "after_fill_seen", "after_confirmed", "after_fault", "after_attempt"),
]
"""Where workers die by themselves, beside those that are killed at any moment."""
WORKERS = 2


def chaos(
    cluster: Cluster, database: str, logs: Path, seed: int, *, orders: int, kills: int
) -> Judgement:
    """Carry random orders out while workers die and nodes lie, and judge what became of them.

    :raises AssertionError: an order has traded twice, or the money is not what the fills say.
    """
    assert set(POINTS) <= set(CRASH_POINTS)
    draw = random.Random(seed)
    with engine_on(cluster, database, logs) as running:
        before = cluster.holdings()
        cluster.set_faults("", *FORKS)
        for node in NODES:
            cluster.set_faults(node, *FAULTS)
        running.scheduler()
        workers = [_worker(running, draw) for _ in range(WORKERS)]
        for _ in range(kills):
            running.store(*(_order(draw) for _ in range(orders // kills)))
            time.sleep(draw.uniform(0.5, 2.0))
            workers.append(_after_a_death(running, workers, draw))
        for node in ("", *NODES):  # as without end all would go on for ever
            cluster.set_faults(node)
        for worker in workers:
            worker.kill()
        running.worker()
        running.wait_until_all_ended(240)
        return judge(running, cluster, before)


def _worker(running: Engine, draw: random.Random) -> Process:
    """Run a worker that dies at a point, when it comes to it, or at none."""
    point = draw.choice([*POINTS, ""])
    return running.worker(**({"CRASH_AT": point} if point else {}))


def _after_a_death(running: Engine, workers: list[Process], draw: random.Random) -> Process:
    """Kill the oldest worker if none has died by itself, and return one in its place."""
    dead = [one for one in workers if one.exit_code is not None]
    victim = dead[0] if dead else workers[0]
    if not dead:
        victim.kill()
    workers.remove(victim)
    wait_for(lambda: victim.exit_code is not None, what="a killed worker is gone")
    return _worker(running, draw)


def _order(draw: random.Random) -> NewOrder:
    """Return a sale or a purchase, of a fixed input or a fixed output."""
    base, quote, price, decimals = draw.choice(
        [("SOL", "USDC", 100, 9), ("JUP", "USDC", 1, 6), ("SOL", "USDT", 100, 9)]
    )
    dollars = draw.randint(5, 500)
    in_base, in_quote = dollars * 10**decimals // price, dollars * 10**6
    side = draw.choice(["sell", "buy"])
    given, taken = (in_base, in_quote) if side == "sell" else (in_quote, in_base)
    is_exact_in = draw.random() < 0.6
    return new_order(
        base=base,
        quote=quote,
        side=side,
        amount_in=given if is_exact_in else None,
        amount_out=None if is_exact_in else taken,
        slippage_bps=1_000,
    )
