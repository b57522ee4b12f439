"""A real PostgreSQL and a real Redis-compatible server of our own, from wheels, for one folder.

This module works without Django and before its settings, because the settings take their URLs from
here. All of a run's state is in one data folder, except the sockets. A socket's path may have only
about 100 characters. So the sockets are in a short folder, and its name follows from the data
folder's.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

PROJECT = Path(__file__).resolve().parents[2]
DATABASE = "engine"
LOCKS = ("lock", "servers.lock")
LOCK_PATIENCE = 10.0  # seconds for the servers of a killed run to finish
TEMPORARY_PREFIX = "oee-temporary-"


class EmbeddedError(Exception):
    """The embedded servers cannot be used here; the message says why and what to do."""


def database_url(data_dir: Path) -> str:
    """Return the libpq URL of the PostgreSQL of a data folder, running or not."""
    host = quote(str(postgres_sockets(data_dir)), safe="")
    return f"postgresql://postgres@/{DATABASE}?host={host}&port=5432"


def without_libpq_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no variable of a developer changes our own PostgreSQL.

    libpq takes what a connection does not say from variables whose names begin with PG. The server
    also reads some of them at its start. A developer sets them for other databases.
    """
    return {name: value for name, value in environment.items() if not name.startswith("PG")}


def redis_url(data_dir: Path) -> str:
    """Return the URL of the Redis of a data folder, in the form that redis-py takes."""
    return f"unix://{redis_socket(data_dir)}?db=0"


def secret_key(data_dir: Path) -> str:
    """Return Django's SECRET_KEY of a data folder. The first call generates it."""
    path = data_dir / "secret_key"
    if not path.exists():
        prepare_data_directory(data_dir)
        # Written whole before it gets its name: two processes may come here at once.
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()


def runtime_directory(data_dir: Path) -> Path:
    """Return the short folder of the sockets of a data folder."""
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    return Path(f"/tmp/oee-{os.geteuid()}-{name}")  # noqa: S108 - made private, owner checked


def postgres_sockets(data_dir: Path) -> Path:
    return runtime_directory(data_dir) / "pg"


def redis_socket(data_dir: Path) -> Path:
    return runtime_directory(data_dir) / "redis.sock"


def make_private(folder: Path, mode: int = 0o700) -> None:
    """Make a folder that only we may write to.

    :raises EmbeddedError: the name belongs to another user.
    """
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise EmbeddedError(f"Cannot make the folder {folder}: {error.strerror}.") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EmbeddedError(
            f"{folder} belongs to another user: remove it, or set ENGINE_DATA_DIR to a new folder."
        )
    if stat.S_IMODE(status.st_mode) != mode:
        folder.chmod(mode)


@contextmanager
def hold_data_folder(data_dir: Path) -> Iterator[int]:
    """Hold a data folder: yield a file descriptor for the servers to inherit.

    There are two locks. One is the supervisor's own. The other one lasts until the last process
    that inherited the descriptor has ended. The servers of a killed supervisor need a moment to
    stop, and the second lock makes the next run wait for them. So two runs never share the files.

    :raises EmbeddedError: another run holds the folder.
    """
    prepare_data_directory(data_dir)
    with _open_lock(data_dir / LOCKS[0]) as own, _open_lock(data_dir / LOCKS[1]) as inherited:
        if not _take(own):
            holder = os.pread(own, 20, 0).decode()
            raise EmbeddedError(
                f"The engine in {data_dir} is already running (process {holder}):"
                " stop it first, or set ENGINE_DATA_DIR to another folder."
            )
        os.ftruncate(own, 0)
        os.pwrite(own, str(os.getpid()).encode(), 0)
        deadline = time.monotonic() + LOCK_PATIENCE
        while not _take(inherited):
            if time.monotonic() > deadline:
                raise EmbeddedError(f"The servers of an earlier run in {data_dir} do not end.")
            time.sleep(0.02)
        try:
            make_private(runtime_directory(data_dir))
            yield inherited
        finally:
            shutil.rmtree(runtime_directory(data_dir), ignore_errors=True)


def prepare_data_directory(data_dir: Path) -> None:
    """Make the folder. Root takes one that exists as it is: it may be a normal user's."""
    if not (os.geteuid() == 0 and data_dir.is_dir()):
        make_private(data_dir)


def is_in_use(data_dir: Path) -> bool:
    """Whether a supervisor holds a data folder, or one of its servers that is still stopping."""
    for path in (data_dir / name for name in LOCKS):
        if path.exists():
            with _open_lock(path) as lock:
                if not _take(lock):
                    return True
    return False


@contextmanager
def temporary_data_directory() -> Iterator[Path]:
    """Yield a fresh data folder and remove it at the end."""
    _remove_abandoned()
    data_dir = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
    try:
        yield data_dir
    finally:
        remove(data_dir)


def remove(data_dir: Path) -> None:
    """Remove a data folder and everything outside of it that belongs to it."""
    shutil.rmtree(outside_directory(data_dir), ignore_errors=True)
    shutil.rmtree(runtime_directory(data_dir), ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def outside_directory(data_dir: Path) -> Path:
    """Return a folder for files of a private data folder that an unprivileged account can reach."""
    return Path("/var/tmp", runtime_directory(data_dir).name)  # noqa: S108 - owner checked


def is_alive(process_id: int) -> bool:
    """Whether a process with this id exists."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return process_id != 0


@contextmanager
def _open_lock(lock: Path) -> Iterator[int]:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(f"Cannot write in {lock.parent}: {error.strerror}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned() -> None:
    """Remove the folders of runs that were killed with -9 over an hour ago."""
    for folder in Path(tempfile.gettempdir()).glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            status = folder.stat()
            is_ours = status.st_uid == os.geteuid()
            if is_ours and status.st_mtime < time.time() - 3600 and not is_in_use(folder):
                remove(folder)
