"""The backend that Django's settings name."""

from types import TracebackType
from typing import Any

import psycopg
from django.db import OperationalError
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import IsolationLevel
from psycopg_pool import PoolTimeout

from config.database.connection import BoundedConnection
from config.runtime.session import answered_within, is_connection_lost, remaining

POOL_SECONDS = 2.0
CHECK_SECONDS = 0.5


class LostConnections(DatabaseErrorWrapper):
    """Translates errors as Django does, and throws away a connection that an error shows lost."""

    def __init__(self, owner: "DatabaseWrapper") -> None:
        super().__init__(owner)
        self._owner = owner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, psycopg.Error) and is_connection_lost(error):
            self._owner.throw_away()
            raise OperationalError(*error.args).with_traceback(traceback) from error
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    @cached_property
    def wrap_database_errors(self) -> LostConnections:
        return LostConnections(self)

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        self.isolation_level = IsolationLevel.READ_COMMITTED
        if self.pool is None:
            return BoundedConnection.connect(**conn_params)
        self.pool.open()
        return self._pooled()

    def throw_away(self) -> None:
        """Close the connection without asking the server."""
        if self.connection is None:
            return
        self.connection.pgconn.finish()
        self.errors_occurred = True
        if not self.in_atomic_block:
            self.close()

    def _pooled(self) -> psycopg.Connection[Any]:
        """Return a working connection of the pool; if one is dead, no other one is trusted."""
        while True:
            try:
                connection: BoundedConnection = self.pool.getconn(remaining(POOL_SECONDS))
            except PoolTimeout as error:
                cause = BoundedConnection.last_error
                raise psycopg.OperationalError(str(cause or error)) from cause or error
            with answered_within(CHECK_SECONDS):
                if connection.answers():
                    return connection
            self.pool.putconn(connection)
            self.pool.drain()
