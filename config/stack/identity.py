"""As which user our servers and processes run: without root's rights, where that is possible.

PostgreSQL refuses root, and it refuses a user without a name. A fresh container has only root. A
normal user runs PostgreSQL directly. Root, and a user whom the system does not know, run it in a
user namespace, where our files belong to an ordinary user: no account, chown or copy is needed.
Where the kernel forbids that (Docker does by default), root runs it as an unprivileged account.
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
    """PostgreSQL refuses this user, and no other is possible; the message says what to do."""


class PopenArguments(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Identity:
    """`account`: user id and group id to change to. `prepare`: what the forked child runs."""

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
        """Whether this identity can run a command. It is found by running it."""
        try:
            ended = subprocess.run(  # noqa: S603 - our own commands
                command,
                preexec_fn=self.prepare,
                cwd="/",
                capture_output=True,
                check=False,
                **self.popen_arguments(),
            )
        except (OSError, subprocess.SubprocessError):  # the command could not even begin
            return False
        return ended.returncode == 0


def enter_user_namespace() -> None:
    """Become an ordinary user to whom our files belong. Call it between fork and exec."""
    user, group, ordinary = os.geteuid(), os.getegid(), _ordinary_user()
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{ordinary} {user} 1"),
        ("gid_map", f"{ordinary} {group} 1"),
    ):
        Path("/proc/self", name).write_text(text)


OURSELVES = Identity()
NAMESPACE = Identity(prepare=enter_user_namespace)


def unprivileged() -> Identity:
    """Return the identity for a process that needs our files and nothing else of root's.

    In a user namespace it may do to root's files what their owner may. It has no other right of
    root.
    """
    is_root = os.geteuid() == 0 and sys.platform == "linux"
    return NAMESPACE if is_root and NAMESPACE.can_run("true") else OURSELVES


@functools.cache
def postgres_identity(cluster: Path) -> Identity:
    """Choose who runs the PostgreSQL whose files are, or will be, in the folder `cluster`.

    :raises NoIdentityError: we are root, or have no name, and nothing works.
    """
    if os.geteuid() != 0:
        return OURSELVES if _has_name(os.geteuid()) else _namespace_identity(cluster)
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


def _namespace_identity(cluster: Path) -> Identity:
    """Return an identity that has a name. A server that has its files runs without one, too."""
    if sys.platform == "linux" and NAMESPACE.can_run("true"):
        return NAMESPACE
    if cluster.exists():
        return OURSELVES
    raise NoIdentityError(
        f"PostgreSQL refuses user {os.geteuid()}, whom this system does not know by a name:"
        " give it one in /etc/passwd, run this as another user, or set DATABASE_URL."
    )


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _ordinary_user() -> int:
    """Return the id of any user with a name, except root."""
    return min((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid), default=1000)


def _accounts() -> list[Identity]:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entries = [known[name] for name in ACCOUNTS if name in known]
    return [Identity(account=(entry.pw_uid, entry.pw_gid)) for entry in entries]
