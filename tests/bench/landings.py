"""How many transactions land in one pool in a second, on the ledger alone."""

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context

from routing.simulation.settings import Simulation
from routing.simulation.transaction import sign_swap
from routing.tokens import REGISTRY, SOL, USDC
from routing.venue import Bound, Landed, Leg, Side, Swap
from routing.venues import simulated_exchange

SIMULATION = Simulation(
    quote_latency=0, landing_latency=(0, 0), seed=1, depth=10**11, volatility_bps=Decimal(2)
)
SELL = Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_in=1_500_000_000)
LANDED = 10_000


def landing_rates(conninfo: str) -> Iterator[tuple[str, str]]:
    """Yield the pool, how many sent at once from how many processes, and what landed a second."""
    for position, kind in enumerate(("CPMM", "DLMM")):
        for processes, at_once in ((1, 10), (1, 100), (1, 400), (2, 100), (2, 400)):
            rate, cost = rate_of(conninfo, position, processes, at_once)
            what = f"{kind}, {at_once} at once from {processes} process(es)"
            yield what, f"{rate:,.0f}/s  {cost * 1000:.2f} ms of the sender's CPU each"


def rate_of(conninfo: str, position: int, processes: int, at_once: int) -> tuple[float, float]:
    count = LANDED // processes
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        start = time.time() + 4  # they import and sign meanwhile
        runs = [
            pool.submit(landings, conninfo, position, at_once, count, start)
            for _ in range(processes)
        ]
        ended = [run.result() for run in runs]
    seconds = max(end for end, _ in ended) - start
    return processes * count / seconds, sum(cpu for _, cpu in ended) / (processes * count)


def landings(
    conninfo: str, position: int, at_once: int, count: int, start: float
) -> tuple[float, float]:
    """Land `count` transactions; return when that was done and the processor's seconds it took."""
    return asyncio.run(_landings(conninfo, position, at_once, count, start))


async def _landings(
    conninfo: str, position: int, at_once: int, count: int, start: float
) -> tuple[float, float]:
    exchange = simulated_exchange(conninfo, SIMULATION)
    venue = exchange.venues[position]
    leg = Leg(venue.name, await venue.quote(SELL))
    height = await exchange.network.height()
    transactions = iter(
        [
            sign_swap(SELL, [leg], Bound(min_out=1), height=height, expiry_blocks=1_000_000)
            for _ in range(count)
        ]
    )

    async def send() -> None:
        for transaction in transactions:
            assert isinstance(await exchange.network.send(transaction), Landed)

    assert time.time() < start, "the machine is too slow to start together"
    await asyncio.sleep(start - time.time())
    cpu = time.process_time()
    await asyncio.gather(*(send() for _ in range(at_once)))
    ended = time.time(), time.process_time() - cpu
    await exchange.close()
    return ended


def main() -> None:
    for what, figure in landing_rates(os.environ["DATABASE_URL"]):
        print(f"  {what:<45} {figure}", flush=True)


if __name__ == "__main__":
    main()
