"""The last two hours by minutes: one row each, which the first scheduler to come writes.

Counts are the differences of what processes count (`config/runtime/counters.py`) between two rows.
So they are told only of a minute that follows another one. All of it may run twice, or in two
schedulers at once: a minute is stored once.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from django.db import connection, transaction

from orders.monitoring.metrics_sql import PLANS
from orders.monitoring.processes import Process, processes

MINUTE = 60
MINUTES_KEPT = 120
LATE_SECONDS = 4
"""After its end a minute waits so long for the heartbeats that tell of it."""
MOST_ACCEPTED = 50_000
MOST_TIMED = 10_000
TIMED_SECONDS = 120
"""How long before a minute the orders may have come whose times it tells."""

DUE = """
SELECT now.s - now.s %% 60 - 60 AS minute,
  EXISTS (SELECT FROM engine_minutes WHERE minute = now.s - now.s %% 60 - 60)
FROM (SELECT floor(extract(epoch FROM clock_timestamp()))::bigint - %(late)s) AS now (s)
"""
BEFORE = "SELECT totals::text FROM engine_minutes WHERE minute = %(minute)s - 60"
ACCEPTED = """
SELECT count(*) FROM (
  SELECT FROM orders
  WHERE created_at >= to_timestamp(%(minute)s) AND created_at < to_timestamp(%(minute)s + 60)
  ORDER BY created_at DESC, id DESC LIMIT %(most)s
) AS accepted
"""
# Of market orders: others may have rested.
TIMES = """
SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY took) FROM (
  SELECT extract(epoch FROM finished_at - created_at)::float8 AS took, status, finished_at,
    terms IS NULL AS is_market
  FROM orders
  WHERE created_at >= to_timestamp(%(minute)s - %(earlier)s)
    AND created_at < to_timestamp(%(minute)s + 60)
  ORDER BY created_at DESC, id DESC LIMIT %(timed)s
) AS recent
WHERE status = 'confirmed' AND is_market AND finished_at >= to_timestamp(%(minute)s)
  AND finished_at < to_timestamp(%(minute)s + 60)
"""
KEEP = """
INSERT INTO engine_minutes (minute, figures, totals) VALUES (%(minute)s, %(figures)s, %(totals)s)
ON CONFLICT DO NOTHING
"""
FORGET_TOTALS = """
UPDATE engine_minutes SET totals = NULL WHERE totals IS NOT NULL AND minute < %(minute)s
"""
PRUNE = "DELETE FROM engine_minutes WHERE minute <= %(minute)s - 60 * %(kept)s"
READ = """
SELECT minute, figures::text FROM engine_minutes
WHERE minute >= extract(epoch FROM clock_timestamp())::bigint - 60 * (%(minutes)s + 2)
ORDER BY minute DESC LIMIT %(minutes)s
"""
COUNTED = re.compile(
    "orders_ended:|requests_turned_away:|hints_received$|events_resynced$|readers_cut_off$"
    "|account_streams_left_behind$|leases_taken_over$|quotes_answered:|quotes_missed:"
)
NO_FAULT = ("excluded", "insufficient_liquidity", "price_impact_too_high", "unsupported_token")
"""The codes of quotes that a venue had reason to refuse: it has answered."""

Totals = Mapping[str, Mapping[str, int]]
"""By process what it has counted."""


@dataclass(frozen=True, slots=True)
class VenueMinute:
    asked: int = 0
    answered: int = 0
    quotes: tuple[tuple[int, int], ...] = ()
    """How many quotes came within how many milliseconds, and not within the step before."""


@dataclass(frozen=True, slots=True)
class Minute:
    """None: it is not known, because no row tells of the minute before."""

    minute: int
    accepted: int
    p50: float | None
    """Seconds from acceptance to confirmation, of market orders; also the next two."""
    p95: float | None
    p99: float | None
    streams: int
    """Open WebSockets and streams at its end."""
    confirmed: int | None = None
    failed: int | None = None
    cancelled: int | None = None
    expired: int | None = None
    refused: int | None = None
    """Answered with 429."""
    turned_away: int | None = None
    """Answered with 503."""
    hints: int | None = None
    resynced: int | None = None
    cut_off: int | None = None
    taken_over: int | None = None
    venues: dict[str, VenueMinute] | None = None

    @property
    def ended(self) -> int | None:
        parts = (self.confirmed, self.failed, self.cancelled, self.expired)
        return None if self.confirmed is None else sum(part or 0 for part in parts)

    @property
    def success_percent(self) -> float | None:
        """Of the orders that were confirmed or failed."""
        if self.confirmed is None or self.failed is None or not self.confirmed + self.failed:
            return None
        return 100 * self.confirmed / (self.confirmed + self.failed)


def keep_minute() -> None:
    """Store the last minute that is over, unless it is stored. Delete those that are too old."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PLANS)
        cursor.execute(DUE, {"late": LATE_SECONDS})
        minute, is_kept = cursor.fetchone()
        if is_kept:
            return
        known = processes()
        totals = {process.name: counted(process.counts) for process in known}
        cursor.execute(BEFORE, {"minute": minute})
        row = cursor.fetchone()
        before = orjson.loads(row[0]) if row and row[0] else None
        found = figures_of(minute, _measured(cursor, minute), known, totals, before)
        stored = asdict(found)
        del stored["minute"]
        figures, counts = orjson.dumps(stored).decode(), orjson.dumps(totals).decode()
        cursor.execute(KEEP, {"minute": minute, "figures": figures, "totals": counts})
        cursor.execute(FORGET_TOTALS, {"minute": minute})
        cursor.execute(PRUNE, {"minute": minute, "kept": MINUTES_KEPT})


def read_minutes(minutes: int = MINUTES_KEPT) -> list[Minute]:
    """Return the last so many minutes that were stored, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"minutes": minutes})
        return [_minute(at, orjson.loads(text)) for at, text in reversed(cursor.fetchall())]


def counted(counts: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(number) for name, number in counts.items() if COUNTED.match(name)}


def figures_of(
    minute: int,
    measured: Mapping[str, Any],
    known: Iterable[Process],
    totals: Totals,
    before: Totals | None,
) -> Minute:
    """Return a minute's figures: what was measured, and how far the counters have come."""
    streams = sum(process.streams for process in known if process.state == "alive")
    found = {"minute": minute, "streams": streams, **measured}
    if before is None:
        return Minute(**found)
    grown = _growth(totals, before)
    return Minute(
        **found,
        **{word: grown[f"orders_ended:{word}"] for word in ENDS},
        refused=grown["requests_turned_away:429"],
        turned_away=grown["requests_turned_away:503"],
        hints=grown["hints_received"],
        resynced=grown["events_resynced"],
        cut_off=grown["readers_cut_off"] + grown["account_streams_left_behind"],
        taken_over=grown["leases_taken_over"],
        venues=_venues(grown),
    )


ENDS = ("confirmed", "failed", "cancelled", "expired")


def _growth(totals: Totals, before: Totals) -> Counter[str]:
    """Return by how much each counter has grown. One that is lower began anew with its process."""
    grown: Counter[str] = Counter()
    for process, counts in totals.items():
        earlier = before.get(process, {})
        for name, number in counts.items():
            least = earlier.get(name, 0)
            grown[name] += number - least if number >= least else number
    return grown


def _venues(grown: Mapping[str, int]) -> dict[str, VenueMinute]:
    quotes: dict[str, dict[int, int]] = {}
    asked: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for name, number in grown.items():
        kind, _, labels = name.partition(":")
        venue, _, label = labels.partition("/")
        if kind == "quotes_answered":
            quotes.setdefault(venue, {})[int(label)] = number
        elif kind != "quotes_missed" or label == "excluded":
            continue
        asked[venue] += number
        answered[venue] += number if kind == "quotes_answered" or label in NO_FAULT else 0
    return {
        venue: VenueMinute(
            asked[venue], answered[venue], tuple(sorted(quotes.get(venue, {}).items()))
        )
        for venue in sorted(asked)
        if asked[venue]
    }


def quantile_ms(quotes: Iterable[tuple[int, int]], share: float) -> float | None:
    """Return within how many milliseconds a share of the quotes came, between two steps evenly."""
    counts: Counter[int] = Counter()
    for within, number in quotes:
        counts[within] += number
    left, lowest = share * counts.total(), 0.0
    for within, number in sorted(counts.items()):
        if number and left <= number:
            return lowest + (within - lowest) * left / number
        left, lowest = left - number, float(within)
    return None


def _measured(cursor: Any, minute: int) -> dict[str, Any]:
    cursor.execute(ACCEPTED, {"minute": minute, "most": MOST_ACCEPTED})
    (accepted,) = cursor.fetchone()
    cursor.execute(TIMES, {"minute": minute, "earlier": TIMED_SECONDS, "timed": MOST_TIMED})
    (times,) = cursor.fetchone()
    p50, p95, p99 = times or (None, None, None)
    return {"accepted": accepted, "p50": p50, "p95": p95, "p99": p99}


def _minute(minute: int, figures: dict[str, Any]) -> Minute:
    known = {name: figures[name] for name in Minute.__dataclass_fields__ if name in figures}
    venues = known.pop("venues", None)
    of_venues = venues and {
        name: VenueMinute(one["asked"], one["answered"], tuple(map(tuple, one["quotes"])))
        for name, one in venues.items()
    }
    return Minute(minute, **known, venues=of_venues)
