"""The venues' page: each venue that is set up, and the last day's orders of each."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection

from orders.admin_pages.addresses import orders_url
from orders.admin_pages.wording import duration
from orders.api.pagination import in_index_order
from routing.exchange import VENUES, VenueFacts
from routing.registry import registry

MOST_READ = 50_000  # orders
# At most MOST_READ of the newest orders, by the index that the list of orders uses.
LAST_DAY = """
WITH clock AS MATERIALIZED (SELECT statement_timestamp() AS at),
recent AS MATERIALIZED (
  SELECT venue, status, created_at, finished_at, terms IS NULL AS is_market FROM orders
  WHERE created_at > (SELECT at FROM clock) - interval '1 day'
  ORDER BY created_at DESC, id DESC LIMIT %(most)s
)
SELECT venue,
  count(*) FILTER (WHERE created_at > clock.at - interval '1 hour'),
  count(*),
  count(*) FILTER (WHERE status = 'confirmed'),
  count(*) FILTER (WHERE status = 'failed'),
  percentile_cont(0.5) WITHIN GROUP (ORDER BY finished_at - created_at)
    FILTER (WHERE status = 'confirmed' AND is_market),
  sum(count(*)) OVER () >= %(most)s
FROM recent, clock GROUP BY venue
"""


@dataclass(frozen=True, slots=True)
class VenueRecord:
    name: str
    label: str
    fee: str
    prices: str
    markets: int
    won_last_hour: int
    won_last_day: int
    confirmed: int
    failed: int
    median: str
    url: str
    failures_url: str


@dataclass(frozen=True, slots=True)
class VenueRecords:
    venues: tuple[VenueRecord, ...]
    most_read: int
    is_partial: bool
    """Whether the last day had more orders than were read."""


def venue_records() -> VenueRecords:
    with in_index_order(), connection.cursor() as cursor:
        cursor.execute(LAST_DAY, {"most": MOST_READ})
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    venues = tuple(_record(venue, rows.get(venue.name)) for venue in VENUES)
    return VenueRecords(venues, MOST_READ, any(row[-1] for row in rows.values()))


def _record(venue: VenueFacts, row: tuple[Any, ...] | None) -> VenueRecord:
    last_hour, last_day, confirmed, failed, median, _ = row or (0, 0, 0, 0, None, False)
    return VenueRecord(
        name=venue.name,
        label=venue.label,
        fee=venue.fee,
        prices=venue.prices,
        markets=len(registry().markets),
        won_last_hour=last_hour,
        won_last_day=last_day,
        confirmed=confirmed,
        failed=failed,
        median=duration(median) if isinstance(median, timedelta) else "-",
        url=orders_url(venue=venue.name, created="day"),
        failures_url=orders_url(venue=venue.name, created="day", status="failed"),
    )
