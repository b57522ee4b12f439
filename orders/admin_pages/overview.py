"""The figures of the start page: what an operator wants to know first.

Every query reads an index, and at most `MOST_READ` rows of it, however many orders there are. One
that has to read the orders themselves reads at most `MOST_RECENT` of them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.urls import reverse

from orders.admin_pages.addresses import orders_url
from orders.admin_pages.filters import UNDER_WAY
from orders.admin_pages.wording import duration
from orders.api.pagination import in_index_order
from orders.engine.journal_sql import IN_LINE
from orders.lifecycle import IS_BEGUN, IS_HALTED, IS_WAITING, Status
from orders.monitoring.health import ALIVE_SECONDS, IS_HEARD
from orders.monitoring.wallet import WALLET, wallet_of
from routing.tokens import SOL

MOST_READ = 50_000  # orders
MOST_RESTING = 10_000  # their rows are read; more says no more to a person
MOST_RECENT = 10_000  # a median of more says no more, and takes 2 ms for every thousand

# One reading of the newest orders serves all figures about the last hour. A claim, a retry and
# the end of an order each raise its lease's token by one. So an order that one worker carried at
# a time ends with twice its attempts. A higher token means that another worker took it up again.
LAST_HOUR = """
WITH clock AS MATERIALIZED (SELECT statement_timestamp() AS at),
recent AS MATERIALIZED (
  SELECT status, created_at,
    CASE WHEN terms IS NULL THEN finished_at - created_at END AS took,  -- others may have rested
    status IN ('confirmed', 'failed') AND lease_token > 2 * attempts AS was_taken_over
  FROM orders WHERE created_at > (SELECT at FROM clock) - interval '1 hour'
  ORDER BY created_at DESC, id DESC LIMIT %(recent)s
)
SELECT count(created_at) AS orders,
  count(*) FILTER (WHERE created_at > clock.at - interval '1 minute') AS last_minute,
  count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
  count(*) FILTER (WHERE status = 'failed') AS failed,
  count(*) FILTER (WHERE was_taken_over) AS taken_over,
  percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY took)
    FILTER (WHERE status = 'confirmed' AND took IS NOT NULL) AS times,
  clock.at - min(created_at) AS span
FROM clock LEFT JOIN recent ON true GROUP BY clock.at
"""
BEGUN = f"""
SELECT count(*) FILTER (WHERE status <> 'pending') AS carried,
  count(*) FILTER (WHERE status = 'pending') AS retrying,
  count(*) FILTER (WHERE lease_until < statement_timestamp()) AS expired
FROM (
  SELECT status, lease_until FROM orders
  WHERE {IS_BEGUN} ORDER BY next_check, id LIMIT %(most)s
) AS begun
"""  # noqa: S608  # our own words
WAITING = f"""
SELECT count(*) AS waiting FROM (
  SELECT FROM orders WHERE {IS_WAITING} ORDER BY {IN_LINE} LIMIT %(most)s
) AS waiting
"""  # noqa: S608
RESTING = """
SELECT count(*) AS resting, count(*) FILTER (WHERE phase = 'latched') AS latched,
  count(*) FILTER (WHERE phase = 'held') AS held
FROM (
  SELECT phase FROM orders WHERE resting ORDER BY created_at DESC, id DESC LIMIT %(resting)s
) AS resting
"""
NEEDING_ATTENTION = """
SELECT count(*) AS needing_attention FROM (
  SELECT FROM orders WHERE needs_attention ORDER BY created_at DESC, id DESC LIMIT %(most)s
) AS flagged
"""
ALIVE = f"""
SELECT count(*) FILTER (WHERE kind = 'worker') AS workers,
  count(*) FILTER (WHERE kind = 'scheduler') AS schedulers,
  {IS_HALTED} AS is_halted
FROM heartbeats WHERE {IS_HEARD}
"""  # noqa: S608
QUERIES = (LAST_HOUR, BEGUN, WAITING, RESTING, NEEDING_ATTENTION, ALIVE)


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure. `tone` is "good", "bad", or "" if it is neither."""

    label: str
    figure: str
    note: str
    url: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    tiles: tuple[Tile, ...]
    is_partial: bool
    """Whether the last hour had more orders than were read."""
    span: str
    """The time that the figures about the last hour cover."""


def overview() -> Overview:
    figures = read()
    span = min(figures["span"] or timedelta(hours=1), timedelta(hours=1))
    is_partial = figures["orders"] >= MOST_RECENT
    tiles = (
        _trading(figures),
        _flow(figures, span if is_partial else timedelta(hours=1)),
        _success(figures),
        _backlog(figures),
        _resting(figures),
        _median(figures),
        _workers(figures),
        _leases(figures),
        _attention(figures),
        *_wallet(),
    )
    return Overview(tiles, is_partial, duration(span))


def read() -> dict[str, Any]:
    """Return all queries' columns by name."""
    figures: dict[str, Any] = {}
    bounds = {
        **{"most": MOST_READ, "recent": MOST_RECENT, "resting": MOST_RESTING},
        "heard": ALIVE_SECONDS,
    }
    with in_index_order(), connection.cursor() as cursor:
        for query in QUERIES:
            cursor.execute(query, bounds)
            names = [column.name for column in cursor.description]
            figures |= dict(zip(names, cursor.fetchone(), strict=True))
    return figures


def _trading(figures: dict[str, Any]) -> Tile:
    url = reverse("admin:orders_tradingstate_changelist")
    if figures["is_halted"]:
        note = "nothing new is taken, triggered or started"
        return Tile("Trading", "halted", note, url, "bad")
    return Tile("Trading", "active", "orders are taken and carried", url)


def _wallet() -> tuple[Tile, ...]:
    """Return the wallet's tile, if there is a wallet that a worker has seen."""
    if settings.VENUES == "simulated":
        return ()
    with connection.cursor() as cursor:
        cursor.execute(WALLET)
        row = cursor.fetchone()
    if row is None:
        return (Tile("Wallet", "unseen", "no worker has looked yet", "", "bad"),)
    found = wallet_of(row)
    held = ", ".join(f"{amount} {symbol}" for symbol, amount in found.tokens().items())
    note = "; ".join([f"{found.address} on {found.network}: {held}", *found.warnings])
    figure = f"{SOL.to_text(found.lamports)} SOL"
    return (Tile("Wallet", figure, note, "", "bad" if found.warnings else "good"),)


def _flow(figures: dict[str, Any], span: timedelta) -> Tile:
    per_minute = figures["orders"] / max(span.total_seconds() / 60, 1 / 60)
    note = f"in the last minute; {per_minute:,.1f} a minute over the hour"
    return Tile(
        "Orders per minute",
        bounded_count(figures["last_minute"], MOST_RECENT),
        note,
        orders_url(created="minute"),
    )


def _success(figures: dict[str, Any]) -> Tile:
    confirmed, failed = figures["confirmed"], figures["failed"]
    ended = confirmed + failed
    note = f"{confirmed:,} confirmed, {failed:,} failed"
    url = orders_url(created="hour", status="failed" if failed else "confirmed")
    if not ended:
        return Tile("Success rate", "-", "nothing ended in the last hour", url)
    rate = 100 * confirmed / ended
    tone = "good" if rate >= 99 else "bad" if rate < 95 else ""
    # Rounded down: 99.99 % does not mean all of them.
    return Tile("Success rate", f"{int(rate * 10) / 10:g} %", note, url, tone)


def _backlog(figures: dict[str, Any]) -> Tile:
    carried, retrying = bounded_count(figures["carried"]), bounded_count(figures["retrying"])
    note = f"{carried} in work, {retrying} wait for a retry"
    url = orders_url(status=UNDER_WAY)
    return Tile("Backlog", bounded_count(figures["waiting"]), note, url)


def _resting(figures: dict[str, Any]) -> Tile:
    count = bounded_count(figures["resting"], MOST_RESTING)
    note = f"{figures['latched']:,} triggered and not filled yet, {figures['held']:,} held"
    return Tile("Resting", count, note, orders_url(status=Status.OPEN.value))


def _median(figures: dict[str, Any]) -> Tile:
    url = orders_url(created="hour", status="confirmed")
    if not figures["times"]:
        return Tile("Median time to confirm", "-", "none confirmed in the last hour", url)
    median, most = figures["times"]
    note = f"of market orders; 95 of 100 within {duration(most)}"
    return Tile("Median time to confirm", duration(median), note, url)


def _workers(figures: dict[str, Any]) -> Tile:
    workers, schedulers = figures["workers"], figures["schedulers"]
    plural = "" if schedulers == 1 else "s"
    note = f"{schedulers} scheduler{plural}; heard within {ALIVE_SECONDS:g} s"
    url = reverse("admin:orders_heartbeat_changelist")
    tone = "good" if workers and schedulers else "bad"
    return Tile("Workers alive", f"{workers:,}", note, url, tone)


def _leases(figures: dict[str, Any]) -> Tile:
    expired, taken_over = figures["expired"], figures["taken_over"]
    note = f"right now; {taken_over:,} of the last hour's orders were taken over"
    url = orders_url(status=UNDER_WAY, lease="expired")
    return Tile("Leases expired", bounded_count(expired), note, url, "bad" if expired else "")


def _attention(figures: dict[str, Any]) -> Tile:
    count = figures["needing_attention"]
    note = "filled outside their bound, or lost too many workers"
    tone = "bad" if count else "good"
    return Tile("Needing attention", bounded_count(count), note, orders_url(attention="yes"), tone)


def bounded_count(count: int, most: int | None = None) -> str:
    """Return a count as text; one that stopped at `most` (or else at `MOST_READ`) says so."""
    return f"{count:,}+" if count >= (most or MOST_READ) else f"{count:,}"
