"""Measures two commits in turns: `make bench-against COMMIT=c1c6b37`.

Each runs in a folder of its own, on servers of its own that are alike, and both run all the time:
what is compared are the figures of two measurements that came one right after the other. A turn in
which the machine's speed moved by more than a quarter does not count, and where that is half of
them or more, nothing is compared: one sentence, and exit code 1.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from tests.bench.arguments import Parser, count, run, stop_cleanly
from tests.bench.client import percentile
from tests.bench.engine import PROJECT
from tests.bench.machine import Loop, has_moved, loop
from tests.bench.processes import Costs, cpu_of, memory_mb
from tests.bench.ratios import Ratios
from tests.bench.stack import NotReleasedError, Stack, stack
from tests.bench.wire import PATIENCE, Outcome, Target, drive, events_of, order_id_in

CONNECTIONS = 20
IN_FLIGHT = 100
CPU = "CPU ms"
WARM_UP = 50
NOTHING = 0.02
"""Milliseconds an order that a process may take without being told."""
LIVE = 4
"""Events of an order after its first."""


class NotComparable(Exception):
    """The machine's speed moved, so that the figures tell of the machine."""


class Failed(Exception):
    """An engine did not do what it was asked; its figures would be of something else."""


class Figure(NamedTuple):
    what: str
    unit: str


Figures = dict[Figure, float]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two commits, which runs."""

    name: str
    stack: Stack

    def drive(self, orders: int, at_once: int, *, follows: bool = True) -> Outcome:
        """:raises Failed: an order was refused, failed or lost, or its stream was not exact."""
        target = Target(self.stack.url)
        outcome = asyncio.run(drive(target, orders, at_once, follows=follows))
        if outcome.faults:
            raise Failed(f"{self.name}: {outcome.first_fault}")
        return outcome


@dataclass(frozen=True, slots=True)
class Turn:
    """A pair of measurements, and the machine before and after it."""

    figures: tuple[Figures, Figures]
    before: Loop
    after: Loop

    def counts_for(self, figure: Figure) -> bool:
        """Whether the machine was the same; where others took its cores, CPU alone counts."""
        if has_moved((self.before.cpu, self.after.cpu)):
            return False
        return figure.unit == CPU or not has_moved((self.before.wall, self.after.wall))


def compared(turns: Sequence[Turn], figure: Figure) -> tuple[float, float, Ratios]:
    """Return both medians of a figure, and how the second stands to the first.

    :raises NotComparable: half of the turns do not count, or more.
    """
    counted = [turn.figures for turn in turns if turn.counts_for(figure)]
    if 2 * len(counted) <= len(turns):
        kind = "CPU" if figure.unit == CPU else "rate or time"
        raise NotComparable(
            f"The machine's speed moved by more than a quarter in {len(turns) - len(counted)} of"
            f" {len(turns)} turns: no {kind} is compared."
        )
    firsts, seconds = ([pair[place][figure] for pair in counted] for place in (0, 1))
    return median(firsts), median(seconds), Ratios.of(seconds, firsts)


def post_and_drain(side: Side, asked: argparse.Namespace) -> Figures:
    """Fill a queue while no worker works, and let one worker empty it."""
    with side.stack.without_workers(), cpu_of(side.stack.roots) as posting:
        outcome = side.drive(asked.orders, CONNECTIONS, follows=False)
    found = {Figure(f"POST, {CONNECTIONS} connections", "/s"): asked.orders / outcome.elapsed}
    return found | _cpu("POST", posting, asked.orders) | _drained(side, asked.orders, "1 worker")


def drain_by_two(side: Side, asked: argparse.Namespace) -> Figures:
    with side.stack.without_workers():
        side.drive(asked.orders, CONNECTIONS, follows=False)
    return _drained(side, asked.orders, "2 workers")


def alone(side: Side, asked: argparse.Namespace) -> Figures:
    return _followed(side, "alone", max(asked.orders // 10, 10), 1)


def together(side: Side, asked: argparse.Namespace) -> Figures:
    return _followed(side, "20 at once", max(asked.orders // 4, 40), 20)


def fan_out(side: Side, asked: argparse.Namespace) -> Figures:
    """Have many sockets follow one order, which begins when they all listen."""
    costs, delays = asyncio.run(_fan_out(side, asked.sockets))
    name = f"fan-out, {asked.sockets:,} sockets"
    found = {Figure(f"{name}, a socket and event, web", CPU): costs["web"] / asked.sockets / LIVE}
    for status, seconds in delays.items():
        for share in (0.5, 0.99):
            what = f"{name}, {status}, p{share * 100:.0f}"
            found[Figure(what, "ms")] = percentile(seconds, share)
    return found


def _drained(side: Side, orders: int, who: str) -> Figures:
    name = f"drain, {IN_FLIGHT} in flight, {who}"
    with cpu_of(side.stack.roots) as costs:
        side.stack.wait_until_all_ended()
    found = {Figure(name, "/s"): orders / side.stack.drain_seconds(orders)}
    return found | _cpu(name, costs, orders)


def _followed(side: Side, name: str, orders: int, at_once: int) -> Figures:
    with cpu_of(side.stack.roots) as costs:
        outcome = side.drive(orders, at_once)
    name = f"POST to confirmed, {name}"
    found = {Figure(f"{name}, p50", "ms"): percentile(outcome.ends, 0.5)}
    found[Figure(f"{name}, p99", "ms")] = percentile(outcome.ends, 0.99)
    return found | _cpu(name, costs, orders)


def _cpu(what: str, costs: Costs, orders: int) -> Figures:
    return {Figure(f"{what}: {name}", CPU): ms / orders for name, ms in costs.items()}


async def _fan_out(side: Side, sockets: int) -> tuple[Costs, dict[str, list[float]]]:
    """Return what it cost from the start of the order on, and the delays in seconds by status."""
    target, heard = Target(side.stack.url), asyncio.Semaphore(0)
    arrivals: list[list[tuple[float, Any]]] = []
    room = asyncio.Semaphore(50)  # so many are opened at once

    async def follow() -> None:
        async with room:
            events = events_of(target, order_id)
            told = [(time.time(), await anext(events))]
        heard.release()
        told += [(time.time(), message) async for message in events]
        arrivals.append(told)

    with side.stack.without_workers():
        connection = await target.connection()
        status, body = await connection.exchange(target.request)
        connection.close()
        if status != HTTPStatus.CREATED:
            raise Failed(f"{side.name}: {status} {body!r}")
        order_id = order_id_in(target, body)
        followers = asyncio.gather(*(follow() for _ in range(sockets)))
        async with asyncio.timeout(PATIENCE):
            for _ in range(sockets):
                await heard.acquire()
    with cpu_of(side.stack.roots) as costs:
        async with asyncio.timeout(PATIENCE):
            await followers
    delays: defaultdict[str, list[float]] = defaultdict(list)
    for told in arrivals:
        if fault := target.dialect.fault_of([message for _, message in told]):
            raise Failed(f"{side.name}: a stream of {order_id} {fault}")
        for at, message in told[1:]:
            sent = datetime.fromisoformat(message["timestamp"]).timestamp()
            delays[message["status"]].append(at - sent)
    return costs, delays


PARTS: dict[str, Callable[[Side, argparse.Namespace], Figures]] = {
    "post": post_and_drain,
    "two": drain_by_two,
    "alone": alone,
    "together": together,
    "fan": fan_out,
}


def measured(name: str, sides: tuple[Side, Side], asked: argparse.Namespace) -> list[Turn]:
    """Take the turns of a part; who begins changes from one to the next."""
    turns = []
    with ExitStack() as exits:
        for side in sides:
            if name == "two":
                exits.enter_context(side.stack.worker(IN_FLIGHT))
            side.drive(WARM_UP, 5)
        for number in range(asked.turns):
            before, found = loop(), {}
            for place in (0, 1) if number % 2 else (1, 0):
                found[place] = PARTS[name](sides[place], asked)
            turns.append(Turn((found[0], found[1]), before, loop()))
    return turns


def print_part(turns: Sequence[Turn]) -> bool:
    """Print a line for each figure; return whether all of them could be compared."""
    refusals = set()
    for figure in turns[0].figures[0]:
        if min(side[figure] for turn in turns for side in turn.figures) < NOTHING:
            continue  # such as a worker while none works
        try:
            first, second, ratios = compared(turns, figure)
        except NotComparable as error:
            refusals.add(str(error))
        else:
            what = f"{figure.what}, {figure.unit}"
            print(f"  {what:<62}{first:>9,.3g}{second:>9,.3g}  {ratios}", flush=True)
    print(*(f"  {refusal}" for refusal in sorted(refusals)), sep="\n", end="\n" * bool(refusals))
    return not refusals


def compare(sides: tuple[Side, Side], asked: argparse.Namespace) -> int:
    """Print all figures of two engines with a worker each; return an exit code."""
    print(f"\n  {'':<62}{sides[0].name:>9}{sides[1].name:>9}  ratio (middle half; all turns)")
    wholes = [print_part(measured(name, sides, asked)) for name in asked.parts]
    for side in sides:
        held = memory_mb(side.stack.roots)
        told = " + ".join(f"{name} {memory.pss:.0f}" for name, memory in held.items())
        print(f"  {side.name}, PSS in MB afterwards: {told}", flush=True)
    return 0 if all(wholes) else 1


@contextmanager
def folder_of(commit: str) -> Iterator[Path]:
    """Check a commit out into a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="oee-bench-") as parent:
        folder = Path(parent, "tree")
        _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def commit_of(text: str) -> str:
    """Take what names a commit of this repository, and return its short name."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--short", f"{text}^{{commit}}")
    except (subprocess.CalledProcessError, FileNotFoundError):
        raise argparse.ArgumentTypeError(f"{text!r} is no commit of this repository") from None


def _git(*words: str) -> str:
    command = ["git", "-C", str(PROJECT), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="make bench-against", description=__doc__)
    parser.add_argument("commit", type=commit_of, help="which the other is divided by")
    parser.add_argument("--with", dest="other", type=commit_of, help="else: the folder as it is")
    parser.add_argument("--python", default=sys.executable, help="of the other (an executable)")
    parser.add_argument("--turns", type=count, default=10)
    parser.add_argument("--orders", type=count, default=1_000, help="of a turn, at most")
    parser.add_argument("--sockets", type=count, default=1_000, help="on one order")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    asked = arguments(words)
    stop_cleanly()
    with ExitStack() as exits:
        first = exits.enter_context(folder_of(asked.commit))
        second = exits.enter_context(folder_of(asked.other)) if asked.other else PROJECT
        locks = [(folder / "requirements.lock").read_bytes() for folder in (first, second)]
        if locks[0] != locks[1]:
            print("They want other versions of libraries; both run on those installed here.")
        one = Side(asked.commit, exits.enter_context(stack(first)))
        other = Side(asked.other or "this", exits.enter_context(stack(second, asked.python)))
        for side in (one, other):
            exits.enter_context(side.stack.worker(IN_FLIGHT))
        return compare((one, other), asked)


if __name__ == "__main__":
    run(main, (Failed, NotReleasedError, OSError, RuntimeError, LookupError), "Nothing is compared")
