"""Runs of `python -m config.stack` in real processes, and what of them is left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT, is_in_use, remove
from config.environment.variables import WARNED

Start = Callable[..., subprocess.Popen[str]]


def clean_environment(**changes: str) -> dict[str, str]:
    """Our environment without what the run around these tests put there."""
    ours = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "ENGINE_DATA_DIR", "PORT", "HOST", WARNED}
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


def wait_for(statement: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not statement():
        assert time.monotonic() < deadline, f"never became true: {statement}"
        time.sleep(0.02)


def is_gone(process_id: int) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit code yet."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


@pytest.fixture
def fresh_dir(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "fresh"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    environment = clean_environment(ENGINE_DATA_DIR=str(folder))
    command = [sys.executable, "-m", "config.stack", "run", "--", "true"]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True)
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, template: Path) -> Path:
    """A data folder that was used before: copying one is quicker than making one."""
    folder = tmp_path / "data"
    if not (template / "postgres").is_symlink():  # then the files are elsewhere
        shutil.copytree(template, folder)
    return folder


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a stack command; whatever a test does to it, it and its files are gone afterwards."""
    started: list[subprocess.Popen[str]] = []
    folders: set[Path] = set()

    def run(*arguments: str, data_dir: Path, **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "config.stack", *arguments],
            cwd=PROJECT,
            env=clean_environment(ENGINE_DATA_DIR=str(data_dir), **changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        folders.add(data_dir)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    for folder in folders:
        wait_for(lambda folder=folder: not is_in_use(folder))
        remove(folder)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def assert_nothing_is_left(data_dir: Path, command_id: int) -> None:
    """The servers and all their children hold the folder's lock as long as they live."""
    wait_for(lambda: is_gone(command_id))
    wait_for(lambda: not is_in_use(data_dir))
