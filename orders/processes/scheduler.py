"""What the scheduler does each second. Every part may run twice, or in two processes at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import cast
from uuid import UUID

import orjson
import redis
from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from config.runtime.redis_client import redis_client
from config.runtime.session import is_connection_lost
from orders.access import tickets
from orders.engine import bell
from orders.engine import journal_sql as sql
from orders.engine.hints import ACTIVE_ORDERS, REDIS_SECONDS
from orders.engine.triggers.price_history import keep_minutes, prune_prices
from orders.lifecycle import FINAL
from orders.models import Order, OrderEvent
from orders.monitoring import health
from orders.monitoring.minutes import keep_minute
from orders.quality.measuring import measure_ended
from orders.representation import event_of

logger = logging.getLogger(__name__)

MAX_SNAPSHOTS = 10_000
MAX_BROUGHT_BACK = 10_000

# Stores a snapshot unless the hash has a newer one. It always replaces the snapshot that was found
# before the log was read (ARGV[4]), even one with a higher seq: after a restore from a backup, the
# log may be shorter.
RESTORE = """
local old = redis.call('HGET', KEYS[1], ARGV[1])
local seq = old and tonumber(string.match(old, '"seq":(%d+)'))
if not old or not seq or seq < tonumber(ARGV[2]) or seq == tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
"""


class Job:
    """A job that runs every so many ticks, even if other jobs fail."""

    def __init__(self, name: str, every: int, run: Callable[[], None], *, is_slow: bool) -> None:
        """`is_slow`: it runs in a thread of its own, so that the next tick need not wait."""
        self._name = name
        self._every = every
        self._run = run
        self._thread: threading.Thread | None = None
        self._is_slow = is_slow
        self._failing_since: float | None = None

    def do(self, tick: int) -> None:
        """Do the job if it is its turn and its last run has ended."""
        if tick % self._every:
            return
        if not self._is_slow:
            self._try()
        elif self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._apart, name=self._name, daemon=True)
            self._thread.start()
        else:
            logger.warning("%s still runs; its turn is passed over", self._name)

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _apart(self) -> None:
        try:
            self._try()
        finally:
            connection.close()

    def _try(self) -> None:
        try:
            self._run()
        except Exception as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            logger.warning(
                "%s failed, and has for %.0f s; it is tried again: %s",
                *(self._name, now - self._failing_since, error),
                exc_info=None if is_connection_lost(error) else error,
            )
            connection.close()
        else:
            self._failing_since = None


def tick(number: int) -> None:
    for job in JOBS:
        job.do(number)


def bring_back() -> None:
    """Correct the orders that wait for a time which was set before the clock was set back."""
    longest = settings.RETRY_BACKOFF * 2**settings.ORDER_ATTEMPTS
    limits = {
        "lease": settings.LEASE_SECONDS,
        "delay": max(sql.GIVEN_UP_SECONDS, longest) + 1,
        "most": MAX_BROUGHT_BACK,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql.BRING_BACK, limits)
        if cursor.rowcount:
            logger.warning(
                "%d orders were due or leased further ahead than may be: the database's clock was"
                " set back; they go on now",
                cursor.rowcount,
            )


def ring_for_due() -> None:
    """Ring for orders that were never rung for, have an expired lease, or have a retry due."""
    with connection.cursor() as cursor:
        cursor.execute(sql.DUE_KINDS)
        unsubmitted, submitted, suspect = cursor.fetchone()
    if unsubmitted:
        bell.ring(bell.ROUTE_AND_EXECUTE)
    if submitted:
        bell.ring(bell.SETTLE_SUBMITTED)
    if suspect and bell.is_quiet():
        bell.ring_for(str(suspect), alone=True)


def rebuild_active_orders() -> None:
    """Correct the Redis hash of active orders after a flush or lost hints."""
    client = redis_client(settings.REDIS_URL, REDIS_SECONDS, decode_responses=True)
    try:
        snapshots = cast(dict[str, str], client.hgetall(ACTIVE_ORDERS))
        known = {
            order_id: seq for order_id, text in snapshots.items() if (seq := seq_of(order_id, text))
        }
        _forget_ended(client, known)
        _restore_outdated(client, known)
    except RedisError as error:
        logger.warning("active orders were not rebuilt: %s", error)
    finally:
        client.close()


def seq_of(order_id: str, text: str) -> int | None:
    """Return the seq of a snapshot; None for a foreign entry, which stays as it is."""
    try:
        UUID(order_id)
        seq = orjson.loads(text)["seq"]
    except (ValueError, TypeError, KeyError):
        return None
    return seq if isinstance(seq, int) else None


def prune() -> None:
    """Delete rows that no rule needs any more."""
    rate = settings.ORDER_RATE_LIMIT
    with connection.cursor() as cursor:
        cursor.execute(sql.PRUNE_STARTS, {"window": 2 * rate.seconds if rate else 0})
        cursor.execute(health.FORGET)
        cursor.execute(tickets.PRUNE)


def _forget_ended(client: redis.Redis, known: dict[str, int]) -> None:
    """Delete the snapshots of orders that ended, that rest, or that a restored database lacks."""
    there = Order.objects.filter(pk__in=known, resting=False).exclude(status__in=FINAL)
    gone = known.keys() - {str(pk) for pk in there.values_list("pk", flat=True)}
    if gone:
        client.hdel(ACTIVE_ORDERS, *gone)


def _restore_outdated(client: redis.Redis, known: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.OPEN, {"most": MAX_SNAPSHOTS})
        wanted = {pk: seq for pk, seq in cursor.fetchall() if known.get(str(pk), 0) != seq}
    restore = client.register_script(RESTORE)
    for row in OrderEvent.objects.filter(order_id__in=wanted):
        if row.seq == wanted[row.order_id]:
            text = event_of(row).as_text()
            known_seq = known.get(str(row.order_id), 0)
            restore(keys=[ACTIVE_ORDERS], args=[str(row.order_id), row.seq, text, known_seq])


JOBS = (
    Job("pruning", 60, prune, is_slow=True),
    Job("bringing orders back to the present", 1, bring_back, is_slow=False),
    Job("ringing for due orders", 1, ring_for_due, is_slow=False),
    Job("keeping the minutes of prices", 10, keep_minutes, is_slow=True),
    Job("keeping the minutes of the engine", 5, keep_minute, is_slow=True),
    Job("pruning old prices", 60, prune_prices, is_slow=True),
    Job("measuring orders that ended", 2, measure_ended, is_slow=True),
    Job("rebuilding the active orders", 10, rebuild_active_orders, is_slow=True),
)
