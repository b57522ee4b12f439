"""Rings the bell: tells the workers that there is work, not which.

A bell is a Celery task in a Redis list. Ringing is best effort and bounded in time. A lost bell
costs a second, because the scheduler rings for every order that is due, and each worker looks for
due orders by itself.
"""

import asyncio
import json
import logging
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any, cast

import orjson
import redis
import redis.asyncio
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.utils.crypto import salted_hmac
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from config.celery import app
from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from config.runtime.redis_client import async_redis_client, redis_client
from config.runtime.redis_listening import listening_pool
from orders.engine.crash_points import crash_point
from orders.engine.moves import ClaimedOrder

logger = logging.getLogger(__name__)

AWAY = (RedisError, OSError, RuntimeError)  # uvloop raises the last for a connection that is gone
ROUTE_AND_EXECUTE = "orders.tasks.route_and_execute_orders"
SETTLE_SUBMITTED = "orders.tasks.settle_submitted_orders"
EXECUTE_ONE = "orders.tasks.route_and_execute_order"
QUEUE = settings.REDIS_PREFIX + settings.CELERY_TASK_DEFAULT_QUEUE  # a Redis list of this name
GUARD = settings.REDIS_PREFIX + "bell:"
LISTENERS = settings.REDIS_PREFIX + "bell"  # the channel of carriers that linger
OFFERS = GUARD + "offers"  # a sorted set: the carriers with room, by the second of their last offer
OFFER_SECONDS = 0.5  # between two offers of a carrier; the others believe one for a second
GUARD_SECONDS = 1
FULL = 3  # bells that wait: one of each kind; more of them would say nothing new
REDIS_SECONDS = 1.0
CARRIER_SECONDS = 0.25  # a carrier waits no longer for Redis: orders are due
LISTEN_SECONDS = 1.0  # between two looks at whether the connection still lives
REST_SECONDS = 0.05  # in which a message that Redis has sent comes in
SILENT_SECONDS = 2.0  # after Redis failed us
BELIEVED_SECONDS = 5.0  # for which a carrier is tried; Redis knows better whether it hears

# One unheard bell of each kind is enough. The next one rings only when the last one has been
# heard: the worker that hears it deletes the guard before it claims, so no wake-up is lost. It
# also rings only while few bells wait in the queue, as there may be no worker to take them. A bell
# of one kind does not hold back a bell of another kind.
# A carrier that lingers gets the bell from the channel, without Celery. Only subscribers of this
# exact channel are counted as carriers: the result of PUBLISH would also count a stranger that
# listens to all channels. The answer names a carrier that has offered to take orders by itself.
RING = """
if ARGV[4] and redis.call('PUBSUB', 'NUMSUB', ARGV[4])[2] > 0 then
  redis.call('PUBLISH', ARGV[4], '')
  local now = redis.call('TIME')[1]
  for _, carrier in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[3], now, now - 1)) do
    if redis.call('PUBSUB', 'NUMSUB', ARGV[4] .. ':' .. carrier)[2] > 0 then return carrier end
  end
  return 1
end
if redis.call('LLEN', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then return 0 end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""
OFFER = """
local now = redis.call('TIME')[1]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 10)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('EXPIRE', KEYS[1], 10)
"""


def ring(task: str = ROUTE_AND_EXECUTE) -> bool:
    """Wake a worker; return whether a bell was sent. Never raises for a Redis that is away."""
    try:
        ring = client_of_this_process().register_script(RING)
        return bool(ring(keys=[guard_of(task), QUEUE, OFFERS], args=_bell(task)))
    except (RedisError, OSError) as error:
        logger.warning("The bell was not rung, the scheduler will: %s", error)
        return False


def ring_soon() -> None:
    """Ring from an event loop without waiting for it."""
    ringer_of_this_loop().ring_soon()


def ring_for(order_id: str, *, alone: bool = False) -> bool:
    """Ask for one named order to be carried, alone if it is suspected of killing its workers."""
    try:
        app.send_task(EXECUTE_ONE, kwargs={"order_id": order_id, "alone": alone}, retry=False)
    except (RedisError, OperationalError, OSError) as error:
        logger.warning("The bell for order %s was not rung: %s", order_id, error)
        return False
    return True


def is_quiet() -> bool:
    """Whether few bells wait to be heard; False if Redis does not tell."""
    try:
        return cast(int, client_of_this_process().llen(QUEUE)) < FULL
    except RedisError:
        return False


def guard_of(task: str) -> str:
    return GUARD + task.rpartition(".")[2]


def channel_of(carrier: str) -> str:
    """Return the channel of the orders that are handed to this carrier alone."""
    return f"{LISTENERS}:{carrier}"


class Listener:
    """Hears the bell in a carrier's own loop: five times as fast as through Celery."""

    def __init__(
        self,
        on_bell: Callable[[], None],
        on_orders: Callable[[list[ClaimedOrder]], None] = lambda orders: None,
    ) -> None:
        self._on_bell = on_bell
        self._on_orders = on_orders
        self._name = uuid.uuid4().hex
        self._has_room = False
        self._room_changed = asyncio.Event()
        self._is_stopped = False
        self._offering: asyncio.Task[None] | None = None
        self._bells: redis.asyncio.client.PubSub | None = None
        self._redis = redis.asyncio.Redis.from_pool(
            listening_pool(settings.REDIS_URL, connect_seconds=REDIS_SECONDS)
        )
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> bool:
        """Listen from now on. Return True if this is new: work may have been missed before."""
        if self._listening is not None and not self._listening.done():
            return False
        bells = self._redis.pubsub(ignore_subscribe_messages=True)
        try:
            async with asyncio.timeout(CARRIER_SECONDS):
                await bells.subscribe(LISTENERS, channel_of(self._name))
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("Bells are heard through Celery only: %s", error or "no answer")
            await bells.aclose()  # type: ignore[no-untyped-call]  # redis-py's
            return False
        self._bells = bells
        self._is_stopped = False
        self._listening = asyncio.create_task(self._listen(bells))
        if self._offering is None or self._offering.done():
            self._offering = asyncio.create_task(self._offer_for_ever())
        return True

    def offer(self, has_room: bool) -> None:
        """Offer to take orders from now on, or no longer."""
        if has_room is not self._has_room:
            self._has_room = has_room
            self._room_changed.set()

    async def stop(self) -> None:
        """Stop listening, when what was handed over before has been heard.

        Look for work once more after this: a bell may have rung meanwhile.
        """
        if self._bells is not None and self._listening is not None:
            with suppress(*AWAY):
                async with asyncio.timeout(REST_SECONDS):
                    await self._bells.unsubscribe()
                    await asyncio.wait([self._listening])  # Redis answers after its messages
        # Cancelling alone would not do: redis-py loses a cancellation that comes while it connects.
        self._is_stopped = True
        self._room_changed.set()
        tasks = [task for task in (self._listening, self._offering) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._listening = self._offering = self._bells = None
        await self._redis.aclose()

    async def _listen(self, bells: redis.asyncio.client.PubSub) -> None:
        async with bells:
            try:
                # In turns, so that a silent connection is found out.
                while bells.subscribed and not self._is_stopped:
                    message = await bells.get_message(timeout=LISTEN_SECONDS)
                    if message is None:
                        continue
                    if message["data"]:
                        self._on_orders(orders_of(message["data"]))
                    else:
                        self._on_bell()
            except AWAY as error:
                logger.warning("Bells are heard through Celery only: %s", error)

    def _hears(self) -> bool:
        return self._listening is not None and not self._listening.done()

    async def _offer_for_ever(self) -> None:
        """Say again and again that there is room, or say once that there is none."""
        redis = async_redis_client(settings.REDIS_URL, CARRIER_SECONDS)
        offer = redis.register_script(OFFER)
        async with redis:
            while not self._is_stopped:
                self._room_changed.clear()
                with suppress(*AWAY):  # nothing is handed over then
                    if self._has_room and self._hears():
                        await offer(keys=[OFFERS], args=[self._name])
                    else:
                        await redis.zrem(OFFERS, self._name)
                with suppress(TimeoutError):
                    async with asyncio.timeout(OFFER_SECONDS if self._has_room else None):
                        await self._room_changed.wait()


class Ringer:
    """Rings from one event loop; orders that come while a ring is under way share the next."""

    def __init__(self) -> None:
        self._redis = async_redis_client(settings.REDIS_URL, REDIS_SECONDS)
        self._ring = self._redis.register_script(RING)
        self._is_wanted = False
        self._is_for_others = False
        self._ringing = Background(self._ring_while_wanted)
        self._silent_until = 0.0
        self._carrier: str | None = None
        self._lingers_until = 0.0

    def ring_soon(self, *, for_others: bool = False) -> None:
        """Ring. `for_others` avoids the channel, which would reach the caller itself."""
        self._is_wanted = True
        self._is_for_others |= for_others
        self._ringing.begin()

    def lingering(self) -> str | None:
        """Return a carrier that offered to take orders when the bell was last rung, if one did."""
        return self._carrier if time.monotonic() < self._lingers_until else None

    def forget(self) -> None:
        """Hand nothing over until a bell has told of a carrier again."""
        self._carrier = None

    async def let_next_ring(self) -> None:
        """Let the next bell ring. Awaited before a claim, so that no wake-up is lost."""
        if time.monotonic() < self._silent_until:
            return
        try:
            async with asyncio.timeout(CARRIER_SECONDS):
                await self._redis.delete(guard_of(ROUTE_AND_EXECUTE), guard_of(SETTLE_SUBMITTED))
        except (RedisError, OSError, TimeoutError) as error:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            logger.warning("The bell's guard stays, and ends by itself: %s", error or "no answer")

    async def wait_until_drained(self) -> None:
        """Wait until no ring is under way."""
        await self._ringing.wait_until_done()

    async def close(self) -> None:
        await self.wait_until_drained()
        await self._redis.aclose()

    async def _ring_while_wanted(self) -> None:
        while self._is_wanted:
            self._is_wanted = False
            if time.monotonic() >= self._silent_until:
                await self._ring_once()

    async def _ring_once(self) -> None:
        bell = _bell(ROUTE_AND_EXECUTE) + ([] if self._is_for_others else [LISTENERS])
        self._is_for_others = False
        try:
            keys = [guard_of(ROUTE_AND_EXECUTE), QUEUE, OFFERS]
            carrier = await self._ring(keys=keys, args=bell)
            if isinstance(carrier, bytes):
                self._carrier = carrier.decode()
                self._lingers_until = time.monotonic() + BELIEVED_SECONDS
            crash_point("after_ring")
        except AWAY as error:
            self._silent_until = time.monotonic() + SILENT_SECONDS
            logger.warning("The bell was not rung, the scheduler will: %s", error)


def message_of(orders: Iterable[ClaimedOrder]) -> bytes:
    """Return orders as they travel through Redis, whose writers may neither read nor make them."""
    return _seal().encrypt(orjson.dumps([list(order) for order in orders]))


def orders_of(message: bytes) -> list[ClaimedOrder]:
    """Return the orders of a message; those of a message that is none stay for their lease."""
    try:
        return [ClaimedOrder.of(values) for values in orjson.loads(_seal().decrypt(message))]
    except (ValueError, TypeError, InvalidToken) as error:
        logger.warning("what was handed over is no order: %s", error or type(error).__name__)
        return []


@cache
def _seal() -> MultiFernet:
    """Return the engine's own key for orders, made of SECRET_KEY; older ones still open."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    digests = [
        salted_hmac(LISTENERS, "", secret, algorithm="sha256").digest() for secret in secrets
    ]
    return MultiFernet([Fernet(urlsafe_b64encode(digest)) for digest in digests])


def _bell(task: str) -> list[str | int]:
    """Return the script's arguments: a message of its own, and the guard's seconds."""
    text, task_id, tag = _message(task)
    fresh = text.replace(task_id, str(uuid.uuid4())).replace(tag, str(uuid.uuid4()))
    return [fresh, GUARD_SECONDS, FULL]


@cache
def _message(task: str) -> tuple[str, str, str]:
    """Return what Celery sends for this task, its id, and its delivery tag.

    Celery writes it, to a broker in memory. Having it at hand makes a ring one command, decided
    and sent within Redis, instead of a millisecond of Kombu for each order.
    """
    with Connection("memory://") as connection:
        app.send_task(task, connection=connection)
        message = cast(Any, connection.default_channel)._get(settings.CELERY_TASK_DEFAULT_QUEUE)
    return json.dumps(message), message["headers"]["id"], message["properties"]["delivery_tag"]


@cache
def client_of_this_process() -> redis.Redis:
    """Return the client for threads, made at the first call."""
    return redis_client(settings.REDIS_URL, REDIS_SECONDS)


@once_per_loop
def ringer_of_this_loop() -> Ringer:
    """Return the running loop's ringer, made at the first call."""
    return Ringer()
