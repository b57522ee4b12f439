"""`python -m config.stack run`: two real servers, one command, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import redis

from config.environment.data_folder import PROJECT, database_url, redis_url, runtime_directory
from config.environment.listening import PortTakenError, is_healthy, is_only_local, listen, url_of
from config.environment.variables import WrongSettings
from config.stack.__main__ import Started, announce, running_url
from tests.config.conftest import (
    Start,
    assert_nothing_is_left,
    clean_environment,
    first_line,
    wait_for,
)

SLEEP = ("run", "--", "sh", "-c", "echo $$; exec sleep 1000")
PRINT_URLS = 'import os; print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"])'


def query(data_dir: Path, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database_url(data_dir), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_two_data_folders_run_side_by_side(start: Start, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for process in [start(*SLEEP, data_dir=folder) for folder in folders]:
        assert first_line(process)

    query(folders[0], "create table only_here ()")
    with redis.Redis.from_url(redis_url(folders[0])) as store:
        store.set("only", "here")

    assert query(folders[1], "select to_regclass('only_here')") == [(None,)]
    with redis.Redis.from_url(redis_url(folders[1])) as store:
        assert store.get("only") is None


def test_a_second_start_on_a_data_folder_is_refused_and_harms_nothing(
    start: Start, data_dir: Path
) -> None:
    first = start(*SLEEP, data_dir=data_dir)
    first_line(first)

    second = start(*SLEEP, data_dir=data_dir)
    _, words = second.communicate(timeout=120)

    assert second.returncode == 2
    assert f"already running (process {first.pid})" in words
    assert "Traceback" not in words
    assert query(data_dir, "select 1") == [(1,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything(start: Start, data_dir: Path, number: signal.Signals) -> None:
    process = start(*SLEEP, data_dir=data_dir)
    command_id = int(first_line(process))

    process.send_signal(number)

    assert process.wait(timeout=120) == 128 + number
    assert_nothing_is_left(data_dir, command_id)
    assert not runtime_directory(data_dir).exists()


def test_sigint_stops_a_background_job_whose_shell_had_it_ignored(data_dir: Path) -> None:
    job = subprocess.Popen(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "config.stack", *SLEEP],
        cwd=PROJECT,
        env=clean_environment(ENGINE_DATA_DIR=str(data_dir)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    with job:
        command_id = int(first_line(job))

        job.send_signal(signal.SIGINT)

        job.wait(timeout=120)
    assert_nothing_is_left(data_dir, command_id)


def test_kill_9_leaves_no_process_and_loses_no_committed_row(start: Start, data_dir: Path) -> None:
    process = start(*SLEEP, data_dir=data_dir)
    command_id = int(first_line(process))
    query(data_dir, "create table kept as select 42 as answer")

    process.kill()
    process.wait()
    again = start(*SLEEP, data_dir=data_dir)  # at once: it waits for the old servers itself

    assert first_line(again)
    assert query(data_dir, "select answer from kept") == [(42,)]
    again.terminate()
    again.wait(timeout=120)
    assert_nothing_is_left(data_dir, command_id)


def test_a_pid_file_whose_number_another_process_has_by_now_does_no_harm(
    start: Start, data_dir: Path
) -> None:
    run = start("run", "--", "true", data_dir=data_dir)
    assert run.wait(timeout=120) == 0
    stale = f"{os.getpid()}\n{data_dir}/postgres\n0\n5432\n\n\n\nready\n"
    (data_dir / "postgres" / "postmaster.pid").write_text(stale)

    again = start("run", "--", "true", data_dir=data_dir)

    assert again.wait(timeout=120) == 0


def test_a_long_path_with_spaces_works(start: Start, tmp_path: Path) -> None:
    data_dir = tmp_path / "with a space and 'quotes'" / ("long " * 32).strip()
    process = start(*SLEEP, data_dir=data_dir)
    assert first_line(process)

    assert len(str(data_dir)) > 160
    assert query(data_dir, "select 1") == [(1,)]
    with redis.Redis.from_url(redis_url(data_dir)) as store:
        assert store.ping()


def test_servers_that_die_are_started_again(start: Start, data_dir: Path) -> None:
    process = start(*SLEEP, data_dir=data_dir)
    first_line(process)
    postmaster = int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])
    with redis.Redis.from_url(redis_url(data_dir)) as store:
        redis_id = store.info("server")["process_id"]

    os.kill(postmaster, signal.SIGKILL)
    os.kill(redis_id, signal.SIGKILL)

    def both_answer() -> bool:
        try:
            with redis.Redis.from_url(redis_url(data_dir)) as store:
                is_new = store.info("server")["process_id"] != redis_id
            return is_new and query(data_dir, "select 1") == [(1,)]
        except (psycopg.OperationalError, redis.ConnectionError):
            return False

    wait_for(both_answer)


def test_servers_that_the_environment_names_are_used_and_none_is_started(
    start: Start, fresh_dir: Path
) -> None:
    urls = {"DATABASE_URL": "postgresql://other/db", "REDIS_URL": "redis://other:6379/0"}

    process = start("run", "--", sys.executable, "-c", PRINT_URLS, data_dir=fresh_dir, **urls)
    words, _ = process.communicate(timeout=120)

    assert words.split() == list(urls.values())
    assert not (fresh_dir / "postgres").exists()
    assert not (fresh_dir / "redis").exists()


def test_one_named_server_leaves_the_other_embedded(start: Start, fresh_dir: Path) -> None:
    named = {"DATABASE_URL": "postgresql://other/db"}

    process = start("run", "--", sys.executable, "-c", PRINT_URLS, data_dir=fresh_dir, **named)
    words, _ = process.communicate(timeout=120)

    assert words.split() == [named["DATABASE_URL"], redis_url(fresh_dir)]
    assert not (fresh_dir / "postgres").exists()


def test_a_temporary_run_returns_the_exit_code_and_removes_its_folder(
    start: Start, tmp_path: Path
) -> None:
    script = 'echo "$ENGINE_DATA_DIR"; exit 7'

    process = start("run", "--temporary", "--", "sh", "-c", script, data_dir=tmp_path / "unused")
    words, _ = process.communicate(timeout=120)

    assert process.returncode == 7
    assert not Path(words.strip()).exists()
    assert not (tmp_path / "unused").exists()


def test_worker_says_so_when_no_engine_runs(start: Start, fresh_dir: Path) -> None:
    process = start("worker", data_dir=fresh_dir)
    _, words = process.communicate(timeout=120)

    assert process.returncode == 2
    assert "No engine of this folder is running" in words


def test_a_stack_file_of_a_dead_process_is_stale(tmp_path: Path) -> None:
    with announce(tmp_path, Started(1)):
        found = json.loads((tmp_path / "stack.json").read_text())
        assert found == {
            **{"pid": os.getpid(), "host": "127.0.0.1"},
            **{"port": 1, "solana_port": None},
        }
        assert running_url(tmp_path) is None  # nobody answers there
    assert not (tmp_path / "stack.json").exists()


def test_two_stacks_that_start_at_once_get_two_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.delenv("HOST", raising=False)

    with listen() as one, listen() as two:
        assert one.getsockname() != two.getsockname()


@pytest.mark.parametrize(
    ("host", "reached_at", "is_local"),
    [
        *(("127.0.0.1", "127.0.0.1", True), ("127.0.0.2", "127.0.0.2", True)),
        *(("localhost", "localhost", True), ("0.0.0.0", "127.0.0.1", False)),
        *(("::1", "[::1]", True), ("::", "[::1]", False)),
    ],
)
def test_what_listens_on_any_address_of_this_machine_is_reached_there(
    host: str, reached_at: str, is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setenv("HOST", host)
    answer = b'HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{"worker":"ok"}'
    with listen() as listener, ThreadPoolExecutor() as threads:
        port = listener.getsockname()[1]
        asked = threads.submit(is_healthy, port, host)
        with listener.accept()[0] as connection:
            assert b"\r\nhost: localhost\r\n" in connection.recv(4096).lower()
            connection.sendall(answer)
            assert asked.result()

    assert url_of(host, port) == f"http://{reached_at}:{port}"
    assert is_only_local() is is_local


@pytest.mark.parametrize("host", ["192.0.2.123", "2001:db8::1"])
def test_a_host_that_is_not_this_machine_is_refused_by_name(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", host)
    with pytest.raises(WrongSettings, match=f"^HOST is '{host}': it has to be an address"):
        listen()


def test_a_host_whose_name_nobody_knows_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HOST", "nowhere.invalid")
    with pytest.raises(WrongSettings, match=r"^HOST is 'nowhere.invalid': it has to be an address"):
        listen()


def test_an_engine_on_another_address_gets_ready_and_answers_there(
    start: Start, data_dir: Path
) -> None:
    process = start("up", data_dir=data_dir, HOST="127.0.0.2")

    assert process.stdout is not None
    shown = iter(process.stdout.readline, "")
    page = next(line.split()[1] for line in shown if line.startswith("  page"))
    assert page.startswith("http://127.0.0.2:")
    assert urllib.request.urlopen(page, timeout=60).status == 200
    assert running_url(data_dir) == page.rstrip("/")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_connections_of_a_listener_send_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT", raising=False)
    with listen() as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("HOST", "127.0.0.1")
        monkeypatch.setenv("PORT", str(other.getsockname()[1]))

        with pytest.raises(PortTakenError, match="cannot be used"):
            listen()


def test_variables_for_other_databases_change_nothing_about_our_own_server(
    start: Start, data_dir: Path
) -> None:
    """A developer has them for work on other databases; each of these would be felt."""
    foreign = {
        "PGHOST": "127.0.0.1",
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "1",
        "PGDATABASE": "elsewhere",
        "PGUSER": "somebody",
        "PGOPTIONS": "-c default_transaction_read_only=on -c search_path=nowhere",
        "PGDATESTYLE": "SQL, DMY",
        "PGTZ": "Asia/Kolkata",
        "PGCLIENTENCODING": "LATIN1",
        "PGSERVICE": "missing",
        "PGSSLMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGTARGETSESSIONATTRS": "standby",
        "PGDATA": "/nonexistent",
    }
    script = (
        "import os, psycopg\n"
        "found = psycopg.connect(os.environ['DATABASE_URL'])\n"
        "names = ('DateStyle', 'client_encoding', 'search_path', 'transaction_read_only')\n"
        "print([found.execute(f'SHOW {name}').fetchone()[0] for name in names])\n"
        "print([name for name in os.environ if name.startswith('PG')])\n"
    )
    process = start("run", "--", sys.executable, "-c", script, data_dir=data_dir, **foreign)

    output, errors = process.communicate(timeout=120)

    assert output.splitlines() == ["['ISO, MDY', 'UTF8', '\"$user\", public', 'off']", "[]"], errors


def test_a_command_beside_our_own_server_heeds_no_variables_for_other_databases(
    start: Start, data_dir: Path
) -> None:
    """As in another terminal, where nobody has set DATABASE_URL."""
    script = (
        "import os, subprocess, sys\n"
        "del os.environ['DATABASE_URL']\n"
        "os.environ.update(PGSSLMODE='require', PGSERVICE='missing', PGOPTIONS='-c x')\n"
        "script = 'import django; django.setup(); from django.db import connection;'\n"
        "script += 'connection.cursor(); print(\"connected\")'\n"
        "sys.exit(subprocess.call([sys.executable, '-c', script]))\n"
    )
    process = start("run", "--", sys.executable, "-c", script, data_dir=data_dir)

    output, errors = process.communicate(timeout=120)

    assert output == "connected\n", errors
