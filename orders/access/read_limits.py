"""How much may be read: so many units from each account, and from each address without one.

What a read costs is what it makes the database do: a list is dearer than an order. Counted in
Redis over all web processes, by the same rule as orders; without Redis by each process.
"""

import logging
import time
from functools import cache
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from config.runtime.rate import Rate
from config.runtime.redis_client import redis_client
from orders.access.accounts import Principal
from orders.access.admission import (
    KEY,
    REDIS_SECONDS,
    SILENT_SECONDS,
    TAKE,
    Allowance,
    OwnCount,
    name_of,
)

logger = logging.getLogger(__name__)

LIST_COST, ORDERS_A_UNIT, SEARCH_COST, SCHEMA_COST = 10, 5, 30, 10
CHEAP = frozenset(
    (
        *("limit", "cursor", "offset", "format"),
        *("clientOrderId", "groupId", "parentOrderId", "q", "state"),
    )
)
"""Parameters of a list that leave it to the beginning of an index."""


class ReadLimit:
    """The limit of one process's reads; for threads, where reads are answered."""

    def __init__(self, redis_url: str, rate: Rate) -> None:
        self._rate = rate
        self._take: Any = redis_client(redis_url, REDIS_SECONDS).register_script(TAKE)
        self._own = OwnCount(rate)
        self._silent_until = 0.0

    def take(self, name: str, cost: int) -> Allowance:
        """Count a read of `name`; never raises for a Redis that is away.

        A read that costs more than the whole limit takes the whole limit.
        """
        cost = min(cost, self._rate.count)
        if time.monotonic() >= self._silent_until:
            try:
                return self._shared(name, cost)
            except (RedisError, OSError) as error:
                self._silent_until = time.monotonic() + SILENT_SECONDS
                logger.warning("each process counts reads by itself for now: %s", error)
        return self._own.take(name, cost)

    def _shared(self, name: str, cost: int) -> Allowance:
        # The script counts requests: it is told how many reads of this cost fit into the window.
        args = [self._rate.count / cost, self._rate.seconds, 1]
        (answer,) = self._take(keys=[f"{KEY}read:{name}"], args=args)
        _, reset, wait = (float(part) for part in answer.split())
        left = self._rate.count * (1 - reset / self._rate.seconds)
        return Allowance(self._rate.count, max(0, int(left + 1e-6)), reset, wait)


def allowance_of_read(principal: Principal, client: str, cost: int) -> Allowance | None:
    """Count one read by the account, or anonymously from this address; None: no limit."""
    limit = limit_of_this_process()
    return None if limit is None else limit.take(name_of(principal, client), cost)


@cache
def limit_of_this_process() -> ReadLimit | None:
    """Return the limit, made at the first call; None if there is none."""
    rate = settings.READ_RATE_LIMIT
    return None if rate is None else ReadLimit(settings.REDIS_URL, rate)


def cost_of_list(query: dict[str, str]) -> int:
    """Return what a list costs. The cost grows with its length; a search costs more."""
    text = query.get("limit", "25")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    search = SEARCH_COST if query.keys() - CHEAP else 0
    return LIST_COST + min(limit, 200) // ORDERS_A_UNIT + search
