"""How well many orders were executed: sums by venue, market, side, size and hour."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from orders.events import timestamp
from orders.terms.terms import price_text

MOST_ORDERS = 100_000
"""The newest so many orders of a window are summed up."""
SIZES = (100, 1_000, 10_000, 100_000)
"""Where one size ends and the next begins, in USDC."""
KEYS = ("venue", "market", "side", "size", "hour")

# One pass over the rows, whatever they are grouped by.
FIGURES = """
WITH chosen AS MATERIALIZED (
  SELECT * FROM execution_quality
  WHERE finished_at > statement_timestamp() - %(seconds)s * interval '1 second' {whose}
  ORDER BY finished_at DESC LIMIT %(most)s
), keyed AS (
  SELECT chosen.*, width_bucket(worth, %(sizes)s::numeric[]) AS size,
    date_trunc('hour', finished_at, 'UTC') AS hour
  FROM chosen
)
SELECT grouping(venue, market, side, size, hour), venue, market, side, size, hour,
  count(*), min(finished_at),
  count(*) FILTER (WHERE status = 'confirmed'), count(*) FILTER (WHERE status = 'failed'),
  count(*) FILTER (WHERE status = 'cancelled'), count(*) FILTER (WHERE status = 'expired'),
  sum(worth) FILTER (WHERE status = 'confirmed'),
  count(vs_quote_bps), sum(vs_quote_worth),
  10000 * sum(vs_quote_worth) / nullif(sum(worth) FILTER (WHERE vs_quote_worth IS NOT NULL), 0),
  percentile_cont(ARRAY[0.05, 0.5]) WITHIN GROUP (ORDER BY vs_quote_bps::float8),
  count(vs_other_bps), sum(vs_other_worth),
  10000 * sum(vs_other_worth)
    / nullif(sum(worth - vs_other_worth) FILTER (WHERE vs_other_worth IS NOT NULL), 0),
  percentile_cont(ARRAY[0.05, 0.5]) WITHIN GROUP (ORDER BY vs_other_bps::float8),
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY took)
    FILTER (WHERE status = 'confirmed')
FROM keyed
GROUP BY GROUPING SETS ((), (venue), (market), (side), (size), (hour))
ORDER BY venue, market, side, size, hour
"""
OF_OWNER = "AND owner_id = %(owner)s"
ALL = 2 ** len(KEYS) - 1
"""What `grouping` returns of the row for all orders: a bit for each key that is not its own."""


class Group(NamedTuple):
    """A row of FIGURES."""

    of: int
    venue: str | None
    market: str | None
    side: str | None
    size: int | None
    hour: datetime | None
    orders: int
    first: datetime | None
    confirmed: int
    failed: int
    cancelled: int
    expired: int
    worth: Any
    against_quote: int
    vs_quote_worth: Any
    vs_quote_bps: Any
    vs_quote_spread: Sequence[float | None] | None
    against_other: int
    vs_other_worth: Any
    vs_other_bps: Any
    vs_other_spread: Sequence[float | None] | None
    took: Sequence[float | None] | None

    @property
    def key(self) -> str | None:
        """Which of KEYS it is grouped by; None: it is of all orders."""
        if self.of == ALL:
            return None
        own = ALL - self.of
        return KEYS[len(KEYS) - own.bit_length()]


def read_groups(owner: int | None, seconds: int) -> list[Group]:
    """Return the figures of an account's orders that ended in the last `seconds`; None: of all."""
    asked = {"owner": owner, "seconds": seconds, "most": MOST_ORDERS, "sizes": list(SIZES)}
    statement = FIGURES.format(whose="" if owner is None else OF_OWNER)
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        return [Group._make(row) for row in cursor.fetchall()]


def as_json(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the figures of all orders, and those by each key."""
    by: dict[str, list[dict[str, Any]]] = {key: [] for key in KEYS}
    total: dict[str, Any] = {}
    for group in groups:
        key = group.key
        if key is None:
            total = figures(group)
        else:
            by[key].append({key: _name(group, key)} | figures(group))
    return {"total": total} | {f"by{key.title()}": found for key, found in by.items()}


def figures(group: Group) -> dict[str, Any]:
    decided = group.confirmed + group.failed
    share = None if not decided else Decimal(100 * group.confirmed) / decided
    p50, p95 = group.took or (None, None)
    return {
        "orders": group.orders,
        "confirmed": group.confirmed,
        "failed": group.failed,
        "cancelled": group.cancelled,
        "expired": group.expired,
        "confirmedPercent": rounded(share, 2),
        "volume": rounded(group.worth or Decimal(), 6),
        "vsQuote": _against(
            group.against_quote, group.vs_quote_worth, group.vs_quote_bps, group.vs_quote_spread
        ),
        "vsOther": _against(
            group.against_other, group.vs_other_worth, group.vs_other_bps, group.vs_other_spread
        ),
        "secondsToConfirm": {"p50": seconds(p50), "p95": seconds(p95)},
    }


def _against(
    orders: int, amount: Any, bps: Any, spread: Sequence[float | None] | None
) -> dict[str, Any]:
    p5, median = spread or (None, None)
    return {
        "orders": orders,
        "amount": rounded(amount, 6),
        "bps": rounded(bps, 2),
        "p5Bps": rounded(p5, 2),
        "medianBps": rounded(median, 2),
    }


def _name(group: Group, key: str) -> str | None:
    if key == "size":
        return size_name(group.size)
    if group.hour is not None and key == "hour":
        return timestamp(group.hour)
    found: str | None = getattr(group, key)
    return found


def size_name(bucket: int | None) -> str | None:
    """Return a size in USDC, such as "100-1000", or "100000-" for the largest."""
    if bucket is None:
        return None
    ends = ("0", *map(str, SIZES), "")
    return f"{ends[bucket]}-{ends[bucket + 1]}"


def rounded(value: Any, decimals: int) -> str | None:
    """Return a number as text, to so many decimals, without idle zeros."""
    if value is None:
        return None
    return price_text(round(Decimal(value), decimals))


def seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
