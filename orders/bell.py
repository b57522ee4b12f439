"""Rings the bell: tells the workers that there is work, not which.

Best effort and bounded in time. A bell that is lost costs a second: the scheduler rings for every
order that is due.
"""

import asyncio
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor

import redis
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.celery import app

logger = logging.getLogger(__name__)

ROUTE_AND_EXECUTE = "orders.tasks.route_and_execute_orders"
SETTLE_SUBMITTED = "orders.tasks.settle_submitted_orders"
EXECUTE_ONE = "orders.tasks.route_and_execute_order"
QUEUE = "celery"  # Celery's default queue, a Redis list of this name
GUARD = "engine:bell"
GUARD_SECONDS = 1
SILENT_SECONDS = 2.0  # after Redis failed us

# One bell in the air is enough: it is rung only while the last one has been heard (the task
# deletes the guard before it claims) and no other waits in the queue.
TAKE_GUARD = """
if redis.call('LLEN', KEYS[2]) > 0 then return 0 end
return redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) and 1 or 0
"""

_client = redis.Redis.from_url(
    settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry_on_timeout=False
)
_ringer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bell")
_under_way: "Future[bool] | None" = None
_silent_until = 0.0


def ring(task: str = ROUTE_AND_EXECUTE) -> bool:
    """Wake a worker; return whether a bell was sent. Never raises for a Redis that is away."""
    global _silent_until
    if time.monotonic() < _silent_until:
        return False
    try:
        if not _client.eval(TAKE_GUARD, 2, guard_of(task), QUEUE, str(GUARD_SECONDS)):
            return False
        app.send_task(task, retry=False)
    except (RedisError, OperationalError, OSError) as error:
        _silent_until = time.monotonic() + SILENT_SECONDS
        logger.warning("The bell was not rung, the scheduler will: %s", error)
        return False
    return True


def ring_soon() -> None:
    """Ring from the event loop without waiting for it. A ring not yet begun serves all."""
    global _under_way
    if _under_way is None or _under_way.running() or _under_way.done():
        _under_way = _ringer.submit(ring)


def ring_for(order_id: str, *, alone: bool = False) -> bool:
    """Ask for one named order to be carried, alone if it is suspected of killing its workers."""
    try:
        app.send_task(EXECUTE_ONE, kwargs={"order_id": order_id, "alone": alone}, retry=False)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning("The bell for order %s was not rung: %s", order_id, error)
        return False
    return True


def is_quiet() -> bool:
    """Whether no bell waits to be heard; False if Redis does not tell."""
    try:
        return not _client.llen(QUEUE)
    except RedisError:
        return False


def heard(task: str = ROUTE_AND_EXECUTE) -> None:
    """Let the next bell ring. Called before the claim, so that no wake-up is lost."""
    try:
        _client.delete(guard_of(task))
    except RedisError as error:
        logger.warning("The bell's guard was not taken away, it ends by itself: %s", error)


def guard_of(task: str) -> str:
    return f"{GUARD}:{task.rpartition('.')[2]}"


async def rung() -> None:
    """Wait until a ring under way has ended (when a process stops)."""
    if _under_way is not None:
        await asyncio.wait([asyncio.wrap_future(_under_way)])
