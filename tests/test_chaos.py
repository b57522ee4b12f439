"""A short run of `make chaos`, and that its judgement can fail. The long ones are run by hand."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orders.events import Event
from orders.lifecycle import Status
from tests.accounts import Account
from tests.chaos.clients import Clients, Follower
from tests.chaos.kinds import KINDS, kinds_without
from tests.chaos.plan import LAST, LAST_HINTS, Options, errands_of, faults_of
from tests.chaos.run import run
from tests.chaos.verdict import Verdict, judge_clients, judge_orders
from tests.checker import OrderFacts
from tests.forked import run_program

SHORT = Options(seed=7, orders=40, seconds=12, faults=12, drain=90)  # patient with slow machines
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "0194a7de-0000-7000-8000-000000000001"
NOBODY = Account(0, "", "", "")
GOOD = ("pending", "routing", "building", "submitted", "confirmed")


async def test_a_short_run_breaks_no_promise(tmp_path: Path) -> None:
    verdict, evidence = await run(SHORT, tmp_path)

    assert verdict.broken == [], "\n".join([verdict.as_line(), *evidence])
    assert verdict.accepted == verdict.answered == SHORT.orders
    assert verdict.confirmed > SHORT.orders / 2
    assert verdict.confirmed + verdict.failed + verdict.cancelled == verdict.accepted
    # The faults were done, and felt.
    done = (tmp_path / "faults.log").read_text().splitlines()
    assert [line for line in done if not line.endswith(": done")] == []
    assert len(done) == verdict.faults == SHORT.faults
    assert verdict.restarts > 0


def test_what_a_run_does_follows_from_its_seed_alone() -> None:
    options = Options(seed=7)
    assert faults_of(options, KINDS) == faults_of(options, KINDS)
    assert errands_of(options) == errands_of(options)
    other = replace(options, seed=8)
    assert faults_of(options, KINDS) != faults_of(other, KINDS)
    assert errands_of(options) != errands_of(other)


def test_a_long_run_has_every_kind_of_fault_and_ends_with_lost_hints_and_workers() -> None:
    faults = faults_of(Options(seed=7), KINDS)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert [fault.kind for fault in faults[-2:]] == [LAST_HINTS, LAST]
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert len(faults) == 60


def test_what_is_switched_off_is_not_broken() -> None:
    kinds = kinds_without(frozenset({"scheduler"}))
    assert set(KINDS) - set(kinds) == {"kill_scheduler", "freeze_scheduler", "stop_scheduler"}


@pytest.mark.parametrize("switches", ["resync", "token", "fencing", "poison"])
def test_a_switch_finds_what_it_takes_away(switches: str, tmp_path: Path) -> None:
    """A switch that changes nothing would make its ablation prove nothing."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": switches}
    ended = run_program(["manage.py", "check"], {**os.environ, **environment}, tmp_path)
    assert ended.returncode == 0, ended.stderr


def facts(*statuses: str, landings: int = 0, **changes: Any) -> dict[str, OrderFacts]:
    log = [
        Event(ID, seq, Status(status), 1, status, NOON, {})
        for seq, status in enumerate(statuses, start=1)
    ]
    found = OrderFacts(statuses[-1], len(log), statuses.count("routing"), log, landings)
    return {ID: replace(found, **changes)}


def told(*seqs: int, is_complete: bool) -> Follower:
    (order,) = facts(*GOOD).values()
    return Follower(ID, [order.log[seq - 1].as_message() for seq in seqs], is_complete)


def judged(
    orders: dict[str, OrderFacts],
    followers: tuple[Follower, ...] = (),
    cancelled: tuple[str, ...] = (),
    closes: tuple[int, ...] = (),
) -> Verdict:
    clients = Clients(0, NOBODY)
    clients.answered.append(ID)
    clients.followers += followers
    clients.cancelled += cancelled
    clients.closes.update(closes)
    verdict = Verdict(seed=0, drain_seconds=1.0)
    broken = judge_orders(verdict, orders, clients) + judge_clients(verdict, orders, clients)
    assert bool(verdict.broken) == bool(broken)
    return verdict


def test_a_run_that_kept_everything_is_not_broken() -> None:
    followers = (told(1, 2, 3, 4, 5, is_complete=True),)
    assert judged(facts(*GOOD, landings=1), followers).broken == []


@pytest.mark.parametrize(
    ("verdict", "broken"),
    [
        (lambda: judged({}), ["lost"]),
        (lambda: judged(facts("pending", "routing")), ["lost"]),
        (lambda: judged(facts(*GOOD, landings=2)), ["doubled"]),
        (lambda: judged(facts(*GOOD, landings=0)), ["other"]),
        (lambda: judged(facts("pending", "cancelled", landings=1)), ["other"]),
        (lambda: judged(facts(*GOOD, landings=1), cancelled=(ID,)), ["other"]),
        (
            lambda: judged(facts(*GOOD, landings=1, log=facts(*GOOD)[ID].log[1:])),
            ["gaps", "other"],
        ),
        (
            lambda: judged(facts(*GOOD, landings=1), (told(1, 3, is_complete=False),)),
            ["wrong_transcripts"],
        ),
        (
            lambda: judged(facts(*GOOD, landings=1), (told(1, 2, 3, 4, is_complete=False),)),
            ["wrong_transcripts"],
        ),
        (lambda: judged(facts(*GOOD, landings=1), closes=(1011,)), ["wrong_transcripts"]),
        (lambda: Verdict(seed=0), ["drain_seconds"]),
        (lambda: Verdict(seed=0, accepted=2, answered=1, drain_seconds=1.0), ["repeated"]),
        (lambda: Verdict(seed=0, drain_seconds=1.0, late_stops=1), ["late_stops"]),
        (
            lambda: Verdict(seed=0, drain_seconds=1.0, refused_by_constraints=1),
            ["refused_by_constraints"],
        ),
    ],
)
def test_whatever_is_broken_is_named(verdict: Any, broken: list[str]) -> None:
    assert verdict().broken == broken
