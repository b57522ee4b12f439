"""Forked programs end like any others: with their exit code, by signals, and with their pytest."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from tests.config.conftest import is_gone
from tests.support.engine import PATIENCE, wait_for
from tests.support.forked import Program, run_program
from tests.support.preloaded import LIBRARIES

SLEEPS = "import time; time.sleep(1000)"
STARTS = """
import os, sys, time
from pathlib import Path
from tests.support.forked import Program

program = Program(sys.argv[1:2], os.environ, Path(sys.argv[2]))
print(program.process_id, flush=True)
time.sleep(1000)
"""


def script(folder: Path, text: str) -> str:
    path = folder / "program.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('words')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(5)", 5),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_exit_codes_are_those_of_any_process(text: str, code: int, tmp_path: Path) -> None:
    assert run_program([script(tmp_path, text)], os.environ, tmp_path).returncode == code


def test_a_program_has_its_own_environment_arguments_and_output(tmp_path: Path) -> None:
    text = "import os, sys; print(sys.argv[1:], dict(os.environ)); print('oh', file=sys.stderr)"
    ended = run_program([script(tmp_path, text), "a", "b"], {"ONLY": "this"}, tmp_path)
    assert ended.stdout == "['a', 'b'] {'ONLY': 'this'}\n"
    assert ended.stderr == "oh\n"


def test_a_command_that_waits_says_how_the_order_ended(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as threads:
        for _ in range(20):  # without the lock about one in four goes wrong
            program = Program([script(tmp_path, SLEEPS)], os.environ, tmp_path / "log")
            waiting = [threads.submit(program.wait, PATIENCE) for _ in range(8)]
            program.kill()
            assert {future.result() for future in waiting} == {-signal.SIGKILL}


def test_the_libraries_are_there_before_a_program_starts(tmp_path: Path) -> None:
    """The server that forks would pass over a library that it cannot import, and be slow."""
    text = "import sys; print(*sys.modules)"
    ended = run_program([script(tmp_path, text)], os.environ, tmp_path)
    assert set(LIBRARIES) <= set(ended.stdout.split())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_programs_end_with_the_process_that_started_them(number: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS, script(tmp_path, SLEEPS), str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        process_id = int(starter.stdout.readline())
        assert not is_gone(process_id)
        starter.send_signal(number)
    wait_for(lambda: is_gone(process_id), what="the program is gone")
