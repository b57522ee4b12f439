"""A minute is stored once, and tells what was counted and measured in it."""

import asyncio
import threading
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.db import connection

from orders.models import EngineMinute, Heartbeat, Order
from orders.monitoring.minutes import (
    MINUTES_KEPT,
    figures_of,
    keep_minute,
    quantile_ms,
    read_minutes,
)
from tests.support.database import Database

MEASURED: dict[str, Any] = {"accepted": 3, "p50": 2.0, "p95": 3.0, "p99": 4.0}


def test_a_minute_tells_how_far_the_counters_have_come() -> None:
    before = {"w:1": {"orders_ended:confirmed": 10, "hints_received": 7}}
    totals = {
        "w:1": {"orders_ended:confirmed": 14, "hints_received": 7, "orders_ended:failed": 1},
        "w:2": {"orders_ended:confirmed": 2},
    }
    found = figures_of(60, MEASURED, [], totals, before)

    assert (found.confirmed, found.failed, found.ended, found.hints) == (6, 1, 7, 0)
    assert (found.accepted, found.p95) == (3, 3.0)
    assert found.success_percent == pytest.approx(100 * 6 / 7)


def test_a_counter_that_is_lower_began_anew_with_its_process() -> None:
    before = {"w:1": {"orders_ended:confirmed": 1000}}
    found = figures_of(60, MEASURED, [], {"w:1": {"orders_ended:confirmed": 4}}, before)
    assert found.confirmed == 4


def test_without_the_minute_before_no_count_is_known() -> None:
    found = figures_of(60, MEASURED, [], {"w:1": {"orders_ended:confirmed": 4}}, None)
    assert (found.confirmed, found.ended, found.venues) == (None, None, None)
    assert found.accepted == 3


def test_a_venue_that_refuses_with_reason_has_answered() -> None:
    counted = {
        **{"quotes_answered:raydium/50": 90, "quotes_answered:raydium/250": 5},
        **{"quotes_missed:raydium/insufficient_liquidity": 3, "quotes_missed:raydium/excluded": 9},
        "quotes_missed:raydium/quote_timeout": 2,
    }
    venues = figures_of(60, MEASURED, [], {"w:1": counted}, {}).venues
    assert venues is not None
    assert (venues["raydium"].asked, venues["raydium"].answered) == (100, 98)
    assert quantile_ms(venues["raydium"].quotes, 0.5) == pytest.approx(50 * 47.5 / 90)


def test_quantiles_lie_between_the_steps_and_none_is_known_of_nothing() -> None:
    assert quantile_ms([(50, 50), (100, 50)], 0.95) == pytest.approx(95.0)
    assert quantile_ms([(50, 1)], 1.0) == 50
    assert quantile_ms([], 0.5) is None


def make_order(**columns: Any) -> Order:
    found = {"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "slippage_bps": 100}
    return Order.objects.create(**found | columns)


def sql(query: str, *parameters: object) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall() if cursor.description else None


@pytest.mark.django_db
def test_the_last_whole_minute_is_stored_with_what_happened_in_it() -> None:
    ((minute,),) = sql(
        "SELECT s - s %% 60 - 60 FROM"
        " (SELECT floor(extract(epoch FROM clock_timestamp()))::bigint - 4 AS s) AS now"
    )
    for second, took in ((-70, 80), (5, 2), (20, 4), (65, 1)):
        make_order(
            **{"status": "confirmed", "signature": "5", "venue": "raydium"},
            **{"filled_in": 1, "filled_out": 1},
            created_at=datetime.fromtimestamp(minute + second, UTC),
            finished_at=datetime.fromtimestamp(minute + second + took, UTC),
        )
    keep_minute()
    (found,) = read_minutes()

    assert (found.minute, found.accepted) == (minute, 2)
    assert found.p50 == pytest.approx(4.0)  # of 80, 2 and 4 seconds, which ended in the minute
    keep_minute()
    assert EngineMinute.objects.count() == 1


@pytest.mark.django_db
def test_counts_are_of_two_minutes_that_follow_each_other_and_old_ones_are_deleted() -> None:
    keep_minute()
    (row,) = EngineMinute.objects.all()
    Heartbeat.objects.create(
        process="w:1", kind="worker", counts={"orders_ended:confirmed": 9, "release": "abc"}
    )
    EngineMinute.objects.all().delete()
    for back, totals in ((1, {"w:1": {"orders_ended:confirmed": 5}}), (2, None)):
        EngineMinute.objects.create(
            minute=row.minute - 60 * back, figures=row.figures, totals=totals
        )
    EngineMinute.objects.create(minute=row.minute - 60 * MINUTES_KEPT, figures=row.figures)
    keep_minute()

    *_, found = read_minutes()
    assert (found.minute, found.confirmed) == (row.minute, 4)
    assert EngineMinute.objects.count() == 3
    (newest,) = EngineMinute.objects.exclude(totals=None)
    assert newest.minute == row.minute  # what was counted is kept of the newest alone


async def test_schedulers_at_once_store_a_minute_once(database: Database) -> None:
    await database.rows("TRUNCATE engine_minutes")
    together = threading.Barrier(4)

    def keep() -> None:
        try:
            together.wait(10)
            keep_minute()
        finally:
            connection.close()

    await asyncio.gather(*(asyncio.to_thread(keep) for _ in range(4)))
    rows = await database.rows("SELECT figures::text, totals::text FROM engine_minutes")
    assert len(rows) == 1
    assert orjson.loads(rows[0][0])["accepted"] == 0
    await database.rows("TRUNCATE engine_minutes")
