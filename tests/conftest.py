"""Fixtures of all tests. They need the embedded servers: run them with `make test`."""

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack

import execnet
import hypothesis
import psycopg
import pytest
import pytest_asyncio
import redis
from django.conf import settings
from django.db import connection
from django.test.utils import setup_databases
from pytest_django.plugin import DjangoDbBlocker

from config.database.conninfo import conninfo
from config.runtime import garbage_collector
from config.runtime.per_loop import close_all
from orders.engine.hints import hints_of_this_loop
from orders.engine.journal import Journal
from routing.registry import read_registry
from tests.support.database import (
    ENGINE_ROLE,
    Database,
    Emptied,
    MakeJournal,
    as_engine,
    as_owner,
    grant,
    restore_registry,
)
from tests.support.engine import database_like, own_postgres, own_redis
from tests.support.task_queue import Queue

# A busy machine is no fault: tests wait for the thing, not for the clock.
hypothesis.settings.register_profile("engine", deadline=None)
hypothesis.settings.load_profile("engine")


def pytest_configure() -> None:
    if not os.environ.get("DATABASE_URL"):
        raise pytest.UsageError("No servers: run `make test PYTEST_ARGS=...`, not pytest alone.")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: tests of real processes wait for much of their time."""
    return min((os.cpu_count() or 1) + 1, 8)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n`, begin with what takes longest: the trading page, then files of real processes."""
    if config.getoption("numprocesses") or hasattr(config, "workerinput"):
        tests = config.rootpath / "tests"
        slow = ("browser/test_trade_page.py", "processes", "docs", "browser", "config")
        first = [tests / name for name in slow]

        def turn(item: pytest.Item) -> int:
            places = [item.path, *item.path.parents]
            return next((n for n, place in enumerate(first) if place in places), len(first))

        items.sort(key=turn)


def pytest_collection_finish() -> None:
    """As the engine's processes do once they have imported all: 5 of 115 seconds were garbage's."""
    garbage_collector.tune()


def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[execnet.XSpec]) -> None:
    """Give each process of `pytest -n` servers of its own: what it flushes is nobody else's."""
    servers = ExitStack()
    config.add_cleanup(servers.close)
    for spec in specs:
        _, spec.env["REDIS_URL"] = servers.enter_context(own_redis())
        _, spec.env["DATABASE_URL"] = servers.enter_context(own_postgres(durable=False))


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The migrated database of tests in this process; yields where a copy of it is.

    It was migrated by its owner. The engine's code, and the engines of real processes, work in it
    as a role that owns nothing.
    """
    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, aliases=["default"])
        connection.close()  # nobody may be connected to what is copied
        grant(conninfo())
        with database_like(connection.settings_dict["NAME"]) as copy:
            owner = connection.settings_dict["USER"]
            connection.settings_dict["USER"] = ENGINE_ROLE
            yield as_engine(copy)
            connection.close()
            connection.settings_dict["USER"] = owner
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
            # Threads of tests that have ended may still have sessions in it.
            server.execute(f"DROP DATABASE {connection.settings_dict['NAME']} WITH (FORCE)")


@pytest.fixture(scope="session")
def process_database(django_db_setup: str) -> str:
    """libpq's form of a database for tests of real processes, which no test cleans by itself."""
    return django_db_setup


@pytest.fixture(scope="session")
def emptied(django_db_setup: str, django_db_blocker: DjangoDbBlocker) -> Iterator[Emptied]:
    with django_db_blocker.unblock():
        emptied = Emptied(conninfo())
    yield emptied
    emptied.close()


@pytest.fixture
def transactional_db(emptied: Emptied, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """As pytest-django's, but quicker."""
    with django_db_blocker.unblock():
        yield
        connection.close()
        emptied.empty()


@pytest.fixture
def database_conninfo(transactional_db: None) -> str:
    """libpq's form of the test database."""
    return conninfo()


@pytest.fixture
def own_registry(transactional_db: None) -> Iterator[None]:
    """Let the test add and close what it likes."""
    read_registry()
    yield
    restore_registry(conninfo())
    read_registry()
    connection.close()


@pytest.fixture
def redis_client() -> redis.Redis:
    """The tests' Redis, empty."""
    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushall()
    return client


@pytest.fixture
def queue(redis_client: redis.Redis) -> Queue:
    return Queue(redis_client)


@pytest_asyncio.fixture
async def engine_loop(transactional_db: None) -> AsyncIterator[None]:
    """For tests of coroutines that use the journal, hints or streams: closes them at the end."""
    yield
    await close_all()


@pytest_asyncio.fixture
async def make_journal(engine_loop: None, database_conninfo: str) -> AsyncIterator[MakeJournal]:
    """More journals than this loop's own, as if of other processes."""
    made: list[Journal] = []

    def make(conninfo: str = database_conninfo) -> Journal:
        made.append(Journal(conninfo, hints_of_this_loop()))
        return made[-1]

    yield make
    for journal in made:
        await journal.close()


@pytest_asyncio.fixture
async def journal(make_journal: MakeJournal) -> Journal:
    return make_journal()


@pytest_asyncio.fixture
async def database(database_conninfo: str) -> AsyncIterator[Database]:
    async with await psycopg.AsyncConnection.connect(
        as_owner(database_conninfo), autocommit=True
    ) as connection:
        yield Database(connection, database_conninfo)
