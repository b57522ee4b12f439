"""Keeps thousands of orders in flight and followers on them for minutes: `make bench-steady`.

Orders come at an even rate and land after 30 to 50 seconds, so that as many are in flight as asked
for. Times are from when an order was due, so that a stall is told by all who had to wait for it.
Exit code 1: a process's memory grew in the second half, a stream was lost or not exact, or the
machine did not keep up, so that ever more were in flight.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from tests.bench.arguments import Parser, count, run, stop_cleanly
from tests.bench.client import Connection, percentile
from tests.bench.machine import loop, speed_of
from tests.bench.processes import Costs, Memory, cpu_of, memory_mb, told
from tests.bench.stack import NotReleasedError, Stack, stack
from tests.bench.wire import Dialect, Outcome, Target, follow, order_id_in

LANDING = (30, 50)  # seconds
EXPIRY = "1000"  # blocks, of which a second has 2.5
FILLED = 5  # seconds more, until as many are in flight as shall be
CONNECTIONS = 20
MOST_CARRIED = 10_000  # by one worker
POLLED = "1"  # seconds between two looks at a transaction: each is in flight for 40
FLAT, LITTLE = 1.1, 5.0
"""Beyond so many times as much memory, and so many MB more, a process grows."""
KEPT_UP = 1.2
"""Times as many in flight: beyond it the figures are those of a queue."""
SMALL = (
    b'{"baseToken":"SOL","quoteToken":"USDC","side":"sell","amountIn":"0.0015","slippageBps":5000}'
)
"""The price moves while thousands of orders are in flight. None of these comes back for that."""
BESIDE = "PostgreSQL"
"""Its memory is told and not judged: it keeps what it read as long as there is room."""


@dataclass(slots=True)
class Load:
    """Sends orders at an even rate, and has followers who always follow one."""

    target: Target
    posts: list[float] = field(default_factory=list)
    """Seconds from when an order was due to its answer."""
    delays: list[float] = field(default_factory=list)
    """Seconds from an event's commit to its arrival, of those that a follower waited for."""
    outcome: Outcome = field(default_factory=Outcome)
    _fresh: asyncio.Queue[object] = field(default_factory=lambda: asyncio.Queue(maxsize=1))
    _free: asyncio.Queue[Connection] = field(default_factory=asyncio.Queue)

    def forget_times(self) -> None:
        self.posts.clear()
        self.delays.clear()

    async def send(self, rate: float) -> None:
        """Send orders for ever."""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(await self.target.connection())
        async with asyncio.TaskGroup() as under_way:
            due = time.perf_counter()
            while True:
                await asyncio.sleep(due - time.perf_counter())
                under_way.create_task(self._post(due))
                due += 1 / rate

    async def _post(self, due: float) -> None:
        connection = await self._free.get()
        try:
            status, body = await connection.exchange(self.target.request)
        except (OSError, EOFError) as error:
            self.outcome.count("refused", error or type(error).__name__)
            connection = await self.target.connection()
        else:
            self.posts.append(time.perf_counter() - due)
            if status != HTTPStatus.CREATED:
                self.outcome.count("refused", f"{status} {body!r}")
            else:
                with suppress(asyncio.QueueFull):  # all followers have one
                    self._fresh.put_nowait(order_id_in(self.target, body))
        self._free.put_nowait(connection)

    async def follow(self) -> None:
        """Follow one order after the other for ever."""
        while True:
            order_id, opened = await self._fresh.get(), time.time()

            def heard(message: Any, opened: float = opened) -> None:
                if "timestamp" not in message:
                    return  # no event: the stream will not be whole
                committed = datetime.fromisoformat(message["timestamp"]).timestamp()
                if committed > opened:
                    self.delays.append(time.time() - committed)

            await follow(self.target, order_id, self.outcome, heard)
            self.outcome.ends.append(time.time() - opened)


@dataclass(frozen=True, slots=True)
class Reading:
    """What there was at a moment of the run."""

    in_flight: int
    memory: Memory


def overrun(readings: Sequence[Reading]) -> list[str]:
    """Return the sentence for a machine on which ever more orders are in flight."""
    first, last = readings[0].in_flight, readings[-1].in_flight
    if last <= KEPT_UP * first:
        return []
    return [f"the machine did not keep up: in flight were {first:,}, and {last:,} at the end"]


def grown(middle: Memory, end: Memory) -> list[str]:
    """Return which of our processes hold more at the end than in the middle, and how much."""
    return [
        f"{name} grew from {middle[name].pss:.0f} to {memory.pss:.0f} MB in the second half"
        for name, memory in end.items()
        if name != BESIDE and memory.pss > max(FLAT * middle[name].pss, middle[name].pss + LITTLE)
    ]


async def keep_steady(
    running: Stack, load: Load, asked: argparse.Namespace
) -> tuple[list[Reading], Costs]:
    """Return readings of start, middle and end, and what was used in between."""
    rate = asked.open / (sum(LANDING) / 2)
    readings = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(load.follow()) for _ in range(asked.followers)]
        tasks.append(group.create_task(load.send(rate)))
        await asyncio.sleep(LANDING[1] + FILLED)
        load.forget_times()
        with cpu_of(running.roots) as costs:
            readings.append(await asyncio.to_thread(_reading, running))
            for _ in range(2):
                await asyncio.sleep(asked.seconds / 2)
                readings.append(await asyncio.to_thread(_reading, running))
        for task in tasks:
            task.cancel()
    return readings, costs


def _reading(running: Stack) -> Reading:
    return Reading(running.open_orders(), memory_mb(running.roots))


def lines_of(load: Load, readings: Sequence[Reading], costs: Costs) -> list[str]:
    """Return the report of a run."""
    told_of = {"POST": load.posts, "event to arrival": load.delays}
    times = [
        f"{what:<18} p50 {percentile(took, 0.5):.1f} ms  p99 {percentile(took, 0.99):.1f} ms"
        f"  most {max(took) * 1000:.0f} ms"
        for what, took in told_of.items()
        if took
    ]
    faults = ", ".join(f"{number} {kind}" for kind, number in load.outcome.faults.items())
    first = f" ({load.outcome.first_fault})" if faults else ""
    return [
        "in flight          " + ", ".join(f"{reading.in_flight:,}" for reading in readings),
        f"orders sent        {len(load.posts):,}",
        f"followed to an end {len(load.outcome.ends):,}, {faults or 'all exact'}{first}",
        *times,
        f"an order           {told(costs, len(load.posts) or 1)}",
        "PSS / RSS in MB    at the start, in the middle, at the end",
        *(
            f"  {name:<17}" + ", ".join(str(reading.memory[name]) for reading in readings)
            for name in readings[0].memory
        ),
    ]


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="make bench-steady", description=__doc__)
    parser.add_argument("--seconds", type=count, default=300, help="after 55 of filling")
    parser.add_argument("--open", type=count, default=5_000, help="orders in flight")
    parser.add_argument("--followers", type=count, default=1_000)
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    asked = arguments(words)
    stop_cleanly()
    landing = "-".join(map(str, LANDING))
    before = loop()
    slow = {"SIMULATION_LANDING_LATENCY": landing, "SIMULATION_EXPIRY_BLOCKS": EXPIRY}
    with (
        stack(STATUS_POLL_SECONDS=POLLED, **slow) as running,
        running.worker(min(2 * asked.open, MOST_CARRIED)),  # a limit, which is not reached
    ):
        load = Load(Target(running.url, Dialect(body=SMALL)))
        readings, costs = asyncio.run(keep_steady(running, load, asked))
    found = overrun(readings) or grown(readings[1].memory, readings[2].memory)
    print(*lines_of(load, readings, costs), *(found or ["memory is flat"]), sep="\n")
    print(speed_of(before, loop()), flush=True)
    return 1 if found or load.outcome.faults else 0


if __name__ == "__main__":
    run(main, (NotReleasedError, TimeoutError, RuntimeError), "Nothing was measured")
