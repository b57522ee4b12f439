"""Real processes of the engine for tests: web, workers, scheduler, and servers to be killed."""

import asyncio
import json
import os
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from config.environment.data_folder import (
    database_url,
    hold_data_folder,
    redis_url,
    temporary_data_directory,
)
from config.environment.listening import listen_on
from config.stack import postgres, redis
from config.stack.child import Child
from config.stack.processes import CELERY_OPTIONS, WEB_FLAGS, WEB_OPTIONS, WORKER_OPTIONS
from orders.engine.hints import HintPublisher
from orders.engine.journal import Journal
from orders.engine.moves import NewOrder
from tests.support.database import rewrite
from tests.support.forked import Ended, Program, run_program

SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
PATIENCE = 120.0  # seconds; only a failing test waits so long, also where others use the cores
TABLES = (
    "orders, order_events, order_transactions, order_starts, heartbeats,"
    " api_keys, socket_tickets, django_admin_log,"
    " simulated_network_transactions"
)
OPEN = "SELECT count(*) FROM orders WHERE finished_at IS NULL"


def wait_for(is_so: Callable[[], Any], seconds: float = PATIENCE, what: str = "") -> Any:
    """Return the first true answer.

    :raises AssertionError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (answer := is_so()):
        assert time.monotonic() < deadline, f"never became true: {what or is_so}"
        time.sleep(0.02)
    return answer


class Process(Program):
    """One process of the engine; its output is in a file."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        listener: socket.socket | None = None,
    ) -> None:
        self._log = log
        super().__init__(arguments, environment, log, listener=listener)

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def wait(self, seconds: float = PATIENCE) -> int:
        return super().wait(seconds)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, its body parsed."""

    status: int
    headers: Mapping[str, str]
    body: Any


def listen(port: int = 0) -> socket.socket:
    """Return a listener, on a free port if none is given, for one web process or several."""
    return listen_on("127.0.0.1", port)


class Web(Process):
    """A uvicorn process on the port of a listener, which another one may share or take over."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        listener: socket.socket,
    ) -> None:
        self.port: int = listener.getsockname()[1]
        super().__init__(arguments, environment, log, listener)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def request(
        self,
        path: str,
        body: Any = None,
        timeout: float = PATIENCE,
        method: str | None = None,
        **headers: str,
    ) -> Answer:
        """GET, or POST the body as JSON. Headers are named as arguments: `idempotency_key="1"`.

        :raises OSError: the connection broke.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data,
            {"content-type": "application/json"}
            | {name.replace("_", "-"): value for name, value in headers.items()},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Answer(answer.status, answer.headers, json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, json.load(error))

    def post(self, **changes: Any) -> str:
        """Send an order and return its id."""
        answer = self.request("/api/orders/execute", SELL | changes)
        assert answer.status == 201, answer
        order_id: str = answer.body["orderId"]
        return order_id

    def stream_url(self, order_id: str, after: int = 0) -> str:
        return f"ws://{self.address}/ws/orders/{order_id}?after={after}"


class Engine:
    """Starts processes that share one database, one Redis and one environment."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._logs = logs
        self._started: list[Program] = []
        self._database: psycopg.Connection | None = None

    @property
    def conninfo(self) -> str:
        return self._environment["DATABASE_URL"]

    def web(self, port: int = 0, **environment: str) -> Web:
        """Run a web process, on a free port if none is given; return once it answers."""
        with listen(port) as listener:
            web = self.web_on(listener, **environment)
        wait_for(lambda: self._is_up(web), what="web answers")
        return web

    def web_on(self, listener: socket.socket, **environment: str) -> Web:
        """Run a web process on this listener; return at once."""
        options = [word for option in WEB_OPTIONS.items() for word in option]
        arguments = ["-m", "uvicorn", "config.asgi:application", *options, *WEB_FLAGS]
        web = Web(arguments, self._with(environment), self._log_path("web"), listener)
        self._started.append(web)
        return web

    def worker(self, *options: str, **environment: str) -> Process:
        """Run a worker; return at once: bells wait for it."""
        name = f"worker-{len(self._started)}-{time.monotonic_ns()}@test"
        arguments = ["-m", "celery", *CELERY_OPTIONS, "worker", "--hostname", name]
        arguments += [*WORKER_OPTIONS, *options]
        return self._start(arguments, environment, "worker")

    def supervised(self, **environment: str) -> Web:
        """Run web and a worker as children of their supervisor; return at once."""
        with listen() as listener:
            web = Web(
                ["-m", "tests.support.supervised"],
                self._with(environment),
                self._log_path("up"),
                listener,
            )
        self._started.append(web)
        return web

    def scheduler(self, **environment: str) -> Process:
        return self._start(["manage.py", "run_scheduler"], environment, "scheduler")

    def manage(self, *arguments: str) -> None:
        """Run a management command to its end."""
        process = self._start(["manage.py", *arguments], {}, arguments[0])
        assert process.wait() == 0, process.output

    def command(self, *arguments: str, **environment: str) -> Ended:
        """Run a management command to its end, whatever that is, and return what it wrote."""
        return run_program(["manage.py", *arguments], self._with(environment), self._logs)

    def environment(self) -> dict[str, str]:
        """Return the environment in which a command finds this engine."""
        return self._with({})

    def store(self, *orders: NewOrder) -> None:
        """Accept orders without ringing for them."""

        async def accept() -> None:
            journal = Journal(self.conninfo, HintPublisher(self._environment["REDIS_URL"]))
            await asyncio.gather(*(journal.accept(order) for order in orders))
            await journal.close()

        asyncio.run(accept())

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database; once more if the server was restarted since it was asked last."""
        if self._database is None or self._database.closed:
            self._database = psycopg.connect(self.conninfo, autocommit=True, prepare_threshold=None)
            return self._ask(self._database, statement, parameters)
        try:
            return self._ask(self._database, statement, parameters)
        except psycopg.OperationalError:
            if not self._database.closed:
                raise
            return self.query(statement, *parameters)

    def value(self, statement: str, *parameters: Any) -> Any:
        return self.query(statement, *parameters)[0][0]

    def wait_until_all_ended(self, seconds: float = PATIENCE) -> None:
        wait_for(lambda: self.value(OPEN) == 0, seconds, "all orders ended")

    def statuses(self) -> dict[str, int]:
        """Return how many orders have which status."""
        return dict(self.query("SELECT status, count(*)::int FROM orders GROUP BY status"))

    def empty(self) -> None:
        """Remove all orders; nothing may be under way."""
        rewrite(self.conninfo, f"TRUNCATE {TABLES}")

    def kill(self) -> None:
        """End what still runs, at once; how they stop by themselves has tests of its own."""
        for process in self._started:
            process.kill()

    def close(self) -> None:
        """Leave the database."""
        if self._database is not None:
            self._database.close()

    def _start(
        self, arguments: Sequence[str], environment: Mapping[str, str], name: str
    ) -> Process:
        process = Process(arguments, self._with(environment), self._log_path(name))
        self._started.append(process)
        return process

    def _with(self, environment: Mapping[str, str]) -> dict[str, str]:
        return {**self._environment, **environment}

    def _log_path(self, name: str) -> Path:
        return self._logs / f"{len(self._started):03}-{name}.log"

    @staticmethod
    def _ask(
        database: psycopg.Connection, statement: str, parameters: Sequence[Any]
    ) -> list[tuple[Any, ...]]:
        cursor = database.execute(statement, parameters)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []

    @staticmethod
    def _is_up(web: Web) -> bool:
        assert web.exit_code is None, web.output
        with suppress(OSError):
            return web.request("/health", timeout=2).status == 200
        return False


@contextmanager
def processes(database: str, logs: Path, **environment: str) -> Iterator[Engine]:
    """An engine on a migrated database (libpq's form), which nobody needs afterwards."""
    urls = {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    with ExitStack() as stack:
        running = Engine(urls | environment, logs)
        stack.callback(running.close)
        stack.callback(running.kill)
        yield running


@contextmanager
def engine(database: str, logs: Path, **environment: str) -> Iterator[Engine]:
    """The same where others come after it: its orders are gone afterwards."""
    with processes(database, logs, **environment) as running:
        try:
            yield running
        finally:
            running.kill()
            running.empty()


@contextmanager
def migrated_database(logs: Path) -> Iterator[str]:
    """A database for engines of real processes, beside those that others use."""
    with database_like("template1") as conninfo:
        with engine(conninfo, logs) as found:
            found.manage("migrate", "--verbosity", "0")
        yield conninfo


@contextmanager
def database_like(template: str, name: str = "test_processes") -> Iterator[str]:
    """A copy of a database of DATABASE_URL's server, to which nobody is connected just then."""
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield make_conninfo(server, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Server:
    """A PostgreSQL or Redis that a test may kill and start again."""

    def __init__(self, make: Callable[[], Child], is_ready: Callable[[Child], bool]) -> None:
        self._make = make
        self._is_ready = is_ready
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, and again if what is left of a killed one was in its way, until it answers."""
        wait_for(self.is_up, what="the server answers")

    def is_up(self) -> bool:
        """Whether it answers; it is started if it does not run."""
        if self._child is None or not self._child.is_running():
            self._child = self._make()
            self._child.start()
        return self._is_ready(self._child)

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running()

    @property
    def process_id(self) -> int:
        """Zero before the first start."""
        return self._child.process_id if self._child else 0

    @property
    def log(self) -> str:
        """What it wrote, over all its starts."""
        path = self._child.log if self._child else None
        return path.read_text(errors="replace") if path and path.exists() else ""

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._child is not None:
            self._child.kill()

    def send(self, number: int) -> None:
        assert self._child is not None
        os.kill(self._child.process_id, number)


@contextmanager
def own_redis() -> Iterator[tuple[Server, str]]:
    """A Redis without persistence, and its URL."""
    with (
        temporary_data_directory() as folder,
        hold_data_folder(folder) as lock,
        redis_in(folder, lock) as server,
    ):
        yield server, redis_url(folder)


@contextmanager
def redis_in(folder: Path, lock: int) -> Iterator[Server]:
    """A Redis without persistence that lives in this folder, which `lock` holds."""
    server = Server(
        lambda: redis.redis(folder, durable=False, lock=lock), lambda _: redis.is_ready(folder)
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def own_postgres(*, durable: bool = True) -> Iterator[tuple[Server, str]]:
    """A PostgreSQL, and the URL of an empty database in it; a durable one survives a kill."""
    with (
        temporary_data_directory() as folder,
        hold_data_folder(folder) as lock,
        postgres_in(folder, lock, durable=durable) as server,
    ):
        yield server, database_url(folder)


@contextmanager
def postgres_in(folder: Path, lock: int, *, durable: bool = True) -> Iterator[Server]:
    """A PostgreSQL that lives in this folder, which `lock` holds."""
    server = Server(
        lambda: postgres.postgres(folder, durable=durable, lock=lock),
        lambda child: postgres.is_ready(folder, child),
    )
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextmanager
def whole_engine(database: str, folder: Path) -> Iterator[Engine]:
    """An engine with a worker and a scheduler."""
    with engine(database, folder) as running:
        running.worker()
        running.scheduler()
        yield running


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for the name of a unix socket."""
    with tempfile.TemporaryDirectory(prefix="oee-t-", dir="/tmp") as folder:
        yield Path(folder)
