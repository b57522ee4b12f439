"""The operators' first page: how the engine stands, in words and figures made from one reading.

The page is drawn on the server. Its script asks for the same panels again and puts in what has
changed, so the page says the same without a script.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.template.loader import render_to_string

from orders.admin_pages.addresses import orders_url
from orders.admin_pages.filters import UNDER_WAY
from orders.admin_pages.lines import MOST, Line, line_of
from orders.admin_pages.wording import bytes_text, grouped, short_id, span_text
from orders.lifecycle import CANCELLABLE, FINAL, Status
from orders.models import Order
from orders.monitoring.minutes import MINUTE, Minute, VenueMinute, quantile_ms
from orders.monitoring.operations import Flagged, Operations
from orders.monitoring.operations_sql import MOST_COUNTED, MOST_RECENT
from orders.monitoring.processes import ALIVE, SILENT, Process
from orders.monitoring.verdict import WELL, Finding, findings
from orders.monitoring.wallet import WALLET, wallet_of
from orders.representation import headline
from routing.tokens import SOL
from routing.venues import LABELS

NOTHING = "-"
PANELS = ("verdict", "signals", "flow", "processes", "venues", "person", "happened")
MOST_NEEDING = 8
MOST_SHOWN = 10
STALE_STEP_SECONDS = 10
FORGOTTEN_SECONDS = 600
"""A process that has been silent for longer was stopped on purpose: it is in the list alone."""


class Figure(NamedTuple):
    """One of the four figures of what clients feel."""

    label: str
    figure: str
    unit: str
    line: Line
    note: str
    link: str = ""
    link_text: str = ""


class FlowStep(NamedTuple):
    label: str
    orders: str
    note: str
    url: str
    tone: str


class Row(NamedTuple):
    """A process, or a server that they need."""

    name: str
    release: str
    up: str
    heard: str
    load: str
    used: float | None
    """Of 1; None: it has no measure."""
    cpu: str
    memory: str
    warnings: str
    is_bad: bool
    is_server: bool = False


class VenueRow(NamedTuple):
    label: str
    asked: str
    answered: str
    is_bad: bool
    p95: str
    won: str
    url: str
    beyond: str
    line: Line


class FailureRow(NamedTuple):
    code: str
    url: str
    orders: int
    share: int
    """Of 100, compared with the most frequent one."""
    more: str
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Need:
    """An order that needs a person."""

    order: Order
    headline: str
    short_id: str
    age: str
    reason: str
    seen: str
    may_cancel: bool
    may_retry: bool


class Happening(NamedTuple):
    at: float
    """Unix seconds."""
    clock: str
    who: str
    what: str


def page_context(found: Operations, request: HttpRequest) -> dict[str, Any]:
    """Return all that the panels' templates show."""
    wrong = findings(found)
    first = wrong[0] if wrong else WELL
    return {
        "found": found,
        "first": first,
        "page_title": page_title(first),
        "others": wrong[1:],
        "is_halted": found.engine.health["state"] == "halted",
        "may_halt": request.user.has_perm("orders.add_tradingstate"),
        "may_operate": request.user.has_perm("orders.change_order"),
        "signals": signals(found),
        "flow": flow(found),
        "starts": starts(found),
        "carried": carried(found),
        "leases": leases_text(found),
        "empty_in": empty_in(found),
        "under_way": count_text(sum(step.orders for step in found.steps.values())),
        "processes": [*process_rows(found), *server_rows(found)],
        "venues": venue_rows(found),
        "failures": failure_rows(found),
        "needs": needs(found),
        "unseen": len(found.unseen),
        "happened": happened(found),
        "panels": PANELS,
    }


def page_title(first: Finding) -> str:
    """Return the state in few words, for the tab of a browser."""
    state = first.title.partition(":")[0] if first.name else "Well"
    return f"{state} · Engine"


def panels_as_json(found: Operations, request: HttpRequest) -> dict[str, Any]:
    """Return the state, the figures, and the HTML of each panel."""
    context = page_context(found, request)
    first: Finding = context["first"]
    last = found.last_minute
    return {
        "asOf": found.as_of.isoformat(),
        "title": page_title(first),
        "verdict": {
            **{"alarm": first.name or None, "tone": first.tone, "title": first.title},
            "text": first.text,
        },
        "findings": [finding.name for finding in (first, *context["others"]) if finding.name],
        "engine": found.engine.as_json(),
        "lastMinute": None if last is None else {"at": last.minute, **_figures_of(last)},
        "steps": {status: step._asdict() for status, step in found.steps.items()},
        "processes": [
            {"process": one.name, "kind": one.kind, "state": one.state, "heard": one.heard_seconds}
            for one in found.processes
        ],
        "failures": [failure._asdict() for failure in found.failures],
        "needingAttention": [str(one.order_id) for one in found.unseen],
        "panels": {
            name: render_to_string(f"admin/operations/{name}.html", context, request)
            for name in PANELS
        },
    }


def _figures_of(minute: Minute) -> dict[str, Any]:
    names = ("accepted", "confirmed", "failed", "cancelled", "expired", "refused", "p50", "p95")
    return {name: getattr(minute, name) for name in names}


# What clients feel


def signals(found: Operations) -> tuple[Figure, ...]:
    hour = by_minute(found)
    return (_accepted(found, hour), _confirmed(found, hour), _times(found, hour), _streams(hour))


def by_minute(found: Operations) -> list[Minute | None]:
    """Return the last hour, a place for each minute: None where none was stored."""
    known = {one.minute: one for one in found.minutes}
    last = int(found.as_of.timestamp()) // MINUTE * MINUTE - MINUTE
    if last not in known:  # it is stored some seconds after its end
        last -= MINUTE
    return [known.get(last - MINUTE * back) for back in range(MOST - 1, -1, -1)]


def values(hour: Iterable[Minute | None], name: str) -> list[float | None]:
    return [None if one is None else getattr(one, name) for one in hour]


def total(minutes: Iterable[Minute | None], name: str) -> int:
    return sum(getattr(one, name) or 0 for one in minutes if one is not None)


def newest(hour: Sequence[Minute | None]) -> Minute | None:
    return next((one for one in reversed(hour[-3:]) if one is not None), None)


def _accepted(found: Operations, hour: Sequence[Minute | None]) -> Figure:
    last = newest(hour)
    notes = [
        *([change] if (change := _change(found)) else []),
        f"{total(hour, 'refused'):,} refused (429)",
        f"{total(hour, 'turned_away'):,} turned away (503)",
    ]
    return Figure(
        *("Accepted", NOTHING if last is None else f"{last.accepted:,}", "a minute"),
        line_of(values(hour, "accepted"), "a minute", from_zero=True),
        " · ".join(notes),
    )


def _change(found: Operations) -> str:
    """Return how the hour compares with the one before, a minute with a minute."""
    hour, before = found.last_hour, found.hour_before
    if len(before) < MOST // 2 or not total(before, "accepted"):
        return ""
    now = total(hour, "accepted") / max(len(hour), 1)
    change = now / (total(before, "accepted") / len(before)) - 1
    return f"{change:+.0%} on the hour before".replace("%", " %").replace("-", "\N{MINUS SIGN}")


def _confirmed(found: Operations, hour: Sequence[Minute | None]) -> Figure:
    confirmed, failed = found.ended(Status.CONFIRMED), found.ended(Status.FAILED)
    share = NOTHING if not confirmed + failed else f"{_percent(confirmed, confirmed + failed)} %"
    others = found.ended(Status.CANCELLED) + found.ended(Status.EXPIRED)
    part = "newest " if confirmed + failed + others >= MOST_RECENT else ""
    return Figure(
        *("Confirmed", share, "of those that ended"),
        line_of(values(hour, "success_percent"), "%"),
        f"{part}{confirmed:,} confirmed · {others:,} cancelled or expired",
        orders_url(created="hour", status="failed"),
        f"{failed:,} failed",
    )


def _percent(part: int, whole: int) -> str:
    """Return a share, rounded down: 99.99 % does not mean all of them."""
    return f"{part * 1000 // whole / 10:g}"


def _times(found: Operations, hour: Sequence[Minute | None]) -> Figure:
    last = next((one for one in reversed(hour) if one and one.p50 is not None), None)
    line = line_of(values(hour, "p50"), "s")
    if last is None or last.p50 is None or last.p95 is None or last.p99 is None:
        return Figure("Time to confirm", NOTHING, "median", line, "none in the last hour")
    note = f"p95 {last.p95:.2f} s · p99 {last.p99:.2f} s · of market orders"
    return Figure("Time to confirm", f"{last.p50:.2f} s", "median", line, note)


def _streams(hour: Sequence[Minute | None]) -> Figure:
    last, hints = newest(hour), total(hour, "hints")
    share = 100 * total(hour, "resynced") / hints if hints else 0.0
    cut = total(hour, "cut_off")
    return Figure(
        *("Streams", NOTHING if last is None else f"{last.streams:,}", "open"),
        line_of(values(hour, "streams"), "open", from_zero=True),
        f"{share:.2f} % of events found by resync · {cut:,} slow readers cut off",
    )


# Orders under way


def flow(found: Operations) -> tuple[FlowStep, ...]:
    waiting, oldest = found.engine.waiting, found.engine.oldest_waiting
    url = orders_url(status=UNDER_WAY)
    steps = [
        FlowStep("Waiting", count_text(waiting), _oldest(oldest), url, _tone(oldest, 60)),
        *(_step(found, status) for status in (Status.ROUTING, Status.BUILDING, Status.SUBMITTED)),
        _retry(found),
    ]
    last = newest(by_minute(found))
    ended = NOTHING if last is None or last.ended is None else f"{last.ended:,}"
    return (*steps, FlowStep("Ended", ended, "a minute", orders_url(created="hour"), "end"))


def _step(found: Operations, status: Status) -> FlowStep:
    step = found.steps.get(status)
    oldest = step.oldest_seconds if step else None
    count = step.orders if step else 0
    return FlowStep(
        status.value.title(),
        *(count_text(count), _oldest(oldest), orders_url(status=status.value)),
        _tone(oldest, STALE_STEP_SECONDS),
    )


def _retry(found: Operations) -> FlowStep:
    step = found.steps.get(Status.PENDING)
    note = "none"
    if step is not None and step.next_seconds is not None:
        note = f"next in {max(0.0, step.next_seconds):.1f} s"
    url = orders_url(status=Status.PENDING.value)
    return FlowStep("Waits for a retry", count_text(step.orders if step else 0), note, url, "")


def _oldest(seconds: float | None) -> str:
    if seconds is None:
        return "none"
    return f"oldest {seconds:.1f} s" if seconds < 100 else f"oldest {span_text(seconds)}"


def _tone(oldest: float | None, most: float) -> str:
    return "hot" if oldest is not None and oldest > most else ""


def count_text(count: int) -> str:
    return f"{count:,}+" if count >= MOST_COUNTED else f"{count:,}"


def starts(found: Operations) -> tuple[int, int] | None:
    """Return how many orders have started in this window, and how many may; None: no limit."""
    rate = settings.ORDER_RATE_LIMIT
    if rate is None or found.engine.budget is None:
        return None
    return rate.count - found.engine.budget, rate.count


def carried(found: Operations) -> tuple[int, int]:
    """Return how many orders the live workers carry, and how many they can."""
    workers = found.alive("worker")
    return sum(one.carrying for one in workers), len(workers) * settings.ORDER_CONCURRENCY


def leases_text(found: Operations) -> tuple[str, str]:
    leases = found.leases
    soon = ""
    if leases.ending and leases.ends_in is not None:
        soon = f"{leases.ending:,} end in {leases.ends_in:.0f} s"
    return f"{leases.ended:,}", soon


def empty_in(found: Operations) -> str:
    last = newest(by_minute(found))
    if not found.engine.waiting:
        return "nothing waits"
    if last is None or not last.ended:
        return "unknown"
    return f"in {span_text(found.engine.waiting * MINUTE / last.ended)}"


# Processes and what they need


def process_rows(found: Operations) -> list[Row]:
    """Return the silent ones first. One that was stopped long ago is no longer shown."""
    shown = [one for one in found.processes if one.heard_seconds < FORGOTTEN_SECONDS]
    order = {"worker": 0, "web": 1, "scheduler": 2}
    shown.sort(key=lambda one: (one.state == ALIVE, order.get(one.kind, 3), one.name))
    return [_process_row(one) for one in shown]


def _process_row(one: Process) -> Row:
    is_silent = one.state == SILENT
    used = one.carrying / settings.ORDER_CONCURRENCY if one.kind == "worker" else None
    return Row(
        name=f"{one.kind} {one.name}",
        release=one.release or NOTHING,
        up=NOTHING if one.up_seconds is None else span_text(one.up_seconds),
        heard=span_text(one.heard_seconds),
        load=one.load_text,
        used=used,
        cpu=NOTHING if is_silent or one.cpu_percent is None else f"{one.cpu_percent:.0f} %",
        memory=bytes_text(one.memory),
        warnings=f"{one.warnings:,}",
        is_bad=one.state != ALIVE,
    )


def server_rows(found: Operations) -> list[Row]:
    postgres, redis = found.postgres, found.redis
    oldest = postgres.oldest_transaction
    rows = [
        Row(
            name=f"PostgreSQL {postgres.version.split()[0]}",
            release="",
            up=span_text(postgres.up_seconds),
            heard=f"{postgres.latency_ms:.1f} ms",
            load=f"{postgres.connections}/{postgres.most_connections}",
            used=postgres.connections / postgres.most_connections,
            cpu="",
            memory="",
            warnings="no open transaction"
            if oldest is None
            else f"oldest transaction {span_text(oldest)}",
            is_bad=oldest is not None and oldest > MINUTE,
            is_server=True,
        )
    ]
    if redis is None:
        state = found.engine.health["redis"]
        name = "Redis does not answer" if state == "down" else "Redis refuses"
        rows.append(
            Row(name, "", NOTHING, NOTHING, NOTHING, None, "", "", "", is_bad=True, is_server=True)
        )
    else:
        rows.append(
            Row(
                name=redis.version,
                release="",
                up=span_text(redis.up_seconds),
                heard=f"{redis.latency_ms:.1f} ms",
                load=bytes_text(redis.memory),
                used=None,
                cpu="",
                memory="",
                warnings=f"{redis.clients:,} clients",
                is_bad=False,
                is_server=True,
            )
        )
    return sorted([*rows, *wallet_rows()], key=lambda row: not row.is_bad)


def wallet_rows() -> list[Row]:
    """Return the wallet's row, if there is a wallet."""
    if settings.VENUES == "simulated":
        return []
    with connection.cursor() as cursor:
        cursor.execute(WALLET)
        row = cursor.fetchone()
    if row is None:
        told = "no worker has looked yet"
        return [Row("Wallet", "", "", NOTHING, NOTHING, None, "", "", told, True, is_server=True)]
    found = wallet_of(row)
    held = ", ".join(f"{amount} {symbol}" for symbol, amount in found.tokens().items())
    told = "; ".join([f"{found.address} on {found.network}: {held}", *found.warnings])
    load = f"{SOL.to_text(found.lamports)} SOL"
    is_bad = bool(found.warnings)
    return [Row("Wallet", "", "", "", load, None, "", "", told, is_bad, is_server=True)]


# Venues, and why orders fail


def venue_rows(found: Operations) -> list[VenueRow]:
    hour = by_minute(found)
    others = {name for one in hour if one for name in one.venues or {}} - LABELS.keys()
    names = [*LABELS, *sorted(others)]
    return [_venue_row(found, hour, name) for name in names]


def _venue_row(found: Operations, hour: Sequence[Minute | None], name: str) -> VenueRow:
    minutes = [one.venues.get(name) if one and one.venues is not None else None for one in hour]
    known = [one for one in minutes if one is not None]
    asked, answered = sum(one.asked for one in known), sum(one.answered for one in known)
    p95 = quantile_ms([quote for one in known for quote in one.quotes], 0.95)
    won = sum(
        one.orders for one in found.outcomes if (one.venue, one.status) == (name, Status.CONFIRMED)
    )
    beyond = sum(
        one.orders
        for one in found.outcomes
        if (one.venue, one.failure_code) == (name, "slippage_exceeded")
    )
    return VenueRow(
        label=LABELS.get(name, name),
        asked=f"{asked:,}",
        answered=f"{_percent(answered, asked)} %" if asked else NOTHING,
        is_bad=asked > 0 and answered < 0.99 * asked,
        p95=NOTHING if p95 is None else f"{p95:.0f} ms",
        won=f"{won:,}",
        url=orders_url(venue=name, created="hour"),
        beyond=f"{beyond:,}",
        line=line_of([_p95_of(one) for one in minutes], "ms"),
    )


def _p95_of(one: VenueMinute | None) -> float | None:
    return None if one is None else quantile_ms(one.quotes, 0.95)


def failure_rows(found: Operations) -> list[FailureRow]:
    shown = [one for one in found.failures if one.last_hour]
    most = max((one.last_hour for one in shown), default=1)
    return [
        FailureRow(
            code=one.code.replace("_", " "),
            url=orders_url(failure_code=one.code, created="hour"),
            orders=one.last_hour,
            share=round(100 * one.last_hour / most),
            more=f"{one.beyond_mean:+,}".replace("-", "\N{MINUS SIGN}") if one.beyond_mean else "0",
            is_bad=one.beyond_mean > 1,
        )
        for one in shown
    ]


# What needs a person, and what happened


def needs(found: Operations) -> list[Need]:
    shown = found.flagged[:MOST_NEEDING]
    orders = Order.objects.in_bulk([one.order_id for one in shown])
    now = found.as_of
    return [
        _need(one, orders[one.order_id], (now - orders[one.order_id].created_at).total_seconds())
        for one in shown
        if one.order_id in orders
    ]


def _need(one: Flagged, order: Order, age: float) -> Need:
    if order.filled_in is not None:
        reason = "Filled outside its bound. Look at the venue's transaction."
    else:
        reason = (
            "Too many workers were lost in a row while they carried it. Look at their logs before"
            " it is carried again."
        )
    seen = ""
    if one.seen_by is not None and one.seen_seconds is not None:
        seen = f"seen by {one.seen_by}, {span_text(one.seen_seconds)} ago"
    return Need(
        order=order,
        headline=grouped(headline(order)),
        short_id=short_id(order.pk),
        age=span_text(age),
        reason=reason,
        seen=seen,
        may_cancel=order.status in CANCELLABLE,
        may_retry=order.status not in FINAL and not order.resting,
    )


def happened(found: Operations) -> list[Happening]:
    now = found.as_of.timestamp()
    told: list[tuple[float, str, str]] = [
        (deed.at.timestamp(), deed.by, deed.what) for deed in found.deeds
    ]
    for one in found.processes:
        who = f"{one.kind} {one.name}"
        if one.state == SILENT:
            orders = f" with {one.carrying} orders" if one.carrying else ""
            told.append((now - one.heard_seconds, who, f"fell silent{orders}"))
        if one.up_seconds is not None:
            release = f", release {one.release}" if one.release else ""
            told.append((now - one.heard_seconds - one.up_seconds, who, f"started{release}"))
    told.sort(reverse=True)
    return [Happening(at, _clock(at, now), who, what) for at, who, what in told[:MOST_SHOWN]]


def _clock(at: float, now: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S}" if now - at < 86_400 else f"{moment:%Y-%m-%d}"
