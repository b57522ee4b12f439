"""What an answer that takes long learns of its connection, and can do to it.

ASGI tells an application that its client has gone. It does not tell that the server is to stop,
or that the client sends nothing more, and it cannot drop a client that reads nothing. So the scope
has an extension, `engine.line`.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from config.http.refusal import Message

LINE = "engine.line"
SILENT_SECONDS = 10  # for a client's machine to acknowledge what is sent
PROBE_SECONDS = 5  # between questions to a machine that is sent nothing
# By their names: not every system has all of them.
OPTIONS = (
    ("TCP_KEEPIDLE", PROBE_SECONDS),
    ("TCP_KEEPINTVL", PROBE_SECONDS),
    ("TCP_KEEPCNT", SILENT_SECONDS // PROBE_SECONDS),
    ("TCP_USER_TIMEOUT", SILENT_SECONDS * 1000),
)
Call = Callable[[], None]


def ignore() -> None: ...


class Line:
    """A connection, as the answer that is under way on it sees it."""

    __slots__ = ("_at_end_of_input", "_at_stop", "_has_input_ended", "_is_to_stop", "_transport")

    def __init__(self, transport: asyncio.Transport | None = None) -> None:
        self._transport = transport
        self._at_stop = self._at_end_of_input = ignore
        self._is_to_stop = self._has_input_ended = False

    def cut(self) -> None:
        """Drop the connection, with what was not sent."""
        if self._transport is not None:
            self._transport.abort()

    def notice_silence(self) -> None:
        """Have the system end the connection if the client's machine is silent for 10 to 15 s."""
        found = None if self._transport is None else self._transport.get_extra_info("socket")
        if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        with suppress(OSError):  # it has just been lost
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in OPTIONS:
                if (option := getattr(socket, name, None)) is not None:
                    found.setsockopt(socket.IPPROTO_TCP, option, value)

    def stop(self) -> None:
        """Tell that the server is to stop, and waits for the answer."""
        self._is_to_stop = True
        self._at_stop()

    def end_input(self) -> None:
        """Tell that the client sends nothing more. It may have gone, and it may still read."""
        self._has_input_ended = True
        self._at_end_of_input()

    @contextmanager
    def telling(self, *, at_stop: Call, at_end_of_input: Call = ignore) -> Iterator[None]:
        """Have these called when it is so, and at once if it is so already."""
        self._at_stop, self._at_end_of_input = at_stop, at_end_of_input
        if self._is_to_stop:
            at_stop()
        if self._has_input_ended:
            at_end_of_input()
        try:
            yield
        finally:
            self._at_stop = self._at_end_of_input = ignore


def line_of(scope: Message) -> Line:
    """Return the request's line; one that tells nothing where the server has no such extension."""
    line: Line | None = (scope.get("extensions") or {}).get(LINE)
    return Line() if line is None else line
