"""`GET /api/prices`: a market's prices of the past, a point a second or a point of minutes."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from config.runtime.rate import Rate
from orders.access.read_limits import limit_of_this_process
from orders.api.schema import examples
from orders.events import timestamp
from tests.support.client import database_away, get
from tests.support.database import Database
from tests.support.shapes import assert_shape

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

TICK = """
INSERT INTO price_ticks (pair, tick, bid, bid_low, bid_high, ask, ask_low, ask_high, reference,
  reference_low, reference_high, venues)
VALUES ('SOL/USDC', %s, %s, 1, 9, NULL, NULL, NULL, 100, 100, 100,
  '{"raydium": {"bid": "99.7", "ask": null}}')
"""
SECOND = 1_800_000_000
"""The beginning of an hour."""


def at(second: int) -> str:
    return timestamp(datetime.fromtimestamp(second, UTC))


async def points(query: str) -> list[dict[str, Any]]:
    answer = await get(f"/api/prices?market=SOL/USDC&{query}")
    assert answer.status == 200, answer.text
    assert_shape(answer.json, "PriceHistory")
    found: list[dict[str, Any]] = answer.json["points"]
    return found


def codes(answer: Any) -> dict[str, str]:
    assert answer.status == 400
    assert answer.json["error"] == "invalid_request"
    return {error["field"]: error["code"] for error in answer.json["errors"]}


async def test_a_point_of_a_second_has_the_prices_of_all_venues(database: Database) -> None:
    for place in range(3):
        await database.rows(TICK, SECOND + place, 5 + place)

    found = await points(f"step=1&from={at(SECOND)}&to={at(SECOND + 2)}")

    assert [point["at"] for point in found] == [at(SECOND), at(SECOND + 1)]
    assert found[0] == {
        "at": at(SECOND),
        "bid": {"first": "5", "low": "1", "high": "9", "last": "5"},
        "ask": None,
        "reference": dict.fromkeys(("first", "low", "high", "last"), "100"),
        "venues": {"raydium": {"bid": "99.7", "ask": None}},
    }


async def test_a_point_of_minutes_begins_at_a_whole_one_and_has_all_of_its_seconds(
    database: Database,
) -> None:
    for place, bid in ((10, 5), (70, 7), (130, 8)):
        await database.rows(TICK, SECOND + place, bid)

    found = await points(f"step=120&from={at(SECOND + 5)}&to={at(SECOND + 3600)}")

    assert [point["at"] for point in found] == [at(SECOND), at(SECOND + 120)]
    assert found[0]["bid"] == {"first": "5", "low": "1", "high": "9", "last": "7"}
    assert found[0]["venues"] == {"raydium": {"bid": "99.7", "ask": None}}


async def test_without_times_the_newest_300_points_are_read(database: Database) -> None:
    ((now,),) = await database.rows("SELECT floor(extract(epoch FROM clock_timestamp()))::bigint")
    for second in (now, now - 250, now - 400):
        await database.rows(TICK, second, 5)
    assert [point["at"] for point in await points("step=1")] == [at(now - 250), at(now)]
    assert len(await points("step=60")) >= 2


async def test_prices_of_wrapped_sol_are_those_of_sol(database: Database) -> None:
    await database.rows(TICK, SECOND, 5)
    span = f"from={at(SECOND)}&to={at(SECOND + 60)}"
    answer = await get(f"/api/prices?market=wsol/usdc&{span}")
    assert (answer.json["market"], len(answer.json["points"])) == ("SOL/USDC", 1)


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("", {"market": "required"}),
        ("market=SOL/NEW", {"market": "unknown_market"}),
        ("market=USDC/SOL", {"market": "unknown_market"}),
        ("market=SOL/USDC&step=0", {"step": "invalid_number"}),
        ("market=SOL/USDC&step=2", {"step": "invalid_number"}),
        ("market=SOL/USDC&step=90", {"step": "invalid_number"}),
        ("market=SOL/USDC&step=86460", {"step": "invalid_number"}),
        ("market=SOL/USDC&step=minute", {"step": "invalid_number"}),
        ("market=SOL/USDC&from=yesterday", {"from": "invalid_time"}),
        ("market=SOL/USDC&to=2026-11-21T09:30:00", {"to": "invalid_time"}),
        ("market=SOL/USDC&from=2126-11-21T09:30:00Z", {"from": "invalid_time"}),
        ("market=SOL/USDC&limit=5", {"limit": "unknown_parameter"}),
    ],
)
async def test_a_parameter_that_means_nothing_is_refused_by_name(
    query: str, refused: dict[str, str]
) -> None:
    assert codes(await get(f"/api/prices?{query}")) == refused


async def test_there_are_at_most_a_thousand_points() -> None:
    span = f"market=SOL/USDC&step=1&from={at(SECOND)}&to="
    assert (await get(f"/api/prices?{span}{at(SECOND + 1000)}")).status == 200
    refused = await get(f"/api/prices?{span}{at(SECOND + 1001)}")
    assert codes(refused) == {"from": "too_many_points"}


async def test_the_examples_have_the_shape_that_the_schema_gives_them() -> None:
    for example in (examples.PRICES, examples.TICKS):
        assert_shape(example, "PriceHistory")


async def test_without_a_database_prices_are_asked_for_again() -> None:
    with database_away():
        answer = await get("/api/prices?market=SOL/USDC")
    assert (answer.status, answer.json["error"]) == (503, "database_unavailable")


async def test_prices_have_a_page_for_people_and_need_no_account(database: Database) -> None:
    await database.rows(TICK, SECOND, 5)
    span = f"from={at(SECOND)}&to={at(SECOND + 60)}"
    page = await get(f"/api/prices?market=SOL/USDC&{span}", accept="text/html")
    assert page.status == 200
    assert "/ws/prices" in page.text


async def test_prices_are_read_within_the_read_limit_and_long_ones_cost_more() -> None:
    with override_settings(READ_RATE_LIMIT=Rate(150, 3600)):
        limit_of_this_process.cache_clear()
        days = f"market=SOL/USDC&step=86400&to={at(SECOND)}&from={at(SECOND - 90 * 86_400)}"
        answers = [await get(f"/api/prices?{query}") for query in (days, days, "market=SOL/USDC")]
        again = await get("/api/prices?market=SOL/USDC")
    limit_of_this_process.cache_clear()
    assert [answer.status for answer in answers] == [200, 429, 200]  # 139, 139 and 10 of 150
    assert again.status == 429
