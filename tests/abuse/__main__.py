"""`make abuse`: honest clients without the attack, under it and after it; 1 if it costs much."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import pytest

from tests.abuse.attacks import KINDS
from tests.abuse.run import Figures, Options, run

NGINX = "behind-nginx"
PLACES = ("alone", NGINX)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make abuse", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the attack")
    parser.add_argument("--quiet", type=float, default=30.0, help="seconds without it, before")
    parser.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--where", nargs="*", default=list(PLACES), choices=list(PLACES))
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    options = Options(asked.seed, asked.quiet, asked.seconds, tuple(asked.only))
    broken = []
    for where in asked.where:
        logs = Path(tempfile.mkdtemp(prefix="abuse-logs-"))
        try:
            found = asyncio.run(run(options, logs, behind_nginx=where == NGINX))
        except pytest.skip.Exception as missing:
            print(f"{where}: skipped: {missing}")
            continue
        print_figures(where, found)
        faults = found.faults()
        broken += [f"{where}: {fault}; logs: {logs}" for fault in faults]
        if not faults:
            shutil.rmtree(logs)
    for fault in broken:
        print(fault, file=sys.stderr)
    return 1 if broken else 0


def print_figures(where: str, found: Figures) -> None:
    print(f"{where}:")
    for line in found.lines():
        print(f"  {line}", flush=True)
    print(json.dumps(found.answers), flush=True)


if __name__ == "__main__":
    sys.exit(main())
