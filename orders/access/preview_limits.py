"""How many previews and quotes an account, or an address without one, may ask for.

They are counted apart from orders: to look costs the venues time, and takes no order's place.
"""

from django.conf import settings

from config.http.door import Places
from config.runtime.per_loop import once_per_loop
from orders.access.accounts import Principal
from orders.access.admission import Allowance, Limiter, name_of

MOST_STREAMS = 5
"""Streams of quotes that an account, or an address, may have in one process."""

quote_streams = Places()


async def allowance_of_preview(principal: Principal, client: str) -> Allowance | None:
    """Count one preview by the account, or anonymously from this address; None: no limit."""
    limiter = limiter_of_this_loop()
    return None if limiter is None else await limiter.take(f"preview:{name_of(principal, client)}")


@once_per_loop
def limiter_of_this_loop() -> Limiter | None:
    """Return the running loop's limiter, made at the first call; None if there is no limit."""
    rate = settings.PREVIEW_RATE_LIMIT
    return None if rate is None else Limiter(settings.REDIS_URL, rate)
