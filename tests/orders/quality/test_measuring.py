"""Orders are measured after their end: by the scheduler, once, from what the log and ticks say."""

from decimal import Decimal
from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.conf import settings

from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.lifecycle import ACTIVE
from orders.models import ExecutionQuality
from orders.quality import measuring
from orders.quality.figures import read_groups
from tests.support.accounts import Account, make_account
from tests.support.client import get
from tests.support.database import Database, rewrite
from tests.support.samples import new_order
from tests.support.shapes import assert_shape
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of
from tests.support.venue_stubs import StubVenue

pytestmark = pytest.mark.usefixtures("redis_client")
VENUES = StubVenue("raydium", "100.2", 30), StubVenue("meteora", "100.15", 20)
TICK = """
INSERT INTO price_ticks (pair, tick, reference)
SELECT 'SOL/USDC', floor(extract(epoch FROM created_at))::bigint - %s, %s FROM orders WHERE id = %s
"""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure what ended in this moment."""
    monkeypatch.setitem(measuring.BOUNDS, "settled", 0)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)


async def executed(
    journal: Journal,
    database: Database,
    *venues: StubVenue,
    then: Sending = Sending.LANDS,
    **changes: Any,
) -> str:
    """Execute a new order to its end and return its id."""
    order = new_order(**changes)
    await journal.accept(order)
    execution = Execution(journal, exchange_of(ScriptedNetwork(then=then), venues or VENUES))
    while await database.rows("SELECT 1 FROM orders WHERE finished_at IS NULL"):
        for claimed in await journal.claim(1, ACTIVE):
            await execution.carry_order(claimed)
    return order.id


measure = database_sync_to_async(measuring.measure_ended)


@database_sync_to_async
def row_of(order_id: str) -> ExecutionQuality:
    return ExecutionQuality.objects.get(pk=order_id)


async def shown(order_id: str, account: Account) -> dict[str, Any]:
    answer = await get(f"/api/orders/{order_id}", **account.headers)
    assert_shape(answer.json, "Order")
    found: dict[str, Any] = answer.json
    return found


def amounts_of(order: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """Return the sum of the arrival amount and all parts, and the fill."""
    parts = order["executionParts"]
    names = ("price", "impact", "fee", "fill")
    gained = sum(Decimal(parts[name]) for name in names)
    if order["amountIn"] is not None:
        return Decimal(parts["arrivalAmount"]) + gained, Decimal(order["executedAmountOut"])
    return Decimal(parts["arrivalAmount"]) - gained, Decimal(order["executedAmountIn"])


async def test_an_order_tells_how_it_did_against_quote_runner_up_and_market(
    journal: Journal, database: Database
) -> None:
    account = make_account()
    order_id = await executed(journal, database, owner=account.id)
    await database.rows(TICK, 0, 101, order_id)
    assert "quotedAmount" not in await shown(order_id, account)

    await measure()

    order = await shown(order_id, account)
    filled = Decimal(order["executedAmountOut"])
    assert order["quotedAmount"] == "149.92455"  # the worked example: Meteora
    assert order["otherVenue"] == "raydium"
    assert Decimal(order["vsOtherAmount"]) == filled - Decimal("149.8491")
    assert order["arrivalPrice"] == "101"
    assert order["executionParts"]["arrivalAmount"] == "151.5"
    summed, told = amounts_of(order)
    assert summed == told


@pytest.mark.parametrize(
    "asked",
    [
        {"side": "buy", "amount_in": 100_000_000},
        {"side": "buy", "amount_in": None, "amount_out": 1_234_567_891},
        {"amount_in": None, "amount_out": 99_999_999},
    ],
)
async def test_the_parts_of_a_stored_order_add_up_on_every_side(
    journal: Journal, database: Database, asked: dict[str, Any]
) -> None:
    account = make_account()
    order_id = await executed(journal, database, owner=account.id, **asked)
    await database.rows(TICK, 0, "99.87654321", order_id)
    await measure()

    summed, told = amounts_of(await shown(order_id, account))
    assert summed == told


async def test_without_a_runner_up_there_is_nothing_to_compare_with(
    journal: Journal, database: Database
) -> None:
    account = make_account()
    order_id = await executed(journal, database, StubVenue("raydium"), owner=account.id)
    await measure()

    order = await shown(order_id, account)
    names = ("otherVenue", "vsOtherBps", "vsOtherAmount", "arrivalPrice", "executionParts")
    assert [order[name] for name in names] == [None] * 5
    assert order["quotedAmount"] == "149.55"


async def test_an_order_without_a_fill_tells_what_the_market_was_alone(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    account = make_account()
    order_id = await executed(journal, database, then=Sending.REJECTED, owner=account.id)
    await database.rows(TICK, 2, 100, order_id)  # of two seconds before, which will do
    await measure()

    order = await shown(order_id, account)
    assert (order["status"], order["quotedAmount"]) == ("failed", None)
    assert order["arrivalPrice"] == "100"


async def test_a_price_older_than_three_seconds_is_no_arrival_price(
    journal: Journal, database: Database
) -> None:
    order_id = await executed(journal, database)
    await database.rows(TICK, 4, 100, order_id)
    await measure()
    assert (await row_of(order_id)).arrival_price is None


async def test_an_order_is_measured_once_and_one_that_was_committed_late_is_not_missed(
    journal: Journal, database: Database
) -> None:
    first = await executed(journal, database)
    await measure()
    before = await row_of(first)
    second = await executed(journal, database)
    # It ended, by its own time, half a minute before the one that was measured first.
    rewrite(
        database.conninfo,
        "UPDATE orders SET finished_at = finished_at - interval '30 seconds' WHERE id = %s",
        second,
    )
    await measure()
    await measure()

    assert (await row_of(second)).status == "confirmed"
    assert (await row_of(first)).finished_at == before.finished_at


async def test_after_the_clock_was_set_back_orders_are_measured_all_the_same(
    journal: Journal, database: Database
) -> None:
    first = await executed(journal, database)
    await measure()
    ahead = "UPDATE execution_quality SET finished_at = finished_at + interval '1 hour'"
    await database.rows(ahead)
    second = await executed(journal, database)
    await measure()
    assert {
        str(row[0]) for row in await database.rows("SELECT order_id FROM execution_quality")
    } == {
        first,
        second,
    }


async def test_a_decision_that_cannot_be_read_costs_no_other_order_its_figures(
    journal: Journal, database: Database
) -> None:
    odd, plain = await executed(journal, database), await executed(journal, database)
    broken = "UPDATE order_events SET data = '{\"quote\": {}}' WHERE order_id = %s AND seq = 3"
    rewrite(database.conninfo, broken, odd)
    await measure()
    assert (await row_of(odd)).quoted is None
    assert (await row_of(plain)).quoted == 149_924_550


async def test_the_figures_are_of_the_callers_own_orders_and_of_all_for_staff(
    journal: Journal, database: Database
) -> None:
    account, staff = make_account(), make_account(is_staff=True)
    await executed(journal, database, owner=account.id)
    await executed(journal, database, owner=account.id, side="buy", amount_in=2_000_000_000)
    await executed(journal, database)
    await measure()
    path = "/api/analytics/execution-quality"

    mine = (await get(path, **account.headers)).json
    cookie = await staff.log_in()
    all_of_them = (await get(path, **cookie)).json
    own = (await get(f"{path}?whose=mine", **cookie)).json

    for answer in (mine, all_of_them, own):
        assert_shape(answer, "ExecutionQuality")
    assert [one["total"]["confirmed"] for one in (mine, all_of_them, own)] == [2, 3, 0]
    assert [one["whose"] for one in (mine, all_of_them, own)] == ["mine", "all", "mine"]
    assert mine["total"]["confirmedPercent"] == "100"
    assert {one["side"]: one["orders"] for one in mine["bySide"]} == {"buy": 1, "sell": 1}
    assert [one["size"] for one in mine["bySize"]] == ["100-1000", "1000-10000"]
    assert sum(one["orders"] for one in mine["byHour"]) == 2
    against = [Decimal(one["vsOther"]["amount"]) for one in mine["byMarket"]]
    assert sum(against) == Decimal(mine["total"]["vsOther"]["amount"])


async def test_nothing_yet_is_told_as_nothing(journal: Journal) -> None:
    account = make_account()
    answer = (await get("/api/analytics/execution-quality?window=7d", **account.headers)).json
    assert_shape(answer, "ExecutionQuality")
    assert answer["total"]["vsOther"] == {
        **{"orders": 0, "amount": None, "bps": None, "p5Bps": None, "medianBps": None}
    }
    assert answer["byVenue"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("window=1y", "window"),
        ("window=0h", "window"),
        ("window=32d", "window"),
        ("whose=all", "whose"),
        ("since=1", "since"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(
    journal: Journal, query: str, field: str
) -> None:
    account = make_account()
    answer = await get(f"/api/analytics/execution-quality?{query}", **account.headers)
    assert answer.status == 400
    assert [one["field"] for one in answer.json["errors"]] == [field]


async def test_figures_are_for_accounts(journal: Journal) -> None:
    assert (await get("/api/analytics/execution-quality")).status == 401


async def test_slices_are_counted_and_their_parent_is_not(
    journal: Journal, database: Database
) -> None:
    await executed(journal, database)
    rewrite(database.conninfo, "UPDATE orders SET type = 'twap', terms = '{}'")
    await measure()
    groups = await database_sync_to_async(read_groups)(None, 3600)
    assert [group.orders for group in groups] == [0]
