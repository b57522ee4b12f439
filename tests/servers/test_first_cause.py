"""What keeps the engine from starting is said first: one sentence, exit 2, no password."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from config.environment.data_folder import PROJECT
from config.environment.first_cause import CannotStart, look_at_database, look_at_redis
from config.environment.fitness import check_fitness
from config.runtime.redis_address import RedisAddress
from tests.config.conftest import clean_environment
from tests.support.engine import processes
from tests.support.installed import Postgres, Redis, free_port, servers_in

PASSWORD = "geheim-9"
RULES = "host all postgres all trust\nhost all all all scram-sha-256\n"


@pytest.fixture(scope="module")
def guarded(reachable: Path, migrated_cluster: Path) -> Iterator[Postgres]:
    """A migrated PostgreSQL whose user `engine` has a password, and `stranger` no rights."""
    with servers_in(reachable / "guarded", lambda: migrated_cluster) as servers:
        found = servers.postgres("guarded")
        servers.write(found.cluster / "pg_hba.conf", RULES)
        found.start()
        found.ask(f"CREATE ROLE engine LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        found.ask(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
        found.ask("CREATE DATABASE untouched", make_conninfo(found.conninfo, dbname="postgres"))
        yield found


@pytest.fixture(scope="module")
def redis(reachable: Path) -> Iterator[Redis]:
    with servers_in(reachable / "redis") as servers:
        found = Redis(servers, "redis", f"requirepass {PASSWORD}")
        found.start(f"redis://:{PASSWORD}@127.0.0.1:{found.port}/0")
        yield found


def url(server: Postgres, password: str = PASSWORD, name: str = "engine") -> str:
    return f"postgresql://engine:{password}@{server.host}/{name}"


def cause_of_database(address: str) -> CannotStart:
    with pytest.raises(CannotStart) as found:
        asyncio.run(look_at_database(address))
    return found.value


def cause_of_redis(address: str) -> CannotStart:
    with pytest.raises(CannotStart) as found:
        asyncio.run(look_at_redis(RedisAddress.parse(address)))
    return found.value


def start(address: str, redis_address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `make up` with servers of one's own."""
    found = {"DATABASE_URL": address, "REDIS_URL": redis_address, "SECRET_KEY": "not-a-secret"}
    return subprocess.run(
        [sys.executable, "-m", "config.stack", "up"],
        cwd=PROJECT,
        env=clean_environment(ENGINE_DATA_DIR=str(folder), **found),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_database_that_refuses_us_says_why_and_that_waiting_does_not_help(
    guarded: Postgres,
) -> None:
    causes = {
        "password authentication failed": url(guarded, "wrong-7"),
        'database "nosuch" does not exist': url(guarded, name="nosuch"),
        "no password supplied": url(guarded).replace(f":{PASSWORD}", ""),
        "one @ too many": url(guarded, "wrong-7@x"),
    }
    for words, address in causes.items():
        cause = cause_of_database(address)
        assert words in str(cause)
        assert cause.is_final
        assert "wrong-7" not in str(cause)
        assert len(str(cause).splitlines()) == 1


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "nosuch.invalid"])
def test_a_database_that_is_away_may_come_yet(host: str) -> None:
    cause = cause_of_database(f"postgresql://engine:x@{host.format(port=free_port())}/engine")
    assert not cause.is_final
    assert "refused" in str(cause) or "nosuch.invalid" in str(cause)


def test_a_redis_that_refuses_us_says_why(redis: Redis, guarded: Postgres) -> None:
    address = f"127.0.0.1:{redis.port}"

    assert "invalid username-password" in str(cause_of_redis(f"redis://:wrong-7@{address}/0"))
    assert "Authentication required" in str(cause_of_redis(f"redis://{address}/0"))
    assert "out of range" in str(cause_of_redis(f"redis://:{PASSWORD}@{address}/99"))
    assert "refused" in str(cause_of_redis(f"redis://127.0.0.1:{free_port()}"))
    assert "nosuch.invalid" in str(cause_of_redis("redis://nosuch.invalid"))
    assert "is it a Redis" in str(cause_of_redis(f"redis://{guarded.host}"))


def test_what_speaks_another_language_is_no_redis() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def ask() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await look_at_redis(RedisAddress.parse(f"redis://127.0.0.1:{port}"))

    with pytest.raises(CannotStart, match="is no Redis"):
        asyncio.run(ask())


def test_a_server_that_takes_a_connection_and_says_nothing_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "not answer" in str(cause_of_database(f"postgresql://engine@{host}/engine"))
        assert "does not answer" in str(cause_of_redis(f"redis://{host}"))


def test_the_stack_ends_with_the_first_cause_alone(
    guarded: Postgres, redis: Redis, tmp_path: Path
) -> None:
    right = f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/0"
    causes = [
        (url(guarded, "wrong-7"), right, "password authentication failed"),
        (url(guarded), f"redis://:wrong-7@127.0.0.1:{redis.port}", "username-password"),
        (url(guarded), f"redis://127.0.0.1:{free_port()}", "Connection refused"),
    ]
    for database, address, words in causes:
        ended = start(database, address, tmp_path / "data")
        assert ended.returncode == 2
        assert words in ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert "wrong-7" not in ended.stderr
        assert ended.stdout == ""


def test_every_process_ends_with_the_sentence_at_a_database_that_will_never_take_it(
    guarded: Postgres, tmp_path: Path
) -> None:
    wrong = {"DATABASE_URL": url(guarded, "wrong-7")}
    with processes(guarded.url, tmp_path) as running:
        started = [running.worker(**wrong), running.scheduler(**wrong)]
        with pytest.raises(AssertionError, match="password authentication failed"):
            running.web(**wrong)
        for process in started:
            assert process.wait() == 2
            assert process.output.count("password authentication failed") == 1
            assert "Traceback" not in process.output
        ended = running.command("release", **wrong)
        assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)


def test_a_release_that_may_not_make_tables_says_so(guarded: Postgres, tmp_path: Path) -> None:
    address = url(guarded, name="untouched").replace("engine:", "stranger:")
    with processes(guarded.url, tmp_path) as running:
        ended = running.command("release", DATABASE_URL=address)

    assert ended.returncode == 2
    assert "permission denied for schema public" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


NEWER = "INSERT INTO django_migrations (app, name, applied) VALUES ('orders', '9999_later', now())"
OTHERS = "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0001_one', now())"


@pytest.fixture
def newer(guarded: Postgres) -> Iterator[str]:
    """A database that a later version of the engine has migrated, and another program, too."""
    for statement in (NEWER, OTHERS):
        guarded.ask(statement)
    yield guarded.url
    guarded.ask("DELETE FROM django_migrations WHERE name IN ('9999_later', '0001_one')")


def test_older_code_on_newer_data_does_not_start_and_names_the_migration(
    newer: str, tmp_path: Path
) -> None:
    with processes(newer, tmp_path) as running:
        ended = running.command("release")
        started = [running.worker(), running.scheduler()]
        with pytest.raises(AssertionError, match=r"does not know orders\.9999_later\."):
            running.web()
        assert all(process.wait() == 2 for process in started)
    for words in (ended.stderr, *(process.output for process in started)):
        assert "newer version: this one does not know orders.9999_later." in words
        assert "shop" not in words
        assert "Traceback" not in words
    with psycopg.connect(newer) as connection:
        assert connection.execute("SELECT count(*) FROM heartbeats").fetchall() == [(0,)]


MISSING = "DELETE FROM django_migrations WHERE name = '0015_trading_states_are_kept'"
APPLIED = (
    "INSERT INTO django_migrations (app, name, applied)"
    " VALUES ('orders', '0015_trading_states_are_kept', now())"
)


@pytest.fixture
def older(guarded: Postgres) -> Iterator[str]:
    """A database that lacks a migration of this version."""
    guarded.ask(MISSING)
    yield guarded.url
    guarded.ask(APPLIED)


def test_newer_code_on_a_database_without_its_migrations_does_not_start_and_names_the_release(
    older: str, tmp_path: Path
) -> None:
    sentence = "lacks 1 migrations, such as orders.0015_trading_states_are_kept. Run `manage.py rel"
    with processes(older, tmp_path) as running:
        started = [running.worker(), running.scheduler()]
        with pytest.raises(AssertionError, match=r"Run `manage\.py release` before"):
            running.web()
        assert [process.wait() for process in started] == [2, 2]
    for process in started:
        assert process.output.count(sentence) == 1
        assert "Traceback" not in process.output


def test_an_empty_database_is_of_an_older_version_and_one_that_cannot_say_is_waited_for(
    guarded: Postgres,
) -> None:
    guarded.ask("CREATE DATABASE empty")
    asyncio.run(check_fitness(url(guarded, name="empty"), migrates=True))
    with pytest.raises(CannotStart, match="older version"):
        asyncio.run(check_fitness(url(guarded, name="empty")))
    asyncio.run(check_fitness(f"postgresql://engine@127.0.0.1:{free_port()}/engine"))


def test_a_server_that_repeats_the_password_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(f"connection failed: no such user geheim:{PASSWORD}")

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
    said = str(cause_of_database(f"postgresql://engine:{PASSWORD}@127.0.0.1/engine"))
    assert "no such user geheim:***" in said
