"""The price that the simulated markets follow: a bounded random walk, and the venues' distance.

These are pure functions of a seed and of unix seconds, in integers. So every process on every
machine sees the same price at the same moment, and no process has to move it.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from math import isqrt

MILLION = 1_000_000
PERIODS = tuple(2**power for power in range(13))
"""In seconds, from one second to more than an hour."""
LIMIT = 80_000
"""The largest distance of a token's price from its reference price, in millionths."""
DEVIATION_PERIOD = 120
"""Seconds in which a venue wanders from one deviation to the next."""

PriceSource = Callable[[str, int], int]
"""Returns the price of a token (by mint) at a unix time, in millionths of its reference price."""


def seeded_walk(seed: str, volatility: int, stable: frozenset[str] = frozenset()) -> PriceSource:
    """Return a random walk that moves by about `volatility` millionths in a second.

    The walk is a sum of noises with different periods. A slower noise is wider, as in a random
    walk: in t seconds a price goes about `volatility` * sqrt(t). Tokens in `stable` do not move:
    stablecoins.
    """
    widths = [(period, volatility * isqrt(period * MILLION) // 1_000) for period in PERIODS]

    @lru_cache(maxsize=1_024)
    def price(mint: str, now: int) -> int:
        if mint in stable or not volatility:
            return MILLION
        moved = sum(noise(f"{seed}:{mint}", period, now) * width for period, width in widths)
        return MILLION + max(-LIMIT, min(LIMIT, moved // MILLION))

    return price


def deviation(seed: str, least: int, most: int, now: int) -> int:
    """Return a venue's price between `least` and `most`. It wanders slowly."""
    return least + (noise(seed, DEVIATION_PERIOD, now) + MILLION) * (most - least) // (2 * MILLION)


def noise(seed: str, period: int, now: int) -> int:
    """Return a number from -1,000,000 to 1,000,000: a new one each period, smooth in between."""
    index, elapsed = divmod(now, period)
    before, after = _at(f"{seed}:{period}:{index}"), _at(f"{seed}:{period}:{index + 1}")
    smooth = elapsed * elapsed * (3 * period - 2 * elapsed)  # a part of period ** 3
    return before + (after - before) * smooth // period**3


@lru_cache(maxsize=16_384)
def _at(key: str) -> int:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2 * MILLION + 1) - MILLION
