import re
import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from config.database.conninfo import conninfo
from orders.lifecycle import (
    ACTIVE,
    AT_ONCE,
    CANCELLABLE,
    FINAL,
    TRANSITIONS,
    IllegalTransition,
    Status,
    check_transition,
)
from orders.models import FailureCode, Order
from orders.words import OrderType
from tests.support.database import as_owner

PROMISED = {
    "open": {"open", "pending", "confirmed", "failed", "cancelled", "expired"},
    "pending": {"routing", "cancelled", "expired"},
    "routing": {"building", "pending", "open", "failed", "cancelled", "expired"},
    "building": {"submitted", "pending", "open", "failed", "cancelled", "expired"},
    "submitted": {"confirmed", "pending", "open", "failed", "cancelled"},
    "confirmed": set(),
    "failed": set(),
    "cancelled": set(),
    "expired": set(),
}
LATER = datetime(2026, 1, 1, tzinfo=UTC)
LIMIT = {"type": "limit", "limit_price": 1, "terms": {}, "min_out": 1, "slippage_bps": None}
TERMS_OF: dict[OrderType, dict[str, Any]] = {
    OrderType.MARKET: {"slippage_bps": 100, "slice": 1, "parent_id": uuid.uuid4()},
    OrderType.LIMIT: LIMIT,
    OrderType.STOP: {"trigger_price": 1, "slippage_bps": 100},
    OrderType.STOP_LIMIT: {"trigger_price": 1, "limit_price": 1, "min_out": 1},
    OrderType.TAKE_PROFIT: {"trigger_price": 1, "slippage_bps": 100},
    OrderType.TRAILING_STOP: {"trail_bps": 100, "activation_price": 1, "slippage_bps": 100},
    OrderType.TWAP: {"limit_price": 1},
    OrderType.SNIPER: {"slippage_bps": 100},
}
EVERY_PAIR = [(before, after) for before in Status for after in Status]


def columns_of(status: Status) -> dict[str, Any]:
    """What a row in this status has to hold, and must not."""
    is_filled = status is Status.CONFIRMED
    return {
        "status": status.value,
        "resting": status is Status.OPEN,
        "finished_at": LATER if status in FINAL else None,
        "venue": "raydium",
        "signature": "signed",
        "filled_in": 1 if is_filled else None,
        "filled_out": 1 if is_filled else None,
        "failure_code": "never_landed" if status is Status.FAILED else None,
    }


def stored(status: Status) -> Order:
    return Order.objects.create(
        id=uuid.uuid4(),
        side="sell",
        base="SOL",
        quote="USDC",
        amount_in=1,
        slippage_bps=100,
        seq=3,
        **columns_of(status),
    )


def test_the_table_is_the_promised_one() -> None:
    assert {before.value: {*map(str, after)} for before, after in TRANSITIONS.items()} == PROMISED


def test_final_statuses_lead_nowhere_and_all_others_somewhere() -> None:
    assert {"confirmed", "failed", "cancelled", "expired"} == FINAL
    assert len(FINAL) + len(ACTIVE) == len(Status)
    assert not FINAL & ACTIVE


def test_what_may_have_filled_is_not_cancelled_at_once_nor_routed_again() -> None:
    assert {"open", "pending", "routing", "building"} == CANCELLABLE
    assert not TRANSITIONS[Status.SUBMITTED] & {Status.ROUTING, Status.BUILDING, Status.EXPIRED}


@pytest.mark.parametrize("status", sorted(ACTIVE))
def test_every_order_can_end(status: Status) -> None:
    reached = {status}
    while new := {after for one in reached for after in TRANSITIONS[one]} - reached:
        reached |= new
    assert reached & FINAL


@pytest.mark.parametrize(("before", "after"), EVERY_PAIR)
def test_a_move_is_checked_against_the_table(before: Status, after: Status) -> None:
    if after.value in PROMISED[before.value]:
        check_transition(before, after)
        return
    with pytest.raises(IllegalTransition, match=f"{before} may not be followed by {after}"):
        check_transition(before, after)


@pytest.mark.parametrize(("before", "after"), EVERY_PAIR)
def test_one_commit_makes_two_moves_from_routing_to_submitted_alone(
    before: Status, after: Status
) -> None:
    if (before, after) == (Status.ROUTING, Status.SUBMITTED):
        check_transition(before, after, passes=True)
        return
    with pytest.raises(IllegalTransition):
        check_transition(before, after, passes=True)


def test_two_moves_at_once_are_two_of_the_table() -> None:
    for (before, after), between in AT_ONCE.items():
        check_transition(before, between)
        check_transition(between, after)


@given(st.lists(st.sampled_from(Status)))
def test_no_walk_leaves_a_final_status(wishes: list[Status]) -> None:
    status = Status.PENDING
    ended_as: Status | None = None
    for wish in wishes:
        try:
            check_transition(status, wish)
        except IllegalTransition:
            continue
        status = wish
        assert ended_as is None
        if status in FINAL:
            ended_as = status

    assert ended_as in (None, status)


@pytest.mark.parametrize("before", Status)
def test_the_database_lets_pass_what_the_table_does_and_nothing_else(
    before: Status, db: None
) -> None:
    order = stored(before)
    for after in Status:
        refusal = pytest.raises(IntegrityError, match=f"may not go from {before} .* to {after}")
        with nullcontext() if after in TRANSITIONS[before] else refusal, transaction.atomic():
            assert Order.objects.filter(pk=order.pk).update(**columns_of(after), seq=4) == 1
            transaction.set_rollback(True)


@pytest.mark.parametrize("before", Status)
def test_the_database_lets_two_moves_pass_at_once_where_the_table_does_and_nowhere_else(
    before: Status, db: None
) -> None:
    order = stored(before)
    for after in Status:
        if after is before:
            continue
        refusal = pytest.raises(IntegrityError, match=f"may not go from {before} .* to {after}")
        is_allowed = (before, after) in AT_ONCE
        with nullcontext() if is_allowed else refusal, transaction.atomic():
            assert Order.objects.filter(pk=order.pk).update(**columns_of(after), seq=5) == 1
            transaction.set_rollback(True)


@pytest.mark.parametrize("seq", [2, 3, 5])
def test_the_database_counts_every_move_once(seq: int, db: None) -> None:
    order = stored(Status.PENDING)
    with pytest.raises(IntegrityError, match="may not go from"), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(status="routing", seq=seq)
    assert Order.objects.get().status == "pending"


@pytest.mark.parametrize("status", Status)
def test_the_database_counts_nothing_but_moves(status: Status, db: None) -> None:
    order = stored(status)
    Order.objects.filter(pk=order.pk).update(lost_leases=1)
    if status is Status.OPEN:  # what happens to a resting order is a move to where it is
        Order.objects.filter(pk=order.pk).update(seq=4)
        order.seq = 4
    with pytest.raises(IntegrityError, match="may not go from"), transaction.atomic():
        Order.objects.filter(pk=order.pk).update(seq=order.seq + (2 if status == "open" else 1))


def test_the_database_deletes_no_order(db: None) -> None:
    with (
        psycopg.connect(as_owner(conninfo())) as owner,
        pytest.raises(psycopg.IntegrityError, match="never deleted"),
    ):
        owner.execute("DELETE FROM orders")


@pytest.mark.parametrize(
    ("constraint", "columns"),
    [
        ("orders_end_holds", {"status": "lost"}),
        ("orders_end_holds", {"status": "lost", "finished_at": LATER}),
        ("orders_terms_hold", {"type": "iceberg"}),
        ("orders_terms_hold", {"limit_price": 1, "min_out": 1}),
        ("orders_terms_hold", {"slippage_bps": None}),
        ("orders_terms_hold", {"type": "limit", "terms": {}, "slippage_bps": None}),
        ("orders_terms_hold", LIMIT | {"trigger_price": 1}),
        ("orders_terms_hold", LIMIT | {"slippage_bps": 100}),
        ("orders_terms_hold", LIMIT | {"terms": None}),
        ("orders_terms_hold", {"type": "stop", "terms": {}}),
        ("orders_terms_hold", {"type": "stop", "terms": {}, "trail_bps": 5}),
        ("orders_terms_hold", {"type": "stopLimit", "terms": {}, "trigger_price": 1}),
        ("orders_terms_hold", {"type": "trailingStop", "terms": {}}),
        ("orders_terms_hold", {"type": "twap", "terms": {}, "trail_bps": 1}),
        ("orders_terms_hold", LIMIT | {"min_out": None}),
        ("orders_terms_hold", {"time_in_force": "gtd"}),
        ("orders_terms_hold", {"slice": 1}),
        ("orders_terms_hold", {"terms": {}, "slippage_bps": None}),
        ("orders_terms_hold", {"attempts_allowed": -1}),
        ("orders_terms_hold", {"releases": -1}),
        ("orders_terms_hold", {"slice": -1, "parent_id": uuid.uuid4()}),
        ("orders_terms_hold", LIMIT | {"limit_price": 0}),
        ("orders_resting_is_open", {"resting": True}),
        ("orders_resting_is_open", {"status": "open"}),
        ("orders_side_known", {"side": "hold"}),
        ("orders_one_amount", {"amount_in": None}),
        ("orders_one_amount", {"amount_in": 0}),
        ("orders_one_amount", {"amount_in": -1}),
        ("orders_one_amount", {"amount_out": 1}),
        ("orders_slippage_in_range", {"slippage_bps": 5001}),
        ("orders_one_bound", {"max_in": 1}),
        ("orders_end_holds", {"finished_at": LATER}),
        ("orders_end_holds", {"status": "cancelled"}),
        ("orders_end_holds", {"filled_in": 1, "filled_out": 1}),
        ("orders_end_holds", {"status": "confirmed", "finished_at": LATER}),
        (
            "orders_end_holds",
            {
                "status": "confirmed",
                "finished_at": LATER,
                "signature": "signed",
                "venue": "meteora",
            },
        ),
        ("orders_end_holds", {"status": "failed", "finished_at": LATER}),
        ("orders_end_holds", {"status": "failed", "finished_at": LATER, "failure_code": "why"}),
        ("orders_end_holds", {"status": "cancelled", "finished_at": LATER, "filled_in": 1}),
        ("orders_end_holds", {"status": "expired", "finished_at": LATER, "lease_until": LATER}),
        ("orders_submitted_is_signed", {"status": "submitted", "signature": None}),
    ],
)
def test_the_database_refuses_impossible_rows(
    constraint: str, columns: dict[str, Any], db: None
) -> None:
    sound = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "slippage_bps": 100}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Order.objects.create(**(sound | columns))
    assert not Order.objects.exists()


@pytest.mark.parametrize("code", FailureCode.values)
def test_the_database_knows_every_failure_code(code: str, db: None) -> None:
    order = stored(Status.PENDING)
    columns = columns_of(Status.ROUTING), columns_of(Status.FAILED) | {"failure_code": code}
    for seq, move in enumerate(columns, start=4):
        assert Order.objects.filter(pk=order.pk).update(**move, seq=seq) == 1


@pytest.mark.parametrize("order_type", OrderType)
def test_the_database_knows_every_order_type(order_type: OrderType, db: None) -> None:
    sound = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "terms": {}}
    Order.objects.create(**(sound | {"type": order_type} | TERMS_OF[order_type]))


def test_the_diagram_in_the_documents_is_the_table() -> None:
    page = Path(settings.BASE_DIR, "docs/orders.md").read_text()
    (diagram,) = re.findall(r"```mermaid\n\s*stateDiagram-v2\n(.*?)```", page, re.DOTALL)
    arrows = re.findall(r"^\s*(\S+) *--> *(\S+?)(?: *:.*)?$", diagram, re.MULTILINE)

    assert ("[*]", "pending") in arrows
    pairs = [(before, after) for before, following in TRANSITIONS.items() for after in following]
    assert sorted(arrow for arrow in arrows if "[*]" not in arrow) == sorted(pairs)
    assert {start for start, end in arrows if end == "[*]"} in (set(), set(FINAL))
