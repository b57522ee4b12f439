"""The engine's status: what waits, what is under way, and what is left of the minute's budget."""

from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from orders.lifecycle import IS_BEGUN, IS_WAITING, Status
from orders.monitoring import health

ENGINE_STATUS = f"""
SELECT
  (SELECT count(*) FROM orders WHERE {IS_WAITING}),
  (SELECT count(*) FROM orders WHERE {IS_BEGUN}),
  (SELECT min(created_at) FROM orders WHERE {IS_WAITING}),
  (SELECT coalesce(sum(orders), 0) FROM order_starts
   WHERE at > statement_timestamp() - %(window)s * interval '1 second'),
  statement_timestamp()
"""  # noqa: S608  # our own words
LAST_HOUR = """
SELECT status, count(*) FROM orders
WHERE created_at > statement_timestamp() - interval '1 hour' GROUP BY status
"""


class EngineStatus(NamedTuple):
    health: dict[str, Any]
    waiting: int
    """Orders that no worker has begun."""
    in_flight: int
    """Orders that were begun and have not ended."""
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
            "budget": self.budget,
            "oldestWaitingSeconds": self.oldest_waiting,
            "lastHour": self.last_hour,
        }


def read_engine_status() -> EngineStatus:
    """Ask the database and Redis.

    :raises django.db.OperationalError: the database does not answer.
    """
    rate = settings.ORDER_RATE_LIMIT
    with connection.cursor() as cursor:
        cursor.execute(ENGINE_STATUS, {"window": rate.seconds if rate else 0})
        waiting, in_flight, oldest, started, now = cursor.fetchone()
        cursor.execute(LAST_HOUR)
        counted = dict(cursor.fetchall())
    return EngineStatus(
        health=health.check_now(),
        waiting=waiting,
        in_flight=in_flight,
        budget=max(rate.count - started, 0) if rate else None,
        oldest_waiting=age(oldest, now),
        last_hour={status.value: counted.get(status.value, 0) for status in Status},
    )


def age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round((now - at).total_seconds(), 3)
