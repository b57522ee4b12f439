"""The trace that an attack leaves: one log line and one count for each event, under fixed names.

The logger is `engine.security`; its lines are written whatever LOG_LEVEL says. Each line has the
address. If they are known, it also has the account's number and the first characters of the key.
The request's id is added to every line of a request. No line ever has a secret.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict, Unpack

from config.http.address import normalize
from config.runtime.counters import counts

logger = logging.getLogger("engine.security")

UNKNOWN = "unknown"
LONGEST = 150  # characters of what a stranger wrote
GOOD, BAD = logging.INFO, logging.WARNING

EVENTS = {
    "login": GOOD,
    "login_failed": BAD,
    "login_locked": BAD,
    "logout": GOOD,
    "session_ended": GOOD,
    "password_changed": GOOD,
    "second_factor_passed": GOOD,
    "second_factor_failed": BAD,
    "second_factor_enrolled": GOOD,
    "second_factor_reset": BAD,
    "key_refused": BAD,
    "key_made": GOOD,
    "key_used_from_new_address": BAD,
    "key_expires_soon": BAD,
    "key_rotated": GOOD,
    "key_revoked": GOOD,
    "limit_hit": BAD,
    "account_changed": GOOD,
}
"""The events, and the level of each. The name of an event never changes."""


SELDOM = frozenset(("limit_hit",))
"""Counted each time, but written once a second per sender at most: honest clients meet one."""
SELDOM_SECONDS = 1.0
MAX_WRITTEN = 10_000
_written: dict[tuple[Any, ...], float] = {}


class Facts(TypedDict, total=False):
    """The other fields that a line may have. `config/runtime/logs.py` writes no others."""

    user_name: str
    """What somebody gave as a name, whether or not there is such an account."""
    by: str
    """Who did it, if that is not the account: `command`, or the number of an operator."""
    reason: str
    limit: str
    changed: str
    days: int


class HasMeta(Protocol):
    """A request of Django or of DRF."""

    @property
    def META(self) -> Mapping[str, Any]: ...  # noqa: N802  # Django's name


def tell(
    event: str,
    source: HasMeta | Mapping[str, Any] | None = None,
    *,
    account: int | None = None,
    key_prefix: str | None = None,
    **facts: Unpack[Facts],
) -> None:
    """Write and count one of EVENTS; `source` is the request or the ASGI scope that it came with.

    :raises KeyError: there is no such event.
    """
    level = EVENTS[event]
    counts[f"security_events:{event}"] += 1
    address = address_of(source)
    if event in SELDOM and not is_due((event, account or address, facts.get("limit"))):
        return
    members: dict[str, Any] = {"account": account, "key_prefix": key_prefix, **facts}
    fields = {name: printable(value) for name, value in members.items() if value is not None}
    logger.log(level, event, extra={"address": address, **fields})


def is_due(line: tuple[Any, ...]) -> bool:
    """Whether such a line was not written a moment ago."""
    now = time.monotonic()
    if _written.get(line, 0.0) > now:
        return False
    if len(_written) >= MAX_WRITTEN:
        _written.clear()
    _written[line] = now + SELDOM_SECONDS
    return True


def address_of(source: HasMeta | Mapping[str, Any] | None) -> str:
    """Return the address that a request or a socket came from; an IPv4 one in IPv6 as IPv4."""
    if source is None:
        return UNKNOWN
    if isinstance(source, Mapping):
        address = (source.get("client") or ("",))[0]
    else:
        address = source.META.get("REMOTE_ADDR", "")
    return normalize(address) or UNKNOWN


def printable(value: int | str) -> int | str:
    """Return a text in printable characters, and cut: it may be a stranger's."""
    if not isinstance(value, str):
        return value
    cut = value[:LONGEST]
    return cut if cut.isprintable() else ascii(cut)[1:-1]
