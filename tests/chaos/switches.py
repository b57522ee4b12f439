"""Takes away what keeps a promise, to see that the checks find it missing.

A Django app of the chaos settings alone: when a process starts, it replaces a statement of the
engine. The engine knows nothing of this.
"""

import os
import signal
from collections.abc import Callable

from django.apps import AppConfig

ALL_STREAMS = "coalesce(orders.seq, 0) <> watched.sent"
HOLDER = "AND orders.lease_token = move.lease_token"
PLACE = "AND orders.seq = move.seq"
HELD = "AND orders.lease_token = held.lease_token"
POISON = 666_000_000  # amount_in, in atoms


class Switches(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        for name in filter(None, os.environ.get("SWITCHES", "").split(",")):
            SWITCHES[name]()


def without(text: str, part: str) -> str:
    """:raises ValueError: the part is not there, so that taking it away would change nothing."""
    if part not in text:
        raise ValueError(f"{part!r} is no longer in the statement")
    return text.replace(part, "")


def resync_off() -> None:
    """Sockets live on hints alone."""
    from orders import streams

    streams.BEHIND = streams.BEHIND.replace(ALL_STREAMS, "false")
    if ALL_STREAMS in streams.BEHIND or "false" not in streams.BEHIND:
        raise ValueError("the resync looks different now")


def token_off() -> None:
    """The lease's token is not compared: who lost the lease may move, renew and release."""
    from orders import journal_sql

    journal_sql.ADVANCE = without(journal_sql.ADVANCE, HOLDER)
    journal_sql.RENEW = without(journal_sql.RENEW, HELD)
    journal_sql.RELEASE = without(journal_sql.RELEASE, HELD)


def fencing_off() -> None:
    """Neither token nor seq is compared: whoever has the order's id moves it."""
    from orders import journal_sql

    token_off()
    journal_sql.ADVANCE = without(journal_sql.ADVANCE, PLACE)


def poison() -> None:
    """An order for a certain amount kills whoever carries it."""
    from orders.execution import Execution

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
}
