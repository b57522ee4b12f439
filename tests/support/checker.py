"""The event-log checker: what must be true of any run of the engine, whatever was done to it.

`violations` is a pure function over what is known of a run; `load` reads that from the database.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import TupleRow

from orders.events import Event
from orders.lifecycle import FINAL, TRANSITIONS, Status

Message = Mapping[str, Any]
"""A message of a stream, parsed."""

MAY_HAVE_FILLED = (Status.SUBMITTED, Status.CONFIRMED)


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """What is stored of one order, and how often the network swapped for it."""

    status: str
    seq: int
    attempts: int
    log: Sequence[Event]
    landings: int
    is_sliced: bool = False
    """Whether it is the parent of slices: they land, and it never does."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What one client received, in order; `after` is the seq it asked for events after."""

    messages: Sequence[Message]
    after: int = 0
    is_complete: bool = False
    """Whether the server closed it because all had been told (1000)."""


Orders = Mapping[str, OrderFacts]


@dataclass(slots=True)
class _Findings:
    found: list[str] = field(default_factory=list)

    def expect(self, holds: bool, order_id: str, broken: str) -> None:
        if not holds:
            self.found.append(f"order {order_id}: {broken}")


def violations(orders: Orders, transcripts: Iterable[Transcript] = ()) -> list[str]:
    """Return a sentence for each promise that was broken; an empty list means all were kept."""
    found = [broken for pair in orders.items() for broken in order_violations(*pair)]
    for transcript in transcripts:
        found += transcript_violations(orders, transcript)
    return found


def order_violations(order_id: str, facts: OrderFacts) -> list[str]:
    """Return what is broken of one order: its log, its status, its landings."""
    findings = _Findings()
    _check_log(findings, order_id, facts)
    _check_landings(findings, order_id, facts)
    return findings.found


def transcript_violations(orders: Orders, transcript: Transcript) -> list[str]:
    """Return where what one client was told differs from the logs."""
    findings = _Findings()
    _check_transcript(findings, orders, transcript)
    return findings.found


def _check_log(findings: _Findings, order_id: str, facts: OrderFacts) -> None:
    seqs = [event.seq for event in facts.log]
    findings.expect(
        seqs == list(range(1, len(seqs) + 1)), order_id, f"the log has seqs {seqs}, not 1..n"
    )
    if not facts.log:
        findings.expect(False, order_id, "the log is empty")
        return
    statuses = [Status(event.status) for event in facts.log]
    begins = statuses[0] in (Status.PENDING, Status.OPEN)
    findings.expect(begins, order_id, f"the log begins with {statuses[0]}")
    for before, after in pairwise(statuses):
        findings.expect(after in TRANSITIONS[before], order_id, f"{before} was followed by {after}")
    times = [event.at for event in facts.log]
    findings.expect(times == sorted(times), order_id, "the log's times go back")
    findings.expect(
        statuses[-1] == facts.status,
        order_id,
        f"its status is {facts.status}, its last event says {statuses[-1]}",
    )
    findings.expect(
        seqs[-1] == facts.seq, order_id, f"its seq is {facts.seq}, its last event's {seqs[-1]}"
    )
    finals = sum(status in FINAL for status in statuses)
    findings.expect(
        finals == int(Status(facts.status) in FINAL), order_id, f"it has {finals} final events"
    )
    starts = statuses.count(Status.ROUTING)
    findings.expect(
        starts == facts.attempts,
        order_id,
        f"{facts.attempts} attempts are counted, the log shows {starts}",
    )


def _check_landings(findings: _Findings, order_id: str, facts: OrderFacts) -> None:
    if facts.status == Status.CONFIRMED:
        wanted = int(not facts.is_sliced)
        findings.expect(
            facts.landings == wanted, order_id, f"it is confirmed with {facts.landings} landings"
        )
    else:
        most = int(facts.status in MAY_HAVE_FILLED and not facts.is_sliced)
        findings.expect(
            facts.landings <= most, order_id, f"it is {facts.status} with {facts.landings} landings"
        )


def _check_transcript(findings: _Findings, orders: Orders, transcript: Transcript) -> None:
    """The messages of each order are a slice of its log, without gap, from `after` on."""
    by_order: dict[str, list[Message]] = {}
    for message in transcript.messages:
        if "seq" in message:  # neither a greeting nor an error
            by_order.setdefault(message["orderId"], []).append(message)
    for order_id, messages in by_order.items():
        if order_id not in orders:
            findings.expect(False, order_id, "a client was told of an order that does not exist")
            continue
        log = orders[order_id].log
        told = [message["seq"] for message in messages]
        expected = list(range(transcript.after + 1, transcript.after + 1 + len(told)))
        findings.expect(
            told == expected, order_id, f"a client was told {told} after {transcript.after}"
        )
        logged = {event.seq: event.as_message() for event in log}
        for message in messages:
            entry = logged.get(message["seq"])
            findings.expect(
                dict(message) == entry,
                order_id,
                f"a client was told {message}, the log has {entry}",
            )
        if transcript.is_complete:
            findings.expect(
                bool(log) and told[-1:] == [log[-1].seq] and log[-1].is_final,
                order_id,
                f"a stream ended after {told}, before the final event",
            )


FACTS = """
SELECT id, status, seq, attempts, type = 'twap' FROM orders
WHERE %(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s)
"""
LOG = """
SELECT order_id, seq, status, attempt, message, at, data, event FROM order_events
WHERE %(ids)s::uuid[] IS NULL OR order_id = ANY(%(ids)s) ORDER BY order_id, seq
"""
SIGNATURES = """
SELECT order_id, signature FROM order_transactions
WHERE %(ids)s::uuid[] IS NULL OR order_id = ANY(%(ids)s)
"""
# One that awaits its landing counts: nobody may act as if it could not swap any more.
LANDED = """
SELECT signature FROM simulated_network_transactions
WHERE lands_at IS NOT NULL AND rejection = ''
"""


def load(
    conninfo: str, only: Iterable[Any] | None = None, landed: Iterable[str] | None = None
) -> dict[str, OrderFacts]:
    """Read all orders, or only these, as they stood at one moment.

    `landed`: signatures, one for each landing, if it was not on the simulated network.
    """
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        return read(connection, only, landed)


def read(
    connection: psycopg.Connection[TupleRow],
    only: Iterable[Any] | None = None,
    landed: Iterable[str] | None = None,
) -> dict[str, OrderFacts]:
    """Do as `load`, on a connection that is there."""
    ids = {"ids": None if only is None else [str(one) for one in only]}
    with connection.transaction():
        orders = connection.execute(FACTS, ids).fetchall()
        lines = connection.execute(LOG, ids).fetchall()
        signatures = connection.execute(SIGNATURES, ids).fetchall()
        recorded = [row[0] for row in connection.execute(LANDED).fetchall()]
    times = Counter(recorded if landed is None else landed)
    landings: Counter[str] = Counter()
    for order_id, signature in signatures:
        landings[str(order_id)] += times[signature]
    logs: dict[str, list[Event]] = {}
    for line in lines:
        logs.setdefault(str(line[0]), []).append(_event(line))
    facts = {
        str(row[0]): OrderFacts(*row[1:4], logs.pop(str(row[0]), []), landings[str(row[0])], row[4])
        for row in orders
    }
    assert not logs, f"events without an order: {sorted(logs)}"
    return facts


def _event(line: TupleRow) -> Event:
    return Event(str(line[0]), line[1], Status(line[2]), *line[3:])
