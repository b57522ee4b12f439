"""`python -m tests.triggers`: an hour of seconds in fast time; exit code 1 if anything differed."""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import django

from config.environment.data_folder import (
    database_url,
    hold_data_folder,
    redis_url,
    temporary_data_directory,
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make triggers", description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--ticks", type=int, default=3600, help="seconds of prices")
    parser.add_argument("--evaluate", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.evaluate:
        django.setup()
        from tests.triggers.evaluate import evaluate_for_ever

        asyncio.run(evaluate_for_ever())
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    with temporary_data_directory() as folder, hold_data_folder(folder) as lock:
        # Django reads its settings once, and the addresses are known before the servers answer.
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": database_url(folder),
            "REDIS_URL": redis_url(folder),
            "LOG_LEVEL": "CRITICAL",
        }
        django.setup()
        return asyncio.run(_run(seed, asked.ticks, folder, lock))


async def _run(seed: int, ticks: int, folder: Path, lock: int) -> int:
    from config.runtime.per_loop import close_all
    from tests.support.engine import postgres_in, redis_in
    from tests.triggers.desk import Desk, Evaluators, told_of

    began = time.monotonic()
    with postgres_in(folder, lock) as postgres, redis_in(folder, lock):
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, check=True)
        desk, evaluators = Desk(seed, postgres), Evaluators()
        try:
            differences = await desk.run(ticks, evaluators)
        finally:
            evaluators.close()
            await desk.close()
            await close_all()
    numbers = desk.told | {"evaluators_killed": evaluators.killed, "differences": len(differences)}
    print(f"seed {seed}, {ticks:,} ticks, {time.monotonic() - began:.0f} s:", end=" ")
    print(", ".join(told_of(numbers)))
    for line in differences[:20]:
        print(line, file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
