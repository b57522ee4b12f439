"""Servers that chaos alone needs: a PostgreSQL whose disk can be full, and a standby of one."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from config.environment.data_folder import (
    database_url,
    hold_data_folder,
    make_private,
    outside_directory,
    temporary_data_directory,
)
from config.stack import postgres
from config.stack.child import Child
from config.stack.identity import postgres_identity
from tests.support.engine import Server, own_postgres

DISK = "700m"  # PostgreSQL with the log of a long run
FILLING = "filling"  # the file that takes what is left
START_SECONDS = 30.0


@contextmanager
def postgres_on_a_small_disk() -> Iterator[tuple[Server, str, Path]]:
    """A durable PostgreSQL whose files are on a disk of their own, its address, and that disk."""
    with temporary_data_directory() as folder:
        home = folder
        if postgres_identity(folder / "postgres").account is not None:
            home = outside_directory(folder)
            make_private(home, mode=0o711)
        with small_disk(home), hold_data_folder(folder) as lock:
            server = Server(
                lambda: postgres.postgres(folder, durable=True, lock=lock),
                lambda child: postgres.is_ready(folder, child),
            )
            try:
                server.start()
                yield server, database_url(folder), home
            finally:
                server.kill()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Have the folder, which is empty, be a small disk in memory."""
    mode = f"{folder.stat().st_mode & 0o777:o}"
    options = f"size={DISK},mode={mode}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Have no byte be left on the disk, also of what is given back meanwhile."""
    filling = disk / FILLING
    try:
        _fill(filling)
        yield
    finally:
        filling.unlink(missing_ok=True)


def _fill(filling: Path) -> None:
    descriptor = os.open(filling, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    os.write(descriptor, bytes(size))
    finally:
        os.close(descriptor)


@cache
def may_mount() -> bool:
    """Whether a disk can be had here: it takes root, and a container that lets it."""
    try:
        with TemporaryDirectory() as folder, small_disk(Path(folder)):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def some_postgres(*, small: bool) -> Iterator[tuple[Server, str, Path | None]]:
    """A durable PostgreSQL, its address, and its disk if that is small."""
    if small:
        with postgres_on_a_small_disk() as found:
            yield found
    else:
        with own_postgres() as (server, address):
            yield server, address, None


@asynccontextmanager
async def standby_of(primary: str) -> AsyncIterator[tuple[Server, str]]:
    """A standby that streams from a running primary, and its address; it takes reads alone."""
    with temporary_data_directory() as folder, hold_data_folder(folder) as lock:
        await asyncio.to_thread(_copy_cluster, primary, folder)
        server = Server(
            lambda: postgres.postgres(folder, durable=True, lock=lock),
            lambda child: _takes_connections(folder, child),
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                while not server.is_up():
                    await asyncio.sleep(0.05)
            yield server, database_url(folder)
        finally:
            server.kill()


def _copy_cluster(primary: str, folder: Path) -> None:
    cluster = folder / "postgres"
    identity = postgres_identity(cluster)
    home = postgres._home(folder, identity)
    programs = postgres._programs(folder, identity)
    copy = home / "postgres"
    copy.mkdir(mode=0o700)
    identity.own(copy)
    command = [str(programs / "pg_basebackup"), "-D", str(copy), "-d", primary]
    command += ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    postgres._run(identity, *command)
    if home != folder.resolve():
        cluster.symlink_to(copy)


def _takes_connections(folder: Path, child: Child) -> bool:
    try:
        lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    is_ours = len(lines) > 7 and lines[0] == str(child.process_id)
    return is_ours and lines[7].strip() in ("standby", "ready")
