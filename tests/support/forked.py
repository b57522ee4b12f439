"""Python programs as processes of their own that start in a quarter of a second.

Each is forked from a process that has imported the libraries: settings, registry and connections
are made anew. Signals, exit codes and death are as of `python -m …`, but for a SIGINT that nobody
handles (1, not -2). Whoever starts programs has to be pytest, or a package run with `python -m`:
multiprocessing would import any other main module beforehand, and Django's settings with it.
"""

import atexit
import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from weakref import WeakSet

from config.environment.data_folder import PROJECT
from config.stack.child import LIBC, PR_SET_PDEATHSIG

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["tests.support.preloaded"])
ONE_BY_ONE = threading.Lock()  # an exit code can be read once; each start reads those of all
STARTED: "WeakSet[Program]" = WeakSet()


class Program:
    """`python -m module …` or `python manage.py …`, and what became of it.

    `listener`: the program finds it as an option at its end: `--fd`, the number.
    `errors`: a file for its standard error, else that goes where its output goes.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        errors: Path | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        output.touch()  # it may be read before the program is there
        self._running: ForkServerProcess = FORKED.Process(
            target=_run,
            args=(arguments, dict(environment), output, errors or output, listener),
            daemon=True,
        )
        with ONE_BY_ONE:
            self._running.start()
        STARTED.add(self)

    @property
    def process_id(self) -> int:
        found = self._running.pid
        assert found is not None
        return found

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -9 if it died by SIGKILL."""
        with ONE_BY_ONE:
            return self._running.exitcode

    def send(self, number: int) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):  # it ended, and its exit code is under way
                os.kill(self.process_id, number)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.send(signal.SIGKILL)
        connection.wait([self._running.sentinel])

    def wait(self, seconds: float) -> int:
        """Return its exit code once it has ended by itself.

        :raises TimeoutError: it did not.
        """
        connection.wait([self._running.sentinel], seconds)
        if (code := self.exit_code) is None:
            raise TimeoutError
        return code


@atexit.register  # before multiprocessing waits for them, and be it for ever
def _kill_all() -> None:
    for program in STARTED:
        program.send(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program that has ended wrote."""

    returncode: int
    stdout: str
    stderr: str


def run_program(arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> Ended:
    """Run a program to its end, whatever that is; its output is kept in files of the folder.

    :raises TimeoutError: it does not end within a minute.
    """
    output, errors = (folder / f"{time.monotonic_ns()}-{name}.log" for name in ("out", "err"))
    program = Program(arguments, environment, output, errors)
    try:
        code = program.wait(120.0)
    finally:
        program.kill()
    return Ended(code, output.read_text(), errors.read_text())


def _run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    errors: Path,
    listener: socket.socket | None,
) -> None:
    """Become the program, in a process that was just forked."""
    server = multiprocessing.forkserver._forkserver
    os.close(server._forkserver_alive_fd)  # else that server would outlive pytest, and we with it
    server._forkserver_alive_fd = None
    os.setsid()
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(PROJECT)
    os.environ.clear()
    os.environ.update(environment)
    for path, number in ((Path(os.devnull), 0), (output, 1), (errors, 2)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    options = () if listener is None else ("--fd", str(listener.fileno()))
    if "LD_PRELOAD" in environment:  # heeded only at the very start
        os.execv(sys.executable, [sys.executable, "-W", "ignore", *arguments, *options])
    sys.argv = [*arguments, *options]
    try:
        if arguments[0] == "-m":
            warnings.simplefilter("ignore")
            del sys.argv[0]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()
