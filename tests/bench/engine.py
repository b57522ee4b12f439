"""The engine's processes as the benchmark runs them: no venue latency, no rate limit.

Each is started as the Procfile says that stands in its folder, so that one of another commit runs,
too: what the Procfile names are doors that older commits have.
"""

import os
import shlex
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from config.environment.listening import listen_on
from config.stack.child import Child

PROJECT = Path(__file__).resolve().parent.parent.parent
GRACE = 15.0  # seconds
AT_ONCE = {
    "SIMULATION_QUOTE_LATENCY": "0",
    "SIMULATION_LANDING_LATENCY": "0",
    "SIMULATION_DEPTH": "100000000000",  # thousands of equal sells move no price
    "ORDER_RATE_LIMIT": "unlimited",
    "ACCOUNT_RATE_LIMIT": "unlimited",
    "READ_RATE_LIMIT": "unlimited",
    "ALLOW_ANONYMOUS_ORDERS": "1",
    "MAX_BACKLOG": "1000000",
    "SENDER_BACKLOG_SHARE": "1",
    "MAX_CONNECTIONS": "10000",
    "MAX_ADDRESS_CONNECTIONS": "10000",
    "MAX_SOCKETS": "10000",
    "LOG_LEVEL": "WARNING",
    "SECRET_KEY": "only-for-the-benchmark",
}
BRIEF = AT_ONCE | {"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "2-3"}


@contextmanager
def process(
    command: list[str],
    environment: Mapping[str, str],
    keeps: tuple[int, ...] = (),
    folder: Path = PROJECT,
) -> Iterator[Child]:
    """Run a command in a folder; it ends with us, also where we are killed.

    Where the environment names a data folder, what it writes is there.
    """
    logs = environment.get("ENGINE_DATA_DIR")
    running = Child(
        " ".join(command[3:6]),
        command,
        {**os.environ, **environment},
        folder=folder,
        keeps=keeps,
        log=Path(logs, "processes.log") if logs else None,
    )
    with kept_running(running):
        yield running


@contextmanager
def kept_running(child: Child) -> Iterator[None]:
    child.start()
    try:
        yield
    finally:
        child.ask_to_stop()
        deadline = time.monotonic() + GRACE
        while child.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()


@contextmanager
def web(
    environment: Mapping[str, str] = AT_ONCE, folder: Path = PROJECT, python: str = sys.executable
) -> Iterator[tuple[int, int]]:
    """Run one web process; yield its port, once it answers, and its process id."""
    with listen_on("127.0.0.1", 0) as listener:  # as `make up` does it
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command = [*command_of("web", folder, python), "--fd", str(descriptor)]
        with process(command, environment, (descriptor,), folder) as running:
            wait_for(lambda: answers(port), running)
            yield port, running.process_id


@contextmanager
def worker(
    in_flight: int,
    environment: Mapping[str, str] = AT_ONCE,
    folder: Path = PROJECT,
    python: str = sys.executable,
) -> Iterator[int]:
    """Run one worker; yield its process id, ready or not."""
    named = ("--hostname", f"{time.monotonic_ns()}@bench")
    command = [*command_of("worker", folder, python), *named]
    limit = {"ORDER_CONCURRENCY": str(in_flight)}
    with process(command, {**environment, **limit}, folder=folder) as running:
        yield running.process_id


@contextmanager
def scheduler(
    environment: Mapping[str, str] = AT_ONCE, folder: Path = PROJECT, python: str = sys.executable
) -> Iterator[int]:
    """Run the scheduler; yield its process id, ready or not."""
    with process(command_of("scheduler", folder, python), environment, folder=folder) as running:
        yield running.process_id


def command_of(kind: str, folder: Path = PROJECT, python: str = sys.executable) -> list[str]:
    """Return what a folder's Procfile says for a kind of process, without an address."""
    for line in (folder / "Procfile").read_text().splitlines():
        name, _, command = line.partition(": ")
        if name == kind:
            words = shlex.split(command)[1:]  # the first is `python`
            for option in {"--host", "--port"}.intersection(words):
                place = words.index(option)
                del words[place : place + 2]
            return [python, "-W", "ignore", *words]
    raise LookupError(f"{folder}/Procfile has no {kind}")


def peak_memory_mb(process_id: int) -> float:
    """Return the most memory the process ever had resident (Linux)."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def wait_for(is_so: Callable[[], object], of: Child | None = None, seconds: float = 120) -> None:
    """Wait until something is so, of a process if one is named.

    :raises RuntimeError: that process ended.
    :raises TimeoutError: it was not so in time.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if of and not of.is_running():
            raise RuntimeError(f"{of.name} {of.ending()}. {of.last_words()}")
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


def query(statement: str, *parameters: object) -> tuple[object, ...]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        row = connection.execute(statement, parameters).fetchone()
        assert row is not None
        return row


def empty() -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # past the triggers
        connection.execute(
            "TRUNCATE orders, order_events, order_transactions, order_starts,"
            " simulated_network_transactions"
        )
