"""Tells the world of events after they are committed: hints to the streams, the active orders.

Redis knows who listens to the hints of an order or an account: PUBSUB NUMSUB counts it, and a
process that dies is counted no more. So hints go out for those alone that somebody follows. A
follower begins to listen before it reads the log. So one who is not counted yet reads what was
committed before the question. An account that is not followed is asked for once a second.

The active orders are written once a second, each with its last event.

All of it may be lost without harm, so nothing here waits for Redis, raises or retries: what
cannot be told in time is dropped, and the streams find it by their resync.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from itertools import compress

import msgpack
from django.conf import settings
from redis.exceptions import RedisError

from config.runtime.background import Background
from config.runtime.counters import counts
from config.runtime.per_loop import once_per_loop
from config.runtime.redis_client import async_redis_client, redis_client
from orders.events import Event, group_of, group_of_account
from orders.lifecycle import Status

logger = logging.getLogger(__name__)

ACTIVE_ORDERS = "active_orders"  # Redis hash: order id -> the message of its last event
MAX_WAITING = 10_000
REDIS_SECONDS = 1.0
PAUSE_AFTER_FAILURE = 1.0  # seconds in which hints are dropped at once
KEEP_SECONDS = 1.0  # between two writings of the active orders
KEPT_AT_ONCE = 500  # orders in one command, which others in Redis wait for

# KEYS: the hash. ARGV: the prefix of marks, and a msgpack list of [id, seq, message], without a
# message if the order has ended, and with an empty one if it rests: the hash is read whole, so what
# rests is not in it. A snapshot is replaced only by a newer one. A mark keeps out what
# another process writes up to a second later of an order that has ended meanwhile.
# A server that is full or read-only still publishes. The script returns its error on the hash.
KEEP = """
local failed = ''
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then failed = answer.err; return nil end
  return answer
end
for _, order in ipairs(cmsgpack.unpack(ARGV[2])) do
  local id, seq, text = order[1], order[2], order[3]
  if not text then
    try('HDEL', KEYS[1], id)
    try('SET', ARGV[1] .. id, '', 'EX', 5)
  elseif try('EXISTS', ARGV[1] .. id) == 0 then
    local old = try('HGET', KEYS[1], id)
    local known = old and tonumber(string.match(old, '"seq":(%d+)') or '')
    if not known or known < seq then
      if text == '' then try('HDEL', KEYS[1], id) else try('HSET', KEYS[1], id, text) end
    end
  end
end
return failed
"""
ENDED = f"{settings.REDIS_PREFIX}ended:"


# How the channel layer names a group in Redis. The name and the form of the messages are private
# to channels-redis; `tests/orders/engine/test_hints.py` compares both with the real layer.
CHANNEL = f"{settings.CHANNEL_PREFIX}__group__"


def arguments(events: Iterable[Event]) -> list[str | bytes]:
    """Return what `KEEP` wants to know of these events."""
    return [ENDED, msgpack.packb([_kept(event) for event in events])]


def _kept(event: Event) -> tuple[str | int, ...]:
    if event.is_final:
        return event.order_id, event.seq
    rests = event.status is Status.OPEN
    return event.order_id, event.seq, "" if rests else event.as_text().decode()


def may_be_followed(event: Event) -> bool:
    """Whether the event has any group. Asked of each event, so it makes no name."""
    return event.owner is not None or _has_followers(event)


def _has_followers(event: Event) -> bool:
    """Whether its order may be followed. Before it is accepted, only the socket that sent it knows
    it, and tells it.
    """
    return event.seq > 1 or event.name != "accepted"


def groups_of(event: Event) -> tuple[str, ...]:
    """Return for whom the event's hints are: those who follow its order, or its account."""
    of_order = (group_of(event.order_id),) if _has_followers(event) else ()
    return of_order if event.owner is None else (*of_order, group_of_account(event.owner))


def hint_of(event: Event, group: str) -> bytes:
    """Return the event's hint for a group in the channel layer's wire format."""
    hint = {
        "type": "order.event",
        "order_id": event.order_id,
        "seq": event.seq,
        "is_final": event.is_final,
        "text": event.as_text().decode(),
    }
    if group != group_of(event.order_id):
        hint["owner"] = event.owner
    return bytes(msgpack.packb(hint))


class HintPublisher:
    """Publishes events in the background: those that wait go out together."""

    def __init__(self, redis_url: str) -> None:
        self._redis = async_redis_client(redis_url, REDIS_SECONDS)
        self._keep = self._redis.register_script(KEEP)
        self._waiting: list[Event] = []
        self._last: dict[str, Event] = {}  # of each order of which something is to be kept
        self._followed: set[str] = set()
        self._unfollowed: set[str] = set()  # accounts alone: they have many orders
        self._publishing = Background(self._publish_waiting)
        self._keeping = Background(self._keep_last)
        self._until_kept: asyncio.TimerHandle | None = None
        self._silent_until = 0.0
        self._are_snapshots_refused = False

    def publish(self, event: Event) -> None:
        if event.is_final:
            counts[f"orders_ended:{event.status.value}"] += 1
        self._remember(event)
        if may_be_followed(event) and len(self._waiting) < MAX_WAITING:
            self._waiting.append(event)
            self._publishing.begin()

    async def wait_until_drained(self) -> None:
        await self._publishing.wait_until_done()
        await self._keeping.wait_until_done()
        self._begin_keeping()
        await self._keeping.wait_until_done()

    async def close(self) -> None:
        await self.wait_until_drained()
        await self._redis.aclose()

    def _remember(self, event: Event) -> None:
        known = self._last.get(event.order_id)
        if (len(self._last) < MAX_WAITING) if known is None else (known.seq < event.seq):
            self._last[event.order_id] = event
        if self._until_kept is None:
            later = asyncio.get_running_loop().call_later
            self._until_kept = later(KEEP_SECONDS, self._begin_keeping)

    def _begin_keeping(self) -> None:
        if self._until_kept is not None:
            self._until_kept.cancel()
            self._until_kept = None
        self._followed, self._unfollowed = set(), set()
        self._keeping.begin()

    async def _publish_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            if self._is_silent():
                continue
            try:
                await self._publish(batch)
            except (RedisError, OSError, TimeoutError) as error:
                self._fall_silent()
                logger.warning("%d hints were not published: %s", len(batch), error)

    async def _publish(self, batch: Sequence[Event]) -> None:
        """Publish what somebody listens to.

        Who listened to an order a moment ago is not asked for again.
        """
        followed, unfollowed = self._followed, self._unfollowed  # also if others begin meanwhile
        hints = [(event, group) for event in batch for group in groups_of(event)]
        unknown = list({group for _, group in hints} - followed - unfollowed)
        if unknown:
            counted = await self._redis.pubsub_numsub(*(CHANNEL + group for group in unknown))
            followed.update(compress(unknown, (number for _, number in counted)))
            unfollowed.update(
                {group_of_account(event.owner) for event in batch if event.owner is not None}
                - followed
            )
        told = [(event, group) for event, group in hints if group in followed]
        if told:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for event, group in told:
                    pipeline.publish(CHANNEL + group, hint_of(event, group))
                await pipeline.execute()

    async def _keep_last(self) -> None:
        last, self._last = list(self._last.values()), {}
        if self._is_silent():
            return
        try:
            for start in range(0, len(last), KEPT_AT_ONCE):
                told = arguments(last[start : start + KEPT_AT_ONCE])
                self._warn(await self._keep(keys=[ACTIVE_ORDERS], args=told))
        except (RedisError, OSError, TimeoutError) as error:
            self._fall_silent()
            logger.warning("%d active orders were not kept: %s", len(last), error)

    def _is_silent(self) -> bool:
        return asyncio.get_running_loop().time() < self._silent_until

    def _fall_silent(self) -> None:
        self._silent_until = asyncio.get_running_loop().time() + PAUSE_AFTER_FAILURE

    def _warn(self, failed: bytes) -> None:
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
        for group in groups_of(event):
            client.publish(CHANNEL + group, hint_of(event, group))
        client.register_script(KEEP)(keys=[ACTIVE_ORDERS], args=arguments([event]))
    except RedisError as error:
        logger.warning("The hint of %s:%d was not published: %s", event.order_id, event.seq, error)
    finally:
        client.close()
