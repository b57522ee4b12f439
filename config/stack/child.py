"""One child process: how it is started, asked to stop, and made to end with us."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from config.stack.identity import OURSELVES, Identity

PR_SET_PDEATHSIG = 1
FATAL = re.compile(r"\b(FATAL|PANIC): ")
LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec it is too late to look for it


@dataclass(eq=False)
class Child:
    """A command to be kept running.

    `layer`: children of a higher layer are stopped first. `orphan_signal`: what the kernel sends
    to it when we are killed (Linux only). `log`: a file for its output; without one it shares ours.
    `keeps`: file descriptors that it inherits. `is_group`: signals go to its children as well.
    `reads_input`: it has our standard input; otherwise it has none.
    `own_session`: a Ctrl-C at the terminal reaches only us, and we pass it on in our order.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    layer: int = 0
    grace: float = 10.0  # seconds
    stop_signal: int = signal.SIGTERM
    orphan_signal: int = signal.SIGKILL
    folder: Path | None = None
    log: Path | None = None
    keeps: tuple[int, ...] = ()
    identity: Identity = OURSELVES
    own_session: bool = True
    is_group: bool = False
    reads_input: bool = False
    deaths: int = 0
    started_at: float = 0.0
    _log_begins: int = 0  # in bytes: where the log of the present start begins
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        self.started_at = time.monotonic()
        output = self._open_log()
        self._process = subprocess.Popen(  # noqa: S603 - our own commands, never a user's
            self.command,
            env=self.environment,
            cwd=self.folder,
            stdin=None if self.reads_input else subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=self.keeps,
            start_new_session=self.own_session,
            preexec_fn=end_with_parent(self.orphan_signal, first=self.identity.prepare),
            **self.identity.popen_arguments(),
        )
        if output:
            output.close()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """Its process id; zero before the first start."""
        return self._process.pid if self._process else 0

    def exit_code(self) -> int:
        """Its exit code as shells give it: 128 + n if signal n ended it."""
        code = self._process.returncode if self._process else None
        if code is None:
            return 0
        return 128 - code if code < 0 else code

    def ask_to_stop(self, number: int | None = None) -> None:
        """Send the signal that asks it to finish its work and end."""
        if self.is_running():
            self._send(number or self.stop_signal, to_group=self.is_group)

    def kill(self) -> None:
        """End it at once, with all the processes of its group."""
        if self._process is None:
            return
        self._send(signal.SIGKILL, to_group=True)
        self._process.wait()

    def ending(self) -> str:
        """Return how it ended, as the verb of a sentence."""
        return how_ended(self._process.returncode or 0) if self._process else "ended"

    def last_words(self) -> str:
        """Return the cause from its log's end: PostgreSQL writes more lines after the cause."""
        if self.log is None or not self.log.exists():
            return ""
        lines = self.log.read_bytes()[self._log_begins :].decode(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()] or ["It wrote no log."]
        best = next((line for line in words[-5:] if FATAL.search(line)), words[-1])
        return f"{best} (log: {self.log})"

    def _send(self, number: int, *, to_group: bool) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if to_group and self.own_session:
                os.killpg(self.process_id, number)
            elif self.is_running():
                os.kill(self.process_id, number)

    def _open_log(self) -> IO[bytes] | None:
        if self.log is None:
            return None
        log = self.log.open("ab")
        self._log_begins = log.tell()
        return log


def how_ended(code: int) -> str:
    """Return how a process ended, by its code in `subprocess`: below zero is a signal."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), as the system does when memory runs out"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended ({code})"


def end_with_parent(number: int, first: Callable[[], None] | None = None) -> Callable[[], None]:
    """Return what a forked child does before it becomes the command: it ties its life to ours.

    `first` runs before that, because a change of user or namespace undoes the tie.
    """
    parent = os.getpid()

    def prepare() -> None:
        if first:
            first()
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:  # the parent died before the tie was made
                os._exit(1)

    return prepare
