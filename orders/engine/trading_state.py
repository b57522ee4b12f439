"""Whether the engine trades. Each change is a row, and the newest row holds.

While it is halted, nothing new is taken, nothing triggers and nothing is claimed. Cancelling works,
and what was submitted is settled. The statements that take, claim and release orders read the state
themselves, so it holds in all processes at once.
"""

import logging
import time

from django.db import connection, transaction

from orders.models import TradingState

logger = logging.getLogger(__name__)

EARLIER_SECONDS = 2.0  # for the statements that began under the state before
LOOK_PAUSE = 0.01

# Whoever reads the state holds a lock on its table, from before its snapshot to its commit.
READERS = """
SELECT array_agg(virtualtransaction) FROM pg_locks
WHERE locktype = 'relation' AND relation = 'trading_states'::regclass
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND pid <> pg_backend_pid() AND (%(of)s::text[] IS NULL OR virtualtransaction = ANY(%(of)s))
"""


def trading_state() -> TradingState | None:
    """Return the row that holds; None if the state was never changed: the engine trades."""
    return TradingState.objects.order_by("-id").first()


def change_trading_state(state: TradingState.State, changed_by: str, why: str = "") -> TradingState:
    """Change the state for all processes, and return its row.

    When this returns, no statement is under way that began under the state before. So after a halt
    nothing starts any more. A transaction that stays open, such as a backup, is waited for only
    `EARLIER_SECONDS`. Repeating it is harmless: the same state holds, and is told once more.
    """
    with transaction.atomic(durable=True):
        row = TradingState.objects.create(state=state, changed_by=changed_by, why=why)
    logger.warning("the engine is %s, by %s: %s", state.value, changed_by, why or "no reason given")
    _wait_for_earlier_statements()
    return row


def _wait_for_earlier_statements() -> None:
    ends_at = time.monotonic() + EARLIER_SECONDS
    earlier = _readers(None)
    while earlier:
        if time.monotonic() > ends_at:
            logger.warning("%d transactions began before the change and go on", len(earlier))
            return
        time.sleep(LOOK_PAUSE)
        earlier = _readers(earlier)


def _readers(of: list[str] | None) -> list[str]:
    """Return the transactions that have read the state; `of`: those of them that still run."""
    with connection.cursor() as cursor:
        cursor.execute(READERS, {"of": of})
        (found,) = cursor.fetchone()
    return found or []
