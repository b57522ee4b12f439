"""The parts below `config.stack`: URLs, private folders, locks, children."""

import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from config.environment.data_folder import (
    PROJECT,
    EmbeddedError,
    database_url,
    hold_data_folder,
    is_in_use,
    make_private,
    outside_directory,
    redis_socket,
    redis_url,
    remove,
    runtime_directory,
    secret_key,
)
from config.stack import identity, processes, redis
from config.stack.banner import banner
from config.stack.child import Child
from config.stack.identity import ACCOUNTS
from config.stack.postgres import cause_of, cluster_location
from config.stack.supervisor import NotReadyError, Supervisor
from tests.config.conftest import clean_environment, is_gone, wait_for

FAMILY = r"""
import sys
from config.stack.child import Child
from config.stack.supervisor import Supervisor

# One write: unbuffered, print makes two, and those of two children may mix.
script = "import os, time; os.write(1, b'%d\\n' % os.getpid()); time.sleep(1000)"
with Supervisor() as supervisor:
    for layer in (0, 1):
        supervisor.start(Child("child", [sys.executable, "-c", script], layer=layer))
    supervisor.watch()
"""


def test_urls_follow_from_the_folder_alone_and_fit_into_a_socket_address(tmp_path: Path) -> None:
    folder = tmp_path / ("very long " * 20)

    found = conninfo_to_dict(database_url(folder))

    assert found["dbname"] == "engine"
    assert found["user"] == "postgres"
    assert found["host"] == str(runtime_directory(folder) / "pg")
    assert len(f"{found['host']}/.s.PGSQL.5432") < 100
    assert urlsplit(redis_url(folder)).path == str(redis_socket(folder))
    assert parse_qs(urlsplit(redis_url(folder)).query) == {"db": ["0"]}
    assert database_url(folder) == database_url(folder)
    assert database_url(folder) != database_url(tmp_path)


def test_the_secret_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    key = secret_key(data_dir)

    assert len(key) > 50
    assert secret_key(data_dir) == key
    assert stat.S_IMODE((data_dir / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in data_dir.iterdir()] == ["secret_key"]


def test_a_socket_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(EmbeddedError, match="belongs to another user"):
        make_private(tmp_path / "link")


def test_parent_folders_keep_their_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    with hold_data_folder(tmp_path / "data"):
        pass

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_lock_lasts_until_the_last_process_that_inherited_it_ended(tmp_path: Path) -> None:
    with hold_data_folder(tmp_path) as lock:
        server = subprocess.Popen(["sleep", "1000"], pass_fds=(lock,))
    assert is_in_use(tmp_path)

    server.kill()
    server.wait()

    assert not is_in_use(tmp_path)


@pytest.fixture
def family() -> "subprocess.Popen[str]":
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def next_child(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_a_child_that_dies_is_started_again(family: "subprocess.Popen[str]") -> None:
    first, _ = next_child(family), next_child(family)

    os.kill(first, signal.SIGKILL)

    assert next_child(family) != first  # blocks until there is one


def test_a_child_that_is_killed_is_said_to_be_as_by_a_system_short_of_memory(
    family: "subprocess.Popen[str]",
) -> None:
    os.kill(next_child(family), signal.SIGKILL)

    assert family.stderr is not None
    assert family.stderr.readline().startswith(
        "child was killed (SIGKILL), as the system does when memory runs out, starting it again."
    )


def test_a_start_ends_with_the_first_child_that_dies_and_how_it_did() -> None:
    sleep = Child("sleep", ["sleep", "1000"])
    with Supervisor() as supervisor:
        for child in (sleep, Child("killed", ["sh", "-c", "kill -9 $$"])):
            supervisor.start(child)
        with pytest.raises(NotReadyError, match=r"^killed was killed \(SIGKILL\), as the system"):
            supervisor.wait_until(lambda: False, sleep, 30)


def test_what_killed_the_release_is_named(tmp_path: Path) -> None:
    killed = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.MonkeyPatch.context() as patch, Supervisor() as supervisor:
        patch.setattr(processes, "manage", lambda *_: killed)
        patch.setattr(processes, "uses_embedded_postgres", lambda: False)
        with pytest.raises(NotReadyError, match=r"release was killed \(SIGKILL\), as the system"):
            processes.release(supervisor, tmp_path, dict(os.environ))


def test_children_end_with_a_supervisor_that_is_killed(family: "subprocess.Popen[str]") -> None:
    children = [next_child(family), next_child(family)]

    family.kill()
    family.wait()

    for child in children:
        wait_for(lambda child=child: is_gone(child))


def test_children_end_with_a_supervisor_that_is_asked_to_stop(
    family: "subprocess.Popen[str]",
) -> None:
    children = [next_child(family), next_child(family)]

    family.terminate()

    assert family.wait(timeout=120) == 0
    assert all(is_gone(child) for child in children)


WITHOUT_NAMESPACES = """
import sys
from config.stack import identity

def refuse():
    raise PermissionError("as in a container")

identity.NAMESPACE = identity.Identity(prepare=refuse)
from config.stack.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def run_as_in_a_container(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_NAMESPACES, *arguments],
        cwd=PROJECT,
        env=clean_environment(**changes),
        capture_output=True,
        text=True,
    )


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs to become somebody else")


@only_root
def test_root_without_user_namespaces_runs_postgres_as_an_account_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    script = 'stat -c %U "$ENGINE_DATA_DIR/postgres/"; echo "$ENGINE_DATA_DIR"'

    run = run_as_in_a_container("run", "--temporary", "--", "sh", "-c", script)

    assert run.returncode == 0, run.stderr
    owner, data_dir = run.stdout.split()
    assert owner in ACCOUNTS
    assert not outside_directory(Path(data_dir)).exists()


def test_no_command_line_has_a_secret(tmp_path: Path) -> None:
    """Whoever lists the machine's processes reads them."""
    words = {name: secrets.token_hex(16) for name in ("SECRET_KEY", "METRICS_TOKEN", "password")}
    environment = dict(os.environ) | {
        **words,
        "DATABASE_URL": f"postgresql://engine:{words['password']}@db.example/engine",
        "REDIS_URL": f"redis://:{words['password']}@redis.example/0",
    }
    with socket.socket() as listener:
        found = [*processes.engine(environment, listener), processes.another_worker(environment)]
    found.append(redis.redis(tmp_path, durable=False, lock=0))
    for child in found:
        for secret in words.values():
            assert secret not in " ".join(child.command), child.name


@only_root
def test_what_root_starts_has_none_of_its_rights(tmp_path: Path) -> None:
    if not identity.NAMESPACE.can_run("true"):
        pytest.skip("no user namespaces here")
    with socket.socket() as listener:
        engine = processes.engine(dict(os.environ), listener)
    found = [*engine, processes.another_worker(os.environ)]
    found.append(redis.redis(tmp_path, durable=False, lock=0))
    for child in found:
        child.command = ["grep", "-E", "^(Uid|CapEff)", "/proc/self/status"]
        child.log, child.keeps, child.folder = tmp_path / "log", (), tmp_path
        child.start()
        wait_for(lambda child=child: not child.is_running())  # type: ignore[misc]
    lines = (tmp_path / "log").read_text().splitlines()
    users = {line.split()[1] for line in lines if line.startswith("Uid")}

    assert "0" not in users
    assert len(lines) == 2 * len(found)
    assert {line for line in lines if line.startswith("CapEff")} == {f"CapEff:\t{0:016x}"}


def test_whom_the_system_does_not_know_has_a_name_in_a_user_namespace() -> None:
    """initdb refuses a user without one, as `docker run --user 54321` has."""
    if not identity.NAMESPACE.can_run("true"):
        pytest.skip("no user namespaces here")
    prepare = identity.NAMESPACE.prepare
    run = subprocess.run(["id", "-un"], preexec_fn=prepare, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    assert run.stdout != "root\n"


def test_a_user_without_a_name_and_without_namespaces_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError("as in a container")

    monkeypatch.setattr(identity, "NAMESPACE", identity.Identity(prepare=refuse))
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(identity.NoIdentityError, match=r"refuses user 54321, .* /etc/passwd"):
        identity.postgres_identity(tmp_path / "postgres")
    (tmp_path / "kept").mkdir()
    assert identity.postgres_identity(tmp_path / "kept") == identity.OURSELVES


@only_root
def test_orders_that_lie_elsewhere_are_named_found_again_and_missed(tmp_path: Path) -> None:
    """Where root may not use user namespaces, `.data/postgres` is a link."""
    data_dir = tmp_path / "data"
    elsewhere = outside_directory(data_dir) / "postgres"
    made = ["run", "--", "sh", "-c", "stat --format %i $ENGINE_DATA_DIR/postgres/PG_VERSION"]
    try:
        first = run_as_in_a_container(*made, ENGINE_DATA_DIR=str(data_dir))
        assert cluster_location(data_dir) == f"{elsewhere} ({data_dir}/postgres leads there)"
        shutil.rmtree(data_dir)
        again = run_as_in_a_container(*made, ENGINE_DATA_DIR=str(data_dir))
        assert (again.returncode, again.stdout) == (0, first.stdout)

        shutil.rmtree(elsewhere)
        missed = run_as_in_a_container(*made, ENGINE_DATA_DIR=str(data_dir))
        assert missed.returncode == 2
        assert missed.stderr.startswith(f"The orders were kept in {elsewhere}, which is gone:")
        assert len(missed.stderr.splitlines()) == 1
    finally:
        remove(data_dir)


def test_orders_that_lie_in_the_data_folder_are_said_to_lie_there(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    assert cluster_location(tmp_path) == f"{tmp_path}/postgres"
    assert f"  kept in  {tmp_path}/postgres\n" in banner(
        "http://127.0.0.1:1", "", cluster_location(tmp_path)
    )


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (4000, r"could not write to file .*: File too large\."),
        (5, r"initdb was ended by SIGXFSZ\."),
    ],
)
def test_files_that_cannot_be_made_are_told_in_one_sentence(
    blocks: int, words: str, tmp_path: Path
) -> None:
    limited = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"]
    ended = subprocess.run(
        [*limited, sys.executable, "-m", "config.stack", "run", "--", "true"],
        cwd=PROJECT,
        env=clean_environment(ENGINE_DATA_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert ended.returncode == 2
    assert re.fullmatch(f"PostgreSQL could not make its files in .*: {words}\n", ended.stderr)
    assert not list(tmp_path.glob("postgres*")), "what it made takes no room"


FULL_DISK = """\
performing post-bootstrap initialization ... 2026-11-28 22:17:54.364 UTC [7506] FATAL:  could not \
write to file "base/4/3607": No space left on device
2026-11-28 22:17:54.364 UTC [7506] STATEMENT:  CREATE DATABASE template0 IS_TEMPLATE = true;
child process exited with exit code 1
initdb: removing contents of data directory "/srv/.data/postgres.new"
"""
SHORT_WRITE = """\
2026-11-28 22:17:57.891 UTC [7676] ERROR:  could not extend file "base/1/2": wrote only 4096 of \
8192 bytes at block 0
2026-11-28 22:17:57.891 UTC [7676] HINT:  Check free disk space.
"""
NO_SHARED_MEMORY = """\
running bootstrap script ... child process was terminated by signal 7: Bus error
initdb: removing contents of data directory "/srv/.data/postgres.new"
"""


@pytest.mark.parametrize(
    ("output", "code", "cause"),
    [
        (FULL_DISK, 1, 'could not write to file "base/4/3607": No space left on device'),
        (SHORT_WRITE, 1, "wrote only 4096 of 8192 bytes at block 0 (is the disk full?)"),
        (NO_SHARED_MEMORY, 1, "a process of it was terminated by signal 7: Bus error"),
        ("creating configuration files ...", -9, "initdb was killed (SIGKILL), as the system does"),
        ("cannot open shared object file", 127, "cannot open shared object file"),
        ("", 1, "initdb ended (1)"),
    ],
)
def test_the_cause_is_found_among_the_lines_of_initdb(output: str, code: int, cause: str) -> None:
    found = cause_of("initdb", code, output)
    assert cause in found
    assert "\n" not in found


LIMITED = """
import os, resource
from config import stack
from config.environment.first_cause import CannotStart, check_threads

resource.setrlimit(resource.RLIMIT_NPROC, (20, 20))
if os.geteuid() == 0:  # whom it does not bind
    os.setuid(54321)
try:
    check_threads(48)
except CannotStart as error:
    print(error)
"""


def test_who_may_start_too_few_processes_is_told_how_many_and_which_limit() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )
    said = r"The system lets us start only \d+ more processes and threads, and the engine needs 48"
    assert re.fullmatch(rf"{said}: see `ulimit -u` .*\.\n", ended.stdout), ended.stderr


def test_a_start_that_fails_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    def start() -> None:
        with hold_data_folder(tmp_path):
            assert runtime_directory(tmp_path).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start()
    assert not runtime_directory(tmp_path).exists()
