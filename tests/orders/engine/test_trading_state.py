"""The trading state: while it is halted nothing new starts, and what was sent is settled."""

import asyncio
import io
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from psycopg import errors

from config.runtime.rate import Rate
from orders.engine import trading_state as state
from orders.engine.journal import Journal
from orders.engine.journal_sql import DUE_KINDS
from orders.engine.moves import HALTED_SECONDS, TradingHalted
from orders.engine.submission import cancel_order, new_order_id
from orders.engine.trading_state import change_trading_state
from orders.lifecycle import ACTIVE, IS_HALTED, Status
from orders.models import TradingState
from tests.support.accounts import make_account
from tests.support.client import SELL_SOL, connected, count_stored, get, post, submit
from tests.support.database import Database, MakeJournal
from tests.support.resting import order_of_type
from tests.support.samples import new_order
from tests.support.walker import Walker, confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

HALTED, ACTIVE_STATE = TradingState.State.HALTED, TradingState.State.ACTIVE


async def change(to: TradingState.State, why: str = "") -> None:
    def once() -> None:
        change_trading_state(to, "ada", why)
        connection.close()

    await sync_to_async(once)()


async def begun(order_id: str, *statuses: Status) -> Walker:
    walker = Walker(order_id)
    await walker.walk(*statuses)
    return walker


# What is taken


async def test_while_halted_no_order_is_taken_by_rest_or_socket_and_nothing_is_stored() -> None:
    owner = make_account()
    await change(HALTED)

    for headers in ({}, owner.headers, {**owner.headers, "idempotency-key": "k"}):
        refused = await post("/execute", SELL_SOL, **headers)
        assert (refused.status, refused.json["error"]) == (503, "trading_halted")
        assert refused.headers["retry-after"] == str(HALTED_SECONDS)
    async with connected("/execute") as stream:
        await stream.send(SELL_SOL)
        assert (await stream.message())["error"] == "trading_halted"
    assert count_stored() == 0

    await change(ACTIVE_STATE)
    assert (await post("/execute", SELL_SOL)).status == 201


@pytest.mark.parametrize("is_keyed", [False, True])
@pytest.mark.parametrize("may_start", [False, True])
@pytest.mark.parametrize("is_limited", [False, True])
async def test_while_halted_every_way_of_storing_refuses(
    journal: Journal, database: Database, is_keyed: bool, may_start: bool, is_limited: bool
) -> None:
    await change(HALTED)
    keys: dict[str, Any] = {"owner": make_account().id, "idempotency_key": "k"} if is_keyed else {}
    rate = Rate(100, 60) if is_limited else None
    with override_settings(ORDER_RATE_LIMIT=rate), pytest.raises(TradingHalted):
        await journal.accept_or_begin(new_order(may_start=may_start, **keys))

    for table in ("orders", "order_events", "order_starts"):
        assert await database.rows(f"SELECT 1 FROM {table}") == []


async def test_while_halted_no_order_that_rests_is_taken(
    journal: Journal, database: Database
) -> None:
    await change(HALTED)
    group = new_order_id()
    legs = [
        order_of_type("limit", limit_price="112", group_id=group),
        order_of_type("stop", trigger_price="95", group_id=group),
    ]
    with pytest.raises(TradingHalted):
        await journal.accept(legs[0])
    with pytest.raises(TradingHalted):
        await journal.accept_together(legs)
    assert await database.rows("SELECT 1 FROM orders UNION ALL SELECT 1 FROM watches") == []

    await change(ACTIVE_STATE)
    await journal.accept_together(legs)
    assert await database.rows("SELECT status FROM orders") == [("open",)] * 2


async def test_the_exits_of_an_entry_that_is_filled_during_a_halt_come_into_being(
    journal: Journal, database: Database
) -> None:
    entry = await submit()
    await change(HALTED)
    await journal.accept(order_of_type("stop", trigger_price="95", parent_id=entry))
    assert await database.rows(
        "SELECT parent_id::text FROM watches JOIN orders ON id = order_id"
    ) == [(entry,)]


async def test_while_halted_a_replacement_leaves_the_old_order_in_force(database: Database) -> None:
    owner = make_account()
    old = (await post("/execute", SELL_SOL, **owner.headers)).json["orderId"]
    await change(HALTED)
    refused = await post(f"/api/orders/{old}/replace", SELL_SOL, **owner.headers)

    assert (refused.status, refused.json["error"]) == (503, "trading_halted")
    assert await database.rows("SELECT id::text, status FROM orders") == [(old, "pending")]


@pytest.mark.parametrize("mode", ["independent", "all"])
async def test_while_halted_a_batch_stores_none(database: Database, mode: str) -> None:
    await change(HALTED)
    asked = {"orders": [SELL_SOL, SELL_SOL], "mode": mode}
    answer = await post("/api/orders/batch", asked, **make_account().headers)

    assert answer.status in (207, 409, 503)
    assert "trading_halted" in answer.text
    assert await database.rows("SELECT 1 FROM orders") == []


async def test_who_repeats_an_order_by_its_key_is_given_it_though_trading_is_halted(
    journal: Journal,
) -> None:
    owner = make_account()
    keyed = {**owner.headers, "idempotency-key": "k"}
    first = await post("/execute", SELL_SOL, **keyed)
    await change(HALTED)

    again = await post("/execute", SELL_SOL, **keyed)
    assert (again.status, again.json["orderId"]) == (200, first.json["orderId"])
    other = await post("/execute", SELL_SOL, **{**keyed, "idempotency-key": "other"})
    assert other.json["error"] == "trading_halted"


# What is claimed


async def test_halted_nothing_new_starts_after_the_answer_submitted_ones_settle_and_cancel_works(
    journal: Journal, database: Database
) -> None:
    waiting, sent, building, retrying = [await submit() for _ in range(4)]
    await begun(sent, Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    carried = await begun(building, Status.ROUTING, Status.BUILDING)
    await begun(retrying, Status.ROUTING)
    await database.rows("UPDATE orders SET lease_until = NULL WHERE id IN (%s, %s)", sent, retrying)
    await change(HALTED)

    with override_settings(ORDER_RATE_LIMIT=None):
        claimed = await journal.claim(10, ACTIVE)
        assert [order.id for order in claimed] == [sent]
        for order_id in (waiting, retrying):
            assert await journal.claim_named(order_id) == []
    await carried.walk(Status.SUBMITTED, Status.CONFIRMED)  # what was being carried goes on
    for order_id in (waiting, retrying):
        await sync_to_async(cancel_order)(order_id)
        assert await database.order(order_id, "status") == "cancelled"


@pytest.mark.parametrize("is_limited", [False, True])
async def test_a_submitted_order_is_claimed_by_name_while_halted_and_settled(
    journal: Journal, database: Database, is_limited: bool
) -> None:
    sent = await submit()
    await begun(sent, Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    await database.expire_lease(sent)
    await change(HALTED)

    with override_settings(ORDER_RATE_LIMIT=Rate(1, 60) if is_limited else None):
        (order,) = await journal.claim_named(sent)
    assert order.status == Status.SUBMITTED


async def test_while_halted_nobody_is_woken_but_for_what_was_submitted(database: Database) -> None:
    sent, suspect, _ = [await submit() for _ in range(3)]
    await begun(sent, Status.ROUTING, Status.BUILDING, Status.SUBMITTED)
    await begun(suspect, Status.ROUTING)
    await database.rows("UPDATE orders SET lease_until = NULL")
    await database.lose_leases(suspect, 2)
    assert await database.rows(DUE_KINDS) == [(True, True, suspect)]
    await change(HALTED)
    assert await database.rows(DUE_KINDS) == [(False, True, None)]
    await change(ACTIVE_STATE)
    assert await database.rows(DUE_KINDS) == [(True, True, suspect)]


@pytest.mark.parametrize("is_limited", [False, True])
async def test_after_the_answer_to_a_halt_no_claim_that_was_under_way_starts_an_order(
    make_journal: MakeJournal, database: Database, is_limited: bool
) -> None:
    """Claims and orders race with halts: what starts has started before the answer."""
    with override_settings(ORDER_RATE_LIMIT=Rate(100_000, 60) if is_limited else None):
        for _ in range(8):
            ids = [await submit() for _ in range(12)]
            claims = [
                asyncio.create_task(claim_all(make_journal(), ids[place::3])) for place in range(3)
            ]
            await change(HALTED)
            started = await database.rows(STARTED)
            await asyncio.gather(*claims)
            assert await database.rows(STARTED) == started
            await change(ACTIVE_STATE)


STARTED = "SELECT count(*), max(started_at) FROM orders WHERE started_at IS NOT NULL"


async def claim_all(journal: Journal, ids: list[str]) -> None:
    for order_id in ids:
        await journal.claim_named(order_id)


async def test_a_halt_waits_for_statements_that_began_before_it_and_not_for_a_backup(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with await psycopg.AsyncConnection.connect(database.conninfo) as earlier:
        await earlier.execute(f"SELECT {IS_HALTED}")
        halting = asyncio.create_task(change(HALTED))
        while not await database.rows("SELECT 1 FROM trading_states"):
            await asyncio.sleep(0.01)
        assert not halting.done()
        await earlier.commit()
        await halting

        await earlier.execute(f"SELECT {IS_HALTED}")
        monkeypatch.setattr(state, "EARLIER_SECONDS", 0.0)
        await change(ACTIVE_STATE)
        assert "1 transactions began before the change and go on" in caplog.text


# Who, when and why


async def test_who_changed_the_state_when_and_why_is_written_once(database: Database) -> None:
    await change(HALTED, "the market is mad")
    for statement in (
        "UPDATE trading_states SET changed_by = 'eve'",
        "DELETE FROM trading_states",
        "TRUNCATE trading_states",
    ):
        with pytest.raises(errors.RestrictViolation, match="history is written once"):
            await database.rows(statement)
    query = "SELECT state, changed_by, why FROM trading_states"
    assert await database.rows(query) == [("halted", "ada", "the market is mad")]


async def test_health_tells_the_state() -> None:
    assert (await get("/health")).json["state"] == "active"
    await change(HALTED)
    answer = await get("/health")
    assert (answer.status, answer.json["state"]) == (200, "halted")
    await change(ACTIVE_STATE)
    assert (await get("/health")).json["state"] == "active"


@pytest.mark.usefixtures("transactional_db")
def test_the_command_shows_the_state_and_changes_it() -> None:
    def said(*arguments: str) -> str:
        written = io.StringIO()
        call_command("trading_state", *arguments, stdout=written)
        return written.getvalue().strip()

    assert said() == "active: it was never changed"
    halted = said("halted", "--why", "a bad venue")
    assert halted.startswith("halted since ")
    assert halted.endswith(" (command): a bad venue")
    assert said() == halted
    assert said("active").startswith("active since ")
    assert TradingState.objects.count() == 2


async def test_the_engine_that_was_halted_goes_on_where_it_stood(journal: Journal) -> None:
    order_id = await submit()
    await change(HALTED)
    await change(ACTIVE_STATE)
    await confirm(order_id)
