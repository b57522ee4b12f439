"""Starts child processes, restarts those that die, stops them in order and leaves none behind.

Use it from the main thread only. The kernel ends our children when the *thread* that forked them
ends, and Python runs signal handlers only in the main thread.
"""

import select
import signal
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

from config.runtime.sentences import say
from config.stack.child import Child

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0  # seconds between a death and the new start


class StopRequestedError(Exception):
    """We were asked to stop while we waited for something. This is no fault."""


class NotReadyError(Exception):
    """A child did not become ready; the message says which one and where its log is."""


class Supervisor:
    """A family of processes: a process that is started in it ends with it, however it ends.

    It is a context manager that takes SIGINT, SIGTERM and SIGHUP. At its end it stops everything,
    the highest layer first. A second Ctrl-C stops it at once.
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._restart_at: dict[Child, float] = {}
        self._signals: list[tuple[float, int]] = []
        self._wake_in, self._wake_out = socket.socketpair()

    def __enter__(self) -> Self:
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        signal.set_wakeup_fd(self._wake_in.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a death only has to wake us
        for (
            number
        ) in STOP_SIGNALS:  # explicitly: a shell starts background jobs with SIGINT ignored
            if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN):
                signal.signal(number, self._take_signal)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop_all()
        signal.set_wakeup_fd(-1)
        self._wake_in.close()
        self._wake_out.close()

    @property
    def stop_signal(self) -> int | None:
        """The first signal that asked us to stop."""
        return self._signals[0][1] if self._signals else None

    def start(self, child: Child) -> None:
        """Start a child and own it from now on."""
        self._children.append(child)
        child.start()

    def wait_until(self, is_ready: Callable[[], bool], child: Child, seconds: float) -> None:
        """Wait for a child that was just started. Restart nothing meanwhile.

        :raises NotReadyError: a child died, or this one was not ready in time.
        :raises StopRequestedError: we were asked to stop meanwhile.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            if dead := next((each for each in self._children if not each.is_running()), None):
                raise NotReadyError(f"{dead.name} {dead.ending()} at once. {dead.last_words()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{child.name} was not ready in time. {child.last_words()}")
            self.pause(0.01)

    def watch(self, until: Child | None = None) -> None:
        """Restart each child that dies, until we are asked to stop or `until` has ended."""
        with suppress(StopRequestedError):
            while until is None or until.is_running():
                for child in self._children:
                    if child is not until and not child.is_running():
                        self._revive(child)
                self.pause(0.5)

    def pause(self, seconds: float) -> None:
        """Sleep, but wake up when a child ends.

        :raises StopRequestedError: we were asked to stop.
        """
        if not self._signals:
            self._sleep(seconds)
        if self._signals:
            raise StopRequestedError

    def run(self, child: Child) -> int:
        """Run a child to its end and return its exit code.

        :raises StopRequestedError: we were asked to stop first.
        """
        self.start(child)
        self.watch(until=child)
        if self._signals:
            raise StopRequestedError
        self.stop([child])
        return child.exit_code()

    def stop_all(self) -> None:
        self.stop(self._children)

    def stop(self, children: Iterable[Child]) -> None:
        """Stop these children, the highest layer first, each within its grace."""
        remaining = list(children)
        for layer in sorted({child.layer for child in remaining}, reverse=True):
            self._stop_together([child for child in remaining if child.layer == layer])
        self._children = [child for child in self._children if child not in remaining]

    def _stop_together(self, children: list[Child]) -> None:
        asked_at = time.monotonic()
        for child in children:
            child.ask_to_stop()
        for child in children:
            while child.is_running() and time.monotonic() < asked_at + child.grace:
                if self._is_impatient():
                    break
                self._sleep(0.1)
            child.kill()

    def _revive(self, child: Child) -> None:
        """Start a dead child again, after a pause that doubles while it keeps dying."""
        now = time.monotonic()
        if child not in self._restart_at:
            if now - child.started_at > LONGEST_PAUSE:
                child.deaths = 0
            pause = min(FIRST_PAUSE * 2**child.deaths, LONGEST_PAUSE)
            child.deaths += 1
            self._restart_at[child] = now + pause
            say(f"{child.name} {child.ending()}, starting it again. {child.last_words()}")
        if now >= self._restart_at[child]:
            del self._restart_at[child]
            child.kill()  # ends what is left of its group
            child.start()

    def _sleep(self, seconds: float) -> None:
        select.select([self._wake_out], [], [], seconds)
        with suppress(BlockingIOError):
            self._wake_out.recv(1024)

    def _take_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append((time.monotonic(), number))

    def _is_impatient(self) -> bool:
        """Whether Ctrl-C came twice. Two at the same moment are one: make and we both get it."""
        interrupts = [at for at, number in self._signals if number == signal.SIGINT]
        return len(interrupts) > 1 and interrupts[-1] - interrupts[0] > 1
