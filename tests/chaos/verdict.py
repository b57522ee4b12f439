"""What a run did and what it left: one line of JSON, and the evidence when a promise was broken."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from orders.lifecycle import FINAL
from tests.chaos.clients import Clients
from tests.chaos.plan import Options
from tests.chaos.stack import Stack
from tests.checker import LANDED, Orders, load, order_violations, transcript_violations

REFUSED = re.compile(r"ERROR: .*(?:violates|may not go from|never deleted).*")
"""What PostgreSQL's constraints and triggers say: the wall behind the journal was hit."""
JUNK_CODES = {1011, 4400, 4404, 4429}
"""A stream of an order that exists, asked for properly, is never closed with these."""
TRANSACTIONS = """
SELECT attempt, left(signature, 8), outcome, expires_at_height, created_at, settled_at
FROM order_transactions WHERE order_id = %s ORDER BY attempt
"""
LINES = 40  # of processes' logs for one order
SHOWN = 5  # orders with their whole evidence


@dataclass
class Verdict:
    """All promises are kept if the counts from `doubled` to `late_stops` are zero."""

    seed: int
    accepted: int = 0
    """Orders that are stored."""
    answered: int = 0
    """Orders whose 201 a client has seen; a POST whose answer was lost was sent again."""
    confirmed: int = 0
    failed: int = 0
    cancelled: int = 0
    landings_per_signature_max: int = 0
    doubled: int = 0
    """Orders with more than one successful landing."""
    lost: int = 0
    """Orders that were answered and are not there, or that had not ended in time."""
    gaps: int = 0
    """Orders whose log is not 1..n."""
    wrong_transcripts: int = 0
    """Clients that were told anything else than their order's log, or not its end."""
    other: int = 0
    """Orders with any other broken promise."""
    refused_by_constraints: int = 0
    """Writes that got past the journal's compare-and-set and that PostgreSQL had to refuse."""
    late_stops: int = 0
    """Processes that did not end within the grace after SIGTERM."""
    drain_seconds: float | None = None
    """From the last fault and the last 201 until everything had ended; None: not in time."""
    restarts: int = 0
    faults: int = 0
    deaths: dict[str, int] = field(default_factory=dict)
    """Processes that ended by themselves, by kind and exit code."""
    retried_posts: int = 0
    reconnected_streams: int = 0
    without: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """The names of the promises that were broken."""
        must_be_zero = (
            *("doubled", "lost", "gaps", "wrong_transcripts", "other"),
            *("refused_by_constraints", "late_stops"),
        )
        found = [name for name in must_be_zero if getattr(self, name)]
        return found if self.drain_seconds is not None else [*found, "drain_seconds"]

    def as_line(self) -> str:
        return json.dumps(asdict(self))


def judge(
    options: Options, stack: Stack, clients: Clients, drain_seconds: float | None, logs: Path
) -> tuple[Verdict, list[str]]:
    """Return the verdict, and the evidence of what is broken."""
    orders = load(stack.database)
    broken: dict[str, list[str]] = defaultdict(list)
    verdict = Verdict(
        seed=options.seed,
        accepted=len(orders),
        answered=len(clients.answered),
        landings_per_signature_max=_most_landings(stack.database),
        refused_by_constraints=len(REFUSED.findall(stack.postgres.log)),
        late_stops=len(stack.late_stops),
        drain_seconds=drain_seconds,
        restarts=stack.restarts,
        deaths=dict(stack.deaths),
        retried_posts=sum(n for status, n in clients.answers.items() if not 0 < status < 500),
        reconnected_streams=sum(n for code, n in clients.closes.items() if code != 1000),
        without=sorted(options.without),
    )
    statuses = Counter(facts.status for facts in orders.values())
    verdict.confirmed, verdict.failed = statuses["confirmed"], statuses["failed"]
    verdict.cancelled = statuses["cancelled"]
    _judge_orders(verdict, orders, clients, broken)
    _judge_transcripts(verdict, orders, clients, broken)
    junk = {code: n for code, n in clients.closes.items() if code in JUNK_CODES}
    verdict.wrong_transcripts += sum(junk.values())
    general = [f"streams were closed with {junk}"] if junk else []
    general += [f"{name} did not end within its grace" for name in stack.late_stops]
    general += REFUSED.findall(stack.postgres.log)[:SHOWN]
    return verdict, general + _evidence(stack.database, orders, broken, logs)


def _judge_orders(
    verdict: Verdict, orders: Orders, clients: Clients, broken: dict[str, list[str]]
) -> None:
    for order_id in set(clients.answered) - set(orders):
        verdict.lost += 1
        broken[order_id].append(f"order {order_id}: answered with 201 and not stored")
    for order_id, facts in orders.items():
        found = order_violations(order_id, facts)
        has_gap = [e.seq for e in facts.log] != list(range(1, len(facts.log) + 1))
        verdict.gaps += has_gap
        verdict.doubled += facts.landings > 1
        if facts.status not in FINAL:
            verdict.lost += 1
            found.append(f"order {order_id}: still {facts.status} at the end of the time")
        elif order_id in clients.cancelled and facts.status != "cancelled":
            verdict.other += 1
            found.append(f"order {order_id}: cancelled with 200, and it is {facts.status}")
        elif found and not has_gap and facts.landings <= 1:
            verdict.other += 1
        broken[order_id] += found


def _judge_transcripts(
    verdict: Verdict, orders: Orders, clients: Clients, broken: dict[str, list[str]]
) -> None:
    for follower in clients.followers:
        found = transcript_violations(orders, follower.transcript)
        facts = orders.get(follower.order_id)
        if facts and facts.status in FINAL and not follower.is_complete:
            seqs = [message["seq"] for message in follower.messages]
            found.append(f"order {follower.order_id}: a client was told {seqs} and not the end")
        verdict.wrong_transcripts += bool(found)
        broken[follower.order_id] += found


def _most_landings(database: str) -> int:
    with psycopg.connect(database) as connection:
        landed = Counter(row[0] for row in connection.execute(LANDED))
    return max(landed.values(), default=0)


def _evidence(database: str, orders: Orders, broken: dict[str, list[str]], logs: Path) -> list[str]:
    """Return what is broken of each order; for the first few, their logs and their processes'."""
    found: list[str] = []
    guilty = [order_id for order_id, sentences in broken.items() if sentences]
    for place, order_id in enumerate(guilty):
        found += broken[order_id]
        if place < SHOWN and order_id in orders:
            found += [
                f"  {event.seq} {event.at} {event.status}: {event.message}"
                for event in orders[order_id].log
            ]
            found += [f"  transaction {row}" for row in _transactions(database, order_id)]
            found += [f"  {line}" for line in _lines_about(order_id, logs)]
    return found


def _transactions(database: str, order_id: str) -> Sequence[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(TRANSACTIONS, [order_id]).fetchall()


def _lines_about(order_id: str, logs: Path) -> list[str]:
    return [
        f"{path.name}: {line}"
        for path in sorted(logs.glob("*.log"))
        for line in path.read_text(errors="replace").splitlines()
        if order_id in line
    ][:LINES]
