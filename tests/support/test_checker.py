"""The checker finds each kind of violation, and none where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orders.events import Event
from orders.lifecycle import Status
from tests.support.checker import OrderFacts, Transcript, violations

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "0194a7de-0000-7000-8000-000000000001"
GOOD = ("pending", "routing", "building", "submitted", "confirmed")


def log_of(statuses: Sequence[str]) -> list[Event]:
    return [
        Event(ID, seq, Status(status), 1, status, NOON + timedelta(seconds=seq), {})
        for seq, status in enumerate(statuses, start=1)
    ]


def order(*statuses: str, landings: int | None = None, **changes: Any) -> dict[str, OrderFacts]:
    told = statuses or GOOD
    facts = OrderFacts(
        status=told[-1],
        seq=len(told),
        attempts=told.count("routing"),
        log=log_of(told),
        landings=int(told[-1] == "confirmed") if landings is None else landings,
    )
    return {ID: replace(facts, **changes)}


def told(*seqs: int, after: int = 0, is_complete: bool = False) -> Transcript:
    log = log_of(GOOD)
    return Transcript([log[seq - 1].as_message() for seq in seqs], after, is_complete)


@pytest.mark.parametrize(
    "orders",
    [
        order(),
        order("pending"),
        order("pending", "cancelled"),
        order("pending", "routing", "pending", "routing", "failed"),
        order("pending", "routing", "building", "submitted", landings=1),
        order("pending", "routing", "building", "submitted", landings=0),
    ],
)
def test_a_run_that_kept_all_promises_has_no_violations(orders: dict[str, OrderFacts]) -> None:
    assert violations(orders) == []


@pytest.mark.parametrize(
    ("orders", "found"),
    [
        (order("pending", "submitted"), "pending was followed by submitted"),
        (order("routing", "building"), "begins with routing"),
        (order("pending", "cancelled", "routing"), "cancelled was followed by routing"),
        (order("pending", "cancelled", "cancelled"), "2 final events"),
        (order(log=log_of(GOOD)[:-1]), "its status is confirmed, its last event says submitted"),
        (order(log=log_of(GOOD)[:-1]), "0 final events"),
        (order(log=log_of(GOOD)[:2] + log_of(GOOD)[3:]), "not 1..n"),
        (order(log=log_of(GOOD)[:2] + log_of(GOOD)[1:]), "not 1..n"),
        (order(log=[]), "the log is empty"),
        (order(seq=7), "its seq is 7"),
        (order(attempts=2), "2 attempts are counted"),
        (
            order(log=[log_of(GOOD)[0]._replace(at=NOON + timedelta(1)), *log_of(GOOD)[1:]]),
            "times go back",
        ),
        (order(landings=0), "confirmed with 0 landings"),
        (order(landings=2), "confirmed with 2 landings"),
        (order("pending", "routing", "failed", landings=1), "failed with 1 landings"),
        (order("pending", "cancelled", landings=1), "cancelled with 1 landings"),
        (order("pending", landings=1), "pending with 1 landings"),
        (order("pending", "routing", "building", "submitted", landings=2), "2 landings"),
    ],
)
def test_a_broken_promise_is_found(orders: dict[str, OrderFacts], found: str) -> None:
    assert found in "\n".join(violations(orders))


@pytest.mark.parametrize(
    "transcript",
    [
        told(),
        told(1, 2, 3, 4, 5, is_complete=True),
        told(1, 2),
        told(3, 4, 5, after=2, is_complete=True),
        Transcript([{"orderId": ID, "status": "connected"}, *told(1, 2).messages]),
    ],
)
def test_a_slice_of_the_log_is_no_violation(transcript: Transcript) -> None:
    assert violations(order(), [transcript]) == []


@pytest.mark.parametrize(
    ("transcript", "found"),
    [
        (told(1, 3), "was told [1, 3]"),
        (told(1, 2, 2, 3), "was told [1, 2, 2, 3]"),
        (told(2, 1), "was told [2, 1]"),
        (told(1, 2, after=1), "after 1"),
        (told(1, 2, 3, is_complete=True), "before the final event"),
        (Transcript([{**told(1).messages[0], "status": "failed"}]), "the log has"),
        (Transcript([{**told(1).messages[0], "seq": 9}]), "the log has None"),
        (Transcript([{**told(1).messages[0], "orderId": "other"}]), "does not exist"),
    ],
)
def test_a_transcript_that_is_no_slice_of_the_log_is_found(
    transcript: Transcript, found: str
) -> None:
    assert found in "\n".join(violations(order(), [transcript]))
