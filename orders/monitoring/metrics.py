"""The answer of /metrics: the engine as the database shows it, and each process by its heartbeat.

All of it is read from the database. So every web process gives the same answer, and any of them may
be asked: take `max` over instances, never `sum`. Each query reads a bounded number of rows through
an index, however many orders there are. A reading is kept for a moment, so no number of scrapes is
a load. The reasons: docs/decisions/0015-metrics-from-the-database.md.
"""

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from config.http.security_log import EVENTS
from orders.engine.wallet.limits import UNIT_ATOMS
from orders.lifecycle import ACTIVE, Status
from orders.monitoring import metrics_sql as sql
from orders.monitoring.health import ALIVE_SECONDS
from orders.monitoring.wallet import WALLET, wallet_of
from routing.registry import stopped_venues

logger = logging.getLogger(__name__)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
FRESH_SECONDS = 2.0  # for which a reading is given out again
SHOWN_SECONDS = 60.0  # for which a process is shown after its last heartbeat
QUANTILES = (0.5, 0.95, 0.99)
KINDS = ("web", "worker", "scheduler")
PROCESS = ("kind", "process")  # the labels of each figure of one process

Row = Sequence[Any]


class Count(NamedTuple):
    """A figure of a heartbeat. `labels` are the labels whose values follow the colon in its name.

    `kind` is the kind of process that counts it; without a kind, every process does.
    """

    name: str
    says: str
    kind: str = ""
    labels: tuple[str, ...] = ()
    only_grows: bool = True


COUNTS = {
    count.name: count
    for count in (
        Count("http_requests", "HTTP requests answered, by class of status.", labels=("code",)),
        Count("requests_turned_away", "Requests answered with 429 or 503.", labels=("code",)),
        Count("orders_accepted", "Orders stored, over HTTP or a socket.", "web"),
        Count("sockets_opened", "WebSockets and streams opened.", "web"),
        Count("sockets_open", "WebSockets and streams open now.", "web", only_grows=False),
        Count("connections_refused", "Connections that were too many.", "web"),
        Count("sockets_refused", "WebSockets and streams beyond one client's limit.", "web"),
        Count("hints_received", "Hints of events that came for open sockets.", "web"),
        Count("hints_missed", "Events whose hint was lost, as a later one told.", "web"),
        Count("messages_passed_over", "What came by Redis, or to a socket, and is not ours."),
        Count("events_resynced", "Events found by resync, before any hint of them.", "web"),
        Count(
            "account_stream_holes",
            *("Events of accounts that no query found, as a later one told.", "web"),
        ),
        Count(
            "account_streams_left_behind",
            *("Accounts' streams that were too far behind, and read the log anew.", "web"),
        ),
        Count("sockets_flooded", "WebSockets closed because they sent too many frames.", "web"),
        Count("readers_cut_off", "Streams closed because their reader was too slow.", "web"),
        Count("orders_ended", "Orders that this process ended, by status.", labels=("status",)),
        Count(
            "quotes_answered",
            "Quotes that came, by the milliseconds within which they did.",
            labels=("venue", "within_ms"),
        ),
        Count("quotes_missed", "Quotes that did not come.", labels=("venue", "code")),
        Count("orders_carried", "Claimed orders that the worker began to carry.", "worker"),
        Count("orders_put_down", "Carried orders that it carries no more.", "worker"),
        Count("leases_taken_over", "Of them, those that an earlier worker had lost.", "worker"),
        Count(
            "orders_returned",
            "Released orders that were not filled and rest again.",
            *("worker", ("failure_code",)),
        ),
        Count("ticks_evaluated", "Ticks with which resting orders were compared.", "scheduler"),
        Count("ticks_skipped", "Ticks that were too old to be compared.", "scheduler"),
        Count(
            "orders_released",
            "Resting orders that were released, by the step that did.",
            *("scheduler", ("step",)),
        ),
        Count("trigger_late_ms", "Sum, over releases, of the ms since their tick.", "scheduler"),
        Count("limits_looked_at_again", "Limit orders whose turn came by time.", "scheduler"),
        Count("slices_made", "Orders that were made as slices of TWAPs.", "scheduler"),
        Count("orders_expired", "Orders whose time was over.", "scheduler"),
        Count("trigger_waits_given_up", "Locks that were waited for in vain.", "scheduler"),
        Count("security_events", "What an attack would leave behind.", labels=("event",)),
        Count("log_lines", "Log lines, warnings and worse.", labels=("logger", "level")),
        Count("cpu_seconds", "CPU time used."),
        Count("resident_memory_bytes", "Resident memory.", only_grows=False),
        Count("still_seconds", "Since the last move of what moved least.", only_grows=False),
    )
}


def as_text() -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry)


def without_database() -> bytes:
    """Return the metrics that need no database, while it does not answer."""
    return generate_latest(silence)


class EngineCollector(Collector):
    """Reads the database at most once in FRESH_SECONDS, however many ask."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        with self._turn:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._metrics = read()
                self._read_at = time.monotonic()
            metrics = self._metrics
        yield from metrics


class Silence(Collector):
    def collect(self) -> list[Metric]:
        return unanswered()


def unanswered() -> list[Metric]:
    return [gauge("database_up", "Whether the database answered.", 0)]


def read() -> list[Metric]:
    """Return the metrics of the database; if it does not answer, only that it does not."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql.PLANS)
            families = [
                *(*open_orders(cursor), *triggers(cursor), *recent(cursor)),
                *(*budget(cursor), *wallet(cursor), *processes(cursor)),
            ]
    except (DatabaseError, InterfaceError) as error:
        logger.warning("metrics: the database does not answer: %s", error)
        connection.close()
        return unanswered()
    return [gauge("database_up", "Whether the database answered.", 1), *families]


def open_orders(cursor: Any) -> Iterator[Metric]:
    """Yield the figures of the orders that have not ended."""
    most = {"most": sql.MOST_OPEN}
    bound = f" Counted up to {sql.MOST_OPEN}."
    by_status = gauge("orders_open", f"Orders that have not ended.{bound}", labels=("status",))
    numbers = dict.fromkeys(sorted(ACTIVE), 0)
    numbers.update((status, number) for status, number in fetch(cursor, sql.OPEN, most))
    resting = gauge("orders_resting", f"Orders that rest.{bound}", labels=("type", "market"))
    for type_, market, number in fetch(cursor, sql.RESTING, most):
        resting.add_metric([type_, market], number)
        numbers[Status.OPEN] += number
    for status, number in numbers.items():
        by_status.add_metric([status], number)
    yield by_status
    yield resting
    ((waiting, oldest),) = fetch(cursor, sql.WAITING, most)
    yield gauge("orders_waiting", f"Orders due that no worker has begun.{bound}", waiting)
    yield gauge("oldest_waiting_seconds", "How long the first of them has been due.", oldest)
    ((held, expired, suspected, flagged),) = fetch(cursor, sql.LEASES, most)
    leases = gauge("leases", "Leases of orders, by whether they run.", labels=("state",))
    leases.add_metric(["held"], held)
    leases.add_metric(["expired"], expired)
    yield leases
    yield gauge("orders_lost", "Open orders whose last worker was lost.", suspected)
    yield gauge("orders_flagged", "Open orders that need a person's attention.", flagged)


def triggers(cursor: Any) -> Iterator[Metric]:
    """Yield whether the engine trades, and how the watcher keeps up with each market's prices."""
    ((is_halted,),) = fetch(cursor, sql.HALTED, {})
    yield gauge("trading_halted", "1 while trading is halted.", int(is_halted))
    says = "1 for a venue that was stopped, until a person resumes it."
    stopped = gauge("venue_stopped", says, labels=("venue",))
    for venue in sorted(stopped_venues()):
        stopped.add_metric([venue], 1)
    yield stopped
    age = gauge("tick_age_seconds", "Age of a market's newest prices.", labels=("market",))
    behind = gauge(
        "ticks_behind", "Seconds with prices that were not evaluated yet.", labels=("market",)
    )
    for market, seconds, ticks in fetch(cursor, sql.TICKS, {}):
        age.add_metric([market], seconds)
        behind.add_metric([market], ticks)
    yield age
    yield behind


def recent(cursor: Any) -> Iterator[Metric]:
    """Yield the outcomes of the newest orders that were begun, and how long each step took."""
    window = {"most": sql.MOST_RECENT, "window": sql.RECENT_SECONDS}
    newest = f"the newest {sql.MOST_RECENT} market orders that workers have reached"
    labels = ("status", "venue", "failure_code")
    outcomes = gauge("recent_orders", f"What became of {newest}.", labels=labels)
    for status, venue, failure_code, number in fetch(cursor, sql.RECENT, window):
        outcomes.add_metric([status, venue, failure_code], number)
    yield outcomes
    ((seconds,),) = fetch(cursor, sql.RECENT_SPAN, window)
    yield gauge("recent_seconds", f"Age of the oldest of {newest}.", seconds)
    took = gauge(
        "recent_step_seconds",
        f"How long {newest} stood in each status; `total`: until confirmed.",
        labels=("status", "quantile"),
    )
    steps = gauge("recent_steps", "How many steps that is of.", labels=("status",))
    for status, number, quantiles in fetch(
        cursor, sql.STEPS, {**window, "quantiles": list(QUANTILES)}
    ):
        steps.add_metric([status], number)
        for quantile, figure in zip(QUANTILES, quantiles, strict=True):
            took.add_metric([status, f"{quantile:g}"], figure)
    yield took
    yield steps


def budget(cursor: Any) -> Iterator[Metric]:
    """Yield how many orders may still be started; nothing if there is no limit."""
    rate = settings.ORDER_RATE_LIMIT
    if rate is None:
        return
    ((used,),) = fetch(cursor, sql.STARTED, {"window": rate.seconds})
    yield gauge("budget_window_seconds", "Length of the window that limits starts.", rate.seconds)
    yield gauge("budget_used", "Orders started in the last window.", used)
    yield gauge("budget_left", "Orders that may be started now.", max(rate.count - used, 0))


def wallet(cursor: Any) -> Iterator[Metric]:
    """Yield what the wallet holds, and what it has signed for; nothing if there is none."""
    if settings.VENUES == "simulated" or not (rows := fetch(cursor, WALLET, {})):
        return
    found = wallet_of(rows[0])
    yield gauge("wallet_age_seconds", "Since a worker looked at the wallet.", found.age)
    yield gauge("wallet_warnings", "What runs out of the wallet.", len(found.warnings))
    yield gauge("wallet_lamports", "At the wallet's own address, for fees.", found.lamports)
    atoms = gauge("wallet_atoms", "What the wallet holds of a token.", labels=("mint",))
    for mint, amount in found.atoms.items():
        atoms.add_metric([mint], amount)
    yield atoms
    signed = found.signed_today / UNIT_ATOMS
    yield gauge("wallet_signed_usdc", "Signed for on this day (UTC), in USDC.", signed)
    if most := settings.SOLANA_MAX_DAY_VALUE:
        yield gauge("wallet_day_limit_usdc", "What may be signed for on a day.", float(most))


def processes(cursor: Any) -> Iterator[Metric]:
    """Yield what each process with a recent heartbeat has counted since it started."""
    alive = gauge("processes_alive", "Processes with a fresh heartbeat.", labels=("kind",))
    age = gauge("process_heartbeat_age_seconds", "Since its last heartbeat.", labels=PROCESS)
    families = {name: _family(count) for name, count in COUNTS.items()}
    numbers = dict.fromkeys(KINDS, 0)
    for process, kind, seconds, text in fetch(cursor, sql.HEARTBEATS, {"heard": SHOWN_SECONDS}):
        numbers[kind] = numbers.get(kind, 0) + (seconds <= ALIVE_SECONDS)
        age.add_metric([kind, process], seconds)
        for name, values, number in figures_of(kind, orjson.loads(text)):
            families[name].add_metric([kind, process, *values], number)
    for kind, number in numbers.items():
        alive.add_metric([kind], number)
    yield from (alive, age, *families.values())


def figures_of(kind: str, heartbeat: dict[str, float]) -> Iterator[tuple[str, list[str], float]]:
    """Yield name, label values and number of each figure in a heartbeat, zeros as well."""
    zeros = {name: 0.0 for name, count in COUNTS.items() if count.kind == kind}
    if kind == "web":
        zeros |= {f"security_events:{event}": 0.0 for event in EVENTS}
        heartbeat["sockets_open"] = heartbeat.get("sockets_opened", 0) - heartbeat.get(
            "sockets_closed", 0
        )
    for key, number in (zeros | heartbeat).items():
        name, *values = re.split("[:/]", key)
        count = COUNTS.get(name)
        if count is not None and len(values) == len(count.labels):  # else another version wrote it
            yield name, values, number


def _family(count: Count) -> Any:
    says = f"{count.says} Since the process started." if count.only_grows else count.says
    family = CounterMetricFamily if count.only_grows else GaugeMetricFamily
    return family(f"engine_process_{count.name}", says, labels=(*PROCESS, *count.labels))


def gauge(
    name: str, says: str, value: float | None = None, labels: Sequence[str] | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"engine_{name}", says, value=value, labels=labels)


def fetch(cursor: Any, query: str, parameters: dict[str, Any]) -> list[Row]:
    cursor.execute(query, parameters)
    rows: list[Row] = cursor.fetchall()
    return rows


registry = CollectorRegistry()
registry.register(EngineCollector())
silence = CollectorRegistry()
silence.register(Silence())
