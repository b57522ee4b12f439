"""One run: the engine, its honest clients, and a stranger beside them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.abuse.honest import Honest, Order
from tests.support.accounts import make_account
from tests.support.engine import Web, own_postgres, own_redis, processes
from tests.support.nginx import nginx_before

HONEST, HOSTILE = "127.0.0.10", "127.0.0.66"
ACCOUNTS = 5
WITH_KEY = ("idle sockets", "lists of 200", "orders of one account")
"""These the stranger does with an account of its own, the others with none."""
AFTERWARDS = 10.0  # seconds after which the engine is as before
MOST_TIMES = 2.0
MOST_GROWTH_MB = 200.0  # pools, threads, and what the collector has not come to
POOLED = 30  # connections to PostgreSQL and Redis that are kept for the next ones
KEPT_BY_NGINX = 32  # `keepalive` in the file that the guide names
SHIPPED = {
    # As it is shipped but for more starts a minute: an order a second is more than half of them.
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "SECRET_KEY": "only-for-this-run-0123456789abcdefghijklmnopqrstuvwxyz",
    "ORDER_RATE_LIMIT": "300/m",
    "ALLOW_ANONYMOUS_ORDERS": "true",
    "SIMULATION_DEPTH": "100000000000",
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class Options:
    seed: int
    quiet: float  # seconds of honest trade alone
    seconds: float  # of the attack
    kinds: tuple[str, ...]


@dataclass
class Figures:
    """What honest clients saw before, under and after the attack, and web's memory in MB."""

    before: list[Order]
    under: list[Order]
    after: list[Order]
    memory: tuple[float, float, float]
    """Before, the most meanwhile, and afterwards."""
    open_after: int
    """Descriptors of web above those before, ten seconds afterwards."""
    open_allowed: int = POOLED
    failures: int = 0
    """Requests that web itself answered with 500; nginx says so when it has no connection left."""
    answers: dict[str, dict[str, int]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        found = [
            f"{name:<14} {len(orders):>4} orders, {confirmed(orders)} confirmed, "
            f"POST {spread(accepted(orders))}, to `confirmed` {spread(ended(orders))}"
            for name, orders in (
                *(("without", self.before), ("under attack", self.under)),
                ("afterwards", self.after),
            )
        ]
        return [
            *found,
            "memory of web {:.0f}, at most {:.0f}, afterwards {:.0f} MB".format(*self.memory),
        ]

    def faults(self) -> list[str]:
        """Return what was not as it should be."""
        found = []
        for name, orders in (("under attack", self.under), ("afterwards", self.after)):
            if confirmed(orders) != len(orders):
                last = sorted({order.last for order in orders} - {"confirmed"})
                found.append(f"{len(orders) - confirmed(orders)} orders {name} were {last}")
            for share in (0.5, 0.99):
                quiet, loud = at(share, ended(self.before)), at(share, ended(orders))
                if loud > MOST_TIMES * quiet:
                    found.append(f"p{share * 100:g} {name} was {loud / quiet:.1f} times as long")
        if self.memory[1] - self.memory[0] > MOST_GROWTH_MB:
            found.append(f"web grew by {self.memory[1] - self.memory[0]:.0f} MB")
        if self.open_after > self.open_allowed:
            found.append(f"web still had {self.open_after} descriptors more than before")
        if self.failures:
            found.append(f"web failed at {self.failures} requests")
        return found


def confirmed(orders: list[Order]) -> int:
    return sum(order.last == "confirmed" for order in orders)


def accepted(orders: list[Order]) -> list[float]:
    return [float("inf") if order.accepted is None else order.accepted for order in orders]


def ended(orders: list[Order]) -> list[float]:
    return [float("inf") if order.ended is None else order.ended for order in orders]


def spread(seconds: list[float]) -> str:
    return f"p50 {at(0.5, seconds):.2f} p99 {at(0.99, seconds):.2f} s"


def at(share: float, seconds: list[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] if seconds else 0.0


async def run(options: Options, logs: Path, *, behind_nginx: bool) -> Figures:
    with ExitStack() as stack:
        _, database = stack.enter_context(own_postgres())
        _, redis = stack.enter_context(own_redis())
        engine = stack.enter_context(processes(database, logs, REDIS_URL=redis, **SHIPPED))
        engine.manage("migrate", "--verbosity", "0")
        web = engine.web()
        engine.worker()
        engine.scheduler()
        port = stack.enter_context(nginx_before(web.port)) if behind_nginx else web.port
        accounts = [make_account(database) for _ in range(ACCOUNTS)]
        honest = Honest(port, accounts, HONEST)
        found = await _attacked(options, web, honest, make_account(database).key, port)
        found.open_allowed += KEPT_BY_NGINX if behind_nginx else 0
        return found


async def _attacked(options: Options, web: Web, honest: Honest, stolen: str, port: int) -> Figures:
    await honest.trade(3)  # connections, prepared statements
    before = await honest.trade(options.quiet)
    quiet, descriptors = memory_of(web), open_files_of(web)
    async with _attackers(options, stolen, port) as answers, _memory(web) as most:
        under = await honest.trade(options.seconds)
    await asyncio.sleep(AFTERWARDS)
    left = open_files_of(web) - descriptors
    after = await honest.trade(options.quiet)
    memory = (quiet, max(most), memory_of(web))
    failures = web.output.count("Internal Server Error")
    return Figures(*(before, under, after, memory, left), failures=failures, answers=answers)


@asynccontextmanager
async def _attackers(
    options: Options, key: str, port: int
) -> AsyncIterator[dict[str, dict[str, int]]]:
    """Run the attacks; their answers are there once they have ended."""
    running = []
    for place, kind in enumerate(options.kinds):
        has_key = kind in WITH_KEY
        target = {
            "port": port,
            "source": HOSTILE,
            "key": key if has_key else "",
            "seed": options.seed + place,
        }
        command = [sys.executable, "-m", "tests.abuse.attacks", kind, json.dumps(target)]
        running.append(
            await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        )
    answers: dict[str, dict[str, int]] = {}
    try:
        yield answers
    finally:
        for attacker in running:
            attacker.terminate()
        for attacker in running:
            told, errors = await attacker.communicate()
            assert told, errors.decode()
            answers |= json.loads(told)


@asynccontextmanager
async def _memory(web: Web) -> AsyncIterator[list[float]]:
    """Look at web's memory ten times a second; yields what was seen."""
    seen = [memory_of(web)]

    async def look() -> None:
        while True:
            await asyncio.sleep(0.1)
            seen.append(memory_of(web))

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def memory_of(web: Web) -> float:
    """Return what the process has resident, in MB."""
    pages = int(Path(f"/proc/{web.process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files_of(web: Web) -> int:
    return len(list(Path(f"/proc/{web.process_id}/fd").iterdir()))
