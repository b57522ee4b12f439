"""How often a client may try to log in: by address, and by name where the name is not known.

A browser or an address from which a name has logged in is known to it. A client that guesses at a
name from elsewhere uses up only the name's attempts for strangers, and cannot lock its owner out.
All attempts count, good and bad ones, before anything is looked up or hashed.

Redis counts them for all processes. If it does not answer within a quarter of a second, each
process counts by itself, and asks Redis again a second later.
"""

import logging
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import redis
from django.conf import settings
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from config.runtime.rate import Rate
from config.runtime.redis_client import redis_client

logger = logging.getLogger(__name__)

GROWTH = ((1, 1), (6, 60), (30, 1440))
"""For each window: factors for the count and for the seconds of LOGIN_RATE_LIMIT.
10 a minute become 60 an hour and 300 a day. So a client that goes on has to wait ever longer."""
REDIS_SECONDS = 0.25
SILENT_SECONDS = 1.0
LONGEST_NAME = 150  # Django's own limit


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: its address, whether its browser knows the name, and the name."""

    address: str
    name: str
    browser: str | None = None
    is_from_known_address: bool = False

    @property
    def is_known(self) -> bool:
        return self.browser is not None or self.is_from_known_address

    @property
    def counted_under(self) -> Sequence[str]:
        """Return the names of its counts. The address comes first, so that an address that is
        shut out uses up no attempts of a name."""
        if self.browser is not None:
            return (f"browser:{self.browser}:{self.name}",)
        if self.is_from_known_address:
            return (self.address, f"{self.address}:{self.name}")
        return (self.address, f"name:{self.name}")


class Attempts:
    """Counts attempts. Each process has one such object."""

    def __init__(self, redis_url: str, prefix: str, rate: Rate | None) -> None:
        self._windows = windows_of(rate)
        pool = redis_client(redis_url, REDIS_SECONDS).connection_pool
        storage = RedisStorage(
            "redis://", connection_pool=pool, key_prefix=prefix, wrap_exceptions=True
        )
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._silent_until = 0.0

    def take(self, attempt: Attempt) -> float:
        """Count an attempt; return 0, or the seconds that it has to wait. It raises nothing
        when Redis is away."""
        if time.monotonic() >= self._silent_until:
            try:
                return self._wait(self._shared, attempt)
            except (StorageError, redis.RedisError, OSError) as error:
                self._silent_until = time.monotonic() + SILENT_SECONDS
                logger.warning("each process counts log-ins by itself for now: %s", error)
        return self._wait(self._own, attempt)

    def _wait(self, limiter: MovingWindowRateLimiter, attempt: Attempt) -> float:
        for name in attempt.counted_under:
            full = [window for window in self._windows if not limiter.test(window, name)]
            # `hit` decides once more: it lets attempts of the same moment in one by one.
            full = full or [window for window in self._windows if not limiter.hit(window, name)]
            if full:
                return max(seconds_until_next(limiter, window, name) for window in full)
        return 0.0


def windows_of(rate: Rate | None) -> list[RateLimitItem]:
    """Return the windows, the shortest first. Without a limit there are none."""
    if rate is None:
        return []
    return [
        RateLimitItemPerSecond(rate.count * count, rate.seconds * seconds)
        for count, seconds in GROWTH
    ]


def seconds_until_next(limiter: MovingWindowRateLimiter, window: RateLimitItem, name: str) -> float:
    reset_at: float = limiter.get_window_stats(window, name).reset_time
    return max(1.0, reset_at - time.time())


def plain_name(name: str) -> str:
    """Return a name in the form that is counted: names that look alike count together."""
    return unicodedata.normalize("NFKC", name[:LONGEST_NAME]).casefold()


@cache
def attempts() -> Attempts:
    """Return this process's `Attempts`. The first call makes it."""
    prefix = settings.REDIS_PREFIX + "logins"
    return Attempts(settings.REDIS_URL, prefix, settings.LOGIN_RATE_LIMIT)
