"""`make chaos SEED=7`: one run, one line of JSON; exit code 1 and the evidence if it broke."""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

from tests.chaos.cases import print_table
from tests.chaos.kinds import kinds_that_show
from tests.chaos.plan import Options
from tests.chaos.run import run

WITHOUT = (
    *("scheduler", "resync", "fencing", "token", "constraints"),
    *("deadline", "fitness", "outcome", "look"),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="what happens follows from it")
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=90.0, help="of load and faults")
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--drain", type=float, default=30.0, help="seconds until all has ended")
    parser.add_argument(
        *("--accounts",), type=int, default=0, help="others, each with a reader of its events"
    )
    parser.add_argument(
        *("--only",),
        nargs="*",
        default=[],
        help="kinds of faults; else those that show what is switched off, or all",
    )
    parser.add_argument("--without", nargs="*", default=[], choices=WITHOUT, help="switched off")
    parser.add_argument("--bot", action="store_true", help="the example bot of client/ beside")
    parser.add_argument("--cases", action="store_true", help="a table, each kind by itself")
    return parser.parse_args()


def options_of(arguments: argparse.Namespace) -> Options:
    found = vars(arguments) | {}
    seed = found.pop("seed")
    del found["cases"]
    sets = {name: frozenset(found.pop(name)) for name in ("only", "without")}
    sets["only"] = sets["only"] or kinds_that_show(sets["without"])
    return Options(seed=random.randrange(10**6) if seed is None else seed, **found, **sets)


def main() -> int:
    asked = arguments()
    logs = Path(tempfile.mkdtemp(prefix="chaos-logs-"))
    if asked.cases:
        return 1 if asyncio.run(print_table(options_of(asked), logs)) else 0
    verdict, evidence = asyncio.run(run(options_of(asked), logs))
    print(verdict.as_line(), flush=True)
    if not verdict.broken:
        shutil.rmtree(logs)
        return 0
    print(
        f"broken: {', '.join(verdict.broken)}; logs: {logs}", *evidence, sep="\n", file=sys.stderr
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
