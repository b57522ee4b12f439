"""The engine's processes as the benchmark runs them: no venue latency, no rate limit."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg

from config.environment.listening import listen_on
from config.stack.processes import CELERY_OPTIONS, WEB_FLAGS, WEB_OPTIONS, WORKER_OPTIONS

PROJECT = Path(__file__).resolve().parent.parent.parent
AT_ONCE = {
    "SIMULATION_QUOTE_LATENCY": "0",
    "SIMULATION_LANDING_LATENCY": "0",
    "SIMULATION_DEPTH": "100000000000",  # thousands of equal sells move no price
    "ORDER_RATE_LIMIT": "unlimited",
    "ACCOUNT_RATE_LIMIT": "unlimited",
    "READ_RATE_LIMIT": "unlimited",
    "ALLOW_ANONYMOUS_ORDERS": "1",
    "MAX_BACKLOG": "1000000",
    "LOG_LEVEL": "WARNING",
    "SECRET_KEY": "only-for-the-benchmark",
}
BRIEF = AT_ONCE | {"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "2-3"}


@contextmanager
def process(
    command: list[str], environment: Mapping[str, str], keeps: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **environment}, pass_fds=keeps
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(15)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def web(environment: Mapping[str, str] = AT_ONCE) -> Iterator[tuple[int, int]]:
    """Run one web process; yield its port, once it answers, and its process id."""
    options = [word for option in WEB_OPTIONS.items() for word in option]
    command = [sys.executable, "-W", "ignore", "-m", "uvicorn", "config.asgi:application"]
    with listen_on("127.0.0.1", 0) as listener:  # as `make up` does it
        port, descriptor = listener.getsockname()[1], listener.fileno()
        command += [*options, *WEB_FLAGS, "--fd", str(descriptor)]
        with process(command, environment, (descriptor,)) as running:
            wait_for(lambda: answers(port))
            yield port, running.pid


@contextmanager
def worker(in_flight: int, environment: Mapping[str, str] = AT_ONCE) -> Iterator[int]:
    """Run one worker; yield its process id, ready or not."""
    command = [sys.executable, "-W", "ignore", "-m", "celery", *CELERY_OPTIONS, "worker"]
    command += WORKER_OPTIONS
    command += ["--hostname", f"{time.monotonic_ns()}@bench"]
    with process(command, {**environment, "ORDER_CONCURRENCY": str(in_flight)}) as running:
        yield running.pid


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


def wait_for(is_so: object, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():  # type: ignore[operator]
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
