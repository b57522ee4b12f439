"""The parts below `config.stack`: URLs, private folders, locks, children."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from config.embedded import (
    PROJECT,
    EmbeddedError,
    database_url,
    is_in_use,
    locked,
    make_private,
    outside_directory,
    redis_socket,
    redis_url,
    runtime_directory,
    secret_key,
)
from config.identity import ACCOUNTS

from .conftest import clean_environment, is_gone, wait_for

FAMILY = r"""
import sys
from config.child import Child
from config.supervisor import Supervisor

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

    with locked(tmp_path / "data"):
        pass

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_the_lock_lasts_until_the_last_process_that_inherited_it_ended(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
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
from config import identity

def refuse():
    raise PermissionError("as in a container")

identity.NAMESPACE = identity.Identity(prepare=refuse)
from config.stack import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs to become somebody else")
def test_root_without_user_namespaces_runs_postgres_as_an_account_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    script = 'stat -c %U "$ENGINE_DATA_DIR/postgres/"; echo "$ENGINE_DATA_DIR"'
    stack = (sys.executable, "-c", WITHOUT_NAMESPACES, "run", "--temporary")

    run = subprocess.run(
        [*stack, "--", "sh", "-c", script],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    owner, data_dir = run.stdout.split()
    assert owner in ACCOUNTS
    assert not outside_directory(Path(data_dir)).exists()


def test_a_start_that_fails_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    def start() -> None:
        with locked(tmp_path):
            assert runtime_directory(tmp_path).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start()
    assert not runtime_directory(tmp_path).exists()
