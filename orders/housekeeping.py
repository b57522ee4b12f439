"""What the scheduler does each second. Every part may run twice, or in two processes at once."""

import logging
from typing import cast

import orjson
import redis
from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from orders import bell, health, tickets
from orders import journal_sql as sql
from orders.hints import ACTIVE_ORDERS, REDIS_TIMEOUT
from orders.lifecycle import FINAL
from orders.models import Order, OrderEvent
from orders.representation import event_of

logger = logging.getLogger(__name__)

REBUILD_EVERY = 10  # ticks
PRUNE_EVERY = 60
MAX_SNAPSHOTS = 10_000
MAX_BROUGHT_BACK = 10_000

# Put the snapshot there unless a newer one is. The one that was found there before the log was read
# (ARGV[4]) is not newer, whatever it says: a database restored from a backup has a shorter log.
RESTORE = """
local old = redis.call('HGET', KEYS[1], ARGV[1])
local seq = old and tonumber(string.match(old, '"seq":(%d+)'))
if not old or seq < tonumber(ARGV[2]) or seq == tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
"""


def tick(number: int) -> None:
    bring_back()
    ring_for_due()
    if number % REBUILD_EVERY == 0:
        rebuild_active_orders()
    if number % PRUNE_EVERY == 0:
        prune()


def bring_back() -> None:
    """Have no order wait for a time that only a clock since set back could have set."""
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
    """Ring for orders never rung for, whose lease has expired, or whose retry is due."""
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
    """Make the Redis hash of active orders true again, after a flush or lost hints."""
    client = redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        decode_responses=True,
    )
    try:
        snapshots = cast(dict[str, str], client.hgetall(ACTIVE_ORDERS))
        known = {order_id: orjson.loads(text)["seq"] for order_id, text in snapshots.items()}
        _forget_ended(client, known)
        _restore_outdated(client, known)
    except RedisError as error:
        logger.warning("active orders were not rebuilt: %s", error)
    finally:
        client.close()


def prune() -> None:
    """Drop rows that no rule looks at any more."""
    rate = settings.ORDER_RATE_LIMIT
    with connection.cursor() as cursor:
        cursor.execute(sql.PRUNE_STARTS, {"window": 2 * rate.seconds if rate else 0})
        cursor.execute(health.FORGET)
        cursor.execute(tickets.PRUNE)


def _forget_ended(client: redis.Redis, known: dict[str, int]) -> None:
    """Forget the orders that have ended, or are in the database no more: it was restored."""
    there = Order.objects.filter(pk__in=known).exclude(status__in=FINAL)
    gone = known.keys() - {str(pk) for pk in there.values_list("pk", flat=True)}
    if gone:
        client.hdel(ACTIVE_ORDERS, *gone)


def _restore_outdated(client: redis.Redis, known: dict[str, int]) -> None:
    open_orders = Order.objects.filter(finished_at=None).order_by("next_check")
    wanted = {
        pk: seq
        for pk, seq in open_orders.values_list("pk", "seq")[:MAX_SNAPSHOTS]
        if known.get(str(pk), 0) != seq
    }
    restore = client.register_script(RESTORE)
    for row in OrderEvent.objects.filter(order_id__in=wanted):
        if row.seq == wanted[row.order_id]:
            text = event_of(row).as_text()
            found = known.get(str(row.order_id), 0)
            restore(keys=[ACTIVE_ORDERS], args=[str(row.order_id), row.seq, text, found])
