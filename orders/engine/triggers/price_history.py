"""The prices of the past: ticks for two hours, and for 90 days a row for each minute.

All of it may run twice, or in two schedulers at once: a minute is stored once.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.db import connection

MINUTE = 60
TICKS_KEPT = 7_200
MINUTES_KEPT = 90 * 86_400
PEAKS_KEPT = 366 * 86_400
"""All in seconds."""
LATE_SECONDS = 5
"""After its end a minute may still get a tick for so long."""
STEP, MOST_STEPS = 2_000, 100
"""How many rows one statement deletes, and how many statements one run has."""
LINES = ("bid", "ask", "reference")

_FIRST = "(array_agg({0} ORDER BY {1}) FILTER (WHERE {0} IS NOT NULL))[1]"
_LAST = "(array_agg({0} ORDER BY {1} DESC) FILTER (WHERE {0} IS NOT NULL))[1]"


def _of_ticks(line: str) -> str:
    """Return the first, lowest, highest and last of a line among ticks."""
    return (
        f"{_FIRST.format(line, 'tick')} AS {line}_first, min({line}_low) AS {line}_low,"
        f" max({line}_high) AS {line}_high, {_LAST.format(line, 'tick')} AS {line}_last"
    )


def _of_minutes(line: str) -> str:
    first, last = f"{line}_first", f"{line}_last"
    return (
        f"{_FIRST.format(first, 'minute')}, min({line}_low), max({line}_high),"
        f" {_LAST.format(last, 'minute')}"
    )


_OF_TICKS = ", ".join(map(_of_ticks, LINES))
_OF_MINUTES = ", ".join(map(_of_minutes, LINES))
_COLUMNS = ", ".join(
    f"{line}_{part}" for line in LINES for part in ("first", "low", "high", "last")
)

# All minutes that are over, from the first that is not stored.
KEEP_MINUTES = f"""
INSERT INTO price_minutes (pair, minute, {_COLUMNS})
SELECT pair, tick - tick %% 60, {_OF_TICKS}
FROM price_ticks
WHERE tick >= coalesce((SELECT max(minute) + 60 FROM price_minutes), 0)
  AND tick < (SELECT s - s %% 60
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()))::bigint - %(late)s) AS now (s))
GROUP BY 1, 2
ON CONFLICT DO NOTHING
"""
PRUNE_TICKS = """
DELETE FROM price_ticks WHERE (pair, tick) IN (
  SELECT pair, tick FROM price_ticks
  WHERE tick < floor(extract(epoch FROM clock_timestamp()))::bigint - %(kept)s
  ORDER BY tick LIMIT %(step)s)
"""
PRUNE_MINUTES = """
DELETE FROM price_minutes WHERE (pair, minute) IN (
  SELECT pair, minute FROM price_minutes
  WHERE minute < floor(extract(epoch FROM clock_timestamp()))::bigint - %(kept)s
  ORDER BY minute LIMIT %(step)s)
"""
# No order rests longer, whoever watches.
PRUNE_PEAKS = """
DELETE FROM price_peaks WHERE (pair, line, tick) IN (
  SELECT pair, line, tick FROM price_peaks
  WHERE tick < floor(extract(epoch FROM clock_timestamp()))::bigint - %(kept)s LIMIT %(step)s)
"""
OF_SECONDS = f"""
SELECT tick, {", ".join(f"{line}, {line}_low, {line}_high, {line}" for line in LINES)}, venues
FROM price_ticks WHERE pair = %(pair)s AND tick >= %(start)s AND tick < %(end)s ORDER BY tick
"""
# The minutes that are not stored yet are made of their ticks. What each venue offered in the last
# second of a point is known for as long as ticks are kept.
OF_MINUTES = f"""
WITH stored AS (
  SELECT coalesce(max(minute) + 60, 0) AS until FROM price_minutes WHERE pair = %(pair)s
), minutes AS (
  SELECT minute, {_COLUMNS} FROM price_minutes
  WHERE pair = %(pair)s AND minute >= %(start)s AND minute < %(end)s
  UNION ALL
  SELECT tick - tick %% 60, {_OF_TICKS} FROM price_ticks
  WHERE pair = %(pair)s AND tick < %(end)s
    AND tick >= greatest(%(start)s, (SELECT until FROM stored))
  GROUP BY 1
), points AS (
  SELECT minute - minute %% %(step)s AS at, {_OF_MINUTES} FROM minutes GROUP BY 1
)
SELECT points.*, (
  SELECT venues FROM price_ticks
  WHERE pair = %(pair)s AND tick >= points.at AND tick < points.at + %(step)s
  ORDER BY tick DESC LIMIT 1)
FROM points ORDER BY 1
"""


class Span(NamedTuple):
    """A line within a point's time."""

    first: Decimal
    low: Decimal
    high: Decimal
    last: Decimal


class Point(NamedTuple):
    at: datetime
    """When its time begins."""
    bid: Span | None
    ask: Span | None
    reference: Span | None
    venues: dict[str, dict[str, str | None]] | None
    """By venue `bid` and `ask` in its last second; None of a point older than ticks are kept."""


def keep_minutes() -> None:
    """Store the minutes that are over."""
    with connection.cursor() as cursor:
        cursor.execute(KEEP_MINUTES, {"late": LATE_SECONDS})


def prune_prices() -> None:
    """Delete what is older than prices are kept, in small steps."""
    for statement, kept in (
        (PRUNE_TICKS, TICKS_KEPT),
        (PRUNE_MINUTES, MINUTES_KEPT),
        (PRUNE_PEAKS, PEAKS_KEPT),
    ):
        for _ in range(MOST_STEPS):
            with connection.cursor() as cursor:
                cursor.execute(statement, {"kept": kept, "step": STEP})
                if cursor.rowcount < STEP:
                    break


def read_points(pair: str, start: int, end: int, step: int) -> list[Point]:
    """Return the prices from `start` until before `end` (unix seconds), one point each `step`.

    `step` is 1 second or whole minutes. There is no point where no prices were made.
    """
    statement = OF_SECONDS if step == 1 else OF_MINUTES
    wanted: dict[str, str | int] = {"pair": pair, "start": start, "end": end, "step": step}
    with connection.cursor() as cursor:
        cursor.execute(statement, wanted)
        return [_point(row) for row in cursor.fetchall()]


def _point(row: tuple[Any, ...]) -> Point:
    at, *numbers, venues = row
    spans = [numbers[place : place + 4] for place in (0, 4, 8)]
    bid, ask, reference = [None if None in span else Span(*span) for span in spans]
    by_venue = None if venues is None else orjson.loads(venues)
    return Point(datetime.fromtimestamp(at, UTC), bid, ask, reference, by_venue)
