"""What the engine requires of a session of PostgreSQL, and which errors mean that it is lost.

Roles, databases, the environment and poolers may change any setting of a session. So each new
connection asks for the settings that the engine needs, sets them once more, and reads them back. A
connection with other settings is thrown away, as if the server had not answered. The next
connection may lead to another server.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SESSION = {
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    "search_path": '"$user", public',
    "statement_timeout": "3000",
    "lock_timeout": "500",
    "idle_in_transaction_session_timeout": "5000",
    "idle_session_timeout": "0",
    "transaction_timeout": "8000",  # from PostgreSQL 17 on
    "jit": "off",
    "transform_null_equals": "off",
}
"""What every session is set to, by PostgreSQL's names; times in milliseconds.

`transaction_timeout` ends a transaction wherever it stands: a process that freezes in the middle
of a pipeline is not idle to PostgreSQL, and no other limit takes its locks away.
"""
PLANS = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""For statements that find a batch's rows by primary key. Without statistics the planner would
read the whole table. It would also plan each batch anew, with the same result."""
SYNC_LIMITS = {"statement_timeout": "2500", "lock_timeout": "1500", "enable_seqscan": "off"}
"""Further settings for sessions of sync code, where one person waits and no queue does.

Every list, count and job has its index. Without statistics the planner might read the table.
"""
DURABLE = ("on", "remote_apply")
"""Settings of `synchronous_commit` under which an answered commit is on disk."""

CONNECT_SECONDS = 2
NETWORK = {
    "connect_timeout": str(CONNECT_SECONDS),
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""libpq's parameters, unless DATABASE_URL has its own."""

DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)
"""When the request under way has to be answered, by `time.monotonic`; None: it has no end."""

LONGEST_WAIT: ContextVar[float] = ContextVar("longest wait", default=3.0)
"""Seconds after which sync code gives up a connection that does not answer."""

# PostgreSQL's errors that mean "not this server now": classes, and single codes. 25006: it is
# read-only. 25P0x: the transaction was ended or is broken. 26000, 42P05: a pooler lent us another
# session. 42501: this session's role lacks our rights; the next session's may have them.
LOST_CLASSES = ("08", "53", "57P", "58", "25P")
LOST_STATES = ("25006", "26000", "42P05", "42501")
# After these it is not known whether the statement was committed.
DOUBTFUL_CLASSES = ("08", "57P", "25P", "40003")

SET = """
SELECT count(set_config(wanted.name, wanted.value, false)),
  set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)
FROM unnest(%s::text[], %s::text[]) AS wanted(name, value)
WHERE current_setting(wanted.name, true) IS NOT NULL
"""
READ_BACK = """
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
  current_setting('session_replication_role'), current_setting('synchronous_commit'),
  current_setting('client_encoding'),
  (SELECT json_object_agg(lower(name), setting) FROM pg_settings
   WHERE lower(name) = ANY(%s))::text
"""


class NotFit(psycopg.OperationalError):
    """The server answered but cannot serve the engine now. Another server or a later try may."""


class ReadOnly(NotFit):
    """The server takes no writes: it is a standby, or was made read-only."""


def parameters_of(url: str) -> dict[str, str]:
    """Return all of libpq's parameters for a connection URL, with ours where it has none.

    :raises ValueError: it is no connection URL. The message does not repeat it.
    """
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        raise ValueError("not a connection URL such as postgresql://user@host/name") from None
    return NETWORK | parameters | {"client_encoding": "UTF8"}


def conninfo_of(url: str, **changed: str) -> str:
    """Return a connection URL in libpq's form, with all that the engine adds to it."""
    return make_conninfo(**(parameters_of(url) | changed))


def needed_settings(conninfo: str, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of a session. `options` of DATABASE_URL may choose only the schema."""
    options = str(conninfo_to_dict(conninfo).get("options") or "")
    given = {"search_path"} if "search_path" in options else set()
    return {name: value for name, value in {**SESSION, **extra}.items() if name not in given}


def startup_options(conninfo: str, needed: Mapping[str, str]) -> str:
    """Return libpq's `options`: those of DATABASE_URL and ours. Ours win over a role's settings.

    Not every server knows `transaction_timeout`, so it is set after the start. The limits for idle
    sessions cannot wait until then: a role's limit of a few milliseconds would end each session
    at its start.
    """
    given = str(conninfo_to_dict(conninfo).get("options") or "")
    ours = [
        f"-c {name}={value.replace(' ', chr(92) + ' ')}"
        for name, value in needed.items()
        if name != "transaction_timeout"
    ]
    return " ".join([given, *ours]).strip()


def takes_no_options(error: psycopg.Error) -> bool:
    """Whether a pooler refused startup options. Then the settings are only set afterwards."""
    return "unsupported startup parameter" in str(error)


def set_parameters(needed: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the parameters of `SET`."""
    return list(needed), list(needed.values())


def judge(row: Sequence[Any] | None, needed: Mapping[str, str]) -> None:
    """Refuse a session that the engine cannot use. `row` is what `READ_BACK` returned.

    :raises NotFit: the session cannot be used; the message says why.
    """
    if row is None:
        raise NotFit("the server does not tell how the session is set")
    in_recovery, read_only, role, durable, encoding, settings = row
    if in_recovery:
        raise ReadOnly("the server is a standby: it takes no orders")
    if read_only:
        raise ReadOnly("the server is read-only: it takes no orders")
    if role != "origin":
        raise NotFit(f"session_replication_role is {role}: the rules of the tables would not hold")
    if durable not in DURABLE:
        raise NotFit(f"synchronous_commit is {durable}: what is answered could be lost")
    if encoding != "UTF8":
        raise NotFit(f"client_encoding is {encoding} instead of UTF8")
    actual: dict[str, str] = orjson.loads(settings)
    for name, value in needed.items():
        if name in actual and actual[name] != value:
            raise NotFit(
                f"{name} is {actual[name]!r} instead of {value!r}; does a pooler share sessions?"
            )


def is_connection_lost(error: BaseException) -> bool:
    """Whether an error means that this server, or this session, cannot be used now.

    Django's errors are judged by their cause. Such a connection is thrown away.
    """
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if not isinstance(cause, psycopg.Error):
        return False
    state = cause.sqlstate
    if state is None:
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(LOST_CLASSES) or state in LOST_STATES or is_stale_plan(cause)


def is_stale_plan(error: psycopg.Error) -> bool:
    """Whether a prepared statement is older than the schema. A new session has no such plan."""
    return isinstance(error, errors.FeatureNotSupported) and "cached plan" in str(error)


def as_lost(error: psycopg.Error) -> psycopg.OperationalError:
    """Return the error as the class that callers know for a server that is away."""
    return error if isinstance(error, psycopg.OperationalError) else Lost(str(error), error)


class Lost(psycopg.OperationalError):
    """An error of another psycopg class that also means "not this server now"."""

    def __init__(self, text: str, error: psycopg.Error) -> None:
        super().__init__(text)
        self.sqlstate = error.sqlstate


def leaves_doubt(error: BaseException) -> bool:
    """Whether a statement that ended with this error may have been committed."""
    if not isinstance(error, psycopg.Error):
        return True
    state = error.sqlstate
    return state is None or state.startswith(DOUBTFUL_CLASSES)


def answered_within(seconds: float) -> AbstractContextManager[None]:
    """Limit all waits for PostgreSQL inside this context to so many seconds in total."""
    return _Deadline(seconds)


class _Deadline(AbstractContextManager[None]):
    """Ends the waits. It is a class: a generator would cost each request three times as much."""

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token = DEADLINE.set(time.monotonic() + remaining(self._seconds))

    def __exit__(self, *_: object) -> None:
        DEADLINE.reset(self._token)


@contextmanager
def without_end() -> Iterator[None]:
    """Wait for PostgreSQL without a limit: a migration may rewrite a large table."""
    token = LONGEST_WAIT.set(float("inf"))
    try:
        yield
    finally:
        LONGEST_WAIT.reset(token)


def remaining(seconds: float) -> float:
    """Return `seconds`, or what the request's deadline leaves of them if that is less."""
    deadline = DEADLINE.get()
    return seconds if deadline is None else max(0.0, min(seconds, deadline - time.monotonic()))
