"""Tells the world of events after they are committed: hints to the streams, the active orders.

All of it may be lost without harm, so nothing here waits for Redis, raises or retries: what
cannot be told in time is dropped, and the streams find it by their resync.
"""

import asyncio
import logging
from collections.abc import Iterable

import msgpack
from django.conf import settings
from redis.exceptions import RedisError

from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from config.runtime.redis_client import async_redis_client, redis_client
from orders.events import GROUP, Event

logger = logging.getLogger(__name__)

ACTIVE_ORDERS = "active_orders"  # Redis hash: order id -> the message of its last event
MAX_WAITING = 10_000
REDIS_SECONDS = 1.0
PAUSE_AFTER_FAILURE = 1.0  # seconds in which hints are dropped at once

# KEYS: the hash. ARGV: the channels' prefix, and a msgpack list of [id, seq, is_final, message].
# The hint is in the channel layer's wire format. A snapshot is replaced only by a newer one.
# A server that is full or read-only still publishes. The script returns its error on the hash.
TELL = """
local failed = ''
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then failed = answer.err; return nil end
  return answer
end
for _, event in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, seq, is_final, text = event[1], event[2], event[3], event[4]
  redis.call('PUBLISH', ARGV[1] .. id, cmsgpack.pack({
    type = 'order.event', order_id = id, seq = seq, is_final = is_final, text = text}))
  if is_final then
    try('HDEL', KEYS[1], id)
  else
    local old = try('HGET', KEYS[1], id)
    local known = old and tonumber(string.match(old, '"seq":(%d+)') or '')
    if not known or known < seq then try('HSET', KEYS[1], id, text) end
  end
end
return failed
"""


# How the channel layer names a group in Redis. The name and the form of the messages are private
# to channels-redis; `tests/orders/engine/test_hints.py` compares both with the real layer.
CHANNEL = f"{settings.CHANNEL_PREFIX}__group__{GROUP}"


def arguments(events: Iterable[Event]) -> list[str | bytes]:
    """Return what `TELL` wants to know of these events."""
    rows = [
        (event.order_id, event.seq, event.is_final, event.as_text().decode()) for event in events
    ]
    return [CHANNEL, msgpack.packb(rows)]


class HintPublisher:
    """Publishes events in the background: those that wait go out together, in one command."""

    def __init__(self, redis_url: str) -> None:
        self._redis = async_redis_client(redis_url, REDIS_SECONDS)
        self._tell = self._redis.register_script(TELL)
        self._waiting: list[Event] = []
        self._publishing = Background(self._publish_waiting)
        self._silent_until = 0.0
        self._are_snapshots_refused = False

    def publish(self, event: Event) -> None:
        if len(self._waiting) >= MAX_WAITING:
            return
        self._waiting.append(event)
        self._publishing.begin()

    async def drained(self) -> None:
        await self._publishing.wait_until_done()

    async def close(self) -> None:
        await self.drained()
        await self._redis.aclose()

    async def _publish_waiting(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            batch, self._waiting = self._waiting, []
            if clock() < self._silent_until:
                continue
            try:
                failed = await self._tell(keys=[ACTIVE_ORDERS], args=arguments(batch))
                self._warn_of_snapshots(failed)
            except (RedisError, OSError, TimeoutError) as error:
                self._silent_until = clock() + PAUSE_AFTER_FAILURE
                logger.warning("%d hints were not published: %s", len(batch), error)

    def _warn_of_snapshots(self, failed: bytes) -> None:
        """Log that Redis does not keep the active orders; once, until it keeps them again."""
        if failed and not self._are_snapshots_refused:
            logger.warning("active orders are not kept: %s", failed.decode(errors="replace"))
        self._are_snapshots_refused = bool(failed)


@once_per_loop
def hints_of_this_loop() -> HintPublisher:
    """Return the running loop's publisher, made at the first call."""
    return HintPublisher(settings.REDIS_URL)


def publish_now(event: Event) -> None:
    """Tell of one event from sync code, after its commit."""
    client = redis_client(settings.REDIS_URL, REDIS_SECONDS)
    try:
        client.register_script(TELL)(keys=[ACTIVE_ORDERS], args=arguments([event]))
    except RedisError as error:
        logger.warning("The hint of %s:%d was not published: %s", event.order_id, event.seq, error)
    finally:
        client.close()
