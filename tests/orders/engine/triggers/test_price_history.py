"""Prices of the past: minutes that hold what their ticks were, and old rows that go."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from orders.engine.triggers import price_history
from orders.engine.triggers.price_history import (
    MINUTES_KEPT,
    PEAKS_KEPT,
    TICKS_KEPT,
    Span,
    keep_minutes,
    prune_prices,
    read_points,
)

PAIR = "SOL/USDC"
STORE = """
INSERT INTO price_ticks (pair, tick, bid, bid_low, bid_high, ask, ask_low, ask_high, venues)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '{"raydium": {"bid": "1", "ask": null}}')
"""


@pytest.fixture(autouse=True)
def database(transactional_db: None) -> Iterator[None]:
    yield
    connection.close()


def rows(statement: str, *parameters: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def now() -> int:
    return int(rows("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint")[0][0])


def store(tick: int, bid: str | None, low: str | None = None, high: str | None = None) -> None:
    prices = [bid, low or bid, high or bid]
    rows(STORE, PAIR, tick, *prices, *prices)


def span(first: str, low: str, high: str, last: str) -> Span:
    return Span(*map(Decimal, (first, low, high, last)))


def test_a_minute_has_the_first_lowest_highest_and_last_of_each_line() -> None:
    minute = now() // 60 * 60 - 600
    store(minute, None)
    store(minute + 1, "5", "4", "6")
    store(minute + 30, "7", "2", "9")
    store(minute + 59, "8")
    store(minute + 60, "100")

    before = read_points(PAIR, minute, minute + 60, 60)
    keep_minutes()
    keep_minutes()
    (kept,) = read_points(PAIR, minute, minute + 60, 60)

    assert kept.bid == kept.ask == span("5", "2", "9", "8")
    assert kept.reference is None
    assert kept.at == datetime.fromtimestamp(minute, UTC)
    assert before == [kept], "what is not stored yet is made of its ticks"
    assert rows("SELECT count(*) FROM price_minutes") == [(2,)]


def test_minutes_are_kept_when_their_ticks_are_gone() -> None:
    minute = now() // 60 * 60 - 600
    store(minute, "5")
    keep_minutes()
    rows("DELETE FROM price_ticks")
    assert [point.bid for point in read_points(PAIR, minute, now(), 60)] == [span(*"5555")]


def test_a_minute_that_is_not_over_is_not_stored() -> None:
    store(now(), "5")
    keep_minutes()
    assert rows("SELECT 1 FROM price_minutes") == []


def test_several_minutes_make_a_point() -> None:
    hour = now() // 3600 * 3600 - 3600
    for place, bid in enumerate("3715"):
        store(hour + 60 * place, bid)
    keep_minutes()
    assert [point.bid for point in read_points(PAIR, hour, hour + 3600, 3600)] == [span(*"3175")]
    two = [point.bid for point in read_points(PAIR, hour, hour + 3600, 120)]
    assert two == [span(*"3377"), span(*"1155")]


def test_a_point_of_a_second_has_the_prices_of_the_venues() -> None:
    second = now() - 10
    store(second, "5", "4", "6")
    store(second + 1, None)
    store(second + 2, "7")
    points = read_points(PAIR, second, second + 2, 1)
    assert [point.bid for point in points] == [span("5", "4", "6", "5"), None]
    assert points[0].venues == {"raydium": {"bid": "1", "ask": None}}
    assert read_points("JUP/USDC", second, second + 2, 1) == []


def test_what_is_older_than_it_is_kept_goes_in_small_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(price_history, "STEP", 3)
    present = now()
    for age in range(8):
        store(present - TICKS_KEPT - 10 - age, "1")
    store(present - TICKS_KEPT + 60, "1")
    minute = (present - MINUTES_KEPT) // 60 * 60
    for place in (-2, -1, 2):
        rows("INSERT INTO price_minutes (pair, minute) VALUES (%s, %s)", PAIR, minute + 60 * place)

    for tick in (present - PEAKS_KEPT - 60, present - PEAKS_KEPT + 60):
        rows("INSERT INTO price_peaks VALUES (%s, 'b', %s, 1)", PAIR, tick)

    prune_prices()

    assert rows("SELECT tick FROM price_peaks") == [(present - PEAKS_KEPT + 60,)]
    assert rows("SELECT tick FROM price_ticks") == [(present - TICKS_KEPT + 60,)]
    assert rows("SELECT minute FROM price_minutes") == [(minute + 120,)]
