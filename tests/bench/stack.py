"""An engine of a folder, of this commit or another, with servers of its own that end with it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from config.environment.data_folder import (
    database_url,
    hold_data_folder,
    redis_url,
    temporary_data_directory,
)
from config.stack import postgres, redis
from tests.bench import engine

OPEN = "SELECT count(*) FROM orders WHERE finished_at IS NULL"
WORKERS = "SELECT count(*) FROM heartbeats WHERE kind = 'worker'"
DRAINED = """
SELECT extract(epoch FROM max(finished_at) - min(started_at))::float8 FROM (
  SELECT started_at, finished_at FROM orders ORDER BY created_at DESC LIMIT %s) AS newest
"""


class NotReleasedError(Exception):
    """The engine of a folder could not be prepared; the message has its output."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Servers, web and scheduler, which run; workers come and go."""

    folder: Path
    python: str
    environment: dict[str, str]
    port: int
    roots: dict[str, list[int]]
    """Process ids by name, as `tests.bench.processes` takes them."""
    database: psycopg.Connection

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def worker(self, in_flight: int = 100) -> Iterator[int]:
        """Run one more worker; yield its process id once it is heard of."""
        before = self._value(WORKERS)
        what = (in_flight, self.environment, self.folder, self.python)
        with engine.worker(*what) as process_id:
            self.roots["worker"].append(process_id)
            try:
                engine.wait_for(lambda: self._value(WORKERS) > before)
                yield process_id
            finally:
                self.roots["worker"].remove(process_id)

    @contextmanager
    def without_workers(self) -> Iterator[None]:
        """Let no worker do anything meanwhile: what is sent then is a queue afterwards."""
        workers = list(self.roots["worker"])
        try:
            for process_id in workers:
                os.kill(process_id, signal.SIGSTOP)
            yield
        finally:
            for process_id in workers:
                os.kill(process_id, signal.SIGCONT)

    def open_orders(self) -> int:
        return int(self._value(OPEN))

    def wait_until_all_ended(self) -> None:
        engine.wait_for(lambda: self.open_orders() == 0)

    def drain_seconds(self, orders: int) -> float:
        """Return the time from the first start to the last end among the newest orders."""
        return self._value(DRAINED, orders)

    def _value(self, statement: str, *parameters: object) -> float:
        row = self.database.execute(statement, parameters or None).fetchone()
        assert row is not None
        return float(row[0])


@contextmanager
def stack(
    folder: Path = engine.PROJECT, python: str = sys.executable, **environment: str
) -> Iterator[Stack]:
    """Run the engine of a folder with an interpreter; nothing is left of it.

    :raises NotReleasedError: its release step failed.
    """
    with ExitStack() as exits:
        urls, roots = exits.enter_context(_servers())
        found = engine.AT_ONCE | urls | environment
        _release(folder, python, found)
        port, web = exits.enter_context(engine.web(found, folder, python))
        scheduler = exits.enter_context(engine.scheduler(found, folder, python))
        database = exits.enter_context(psycopg.connect(urls["DATABASE_URL"], autocommit=True))
        own = {"web": [web], "worker": [], "scheduler": [scheduler]}
        yield Stack(folder, python, found, port, own | roots, database)


@contextmanager
def _servers() -> Iterator[tuple[dict[str, str], dict[str, list[int]]]]:
    """Run a PostgreSQL and a Redis as `make up` does; yield the settings and the process ids."""
    with temporary_data_directory() as folder, hold_data_folder(folder) as lock:
        database = postgres.postgres(folder, durable=True, lock=lock)
        store = redis.redis(folder, durable=True, lock=lock)
        with engine.kept_running(store), engine.kept_running(database):
            engine.wait_for(lambda: redis.is_ready(folder), store)
            engine.wait_for(lambda: postgres.is_ready(folder, database), database)
            yield (
                {
                    "DJANGO_SETTINGS_MODULE": "config.settings",
                    "DATABASE_URL": database_url(folder),
                    "REDIS_URL": redis_url(folder),
                    "ENGINE_DATA_DIR": str(folder),
                },
                {"PostgreSQL": [database.process_id], "Redis": [store.process_id]},
            )


def _release(folder: Path, python: str, environment: dict[str, str]) -> None:
    ended = subprocess.run(
        engine.command_of("release", folder, python),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if ended.returncode != 0:
        raise NotReleasedError(f"{folder}: {ended.stdout}{ended.stderr}")
