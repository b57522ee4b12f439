"""As whom PostgreSQL runs: it refuses root, and a fresh container has nobody else.

A normal user runs it as himself. Root runs it in a user namespace, where our files belong to an
ordinary user: no account, chown or copy is needed. Where the kernel forbids that (Docker does by
default), it runs as an unprivileged account.
"""

import ctypes
import functools
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

CLONE_NEWUSER = 0x10000000
ACCOUNTS = ("postgres", "nobody")
LIBC = ctypes.CDLL(None, use_errno=True)


class NoIdentityError(Exception):
    """We are root and may become nobody else: run as a normal user or set DATABASE_URL."""


class PopenArguments(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Identity:
    """`account`: user id and group id to change to. `prepare`: runs in the forked child."""

    account: tuple[int, int] | None = None
    prepare: Callable[[], None] | None = None

    def popen_arguments(self) -> PopenArguments:
        if self.account is None:
            return {}
        user, group = self.account
        return {"user": user, "group": group, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file or folder to this identity."""
        if self.account is not None:
            os.chown(path, *self.account)

    def can_run(self, *command: str) -> bool:
        """Whether this identity may and can run a command, measured by running it."""
        try:
            ended = subprocess.run(  # noqa: S603 - our own commands
                command,
                preexec_fn=self.prepare,
                cwd="/",
                capture_output=True,
                check=False,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.SubprocessError):  # refused before the command began
            return False
        return ended.returncode == 0


def enter_user_namespace() -> None:
    """Become an ordinary user to whom our files belong; call between fork and exec."""
    user, group = os.geteuid(), os.getegid()
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"1000 {user} 1"),
        ("gid_map", f"1000 {group} 1"),
    ):
        Path("/proc/self", name).write_text(text)


OURSELVES = Identity()
NAMESPACE = Identity(prepare=enter_user_namespace)


@functools.cache
def postgres_identity(cluster: Path) -> Identity:
    """Choose who runs the PostgreSQL whose files are, or will be, in folder `cluster`.

    :raises NoIdentityError: we are root and nothing works.
    """
    if os.geteuid() != 0:
        return OURSELVES
    if cluster.exists() and cluster.stat().st_uid != 0:
        owner = cluster.stat()
        return Identity(account=(owner.st_uid, owner.st_gid))
    if sys.platform == "linux" and NAMESPACE.can_run("true"):
        return NAMESPACE
    if not cluster.exists():
        for identity in _accounts():
            if identity.can_run("true"):
                return identity
    raise NoIdentityError(
        "PostgreSQL refuses to run as root, and this system lets root become nobody else:"
        " run this as a normal user, or set DATABASE_URL."
    )


def _accounts() -> list[Identity]:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entries = [known[name] for name in ACCOUNTS if name in known]
    return [Identity(account=(entry.pw_uid, entry.pw_gid)) for entry in entries]
