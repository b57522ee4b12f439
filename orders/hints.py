"""Tells the world of events after they are committed: hints to the streams, the active orders.

All of it may be lost without harm, so nothing here waits for Redis, raises or retries: what
cannot be told in time is dropped, and the streams find it by their resync.
"""

import asyncio
import logging
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import msgpack
import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

from orders.events import Event, group_of

logger = logging.getLogger(__name__)

ACTIVE_ORDERS = "active_orders"  # Redis hash: order id -> the message of its last event
MAX_WAITING = 10_000
REDIS_TIMEOUT = 1.0  # seconds
PAUSE_AFTER_FAILURE = 1.0  # seconds in which hints are dropped at once

# KEYS: the hash. ARGV, five for each event: channel, hint, order id, seq, message ("" = ended).
# A snapshot is replaced only by one with a newer seq.
TELL = """
for i = 1, #ARGV, 5 do
  redis.call('PUBLISH', ARGV[i], ARGV[i + 1])
  local id, seq, message = ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
  if message == '' then
    redis.call('HDEL', KEYS[1], id)
  else
    local old = redis.call('HGET', KEYS[1], id)
    if not old or tonumber(string.match(old, '"seq":(%d+)')) < seq then
      redis.call('HSET', KEYS[1], id, message)
    end
  end
end
"""


def arguments(event: Event) -> list[Any]:
    """Return what `TELL` wants to know of one event."""
    text = event.as_text()
    return [
        channel_of(event.order_id),
        hint(event, text),
        str(event.order_id),
        event.seq,
        "" if event.is_final else text,
    ]


def channel_of(order_id: UUID) -> str:
    """Return the Redis channel on which the channel layer listens for the order's group.

    Private to channels-redis; `tests/orders/test_hints.py` holds it to the real layer.
    """
    return f"{settings.CHANNEL_PREFIX}__group__{group_of(order_id)}"


def hint(event: Event, text: str) -> bytes:
    """Return the event in the channel layer's wire format, its message ready to be sent on."""
    packed: bytes = msgpack.packb(
        {
            "type": "order.event",
            "order_id": str(event.order_id),
            "seq": event.seq,
            "is_final": event.is_final,
            "text": text,
        }
    )
    return packed


class HintPublisher:
    """Publishes events in the background: those that wait go out together, in one command."""

    def __init__(self, redis_url: str) -> None:
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
            retry_on_timeout=False,
        )
        self._tell = self._redis.register_script(TELL)
        self._waiting: list[Event] = []
        self._publishing: asyncio.Task[None] | None = None
        self._silent_until = 0.0

    def publish(self, event: Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(event)
        if self._publishing is None:
            self._publishing = asyncio.create_task(self._publish_waiting())

    async def drained(self) -> None:
        if self._publishing is not None:
            await asyncio.wait([self._publishing])

    async def close(self) -> None:
        await self.drained()
        await self._redis.aclose()

    async def _publish_waiting(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                if clock() < self._silent_until:
                    continue
                try:
                    args = [argument for event in batch for argument in arguments(event)]
                    await self._tell(keys=[ACTIVE_ORDERS], args=args)
                except (RedisError, OSError, TimeoutError) as error:
                    self._silent_until = clock() + PAUSE_AFTER_FAILURE
                    logger.warning("%d hints were not published: %s", len(batch), error)
        finally:
            self._publishing = None


_publishers: "WeakKeyDictionary[asyncio.AbstractEventLoop, HintPublisher]" = WeakKeyDictionary()


def hints_of_this_loop() -> HintPublisher:
    """Return the running loop's publisher, made at the first call."""
    loop = asyncio.get_running_loop()
    publisher = _publishers.get(loop)
    if publisher is None:
        publisher = _publishers[loop] = HintPublisher(settings.REDIS_URL)
    return publisher


def publish_now(event: Event) -> None:
    """Tell of one event from sync code, after its commit."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
    )
    try:
        client.eval(TELL, 1, ACTIVE_ORDERS, *arguments(event))
    except RedisError as error:
        logger.warning("The hint of %s:%d was not published: %s", event.order_id, event.seq, error)
    finally:
        client.close()
