"""A connection is fit or thrown away, and every wait has an end of our own."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from config.database.connection import BoundedConnection
from config.runtime.postgres import Link, LinkConnection
from config.runtime.session import (
    SESSION,
    NotFit,
    answered_within,
    conninfo_of,
    is_connection_lost,
    parameters_of,
)
from tests.support.database import Database, as_owner
from tests.support.proxy import proxy_of

SLOW = "SELECT pg_sleep(60)"
RUNNING = "SELECT 1 FROM pg_stat_activity WHERE query = %s AND state = 'active'"
SOON = 20.0  # seconds: less than PostgreSQL would take, and more than a busy machine does


@contextmanager
def set_for_new_sessions(conninfo: str, name: str, value: str) -> Iterator[None]:
    """As an operator does, for the database and its role."""
    with psycopg.connect(as_owner(conninfo), autocommit=True) as operator:
        operator.execute("SET default_transaction_read_only = off")
        database = sql.Identifier(operator.info.dbname)
        change = sql.SQL("ALTER DATABASE {} SET {} = {}")
        operator.execute(change.format(database, sql.Identifier(name), sql.Literal(value)))
        try:
            yield
        finally:
            reset = sql.SQL("ALTER DATABASE {} RESET {}")
            operator.execute(reset.format(database, sql.Identifier(name)))


@asynccontextmanager
async def link_to(conninfo: str) -> AsyncIterator[Link]:
    link = Link(conninfo, "test")
    try:
        yield link
    finally:
        await link.close()


WRITE = "DELETE FROM heartbeats"


async def write_read_only(link: Link) -> None:
    async with link.connection() as lent:
        await lent.execute("SET default_transaction_read_only = on")
        await lent.execute(WRITE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("datestyle", "SQL, DMY"),
        ("datestyle", "German"),
        ("intervalstyle", "sql_standard"),
        ("client_encoding", "SQL_ASCII"),
        ("client_encoding", "LATIN1"),
        ("extra_float_digits", "-15"),
        ("search_path", "nowhere"),
        ("timezone", "Asia/Kolkata"),
        ("default_transaction_isolation", "serializable"),
        ("synchronous_commit", "off"),
        ("statement_timeout", "1"),
        ("lock_timeout", "1"),
        ("idle_session_timeout", "600000"),
        ("bytea_output", "escape"),
        ("row_security", "off"),
        ("transform_null_equals", "on"),
    ],
)
async def test_a_session_is_as_we_need_it_whatever_the_database_says(
    name: str, value: str, database_conninfo: str
) -> None:
    with set_for_new_sessions(database_conninfo, name, value):
        async with link_to(database_conninfo) as link:
            ((found,),) = await link.fetch("SELECT current_setting(%s)", (name,))
            ((at,),) = await link.fetch("SELECT timestamptz '2026-03-04 05:06:07+00'", ())
        with BoundedConnection.connect(database_conninfo) as sync:
            row = sync.execute("SELECT current_setting(%s)", [name]).fetchone()

    assert value not in (found, row[0] if row else None)
    assert (at.month, at.day, at.hour) == (3, 4, 5)


async def test_no_session_begins_with_a_time_for_idleness_that_would_end_it_at_once(
    database_conninfo: str,
) -> None:
    """What a session began with holds until its first statement, which may come late."""
    began = "SELECT reset_val FROM pg_settings WHERE name = 'idle_session_timeout'"
    with set_for_new_sessions(database_conninfo, "idle_session_timeout", "1"):
        async with link_to(database_conninfo) as link:
            assert await link.fetch(began, ()) == [("0",)]
        with BoundedConnection.connect(database_conninfo) as sync:
            assert sync.execute(began).fetchone() == ("0",)


async def test_a_read_only_server_is_refused_and_tried_again(database_conninfo: str) -> None:
    async with link_to(database_conninfo) as link:
        with set_for_new_sessions(database_conninfo, "default_transaction_read_only", "on"):
            with pytest.raises(NotFit, match="read-only"):
                await link.fetch("SELECT 1", ())
            with pytest.raises(NotFit, match="read-only"):
                BoundedConnection.connect(database_conninfo)
        assert await link.fetch("SELECT 1", ()) == [(1,)]


async def test_a_connection_that_became_read_only_is_thrown_away(database: Database) -> None:
    async with link_to(database.conninfo) as link:
        with pytest.raises(psycopg.OperationalError) as refused:
            await write_read_only(link)
        assert is_connection_lost(refused.value)
        async with link.connection() as lent:
            await lent.execute(WRITE)


async def test_a_session_that_acts_as_somebody_without_rights_is_thrown_away(
    database: Database,
) -> None:
    async with link_to(as_owner(database.conninfo)) as link:  # who may act as everybody
        with (
            set_for_new_sessions(database.conninfo, "role", "pg_monitor"),
            pytest.raises(psycopg.OperationalError, match="permission denied"),
        ):
            async with link.connection() as lent:
                await lent.execute(WRITE)
        async with link.connection() as lent:
            await lent.execute(WRITE)


def test_djangos_connection_that_became_read_only_is_thrown_away(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute(WRITE)
    with connection.cursor() as cursor:
        cursor.execute(WRITE)


async def test_a_statement_that_brings_no_answer_ends_by_itself(database_conninfo: str) -> None:
    async with link_to(database_conninfo) as link:
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError):
            async with link.connection(0.2) as lent:
                await lent.execute(SLOW)
        assert time.monotonic() - began < SOON
        assert await link.fetch("SELECT 1", ()) == [(1,)]


def test_a_statement_of_sync_code_that_brings_no_answer_ends_by_itself(
    transactional_db: None,
) -> None:
    began = time.monotonic()
    with answered_within(0.2), pytest.raises(OperationalError), connection.cursor() as cursor:
        cursor.execute(SLOW)

    assert time.monotonic() - began < SOON
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def test_a_caller_that_waits_for_a_turn_waits_no_longer_than_told(
    database_conninfo: str,
) -> None:
    async with link_to(database_conninfo) as link, link.connection():
        with pytest.raises(psycopg.OperationalError, match="in time"):
            async with link.connection(0.1):
                pass


@pytest.mark.parametrize("by_port", [False, True])
async def test_connections_that_fell_silent_are_replaced(
    by_port: bool, database_conninfo: str
) -> None:
    async with (
        proxy_of(database_conninfo, by_port=by_port) as proxy,
        link_to(proxy.conninfo) as link,
    ):
        assert await link.fetch("SELECT 1", ()) == [(1,)]
        proxy.silence()
        assert await link.fetch("SELECT 2", (), seconds=1.0) == [(2,)]


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up(
    database_conninfo: str,
) -> None:
    async with proxy_of(database_conninfo) as proxy, link_to(proxy.conninfo) as link:
        began = time.monotonic()
        with proxy.hole(), pytest.raises(psycopg.OperationalError):
            await link.fetch("SELECT 1", (), seconds=0.5)
        assert time.monotonic() - began < SOON


async def test_a_caller_cancelled_in_mid_statement_asks_the_server_nothing(
    database_conninfo: str, database: Database
) -> None:
    async with link_to(database_conninfo) as link:
        task = asyncio.create_task(link.fetch(SLOW, (), seconds=30.0))
        async with asyncio.timeout(SOON):
            while not await database.rows(RUNNING, SLOW):
                await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert time.monotonic() - began < SOON


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (errors.ReadOnlySqlTransaction(), True),
        (errors.AdminShutdown(), True),
        (errors.CannotConnectNow(), True),
        (errors.TooManyConnections(), True),
        (errors.DiskFull(), True),
        (errors.InvalidSqlStatementName(), True),
        (errors.DuplicatePreparedStatement(), True),
        (errors.IdleInTransactionSessionTimeout(), True),
        (errors.TransactionTimeout(), True),
        (errors.IoError(), True),
        (errors.InsufficientPrivilege(), True),
        (errors.FeatureNotSupported("cached plan must not change result type"), True),
        (psycopg.OperationalError("the connection is closed"), True),
        (errors.QueryCanceled(), False),
        (errors.LockNotAvailable(), False),
        (errors.UniqueViolation(), False),
        (errors.DeadlockDetected(), False),
        (errors.FeatureNotSupported("that"), False),
        (ValueError("no error of PostgreSQL's"), False),
    ],
)
def test_errors_that_mean_not_this_server_now_are_told_from_others(
    error: Exception, is_lost: bool
) -> None:
    assert is_connection_lost(error) is is_lost
    wrapped = OperationalError()
    wrapped.__cause__ = error
    assert is_connection_lost(wrapped) is is_lost


def test_all_of_libpqs_parameters_in_a_url_are_kept() -> None:
    url = (
        "postgresql://u%40:p%3A%2F%25%23%20%C3%A4@one:1,two:2/name?target_session_attrs=read-write"
        "&tcp_user_timeout=7&connect_timeout=9&options=-csearch_path%3Dx&sslmode=disable"
    )
    found = parameters_of(url)

    assert found["user"] == "u@"
    assert found["password"] == "p:/%# ä"
    assert found["host"] == "one,two"
    assert found["port"] == "1,2"
    wanted = {"target_session_attrs": "read-write", "tcp_user_timeout": "7", "sslmode": "disable"}
    assert found | wanted == found
    assert found["connect_timeout"] == "9"
    assert "search_path" in conninfo_of(url)


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "127.0.0.1:15432/engine:secret", "x y"])
def test_what_is_no_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="connection URL") as refused:
        parameters_of(url)
    assert "secret" not in str(refused.value)


async def test_a_pooler_that_takes_no_startup_options_gets_its_settings_afterwards(
    database_conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, refused = LinkConnection.connect, []

    async def refuse_options(address: str, **arguments: Any) -> LinkConnection:
        if "options" in conninfo_to_dict(address):
            refused.append(address)
            raise psycopg.OperationalError("unsupported startup parameter: options")
        return await connect(address, **arguments)

    monkeypatch.setattr(LinkConnection, "connect", refuse_options)
    pooler = make_conninfo(database_conninfo, keepalives_idle=71)  # of which nothing is known yet
    for _ in range(2):
        async with link_to(pooler) as link:
            ((found,),) = await link.fetch("SELECT current_setting('lock_timeout')", ())
        assert found == "500ms"
    assert len(refused) == 1


async def test_options_of_the_url_may_choose_the_schema(database_conninfo: str) -> None:
    own = make_conninfo(database_conninfo, options="-c search_path=pg_catalog,public")
    async with link_to(own) as link:
        ((found,),) = await link.fetch("SELECT current_setting('search_path')", ())
    assert found == "pg_catalog,public"
    assert SESSION["search_path"] != found
