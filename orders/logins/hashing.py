"""Hashes passwords one at a time for strangers, and one at a time for everybody else.

A hash takes half a second of a core, and anybody may ask for one. So at most two run at once in a
process, wherever they are asked for. Strangers wait only for strangers, and known persons only for
known persons. A long wait is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import BoundedSemaphore, Lock

from django.contrib.auth.hashers import PBKDF2PasswordHasher

WAIT_SECONDS = 10.0
MOST_WAITING = 12  # that time is enough for so many
RETRY_SECONDS = 10

IS_STRANGER: ContextVar[bool] = ContextVar("a stranger's password", default=False)


class TooBusy(Exception):
    """Too many passwords wait to be hashed. Try again after RETRY_SECONDS."""


class Turns:
    """Lets one through at a time."""

    def __init__(self) -> None:
        self._turn = BoundedSemaphore(1)
        self._lock = Lock()
        self._waiting = 0

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """:raises TooBusy: too many callers wait, or the wait was too long."""
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise TooBusy
            self._waiting += 1
        try:
            has_turn = self._turn.acquire(timeout=WAIT_SECONDS)
        finally:
            with self._lock:
                self._waiting -= 1
        if not has_turn:
            raise TooBusy
        try:
            yield
        finally:
            self._turn.release()


STRANGERS, KNOWN = Turns(), Turns()


class PBKDF2InTurns(PBKDF2PasswordHasher):
    """Django's hasher, with the same hashes. All of its work goes through `encode`."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        """:raises TooBusy: too many wait. Nothing was hashed."""
        with (STRANGERS if IS_STRANGER.get() else KNOWN).one_at_a_time():
            return super().encode(password, salt, iterations)


@contextmanager
def for_stranger(is_stranger: bool) -> Iterator[None]:
    token = IS_STRANGER.set(is_stranger)
    try:
        yield
    finally:
        IS_STRANGER.reset(token)
