"""What systemd takes from a unit, taken from a process of our own: system calls, and new code."""

import ctypes
import ctypes.util
import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

REFUSE = 0x00050000 | errno.EPERM  # SCMP_ACT_ERRNO
ALLOW = 0x7FFF0000
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1  # MemoryDenyWriteExecute=, since Linux 6.3


def confined_as(unit: str) -> Callable[[], None]:
    """Return what confines a child between fork and exec as the unit's lines say."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not here: run this test where systemd is installed")
    if (found := ctypes.util.find_library("seccomp")) is None:
        pytest.skip("libseccomp is not here: run this test where systemd is installed")
    seccomp, libc = ctypes.CDLL(found), ctypes.CDLL(None, use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for name in allowed_calls(unit):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else this machine has no such call
            assert seccomp.seccomp_rule_add(rules, ALLOW, number, 0) == 0, name

    is_without_new_code = "\nMemoryDenyWriteExecute=yes\n" in unit

    def confine() -> None:
        if is_without_new_code:
            libc.prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0)  # an older kernel does without
        if seccomp.seccomp_load(rules) != 0:
            os._exit(99)

    return confine


def allowed_calls(unit: str) -> set[str]:
    """Return what the lines of SystemCallFilter leave, read from the top as systemd does."""
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit, re.MULTILINE):
        named = {call for word in line.removeprefix("~").split() for call in calls(word)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed | set(calls("@default"))  # without which nothing could begin


def calls(name: str) -> Iterator[str]:
    if not name.startswith("@"):
        yield name
        return
    listed = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in re.findall(r"^ +([@\w-]+)$", listed, re.MULTILINE):
        yield from calls(word)
