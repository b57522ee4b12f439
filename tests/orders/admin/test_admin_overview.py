"""The start page's figures say what happened, not something near it."""

from datetime import UTC, datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from orders.admin_pages.overview import Tile, overview
from orders.engine.journal import Journal
from orders.engine.moves import ClaimedOrder
from orders.lifecycle import Status
from orders.models import Heartbeat, Order, TradingState
from orders.monitoring import health
from tests.support.database import Database
from tests.support.samples import move_of, moved, new_order, to_building, to_submitted

UNSUBMITTED = (Status.PENDING, Status.ROUTING, Status.BUILDING)
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_order(**columns: object) -> Order:
    found = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "slippage_bps": 100}
    return Order.objects.create(**found | columns)


def make_confirmed(seconds: float, ago: timedelta = timedelta(), **columns: object) -> Order:
    created = timezone.now() - ago
    return make_order(
        **{"status": "confirmed", "signature": "5ig", "venue": "meteora", "attempts": 1},
        **{"filled_in": 1, "filled_out": 1, "lease_token": 2, "created_at": created},
        **{"finished_at": created + timedelta(seconds=seconds)},
        **columns,
    )


def make_failed() -> Order:
    return make_order(status="failed", failure_code="never_landed", finished_at=timezone.now())


def tiles() -> dict[str, Tile]:
    return {tile.label: tile for tile in overview().tiles}


def tiles_from_a_thread() -> dict[str, Tile]:
    try:
        return tiles()
    finally:
        connection.close()


@pytest.mark.django_db
def test_nothing_has_happened_yet() -> None:
    found = tiles()
    assert found["Orders per minute"].figure == "0"
    assert found["Success rate"].figure == "-"
    assert found["Median time to confirm"].figure == "-"
    assert (found["Workers alive"].figure, found["Workers alive"].tone) == ("0", "bad")


@pytest.mark.django_db
def test_orders_are_counted_by_the_minute_and_by_the_hour() -> None:
    for ago in (timedelta(), timedelta(minutes=30), timedelta(hours=2)):
        make_confirmed(1, ago)
    flow = tiles()["Orders per minute"]

    assert flow.figure == "1"
    assert "0.0 a minute over the hour" in flow.note
    assert not overview().is_partial


@pytest.mark.django_db
def test_the_success_rate_is_of_what_ended_and_never_rounded_up() -> None:
    for _ in range(29):
        make_confirmed(1)
    make_failed()
    make_order()
    rate = tiles()["Success rate"]

    assert (rate.figure, rate.note) == ("96.6 %", "29 confirmed, 1 failed")


@pytest.mark.django_db
def test_the_median_is_of_confirmed_orders() -> None:
    for seconds in (1, 2, 9):
        make_confirmed(seconds)
    make_failed()
    assert tiles()["Median time to confirm"].figure == "2.00 s"


@pytest.mark.django_db
def test_the_backlog_is_what_was_never_begun() -> None:
    make_order()
    make_order(started_at=NOW)
    for status in ("routing", "building"):
        make_order(status=status, started_at=NOW)
    backlog = tiles()["Backlog"]

    assert (backlog.figure, backlog.note) == ("1", "2 in work, 1 wait for a retry")


RESTS = {"status": "open", "resting": True, "terms": {}, "type": "stop", "trigger_price": 90}


@pytest.mark.django_db
def test_orders_that_rest_are_counted_apart_from_the_backlog_up_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_order()
    for phase in ("waiting", "held", "latched"):
        make_order(**RESTS, phase=phase)
    found = tiles()

    assert found["Backlog"].figure == "1"
    assert (found["Resting"].figure, found["Resting"].note) == (
        "3",
        "1 triggered and not filled yet, 1 held",
    )
    assert found["Resting"].url.endswith("?status=open")
    monkeypatch.setattr("orders.admin_pages.overview.MOST_RESTING", 2)
    assert tiles()["Resting"].figure == "2+"


@pytest.mark.django_db
def test_the_median_is_not_of_orders_that_may_have_rested() -> None:
    make_confirmed(2)
    make_confirmed(3000, type="stop", terms={}, trigger_price=90)
    assert tiles()["Median time to confirm"].figure == "2.00 s"


@pytest.mark.django_db
def test_a_halt_stands_first_on_the_page() -> None:
    assert (tiles()["Trading"].figure, tiles()["Trading"].tone) == ("active", "")
    TradingState.objects.create(state="halted", changed_by="ada")
    first = overview().tiles[0]
    assert (first.label, first.figure, first.tone) == ("Trading", "halted", "bad")


@pytest.mark.django_db
def test_only_processes_heard_of_lately_are_alive() -> None:
    long_ago = timezone.now() - timedelta(minutes=1)
    Heartbeat.objects.create(process="lost", kind="worker", seen_at=long_ago)
    health.beat("worker")
    found = tiles()["Workers alive"]

    assert (found.figure, found.tone) == ("1", "bad")  # no scheduler
    Heartbeat.objects.create(process="scheduler", kind="scheduler")
    found = tiles()["Workers alive"]
    assert (found.figure, found.note, found.tone) == ("1", "1 scheduler; heard within 10 s", "good")


@pytest.mark.django_db
def test_orders_that_need_attention_are_counted() -> None:
    assert tiles()["Needing attention"].tone == "good"
    make_order(needs_attention=True)
    found = tiles()["Needing attention"]
    assert (found.figure, found.tone) == ("1", "bad")


async def confirmed(journal: Journal, order: ClaimedOrder, signature: str) -> None:
    for move in (to_building(order), None):
        step = move or to_submitted(order, signature)
        await journal.advance(step)
        order = moved(order, step)
    filled = {"outcome": "landed", "filled_in": 1, "filled_out": 1}
    await journal.advance(move_of(order, Status.CONFIRMED, **filled))


async def claim(journal: Journal) -> ClaimedOrder:
    (order,) = await journal.claim(1, UNSUBMITTED)
    return order


async def test_orders_taken_over_from_a_lost_worker_are_counted(
    journal: Journal, database: Database
) -> None:
    """Through the real journal, as the count follows from how it raises the lease's token."""
    await journal.accept(new_order())
    await confirmed(journal, await claim(journal), "plain")

    await journal.accept(new_order())
    order = await claim(journal)
    await journal.advance(move_of(order, Status.PENDING, delay=0.0))
    await confirmed(journal, await claim(journal), "retried")

    found = (await sync_to_async(tiles_from_a_thread)())["Leases expired"]
    assert (found.figure, found.note) == (
        "0",
        "right now; 0 of the last hour's orders were taken over",
    )

    await journal.accept(new_order())
    order = await claim(journal)
    await database.expire_lease(order.id)
    assert (await sync_to_async(tiles_from_a_thread)())["Leases expired"].figure == "1"
    await confirmed(journal, await claim(journal), "taken over")

    found = (await sync_to_async(tiles_from_a_thread)())["Leases expired"]
    assert (found.figure, found.note) == (
        "0",
        "right now; 1 of the last hour's orders were taken over",
    )
