"""`make up`, `make worker` and `make demo` as at a terminal, and what `make` says of its Python."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from tests.config.conftest import clean_environment, wait_for

INSTALLED = ("-o", ".venv/runtime", "-o", ".venv/development")  # is not looked at again
CTRL_C = b"\x03"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


class Terminal:
    """`make` in a terminal of its own, in which somebody types."""

    def __init__(self, target: str, log: Path, data_dir: Path) -> None:
        self._ours, its = os.openpty()
        self._seen = b""
        self._make = subprocess.Popen(
            ["make", *INSTALLED, target],
            cwd=PROJECT,
            env=clean_environment(ENGINE_DATA_DIR=str(data_dir)),
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(its)
        os.set_blocking(self._ours, False)

    def shows(self, pattern: str) -> bool:
        return re.search(pattern, self.read()) is not None

    def read(self) -> str:
        """Return what it has shown so far."""
        try:
            while text := os.read(self._ours, 65536):
                self._seen += text
        except OSError:  # nothing more now, or for ever
            pass
        return self._seen.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def is_over(self) -> bool:
        self.read()  # else it could not write to its end
        return self._make.poll() is not None

    def interrupt(self) -> None:
        """Type Ctrl-C and hold it to the promise: it ends, and nothing is called an error."""
        self.type(CTRL_C)
        wait_for(self.is_over, 30)
        assert "***" not in self.read(), self.read()
        assert "Traceback" not in self.read(), self.read()
        assert self._make.returncode in (0, -signal.SIGINT)

    def close(self) -> None:
        self._make.kill()
        self._make.wait()
        os.close(self._ours)


@pytest.fixture
def terminals(data_dir: Path, tmp_path: Path) -> Iterator["list[Terminal]"]:
    opened: list[Terminal] = []
    yield opened
    for terminal in reversed(opened):
        terminal.close()


def test_ctrl_c_ends_without_an_error_whatever_make_runs(
    terminals: list[Terminal], data_dir: Path, tmp_path: Path
) -> None:
    def typed(target: str, until: str) -> Terminal:
        terminals.append(Terminal(target, tmp_path, data_dir))
        wait_for(lambda: terminals[-1].shows(until) or terminals[-1].is_over(), 60)
        assert terminals[-1].shows(until), terminals[-1].read()
        return terminals[-1]

    typed("up", "A new database").interrupt()  # in the middle of its start
    up = typed("up", "curl -s http")
    typed("worker", "One more worker").interrupt()
    typed("demo", "pending").interrupt()
    up.interrupt()
    assert up.shows("Stopping")


def made_by(python: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(PROJECT / name, folder)
    return subprocess.run(
        ["make", "up", f"PY={python}"], cwd=folder, capture_output=True, text=True, timeout=30
    )


@pytest.mark.parametrize(
    ("named", "lacks", "package"),
    [
        ("python3", "pip --python|venv .venv", "python3-venv"),  # as Debian's without python3-venv
        ("python3.13", "pip --python|venv .venv", "python3.13-venv"),
        ("python3", "import venv|venv", "python3-venv"),  # as Debian's python3-minimal
    ],
)
def test_a_python_without_pip_is_told_the_package_before_anything_is_installed(
    named: str, lacks: str, package: str, tmp_path: Path
) -> None:
    python = tmp_path / named
    cases = "|".join(f'*"{words}"*' for words in lacks.split("|"))
    real = Path(os.path.realpath(PROJECT / ".venv/bin/python"))
    python.write_text(f'#!/bin/sh\ncase "$*" in {cases}) exit 1;; esac\nexec "{real}" "$@"\n')
    python.chmod(0o700)
    ended = made_by(python, tmp_path)
    first, *_ = ended.stderr.splitlines()

    assert ended.returncode != 0
    assert first.endswith(f"has no pip and no venv. Debian, Ubuntu: apt install {package}")
    assert "Installing" not in ended.stdout


def test_a_python_that_is_too_old_is_told_before_anything_is_made(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o700)
    ended = made_by(python, tmp_path)

    assert "needs Python 3.11 or newer" in ended.stderr
    assert not (tmp_path / ".venv").exists()
