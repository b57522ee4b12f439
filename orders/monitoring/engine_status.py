"""The engine's status: what waits, what is under way, and what is left of the minute's budget.

Every count stops at `MOST_COUNTED`, however many orders there are.
"""

from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from orders.engine.journal_sql import IN_LINE
from orders.lifecycle import IS_BEGUN, IS_WAITING, Status
from orders.monitoring import health

MOST_COUNTED = 50_000  # orders of each count, as /metrics counts
MOST_RESTING = 10_000
ENGINE_STATUS = f"""
WITH waiting AS (
  SELECT count(*) AS orders, min(created_at) AS oldest FROM (
    SELECT created_at FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE} LIMIT %(most)s
  ) AS first
)
SELECT waiting.orders,
  (SELECT count(*) FROM (
    SELECT FROM orders WHERE {IS_BEGUN} ORDER BY next_check, id LIMIT %(most)s) AS begun),
  (SELECT count(*) FROM (SELECT FROM orders WHERE resting LIMIT %(resting)s) AS resting),
  waiting.oldest,
  (SELECT coalesce(sum(orders), 0) FROM order_starts
   WHERE at > statement_timestamp() - %(window)s * interval '1 second'),
  statement_timestamp()
FROM waiting
"""  # noqa: S608  # our own words
LAST_HOUR = """
SELECT status, count(*) FROM (
  SELECT status FROM orders WHERE created_at > statement_timestamp() - interval '1 hour'
  ORDER BY created_at DESC, id DESC LIMIT %(most)s
) AS recent GROUP BY status
"""


class EngineStatus(NamedTuple):
    health: dict[str, Any]
    waiting: int
    """Orders that no worker has begun."""
    in_flight: int
    """Orders that were begun, have not ended and do not rest."""
    resting: int
    """Orders that wait for a price or a time, counted up to `MOST_RESTING`."""
    budget: int | None
    """Orders that may still start in this window; None: unlimited."""
    oldest_waiting: float | None
    """Seconds since the oldest of the waiting orders was accepted."""
    last_hour: dict[str, int]
    """Orders accepted in the last hour, by the status they have now."""

    def as_json(self) -> dict[str, Any]:
        return {
            **self.health,
            "waiting": self.waiting,
            "inFlight": self.in_flight,
            "resting": self.resting,
            "budget": self.budget,
            "oldestWaitingSeconds": self.oldest_waiting,
            "lastHour": self.last_hour,
        }


def read_engine_status(most: int | None = None, *, with_last_hour: bool = True) -> EngineStatus:
    """Ask the database and Redis. At most `most` orders are counted, or else `MOST_COUNTED`.

    :raises django.db.OperationalError: the database does not answer.
    """
    rate, most = settings.ORDER_RATE_LIMIT, most or MOST_COUNTED
    with connection.cursor() as cursor:
        window = rate.seconds if rate else 0
        bounds = {"most": most, "resting": MOST_RESTING}
        cursor.execute(ENGINE_STATUS, {"window": window, **bounds})
        waiting, in_flight, resting, oldest, started, now = cursor.fetchone()
        if with_last_hour:
            cursor.execute(LAST_HOUR, {"most": most})
        counted = dict(cursor.fetchall()) if with_last_hour else {}
    return EngineStatus(
        health=health.check_now(),
        waiting=waiting,
        in_flight=in_flight,
        resting=resting,
        budget=max(rate.count - started, 0) if rate else None,
        oldest_waiting=age(oldest, now),
        last_hour={status.value: counted.get(status.value, 0) for status in Status},
    )


def age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 3)
