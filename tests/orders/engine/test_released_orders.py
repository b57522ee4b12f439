"""What happens to an order with terms once it is released: filled, returned, latched, ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from orders.engine import journal_sql
from orders.engine.execution import Execution, attempt_of_release
from orders.engine.journal import Journal
from orders.engine.moves import Diverted
from orders.terms.watch import CLOCK
from routing.venue import InsufficientLiquidity, UnsupportedToken, VenueUnavailable
from tests.orders.engine.test_execution import Falling, FaultyVenue, claim
from tests.support.database import Database
from tests.support.resting import (
    DEADLINE,
    FILLED,
    TERMS,
    amend,
    carry,
    event_names,
    lands,
    last_data,
    order_of_type,
    poor,
    release,
    released,
    state,
    store,
    watch_of,
)
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of
from tests.support.venue_stubs import StubVenue

pytestmark = pytest.mark.usefixtures("quick")
REFUSAL = VenueUnavailable("refuses, as the test wants it")
BACK, LATCHED = ["open", "waiting"], ["open", "latched"]


# What ends a release without a fill


@pytest.mark.parametrize("kind", [kind for kind in TERMS if kind != "market"])
async def test_a_released_order_fills_within_its_bound(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await store(journal, kind)
    await released(journal, database, order_id)

    assert await event_names(database, order_id) == ["accepted", "released", *FILLED]
    assert await watch_of(database, order_id) == {}
    if "limit_price" in TERMS[kind]:
        assert await database.order(order_id, "min_out") == 148_500_000


@pytest.mark.parametrize("kind", ["limit", "stopLimit", "takeProfit with a limit"])
async def test_an_order_with_a_limit_returns_and_watches_its_limit_again(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await store(journal, kind)
    before = await watch_of(database, order_id)
    await released(journal, database, order_id, poor())

    assert await event_names(database, order_id) == [
        *("accepted", "released"),
        *["routing", "retry"] * 2,
        *("routing", "returned"),
    ]
    data = await last_data(database, order_id)
    assert data["failureCode"] == "slippage_exceeded"
    assert "which is outside its limit price" in data["reason"]
    assert "restUntil" not in data
    phase = "waiting" if kind == "limit" else "limit"
    assert await state(database, order_id) == ["open", phase, None]
    assert await database.order(order_id, "min_out") == 148_500_000
    after = await watch_of(database, order_id)
    assert (after["kind"], after["act"], after["wake_price"]) == (">", "s", 99)
    assert after["queued_at"] == before["queued_at"]
    assert after["expires_at"] == before["expires_at"]
    assert after["from_tick"] >= before["from_tick"]
    if kind == "limit":
        assert after | {"from_tick": 0} == before | {"from_tick": 0}


@pytest.mark.parametrize("kind", ["limit", "stopLimit"])
async def test_an_amended_order_that_returns_has_the_place_that_it_was_sent_to(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await store(journal, kind)
    first = (await watch_of(database, order_id))["queued_at"]
    other = order_of_type(kind, **TERMS[kind] | {"limit_price": "99.5"})
    told = await amend(database, order_id, other, "limitPrice")
    behind = (await watch_of(database, order_id))["queued_at"]
    assert datetime.fromisoformat(behind) == told.at > datetime.fromisoformat(first)
    assert (await last_data(database, order_id))["goesBehind"] is True
    smaller = order_of_type(kind, **TERMS[kind] | {"limit_price": "99.5", "amount_in": 10**9})
    told = await amend(database, order_id, smaller, "amountIn")
    assert told.data == await last_data(database, order_id)
    assert "goesBehind" not in told.data

    await released(journal, database, order_id, poor())
    assert (await watch_of(database, order_id))["queued_at"] == behind


async def test_an_order_of_wrapped_sol_returns_to_the_prices_of_sol(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit", base="WSOL")
    await released(journal, database, order_id, poor())

    assert await state(database, order_id) == [*BACK, None]
    assert (await watch_of(database, order_id))["pair"] == "SOL/USDC"


async def test_an_order_that_returned_is_released_again_and_fills(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit")
    await released(journal, database, order_id, poor())
    await released(journal, database, order_id)

    assert (await event_names(database, order_id))[-5:] == ["released", *FILLED]
    assert await database.order(order_id, "attempts") == 4


@pytest.mark.parametrize("kind", ["stop", "takeProfit", "trailingStop"])
async def test_a_stop_whose_release_fails_three_times_is_released_again_with_a_new_bound(
    journal: Journal, database: Database, kind: str
) -> None:
    order_id = await store(journal, kind)
    await release(database, order_id)
    venue = FaultyVenue(REFUSAL, REFUSAL, REFUSAL)
    await carry(journal, database, venues=[venue])

    assert venue.asked == 3
    assert (await event_names(database, order_id))[-2:] == ["routing", "returned"]
    assert await state(database, order_id) == ["open", "latched", None]
    until = await database.order(order_id, "rest_until")
    assert (await last_data(database, order_id))["restUntil"] == until.astimezone(UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ"
    )
    watch = await watch_of(database, order_id)
    assert (watch["kind"], watch["act"], watch["wake_price"]) == (CLOCK, "f", None)
    assert datetime.fromisoformat(watch["check_at"]) == until
    await released(journal, database, order_id, StubVenue("raydium", "90"))
    # One percent below a quote at 90, of which 0.3 % are fees.
    assert await database.order(order_id, "min_out") == 133_249_050
    assert (await event_names(database, order_id))[-5:] == ["released", *FILLED]


async def test_a_stop_computes_its_bound_anew_for_each_release_and_never_within_one(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "stop")
    falling = Falling("raydium")
    network = ScriptedNetwork(Sending.REJECTED, then=Sending.LANDS)
    await released(journal, database, order_id, falling, network=network)

    assert (await event_names(database, order_id))[-1] == "returned"
    assert await database.order(order_id, "min_out") is None
    bounds = [data["minAmountOut"] for _, data in await database.log(order_id) if "quotes" in data]
    assert len(bounds) == 1
    await released(journal, database, order_id, falling)
    assert await database.order(order_id, "status") == "confirmed"
    again = [data["minAmountOut"] for _, data in await database.log(order_id) if "quotes" in data]
    assert float(again[-1]) < float(bounds[0])


@pytest.mark.parametrize(
    ("releases", "seconds"), [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (99, 30)]
)
async def test_a_latched_order_waits_twice_as_long_after_each_release(
    journal: Journal, database: Database, releases: int, seconds: int
) -> None:
    order_id = await store(journal, "stop")
    await database.rows("UPDATE orders SET releases = %s WHERE id = %s", releases - 1, order_id)
    await released(journal, database, order_id, FaultyVenue(InsufficientLiquidity("too much")))

    (waits,) = (
        await database.rows(
            "SELECT rest_until - at FROM orders JOIN order_events ON order_id = id"
            " WHERE event = 'returned'"
        )
    )[0]
    assert abs(waits - timedelta(seconds=seconds)) < timedelta(seconds=0.5)


async def test_the_pauses_of_a_later_release_are_those_of_the_first(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit")
    await database.rows("UPDATE orders SET attempts = 60 WHERE id = %s", order_id)
    await release(database, order_id)
    order = await claim(journal)
    venues = [FaultyVenue(REFUSAL)]
    await Execution(journal, exchange_of(lands(), venues)).carry_order(order)

    assert (order.attempts, attempt_of_release(order)) == (61, 1)
    assert float((await last_data(database, order_id))["retryInSeconds"]) < 0.1


@pytest.mark.parametrize(("trigger_by", "line"), [("executable", "b"), ("reference", "r")])
async def test_a_trailing_stop_that_latches_keeps_its_watermark(
    journal: Journal, database: Database, trigger_by: str, line: str
) -> None:
    order_id = await store(journal, "trailingStop", trigger_by=trigger_by)
    armed_tick = (await watch_of(database, order_id))["armed_tick"]
    await database.rows("SELECT pg_sleep(1.1)")
    await released(journal, database, order_id, FaultyVenue(*[REFUSAL] * 3))

    watch = await watch_of(database, order_id)
    assert (watch["kind"], watch["held"], watch["armed_tick"]) == (CLOCK, False, armed_tick)
    assert watch["line"] == line
    assert watch["from_tick"] > armed_tick


@pytest.mark.parametrize(
    ("kind", "fault", "ends"),
    [
        ("market", InsufficientLiquidity("too much"), ["failed", None]),
        ("market", REFUSAL, ["failed", None]),
        ("market", UnsupportedToken("not here"), ["failed", None]),
        ("limit", InsufficientLiquidity("too much"), BACK),
        ("limit", REFUSAL, BACK),
        ("limit", UnsupportedToken("not here"), ["failed", None]),
        ("stopLimit", InsufficientLiquidity("too much"), ["open", "limit"]),
        ("takeProfit with a limit", REFUSAL, ["open", "limit"]),
        ("stop", InsufficientLiquidity("too much"), LATCHED),
        ("stop", REFUSAL, LATCHED),
        ("stop", UnsupportedToken("not here"), ["failed", None]),
        ("takeProfit", REFUSAL, LATCHED),
        ("trailingStop", InsufficientLiquidity("too much"), LATCHED),
        ("trailingStop", UnsupportedToken("not here"), ["failed", None]),
    ],
)
async def test_what_a_fault_does_to_each_type(
    journal: Journal, database: Database, kind: str, fault: Exception, ends: list[Any]
) -> None:
    order_id = await store(journal, kind)
    if kind != "market":
        await release(database, order_id)
    await carry(journal, database, venues=[FaultyVenue(*[fault] * 3)])

    assert (await state(database, order_id))[:2] == ends


@pytest.mark.parametrize(
    ("kind", "status"), [("limit", "open"), ("stop", "open"), ("market", "failed")]
)
async def test_a_release_whose_transactions_all_died_ends_with_the_proof(
    journal: Journal, database: Database, kind: str, status: str
) -> None:
    order_id = await store(journal, kind)
    if kind != "market":
        await release(database, order_id)
    await carry(journal, database, ScriptedNetwork(then=Sending.REJECTED))

    assert (await state(database, order_id))[0] == status
    data = await last_data(database, order_id)
    assert (data["failureCode"], data["proof"]) == ("slippage_exceeded", "rejected")
    assert data["txHash"] == await database.order(order_id, "signature")


async def test_an_order_that_took_down_its_workers_fails_even_if_it_could_rest(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "stop")
    await release(database, order_id)
    await Execution(journal, exchange_of(lands())).give_up(await claim(journal))

    assert await state(database, order_id) == ["failed", None, None]


# Time


async def test_ioc_that_is_not_marketable_is_expired_and_not_failed(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit", time_in_force="ioc", expires_in=60)
    await carry(journal, database, venues=[poor()])

    assert await event_names(database, order_id) == [
        *["accepted", *["routing", "retry"] * 2, "routing", "expired"],
    ]
    assert await state(database, order_id) == ["expired", None, "not_marketable"]
    data = await last_data(database, order_id)
    assert data["reason"] == "not_marketable"
    assert data["details"]["failureCode"] == "slippage_exceeded"
    assert await database.order(order_id, "failure_code") is None


async def test_fok_has_one_attempt(journal: Journal, database: Database) -> None:
    order_id = await store(journal, "limit", time_in_force="fok", expires_in=60)
    await carry(journal, database, venues=[poor()])

    assert await event_names(database, order_id) == ["accepted", "routing", "expired"]


async def test_ioc_whose_transaction_died_rests_for_the_clock_to_end_it(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit", time_in_force="fok", expires_in=60)
    await carry(journal, database, ScriptedNetwork(then=Sending.REJECTED))

    assert (await event_names(database, order_id))[-2:] == ["submitted", "returned"]
    ((is_clock, is_over),) = await database.rows(
        "SELECT kind = 'c', expires_at <= clock_timestamp() FROM watches"
    )
    assert (is_clock, is_over) == (True, True)


async def end_of_wait(database: Database, order_id: str, seconds: float = -1.0) -> None:
    """Let the order's time be over in so many seconds."""
    await database.rows("SET session_replication_role = replica")
    await database.rows(
        "UPDATE orders SET expires_at = clock_timestamp() + %s * interval '1 second' WHERE id = %s",
        *(seconds, order_id),
    )
    await database.rows("SET session_replication_role = origin")


@pytest.mark.parametrize(
    ("kind", "terms", "reason"),
    [
        ("market", {"time_in_force": "ioc", "expires_in": 60}, "queue_deadline"),
        ("limit", {"time_in_force": "ioc", "expires_in": 60}, "queue_deadline"),
        ("limit", {"time_in_force": "gtd", "expires_in": 60}, "gtd"),
    ],
)
async def test_an_order_whose_time_is_over_is_expired_when_it_is_claimed(
    journal: Journal, database: Database, kind: str, terms: dict[str, Any], reason: str
) -> None:
    order_id = await store(journal, kind, **terms)
    if terms["time_in_force"] == "gtd":
        await release(database, order_id)
    await end_of_wait(database, order_id)
    venue = FaultyVenue()
    await carry(journal, database, venues=[venue])

    assert venue.asked == 0
    assert await state(database, order_id) == ["expired", None, reason]
    assert (await last_data(database, order_id)) == {"reason": reason}


@pytest.mark.parametrize("is_at_once", [True, False])
async def test_an_order_whose_time_ends_while_it_is_routed_is_not_submitted(
    journal: Journal, database: Database, is_at_once: bool
) -> None:
    order_id = await store(journal, "market", expires_in=60)
    order = await claim(journal)
    network = lands()
    venue = StubVenue("raydium")
    build = venue.build

    async def build_late(*asked: Any) -> Any:
        await end_of_wait(database, order_id)
        return await build(*asked)

    if is_at_once:
        await end_of_wait(database, order_id)
    else:
        venue.build = build_late  # type: ignore[method-assign]
    with pytest.raises(Diverted):
        await Execution(journal, exchange_of(network, [venue])).carry_order(order)

    assert network.sent == []
    assert await state(database, order_id) == ["expired", None, "queue_deadline"]
    assert await database.rows("SELECT 1 FROM order_transactions") == []
    passed = [] if is_at_once else ["building"]
    assert await event_names(database, order_id) == ["accepted", "routing", *passed, "expired"]
    assert await database.violations([]) == []


async def test_a_market_order_without_a_longest_wait_waits_as_today(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "market")
    await database.rows("UPDATE orders SET created_at = created_at - interval '1 day'")
    await carry(journal, database)

    assert await event_names(database, order_id) == ["accepted", *FILLED]


async def test_what_was_submitted_in_time_and_lands_later_is_confirmed(
    journal: Journal, database: Database
) -> None:
    order_id = await store(journal, "limit", time_in_force="gtd", expires_in=60)
    await release(database, order_id)
    network = ScriptedNetwork()
    carrying = asyncio.create_task(
        Execution(journal, exchange_of(network)).carry_order(await claim(journal))
    )
    async with asyncio.timeout(DEADLINE):
        while not network.sent:
            await asyncio.sleep(0.01)
    await end_of_wait(database, order_id)
    network.land(network.sent[0].signature)
    await carrying

    assert (await state(database, order_id))[0] == "confirmed"


# Price impact


@pytest.mark.parametrize(
    ("kind", "ends"), [("stop", "confirmed"), ("trailingStop", "confirmed"), ("limit", "open")]
)
async def test_the_engines_limit_of_price_impact_is_not_for_protective_orders(
    journal: Journal, database: Database, kind: str, ends: str
) -> None:
    order_id = await store(journal, kind)
    deep = StubVenue("raydium", change=lambda quote: quote._replace(price_impact_bps=Decimal(1500)))
    await released(journal, database, order_id, deep)

    assert (await state(database, order_id))[0] == ends
    if ends == "open":
        assert (await last_data(database, order_id))["failureCode"] == "price_impact_too_high"


# A market order's way


async def test_a_market_orders_way_has_the_very_statements_it_had(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    execute = psycopg.AsyncCursor.execute

    async def note(cursor: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(query)
        return await execute(cursor, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", note)
    await journal.accept(new_order())
    order = await claim(journal)
    await Execution(journal, exchange_of(lands())).carry_order(order)

    assert [one for one in ran if "orders" in one] == [
        journal_sql.ACCEPT[False, False],
        journal_sql.CLAIM_DUE,
        journal_sql.ADVANCE,
        journal_sql.ADVANCE,
    ]
