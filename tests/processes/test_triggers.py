"""The engine of triggers beside a plain model, while its processes and its database are killed."""

import subprocess
import sys


def test_a_plain_model_and_the_engine_fire_the_same_orders_at_the_same_ticks() -> None:
    """Two minutes in fast time; `make triggers` is an hour. PostgreSQL is killed once."""
    command = [sys.executable, "-m", "tests.triggers", "--seed", "7", "--ticks", "120"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout + run.stderr
    assert "postgres killed 1" in run.stdout
    assert "differences 0" in run.stdout
