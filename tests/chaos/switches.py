"""Takes away what keeps a promise, to see that the checks find it missing.

A Django app of the chaos settings alone: when a process starts, it replaces a statement of the
engine. The engine knows nothing of this.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.apps import AppConfig

ALL_STREAMS = "coalesce(orders.seq, 0) <> watched.sent"
HOLDER = "AND orders.lease_token = move.lease_token"
PLACE = "AND orders.seq = move.seq"
HELD = "AND orders.lease_token = held.lease_token"
POISON = 666_000_000  # amount_in, in atoms
FOR_EVER = 1_000_000.0  # seconds
BLOCK_SECONDS = 1.0  # for which a worker's loop stands still at a signal


class Switches(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        for name in filter(None, os.environ.get("SWITCHES", "").split(",")):
            SWITCHES[name]()
        if "worker" in sys.argv:
            signal.signal(signal.SIGUSR2, block_loop)


def block_loop(*_: object) -> None:
    """Have the loop that carries orders stand still, as a call that blocks would."""
    from orders.engine.carrier import carrier

    carrier.loop.call_soon_threadsafe(time.sleep, BLOCK_SECONDS)


def without(text: str, part: str) -> str:
    """:raises ValueError: the part is not there, so that taking it away would change nothing."""
    if part not in text:
        raise ValueError(f"{part!r} is no longer in the statement")
    return text.replace(part, "")


def resync_off() -> None:
    """Sockets live on hints alone."""
    from orders.streams import resync

    resync.BEHIND = resync.BEHIND.replace(ALL_STREAMS, "false")
    if ALL_STREAMS in resync.BEHIND or "false" not in resync.BEHIND:
        raise ValueError("the resync looks different now")


def token_off() -> None:
    """The lease's token is not compared: who lost the lease may move, renew and release."""
    from orders.engine import journal_sql

    journal_sql.ADVANCE = without(journal_sql.ADVANCE, HOLDER)
    journal_sql.RENEW = without(journal_sql.RENEW, HELD)
    journal_sql.RELEASE = without(journal_sql.RELEASE, HELD)


def fencing_off() -> None:
    """Neither token nor seq is compared: whoever has the order's id moves it."""
    from orders.engine import journal_sql

    token_off()
    journal_sql.ADVANCE = without(journal_sql.ADVANCE, PLACE)


def deadline_off() -> None:
    """Whoever asks PostgreSQL waits for its answer, for as long as that takes."""
    from config.runtime import group_commit, postgres, session

    def remaining(seconds: float) -> float:
        return FOR_EVER

    for module in (session, postgres, group_commit):
        replace(module, "remaining", remaining)
    replace(postgres, "LINK_SECONDS", FOR_EVER)
    replace(postgres, "CONNECT_SECONDS", FOR_EVER)


def fitness_off() -> None:
    """A connection is used as the server made it: nothing is asked for, set or read back."""
    from config.runtime import postgres

    replace(postgres, "startup_options", lambda *_: "")
    replace(postgres, "SET", "SELECT %s::text[], %s::text[]")
    replace(postgres, "judge", lambda *_: None)


def outcome_off() -> None:
    """Of an order whose outcome nobody knows it is said that nothing was stored."""
    import psycopg

    from config.runtime.group_commit import OutcomeUnknown
    from orders.engine.journal import Journal

    accept: Any = Journal.accept_or_begin

    @wraps(accept)
    async def accept_or_deny(*arguments: Any, **named: Any) -> Any:
        try:
            return await accept(*arguments, **named)
        except OutcomeUnknown as error:
            raise psycopg.OperationalError(str(error)) from None

    replace(Journal, "accept_or_begin", accept_or_deny)


def look_off() -> None:
    """A worker waits for bells alone, and never looks itself for what is due."""
    from orders.engine.lookout import Lookout

    replace(Lookout, "start", lambda _: None)


def build_at_once_off() -> None:
    """A venue builds a turn of the loop later, so that its orders are told as building."""
    from routing.venues.simulated import SimulatedVenue

    build = SimulatedVenue.build

    async def build_late(self: SimulatedVenue, *asked: Any) -> Any:
        await asyncio.sleep(0)
        return await build(self, *asked)

    replace(SimulatedVenue, "build", build_late)


def replace(place: Any, name: str, value: Any) -> None:
    """:raises AttributeError: the name is not there, so that replacing it would change nothing."""
    getattr(place, name)
    setattr(place, name, value)


def poison() -> None:
    """An order for a certain amount kills whoever carries it."""
    from orders.engine.execution import Execution

    carry = Execution.carry_order

    async def carry_or_die(self: Execution, order: "ClaimedOrder") -> None:  # noqa: F821
        if order.amount_in == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        await carry(self, order)

    Execution.carry_order = carry_or_die


SWITCHES: dict[str, Callable[[], None]] = {
    "resync": resync_off,
    "token": token_off,
    "fencing": fencing_off,
    "poison": poison,
    "deadline": deadline_off,
    "fitness": fitness_off,
    "outcome": outcome_off,
    "look": look_off,
    "build": build_at_once_off,
}
