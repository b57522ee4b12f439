"""What a run did and what it left: one line of JSON, and the evidence when a promise was broken."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psycopg

from orders.lifecycle import FINAL, Status
from tests.chaos.bot import Bot
from tests.chaos.clients import Clients, name_of
from tests.chaos.plan import Options
from tests.chaos.resting import Snapshots, look_at
from tests.chaos.stack import Stack
from tests.chaos.streams import Report
from tests.support.checker import (
    LANDED,
    OrderFacts,
    Orders,
    load,
    order_violations,
    transcript_violations,
)

REFUSED = re.compile(r"ERROR: .*(?:violates|may not go from|never deleted).*")
"""What PostgreSQL's constraints and triggers say: the wall behind the journal was hit."""
JUNK_CODES = {1011, 4400, 4404, 4429}
"""A stream of an order that exists, asked for properly, is never closed with these."""
TRANSACTIONS = """
SELECT attempt, left(signature, 8), outcome, expires_at_height, created_at, settled_at
FROM order_transactions WHERE order_id = %s ORDER BY attempt
"""
KEYLESS = """
SELECT side, amount_in, id::text FROM orders WHERE idempotency_key IS NULL AND parent_id IS NULL
"""
NOTHING_TOLD = Report()
LINES = 40  # of processes' logs for one order
SHOWN = 5  # orders with their whole evidence


@dataclass
class Verdict:
    """All promises are kept if what `broken` counts is zero."""

    seed: int
    accepted: int = 0
    """Orders that are stored."""
    answered: int = 0
    """Orders whose answer a client has seen; a POST whose answer was lost was sent again."""
    unanswered: int = 0
    """Orders that were sent again and again, and never answered with 201."""
    confirmed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    triggered: int = 0
    """Orders that a price set off."""
    exits: int = 0
    """Orders that the fill of another one made."""
    early: int = 0
    """Orders that fired at a tick which had not reached their trigger."""
    missed: int = 0
    """Orders that did not fire at the first tick that reached it."""
    doubled_groups: int = 0
    """Groups of which both orders filled."""
    exits_missing: int = 0
    """Entries that were seen confirmed and without their exits."""
    torn: int = 0
    """Groups and orders of which a snapshot showed half of what one commit has to do."""
    landings_per_signature_max: int = 0
    doubled: int = 0
    """Orders with more than one successful landing."""
    lost: int = 0
    """Orders that were answered and are not there, or that had not ended and moved no more."""
    gaps: int = 0
    """Orders whose log is not 1..n."""
    wrong_transcripts: int = 0
    """Clients that were told anything else than their order's log, or not its end."""
    other: int = 0
    """Orders with any other broken promise."""
    mis_told: int = 0
    """Orders of which "Nothing was stored" was said and that are stored, or under another id."""
    internal_errors: int = 0
    """Answers of 500."""
    taken_from_stranger: int = 0
    """Tasks of another application in the same Redis that the engine took away."""
    refused_by_constraints: int = 0
    """Writes that got past the journal's compare-and-set and that PostgreSQL had to refuse."""
    events_missed: int = 0
    """Of the account, by readers that came back where their last cursor was."""
    traded: int = 0
    """Orders that the other accounts have sent, each until it was answered."""
    events_told: int = 0
    events_twice: int = 0
    """Told again after a break: all since the last cursor are."""
    wrong_books: int = 0
    """Orders that the bot's books have otherwise than the engine, and its ends without a kill."""
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
    reconnected_readers: int = 0
    without: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    """How many faults of each kind were done and undone."""
    answers: dict[str, int] = field(default_factory=dict)
    """How often an order that was sent was answered by which status and code."""
    answer_seconds: tuple[float, float] | None = None
    """How long these answers took: median, worst. Who waited in vain counts."""
    went_on_seconds: tuple[float, float] | None = None
    """From a fault's end until every order that was open had moved, and a new one had started."""
    went_on_by_kind: dict[str, float] = field(default_factory=dict)
    """The worst of each kind."""
    unknown_stored: int = 0
    """Orders that `outcome_unknown` was said of, and that are stored."""
    unknown_not_stored: int = 0
    bot: dict[str, int] = field(default_factory=dict)
    """If a bot traded beside: its orders, its fills, and how often it was started."""
    unclaimed: int = 0
    """Orders without a key that are stored, though no client saw their 201: it was cut off."""

    @property
    def repeated(self) -> int:
        """Orders that a POST made which had the key of another."""
        return max(0, self.accepted - self.traded - self.exits - self.answered - self.unclaimed)

    @property
    def broken(self) -> list[str]:
        """The names of the promises that were broken."""
        must_be_zero = (
            *("repeated", "doubled", "lost", "gaps", "wrong_transcripts", "other"),
            *("early", "missed", "doubled_groups", "exits_missing", "torn", "events_missed"),
            *(
                "unanswered",
                "refused_by_constraints",
                "late_stops",
                "mis_told",
                "taken_from_stranger",
                "internal_errors",
                "wrong_books",
            ),
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


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that was done and undone, and when that was."""

    kind: str
    ended: datetime


def judge(
    options: Options,
    stack: Stack,
    clients: Clients,
    drain_seconds: float | None,
    logs: Path,
    done: Sequence[Done] = (),
    snapshots: Snapshots | None = None,
    told: Report = NOTHING_TOLD,
    bot: Bot | None = None,
) -> tuple[Verdict, list[str]]:
    """Return the verdict, and the evidence of what is broken.

    `told`: what readers of the account's events were told.
    """
    end = datetime.now(UTC)
    orders = load(stack.database)
    statuses = Counter(facts.status for facts in orders.values())
    refused = REFUSED.findall(stack.postgres_log)
    verdict = Verdict(
        seed=options.seed,
        accepted=len(orders),
        answered=len(clients.answered),
        unanswered=options.orders - clients.done,
        expired=statuses["expired"],
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
        faults=len(done),
        kinds=dict(sorted(Counter(fault.kind for fault in done).items())),
        answers=dict(clients.posts.most_common()),
        answer_seconds=_middle_and_worst(clients.seconds),
        taken_from_stranger=stack.taken_from_stranger,
        internal_errors=clients.answers[500],
        events_missed=sum(told.missed.values()),
        events_told=told.told,
        traded=told.traded,
        events_twice=told.twice,
        reconnected_readers=told.connections,
    )
    _measure_going_on(verdict, orders, done)
    broken = [
        *(Broken(None, sentence) for sentence in refused[:SHOWN]),
        *(Broken(None, f"{name} did not end within its grace") for name in stack.late_stops),
        *judge_orders(verdict, orders, clients, end),
        *judge_clients(verdict, orders, clients),
        *judge_answers(verdict, orders, clients, _names(stack.database)),
        *judge_resting(verdict, stack.database, snapshots or Snapshots()),
        *(judge_bot(verdict, bot) if bot else ()),
    ]
    broken += [
        Broken(None, f"readers by {transport} missed {number} events")
        for transport, number in told.missed.items()
    ]
    if clients.answers[500]:
        broken.append(Broken(None, f"{clients.answers[500]} answers were 500"))
    if stack.taken_from_stranger:
        broken.append(Broken(None, f"{stack.taken_from_stranger} tasks of a stranger were taken"))
    return verdict, _evidence(stack.database, orders, broken, logs)


def judge_orders(
    verdict: Verdict, orders: Orders, clients: Clients, end: datetime | None = None
) -> list[Broken]:
    """Count into the verdict what is broken of the orders, and return it; `end` of the run."""
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
            found.append(f"order {order_id}: still {facts.status}{_last_move(facts, end)}")
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


def judge_answers(
    verdict: Verdict, orders: Orders, clients: Clients, names: Mapping[str, str]
) -> list[Broken]:
    """Count into the verdict what was said wrongly of orders that were sent, and return it.

    `names`: the ids of the stored orders without a key, by their names.
    """
    verdict.unknown_stored = sum(one in orders for one in clients.unknown)
    verdict.unknown_not_stored = len(clients.unknown) - verdict.unknown_stored
    verdict.unclaimed = len(set(names) - clients.names)
    broken = []
    for told in clients.told:
        stored = names.get(told.name)
        if stored is not None and stored != told.order_id:
            said = f"to be {told.order_id}, if at all" if told.order_id else "not to be stored"
            broken.append(Broken(stored, f"order {stored}: stored, and it was said {said}"))
    verdict.mis_told = len(broken)
    return broken


def judge_resting(verdict: Verdict, database: str, seen: Snapshots) -> list[Broken]:
    """Count into the verdict what orders that waited did wrongly, and return it."""
    found = look_at(database)
    verdict.triggered, verdict.exits = found.triggered, found.exits
    verdict.early, verdict.missed = len(found.early), len(found.missed)
    verdict.doubled_groups = len(found.doubled)
    verdict.exits_missing, verdict.torn = len(seen.unprotected), len(seen.torn)
    return [
        *(Broken(one, f"order {one}: {why}") for one, why in (*found.early, *found.missed)),
        *(Broken(None, f"both orders of group {one} filled") for one in found.doubled),
        *(Broken(one, f"order {one}: confirmed without its exits") for one in seen.unprotected),
        *(Broken(None, f"{what} {one}: half of a move was seen") for what, one in seen.torn),
    ]


def judge_bot(verdict: Verdict, bot: Bot) -> list[Broken]:
    """Count into the verdict what the bot's books have wrongly, and return it."""
    grid = bot.grid
    verdict.bot = {"orders": len(bot.order_ids), "fills": grid.fills, "starts": grid.starts}
    verdict.wrong_books = len(bot.wrong)
    return [Broken(None, sentence) for sentence in bot.wrong]


def _last_move(facts: OrderFacts, end: datetime | None) -> str:
    """Tell whether it stood still, or was late."""
    if end is None or not facts.log:
        return " at the end of the time"
    return f"; it moved last {(end - facts.log[-1].at).total_seconds():.1f} s before the end"


def _measure_going_on(verdict: Verdict, orders: Orders, done: Sequence[Done]) -> None:
    """Without faults: what is usual, from the moment at which half of the orders had come."""
    waits: dict[str, list[float]] = {}
    begun = sorted(facts.log[0].at for facts in orders.values() if facts.log)
    for fault in done or [Done("none", one) for one in begun[len(begun) // 2 :][:1]]:
        waits.setdefault(fault.kind, []).append(seconds_until_all_moved(orders, fault.ended))
    verdict.went_on_seconds = _middle_and_worst([one for found in waits.values() for one in found])
    verdict.went_on_by_kind = {kind: round(max(found), 2) for kind, found in sorted(waits.items())}


def seconds_until_all_moved(orders: Orders, since: datetime) -> float:
    """Return how long it took until each order that was open then has moved or ended.

    The first order that was accepted afterwards counts as well, with its start.
    """
    moves = [_first_move(facts, since) for facts in orders.values()]
    later = [facts.log for facts in orders.values() if facts.log and facts.log[0].at >= since]
    starts = [log[1].at for log in later if len(log) > 1 and log[0].status != Status.OPEN]
    found = [move for move in moves if move is not None] + ([min(starts)] if starts else [])
    return max(((move - since).total_seconds() for move in found), default=0.0)


def _first_move(facts: OrderFacts, since: datetime) -> datetime | None:
    """Return when an order that was to move moved next; what rests need not."""
    before = [event for event in facts.log if event.at < since]
    if not before or before[-1].status == Status.OPEN:
        return None
    return next((event.at for event in facts.log if event.at >= since), None)


def _middle_and_worst(seconds: Sequence[float]) -> tuple[float, float] | None:
    return (round(median(seconds), 2), round(max(seconds), 2)) if seconds else None


def _names(database: str) -> dict[str, str]:
    with psycopg.connect(database) as connection:
        found = connection.execute(KEYLESS).fetchall()
    return {name_of(side, atoms): order_id for side, atoms, order_id in found}


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
