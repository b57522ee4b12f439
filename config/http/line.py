"""What an answer that takes long learns of its connection, and can do to it.

ASGI tells an application that its client has gone. It does not tell that the server is to stop,
or that the client sends nothing more, and it cannot drop a client that reads nothing. So the scope
has an extension, `engine.line`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from config.http.refusal import Message

LINE = "engine.line"
Call = Callable[[], None]


def ignore() -> None: ...


class Line:
    """A connection, as the answer that is under way on it sees it."""

    __slots__ = ("_at_end_of_input", "_at_stop", "_has_input_ended", "_is_to_stop", "cut")

    def __init__(self, cut: Call) -> None:
        self.cut = cut
        """Drops the connection, with what was not sent."""
        self._at_stop = self._at_end_of_input = ignore
        self._is_to_stop = self._has_input_ended = False

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
    return Line(ignore) if line is None else line
