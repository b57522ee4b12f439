"""Clients of Redis with time limits and without retries: their callers decide what comes next."""

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def redis_client(url: str, seconds: float, **options: Any) -> redis.Redis:
    """Return a client for threads. `seconds` are for connecting, and for each answer."""
    return redis.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def async_redis_client(url: str, seconds: float) -> redis.asyncio.Redis:
    """Return a client for one asyncio loop, with the same limits."""
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return client
