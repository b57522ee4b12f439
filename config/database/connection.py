"""A connection for sync code. Each of its waits has an end, and its session is checked."""

from typing import Any, ClassVar, Self

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from config.runtime.session import (
    LONGEST_WAIT,
    READ_BACK,
    SET,
    SYNC_LIMITS,
    as_lost,
    judge,
    needed_settings,
    remaining,
    set_parameters,
    startup_options,
    takes_no_options,
)


class BoundedConnection(psycopg.Connection[TupleRow]):
    last_error: ClassVar[psycopg.Error | None] = None
    """Why the last connection could not be made; None if it was made. A pool does not say why."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Open a connection whose session is as the engine needs it.

        :raises psycopg.OperationalError: there is no server, or it is not fit (`NotFit`).
        """
        options = kwargs.pop("options", "")
        address = make_conninfo(conninfo, options=options) if options else conninfo
        needed = needed_settings(address, SYNC_LIMITS)
        try:
            connection = cls._open(address, startup_options(address, needed), kwargs)
            connection._make_fit(needed)
        except psycopg.Error as error:
            BoundedConnection.last_error = error
            raise
        BoundedConnection.last_error = None
        return connection

    @classmethod
    def _open(cls, address: str, options: str, kwargs: dict[str, Any]) -> Self:
        try:
            return super().connect(make_conninfo(address, options=options), **kwargs)
        except psycopg.OperationalError as error:
            if not takes_no_options(error):
                raise
        return super().connect(make_conninfo(address, options=""), **kwargs)

    def _make_fit(self, needed: dict[str, str]) -> None:
        wants_autocommit, self.autocommit = self.autocommit, True
        try:
            cursor = psycopg.Cursor(self)  # its rows are plain tuples, whatever Django prefers
            cursor.execute(SET, set_parameters(needed))
            judge(cursor.execute(READ_BACK, [list(needed)]).fetchone(), needed)
        except psycopg.Error as error:
            self.pgconn.finish()
            raise as_lost(error) from error
        self.autocommit = wants_autocommit

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """:raises psycopg.OperationalError: no answer in time; the connection is closed."""
        limit = remaining(LONGEST_WAIT.get() if timeout is None else timeout)
        try:
            return super().wait(gen, interval=interval, timeout=limit)
        except errors._WaitTimeout as error:
            self.pgconn.finish()  # a clean close would wait for the server again
            raise psycopg.OperationalError("no answer from PostgreSQL in time") from error

    def answers(self) -> bool:
        """Whether the server still answers on this connection."""
        try:
            self.execute("")
        except psycopg.Error:
            return False
        return True
