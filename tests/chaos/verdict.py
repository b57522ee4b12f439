"""What a run did and what it left: one line of JSON, and the evidence when a promise was broken."""

import json
import re
from collections import Counter
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
    """All promises are kept if the counts from `repeated` to `late_stops` are zero."""

    seed: int
    accepted: int = 0
    """Orders that are stored."""
    answered: int = 0
    """Orders whose answer a client has seen; a POST whose answer was lost was sent again."""
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
    """How many were done and undone; `faults.log`, beside the processes' logs, tells when."""
    deaths: dict[str, int] = field(default_factory=dict)
    """Processes that ended by themselves, by kind and exit code."""
    retried_posts: int = 0
    reconnected_streams: int = 0
    without: list[str] = field(default_factory=list)

    @property
    def repeated(self) -> int:
        """Orders that a POST made which had the key of another."""
        return max(0, self.accepted - self.answered)

    @property
    def broken(self) -> list[str]:
        """The names of the promises that were broken."""
        must_be_zero = (
            *("repeated", "doubled", "lost", "gaps", "wrong_transcripts", "other"),
            *("refused_by_constraints", "late_stops"),
        )
        found = [name for name in must_be_zero if getattr(self, name)]
        return found if self.drain_seconds is not None else [*found, "drain_seconds"]

    def as_line(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that was broken, of one order or (None) of the whole run."""

    order_id: str | None
    sentence: str


def judge(
    options: Options, stack: Stack, clients: Clients, drain_seconds: float | None, logs: Path
) -> tuple[Verdict, list[str]]:
    """Return the verdict, and the evidence of what is broken."""
    orders = load(stack.database)
    statuses = Counter(facts.status for facts in orders.values())
    refused = REFUSED.findall(stack.postgres.log)
    verdict = Verdict(
        seed=options.seed,
        accepted=len(orders),
        answered=len(clients.answered),
        confirmed=statuses["confirmed"],
        failed=statuses["failed"],
        cancelled=statuses["cancelled"],
        landings_per_signature_max=_most_landings(stack.database),
        refused_by_constraints=len(refused),
        late_stops=len(stack.late_stops),
        drain_seconds=drain_seconds,
        restarts=stack.restarts,
        deaths=dict(stack.deaths),
        retried_posts=sum(n for status, n in clients.answers.items() if not 0 < status < 500),
        reconnected_streams=sum(n for code, n in clients.closes.items() if code != 1000),
        without=sorted(options.without),
    )
    broken = [
        *(Broken(None, sentence) for sentence in refused[:SHOWN]),
        *(Broken(None, f"{name} did not end within its grace") for name in stack.late_stops),
        *judge_orders(verdict, orders, clients),
        *judge_clients(verdict, orders, clients),
    ]
    return verdict, _evidence(stack.database, orders, broken, logs)


def judge_orders(verdict: Verdict, orders: Orders, clients: Clients) -> list[Broken]:
    """Count into the verdict what is broken of the orders, and return it."""
    missing = set(clients.answered) - set(orders)
    verdict.lost += len(missing)
    broken = [Broken(one, f"order {one}: answered with 201 and not stored") for one in missing]
    for order_id, facts in orders.items():
        found = order_violations(order_id, facts)
        is_doubled = facts.landings > 1
        verdict.doubled += is_doubled
        verdict.gaps += [event.seq for event in facts.log] != list(range(1, len(facts.log) + 1))
        if facts.status not in FINAL:
            verdict.lost += 1
            found.append(f"order {order_id}: still {facts.status} at the end of the time")
        if order_id in clients.cancelled and facts.status != "cancelled":
            found.append(f"order {order_id}: cancelled with 200, and it is {facts.status}")
        verdict.other += bool(found) and not is_doubled and facts.status in FINAL
        broken += [Broken(order_id, sentence) for sentence in found]
    return broken


def judge_clients(verdict: Verdict, orders: Orders, clients: Clients) -> list[Broken]:
    """Count into the verdict what clients were told wrongly, and return it."""
    junk = {code: n for code, n in clients.closes.items() if code in JUNK_CODES}
    verdict.wrong_transcripts += sum(junk.values())
    broken = [Broken(None, f"streams were closed with {junk}")] if junk else []
    for follower in clients.followers:
        found = transcript_violations(orders, follower.transcript)
        facts = orders.get(follower.order_id)
        if facts and facts.status in FINAL and not follower.is_complete:
            seqs = [message["seq"] for message in follower.messages]
            found.append(f"order {follower.order_id}: a client was told {seqs} and not the end")
        verdict.wrong_transcripts += bool(found)
        broken += [Broken(follower.order_id, sentence) for sentence in found]
    return broken


def _most_landings(database: str) -> int:
    with psycopg.connect(database) as connection:
        landed = Counter(row[0] for row in connection.execute(LANDED))
    return max(landed.values(), default=0)


def _evidence(database: str, orders: Orders, broken: Sequence[Broken], logs: Path) -> list[str]:
    """Return what is broken; for the first few orders, their logs and their processes' too."""
    found = [one.sentence for one in broken]
    guilty = dict.fromkeys(one.order_id for one in broken if one.order_id in orders)
    for order_id in list(guilty)[:SHOWN]:
        found.append(f"order {order_id}:")
        found += [
            f"  {line.seq} {line.at} {line.status}: {line.message}" for line in orders[order_id].log
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
