"""Hands an order that was claimed when it was accepted to a carrier that lingers.

A carrier with room offers itself in Redis, and its offer lasts for a second. The web process
learns of it with the answer to a bell. The order then travels to this carrier alone. An order that
does not arrive is given back, and the bell is rung for it. If even that fails, its short lease
ends, and any worker takes it.
"""

import logging
from collections.abc import Sequence

import psycopg
from django.conf import settings

from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from config.runtime.redis_client import async_redis_client
from orders.engine import bell
from orders.engine.crash_points import crash_point
from orders.engine.journal import Journal, journal_of_this_loop
from orders.engine.moves import ClaimedOrder

logger = logging.getLogger(__name__)

# KEYS: the offers. ARGV: a carrier, its channel, the orders. The answer tells whether it hears.
HAND = """
local offered = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not offered or offered + 0 < redis.call('TIME')[1] - 1 then return 0 end
if redis.call('PUBSUB', 'NUMSUB', ARGV[2])[2] == 0 then return 0 end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""


class HandOver:
    """Sends from one event loop. Orders that come while a message is under way share the next."""

    def __init__(self, journal: Journal, ringer: bell.Ringer) -> None:
        self._journal = journal
        self._ringer = ringer
        self._redis = async_redis_client(settings.REDIS_URL, bell.CARRIER_SECONDS)
        self._hand = self._redis.register_script(HAND)
        self._waiting: list[ClaimedOrder] = []
        self._sending = Background(self._send_waiting)

    @property
    def is_likely(self) -> bool:
        """Whether a carrier was heard of a moment ago that takes an order at once."""
        return self._ringer.lingering() is not None

    def hand_soon(self, order: ClaimedOrder) -> None:
        """Hand the order over without waiting for it."""
        self._waiting.append(order)
        self._sending.begin()

    async def close(self) -> None:
        await self._sending.wait_until_done()
        await self._redis.aclose()

    async def _send_waiting(self) -> None:
        while self._waiting:
            orders, self._waiting = self._waiting, []
            if await self._are_taken(orders):
                crash_point("after_ring")
                continue
            self._ringer.forget()
            try:
                await self._journal.release(orders)
            except psycopg.Error as error:
                logger.warning("orders were not given back, their leases end: %s", error)
            self._ringer.ring_soon()

    async def _are_taken(self, orders: Sequence[ClaimedOrder]) -> bool:
        carrier = self._ringer.lingering()
        if carrier is None:
            return False
        try:
            arguments: list[str | bytes] = [
                carrier,
                bell.channel_of(carrier),
                bell.message_of(orders),
            ]
            return bool(await self._hand(keys=[bell.OFFERS], args=arguments))
        except bell.AWAY as error:
            logger.warning("orders were not handed over: %s", error or "no answer")
            return False


@once_per_loop
def handover_of_this_loop() -> HandOver:
    """Return the running loop's hand-over, made at the first call."""
    return HandOver(journal_of_this_loop(), bell.ringer_of_this_loop())
