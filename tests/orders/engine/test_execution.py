"""Execution against venues and a network that do as they are told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from channels.db import database_sync_to_async
from django.conf import settings

from config.database.conninfo import conninfo
from orders.api.schema.examples import links
from orders.engine.execution import Execution, backoff, swap_of
from orders.engine.journal import Journal
from orders.engine.moves import ClaimedOrder, Overtaken
from orders.lifecycle import ACTIVE, Status
from orders.models import Order
from orders.representation import route_log
from routing import registry
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pricing import MAX_ATOMS
from routing.router import best_route
from routing.stored_decision import StoredDecision, decision_data
from routing.tokens import JUP, USDT
from routing.venue import (
    Bound,
    InsufficientFunds,
    InsufficientLiquidity,
    Quote,
    SignedTransaction,
    SlippageExceeded,
    Swap,
    TransactionStatus,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)
from routing.venues import Exchange, simulated_exchange
from tests.support.database import Database, MakeJournal, restore_registry, rewrite
from tests.support.samples import move_of, moved, new_order, to_building
from tests.support.shapes import assert_shape
from tests.support.stubs import ScriptedNetwork, Sending, VenueOn, exchange_of
from tests.support.traded import add_market, add_token, change
from tests.support.venue_stubs import PoolVenue, StubVenue

Build = Callable[..., Awaitable[SignedTransaction]]

DEADLINE = 120.0
CONFIRMED = ["pending", "routing", "building", "submitted", "confirmed"]
REFUSAL = VenueUnavailable("refuses, as the test wants it")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a clock longer than it must."""
    monkeypatch.setattr(settings, "RETRY_BACKOFF", 0.02)
    monkeypatch.setattr(settings, "STATUS_POLL_SECONDS", 0.01)
    monkeypatch.setattr(settings, "RESEND_SECONDS", 0.05)


class FaultyVenue(StubVenue):
    """Raises these faults one after the other, then quotes."""

    def __init__(self, *faults: Exception, name: str = "raydium", price: str = "100") -> None:
        super().__init__(name, price)
        self._faults = list(faults)
        self.asked = 0

    async def quote(self, swap: Swap) -> Quote:
        self.asked += 1
        if self._faults:
            raise self._faults.pop(0)
        return await super().quote(swap)


class Awaiting(ScriptedNetwork):
    """Answers no send before so many are under way; then what is sent lands."""

    def __init__(self, sends: int) -> None:
        super().__init__(then=Sending.LANDS)
        self._missing = sends
        self.begun, self._are_there = asyncio.Event(), asyncio.Event()

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        self.begun.set()
        self._missing -= 1
        if not self._missing:
            self._are_there.set()
        async with asyncio.timeout(DEADLINE):
            await self._are_there.wait()
        return await super().send(transaction)


class Falling(StubVenue):
    """Quotes 100 once, then 90."""

    async def quote(self, swap: Swap) -> Quote:
        quote = await super().quote(swap)
        self._price = Decimal("90")
        return quote


@database_sync_to_async
def routes_of(order_id: str) -> dict[str, Any]:
    return route_log(Order.objects.get(pk=order_id))


async def accepted(journal: Journal, **changes: Any) -> str:
    order = new_order(**changes)
    await journal.accept(order)
    return order.id


async def claim(journal: Journal) -> ClaimedOrder:
    """Claim what is due next, as soon as it is."""
    async with asyncio.timeout(DEADLINE):
        while not (orders := await journal.claim(1, ACTIVE)):
            await asyncio.sleep(0.01)
    return orders[0]


async def carry_to_the_end(journal: Journal, execution: Execution, database: Database) -> None:
    """Do as a carrier would with the only order there is."""
    async with asyncio.timeout(DEADLINE):
        while await database.rows("SELECT 1 FROM orders WHERE finished_at IS NULL"):
            await execution.carry_order(await claim(journal))


class Stopped(Exception):
    """The order was put down at the point that the test has named."""


def built_late(build: Build) -> Build:
    """Build a turn of the loop later: the order is told as building meanwhile."""

    async def build_late(*asked: Any) -> SignedTransaction:
        await asyncio.sleep(0)
        return await build(*asked)

    return build_late


async def carry_until(
    point: str, journal: Journal, exchange: Exchange, order: ClaimedOrder
) -> None:
    """Do as a carrier would that ends at one of the crash points."""

    def stop(passed: str) -> None:
        if passed == point:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        if point == "after_building":
            for venue in exchange.venues:
                patch.setattr(venue, "build", built_late(venue.build))
        patch.setattr("orders.engine.execution.crash_point", stop)
        with pytest.raises(Stopped):
            await Execution(journal, exchange).carry_order(order)


async def executed(
    journal: Journal,
    database: Database,
    network: ScriptedNetwork,
    venues: Sequence[Venue] = (),
    **changes: Any,
) -> str:
    """Execute a new order to its end and return its id."""
    order_id = await accepted(journal, **changes)
    execution = Execution(journal, exchange_of(network, venues))
    await carry_to_the_end(journal, execution, database)
    assert await database.violations(network.landings.elements()) == []
    return order_id


async def statuses(database: Database, order_id: str) -> list[str]:
    return [status for status, _ in await database.log(order_id)]


def lands() -> ScriptedNetwork:
    return ScriptedNetwork(then=Sending.LANDS)


async def test_an_order_goes_from_pending_to_confirmed_with_one_landing(
    journal: Journal, database: Database
) -> None:
    network = lands()
    order_id = await executed(journal, database, network)

    assert await statuses(database, order_id) == CONFIRMED
    assert list(network.landings.values()) == [1]
    stored = await database.rows("SELECT signature, outcome, settled_at FROM order_transactions")
    assert [row[:2] for row in stored] == [(network.sent[0].signature, "landed")]
    assert await database.order(order_id, "filled_in") == 1_500_000_000


async def test_the_better_venue_after_fees_is_chosen_and_the_reasons_are_stored(
    journal: Journal, database: Database
) -> None:
    venues = [StubVenue("raydium", "100.20", 30), StubVenue("meteora", "100.15", 20)]
    order_id = await executed(journal, database, lands(), venues)

    data = (await database.log(order_id))[2][1]
    assert data["selectedDex"] == "meteora"
    assert {quote["dex"]: quote["amountOut"] for quote in data["quotes"]} == {
        "raydium": "149.8491",
        "meteora": "149.92455",
    }
    assert await database.order(order_id, "venue") == "meteora"


async def test_the_signature_and_the_bytes_are_stored_before_they_are_sent(
    journal: Journal, database: Database
) -> None:
    stored: list[Any] = []

    class Watching(ScriptedNetwork):
        async def send(self, transaction: Any) -> Any:
            stored.extend(
                await database.rows("SELECT signature, payload, outcome FROM order_transactions")
            )
            return await super().send(transaction)

    network = Watching(then=Sending.LANDS)
    await executed(journal, database, network)

    sent = network.sent[0]
    assert stored == [(sent.signature, sent.payload, None)]


# Passing and final faults of venues


async def test_venues_that_refuse_twice_cost_two_attempts_and_no_more(
    journal: Journal, database: Database
) -> None:
    venue = FaultyVenue(REFUSAL, REFUSAL)
    order_id = await executed(journal, database, lands(), [venue])

    assert await statuses(database, order_id) == [
        *("pending", "routing", "pending", "routing", "pending"),
        *("routing", "building", "submitted", "confirmed"),
    ]
    assert await database.order(order_id, "attempts") == 3


async def test_venues_that_refuse_three_times_fail_the_order_with_growing_pauses(
    journal: Journal, database: Database
) -> None:
    venue = FaultyVenue(*[REFUSAL] * 9)
    order_id = await executed(journal, database, lands(), [venue])

    log = await database.log(order_id)
    assert [status for status, _ in log] == [*["pending", "routing"] * 3, "failed"]
    assert venue.asked == 3
    assert await database.order(order_id, "failure_code") == "venues_unavailable"
    assert "refuses" in await database.order(order_id, "failure_reason")
    assert log[-1][1]["failureCode"] == "venues_unavailable"
    pauses = [float(data["retryInSeconds"]) for _, data in log if "retryInSeconds" in data]
    assert len(pauses) == 2
    assert pauses[0] < pauses[1]
    due = await database.rows(
        "SELECT later.at - earlier.at FROM order_events earlier JOIN order_events later"
        " ON later.seq = earlier.seq + 1 AND later.status = 'routing' AND earlier.seq > 1"
        " ORDER BY later.seq"
    )
    assert all(
        waited[0].total_seconds() >= pause - 0.001
        for waited, pause in zip(due, pauses, strict=True)
    )


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (InsufficientLiquidity("too much"), "insufficient_liquidity"),
        (UnsupportedToken("not here"), "unsupported_token"),
    ],
)
async def test_a_final_fault_of_all_venues_fails_the_order_at_the_first_attempt(
    journal: Journal, database: Database, fault: Exception, code: str
) -> None:
    venues = [FaultyVenue(fault, name="raydium"), FaultyVenue(fault, name="meteora")]
    order_id = await executed(journal, database, lands(), venues)

    assert await statuses(database, order_id) == ["pending", "routing", "failed"]
    assert await database.order(order_id, "failure_code") == code
    assert await database.order(order_id, "attempts") == 1


async def test_a_venue_that_does_not_answer_in_time_leaves_the_order_to_the_other(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "QUOTE_TIMEOUT", 0.05)
    venues = [StubVenue("raydium", "110", latency=60), StubVenue("meteora")]
    order_id = await executed(journal, database, lands(), venues)

    assert await statuses(database, order_id) == CONFIRMED
    assert await database.order(order_id, "venue") == "meteora"
    (dropped,) = (await database.log(order_id))[2][1]["dropped"]
    assert "raydium" in str(dropped)


@pytest.mark.parametrize(
    "change",
    [
        lambda quote: quote._replace(price=Decimal("NaN")),
        lambda quote: quote._replace(price=-quote.price),
        lambda quote: quote._replace(amount_out=-1),
        lambda quote: quote._replace(price=quote.price * 10, amount_out=quote.amount_out * 10),
    ],
    ids=["nan", "negative-price", "negative-amount", "tenfold"],
)
async def test_an_absurd_quote_is_never_traded_on(
    journal: Journal, database: Database, change: Any
) -> None:
    venues = [StubVenue("raydium", change=change), StubVenue("meteora", "90")]
    order_id = await executed(journal, database, lands(), venues)

    assert await database.order(order_id, "status") == "confirmed"
    assert await database.order(order_id, "venue") == "meteora"


class Unbuilding(StubVenue):
    """Quotes, and cannot build the first time, or the first few."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__()
        self.faults = list(faults)

    async def build(self, *asked: Any) -> Any:
        if self.faults:
            raise self.faults.pop()
        return await super().build(*asked)


@pytest.mark.parametrize(
    "fault",
    [
        *(
            REFUSAL,
            InsufficientLiquidity("gone"),
            UnsupportedToken("too"),
            SlippageExceeded("moved"),
        ),
        KeyError("a fault of ours"),
    ],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_transaction_that_cannot_be_built_costs_an_attempt(
    journal: Journal, database: Database, fault: Exception
) -> None:
    order_id = await executed(journal, database, lands(), [Unbuilding(fault)])
    assert await statuses(database, order_id) == [
        *("pending", "routing", "building", "pending"),
        *("routing", "building", "submitted", "confirmed"),
    ]


async def test_a_venue_that_was_stopped_after_it_was_chosen_builds_nothing(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    venues = StubVenue("raydium", "100.2"), StubVenue("meteora", "100")
    exchange = exchange_of(lands(), venues)
    order_id = await accepted(journal)
    await carry_until("after_building", journal, exchange, await claim(journal))
    await database.rows("UPDATE orders SET lease_until = now()")
    stopped = registry._copy._replace(stopped={"raydium": "it paid less"})
    monkeypatch.setattr(registry, "_copy", stopped)
    await carry_to_the_end(journal, Execution(journal, exchange), database)

    log = await database.log(order_id)
    assert [status for status, _ in log][2:5] == ["building", "pending", "routing"]
    assert (log[2][1]["selectedDex"], log[5][1]["selectedDex"]) == ("raydium", "meteora")
    assert [one["code"] for one in log[5][1]["dropped"]] == ["venue_stopped"]
    assert await database.order(order_id, "status") == "confirmed"


@pytest.mark.parametrize(
    ("fault", "code"),
    [(SlippageExceeded("moved"), "slippage_exceeded"), (KeyError("secret"), "internal_error")],
    ids=lambda one: one if isinstance(one, str) else "",
)
async def test_what_stops_every_build_fails_the_order_with_its_code_and_nothing_is_sent(
    journal: Journal,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
    code: str,
) -> None:
    network = lands()
    order_id = await executed(journal, database, network, [Unbuilding(fault, fault, fault)])

    assert await database.order(order_id, "failure_code") == code
    assert await database.order(order_id, "attempts") == 3
    assert "secret" not in await database.order(order_id, "failure_reason")
    assert network.sent == []
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert len(tracebacks) == (code == "internal_error")


async def test_a_wallet_that_lacks_the_input_fails_the_order_at_the_first_attempt(
    journal: Journal, database: Database
) -> None:
    network, poor = lands(), Unbuilding(InsufficientFunds("it holds 1 of 2 SOL"))
    order_id = await executed(journal, database, network, [poor])

    assert await database.order(order_id, "failure_code") == "insufficient_funds"
    assert await database.order(order_id, "failure_reason") == "it holds 1 of 2 SOL"
    assert await database.order(order_id, "attempts") == 1
    assert network.sent == []


# The network: ambiguity is never an attempt and never a failure


@pytest.mark.parametrize(
    "script",
    [
        [Sending.DROPPED],
        [Sending.DROPPED, Sending.DROPPED, Sending.DROPPED],
        [Sending.UNREACHABLE],
        [Sending.UNREACHABLE, Sending.DROPPED, Sending.REFUSED],
        [Sending.REFUSED],
    ],
    ids=lambda script: "+".join(sending.name.lower() for sending in script),
)
async def test_bytes_that_were_not_taken_are_sent_again_unchanged_and_land_once(
    journal: Journal, database: Database, script: list[Sending]
) -> None:
    network = ScriptedNetwork(*script, then=Sending.LANDS)
    order_id = await executed(journal, database, network)

    assert await statuses(database, order_id) == CONFIRMED
    # Once more each time that a slow machine looks late; what is taken by then lands once.
    assert len(network.sent) > len(script)
    assert len(set(network.sent)) == 1, "the same bytes each time"
    assert list(network.landings.values()) == [1]
    assert await database.order(order_id, "attempts") == 1


async def test_a_reply_lost_after_the_landing_is_looked_up_and_lands_once(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork(Sending.REPLY_LOST)
    order_id = await executed(journal, database, network)

    assert await statuses(database, order_id) == CONFIRMED
    assert list(network.landings.values()) == [1]
    assert network.lookups


async def test_a_signature_that_may_still_land_is_waited_for_and_never_routed_again(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork()
    venue = FaultyVenue()
    order_id = await accepted(journal)
    execution = Execution(journal, exchange_of(network, [venue]))
    carrying = asyncio.create_task(carry_to_the_end(journal, execution, database))
    async with asyncio.timeout(DEADLINE):
        while len(network.sent) < 4:
            await asyncio.sleep(0.01)
        network.height_now = network.sent[0].expires_at_height  # it may land in this very block
        while len(network.sent) < 8:
            await asyncio.sleep(0.01)
    assert await database.order(order_id, "status") == "submitted"

    network.land(network.sent[0].signature)
    await carrying

    assert venue.asked == 1
    assert len(set(network.sent)) == 1
    assert await statuses(database, order_id) == CONFIRMED


async def test_a_transaction_proven_dead_by_its_expiry_is_followed_by_another_attempt(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork()
    order_id = await accepted(journal)
    execution = Execution(journal, exchange_of(network, [VenueOn(network)]))
    carrying = asyncio.create_task(carry_to_the_end(journal, execution, database))
    async with asyncio.timeout(DEADLINE):
        while not network.sent:
            await asyncio.sleep(0.01)
        network.expire()
        first = network.sent[0].signature
        network.then = Sending.LANDS
        await carrying

    log = await database.log(order_id)
    assert [status for status, _ in log] == [*CONFIRMED[:4], *CONFIRMED]
    proof = log[4][1]
    assert (proof["failureCode"], proof["proof"], proof["txHash"]) == (
        "never_landed",
        "expired",
        first,
    )
    rows = await database.rows("SELECT signature, outcome FROM order_transactions ORDER BY attempt")
    assert rows == [(first, "expired"), (network.sent[-1].signature, "landed")]


async def test_a_price_moved_beyond_the_bound_is_tried_again_within_the_same_bound(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork(Sending.REJECTED, then=Sending.LANDS)
    order_id = await executed(journal, database, network, slippage_bps=50)

    log = await database.log(order_id)
    assert [status for status, _ in log] == [*CONFIRMED[:4], *CONFIRMED]
    assert log[4][1]["proof"] == "rejected"
    first, second = log[2][1], log[6][1]
    assert first["minAmountOut"] == second["minAmountOut"]
    assert len({transaction.signature for transaction in network.sent}) == 2


async def test_a_price_that_stays_beyond_the_bound_fails_the_order_after_three_attempts(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork(then=Sending.REJECTED)
    order_id = await executed(journal, database, network)

    assert await database.order(order_id, "status") == "failed"
    assert await database.order(order_id, "failure_code") == "slippage_exceeded"
    assert await database.order(order_id, "attempts") == 3
    assert not network.landings
    outcomes = await database.rows("SELECT outcome FROM order_transactions")
    assert outcomes == [("rejected",)] * 3


async def test_a_later_quote_outside_the_first_bound_is_not_built(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork(then=Sending.REJECTED)
    order_id = await executed(journal, database, network, [Falling()])

    assert len(set(network.sent)) == 1, "the same bytes, however often they were sent"
    assert await database.order(order_id, "failure_code") == "slippage_exceeded"
    assert await database.order(order_id, "attempts") == 3


async def test_a_decision_that_broke_the_bound_is_stored_and_shown_all_the_same(
    journal: Journal, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "orders.engine.execution")
    network = ScriptedNetwork(then=Sending.REJECTED)
    order_id = await executed(journal, database, network, [Falling()])

    nets = [message for message in caplog.messages if message.startswith(f"order {order_id}: ")]
    assert len(nets) == 3  # a line for each

    found = await routes_of(order_id)
    assert_shape(found | {"links": links(is_cancellable=False)}, "RouteLog")
    decisions = [attempt["decision"] for attempt in found["attempts"]]
    assert [decision["quote"]["price"] for decision in decisions] == ["100", "90", "90"]
    assert found["route"] == decisions[0]


async def test_a_fill_outside_the_bound_is_confirmed_and_flagged(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork()
    order_id = await accepted(journal)
    execution = Execution(journal, exchange_of(network))
    carrying = asyncio.create_task(carry_to_the_end(journal, execution, database))
    async with asyncio.timeout(DEADLINE):
        while not network.sent:
            await asyncio.sleep(0.01)
        network.land(network.sent[0].signature, amount_out=1)
        await carrying

    assert await database.order(order_id, "status") == "confirmed"
    assert await database.order(order_id, "needs_attention")
    assert (await database.log(order_id))[-1][1]["boundBroken"] is True


async def test_an_order_for_a_fixed_output_is_bounded_by_its_input(
    journal: Journal, database: Database
) -> None:
    order_id = await executed(
        journal, database, lands(), side="buy", amount_in=None, amount_out=2_000_000_000
    )

    assert await database.order(order_id, "status") == "confirmed"
    assert await database.order(order_id, "filled_out") == 2_000_000_000
    most = await database.order(order_id, "max_in")
    assert await database.order(order_id, "filled_in") <= most <= MAX_ATOMS


# Resuming


@pytest.mark.parametrize(
    ("point", "reached"),
    [
        ("after_claim", "routing"),
        ("after_building", "building"),
        ("after_submitted", "submitted"),
    ],
)
async def test_an_order_found_in_any_status_is_carried_on_from_there(
    make_journal: MakeJournal, database: Database, point: str, reached: str
) -> None:
    lost, journal, network = make_journal(), make_journal(), lands()
    order_id = await accepted(lost)
    order = await claim(lost)
    venues = [StubVenue("raydium"), StubVenue("meteora")]
    await carry_until(point, lost, exchange_of(network, venues), order)
    before = await database.log(order_id)
    assert before[-1][0] == reached
    await database.expire_lease(order_id)

    again = await claim(journal)
    await Execution(journal, exchange_of(network, venues)).carry_order(again)

    log = await database.log(order_id)
    assert log[: len(before)] == before
    assert [status for status, _ in log] == CONFIRMED
    assert list(network.landings.values()) == [1]


async def test_a_decision_once_stored_is_kept_by_the_next_carrier(
    make_journal: MakeJournal, database: Database
) -> None:
    journal, network = make_journal(), lands()
    order_id = await accepted(journal)
    order = await claim(journal)
    best = [StubVenue("raydium", "101"), StubVenue("meteora", "100")]
    await carry_until("after_building", journal, exchange_of(network, best), order)
    await database.expire_lease(order_id)

    other = [StubVenue("raydium", "100"), StubVenue("meteora", "101")]
    await Execution(journal, exchange_of(network, other)).carry_order(await claim(journal))

    assert await database.order(order_id, "venue") == "raydium"
    assert await database.order(order_id, "status") == "confirmed"


async def test_two_holders_of_one_order_at_once_execute_it_once(
    make_journal: MakeJournal, database: Database
) -> None:
    network = lands()
    stale, current = make_journal(), make_journal()
    order_id = await accepted(stale)
    first = await claim(stale)
    await database.expire_lease(order_id)
    second = await claim(current)

    found = await asyncio.gather(
        Execution(stale, exchange_of(network)).carry_order(first),
        Execution(current, exchange_of(network)).carry_order(second),
        return_exceptions=True,
    )

    assert isinstance(found[0], Overtaken)
    assert found[1] is None
    assert await statuses(database, order_id) == CONFIRMED
    assert list(network.landings.values()) == [1]


async def test_two_processes_that_settle_one_transaction_send_the_same_bytes_and_one_confirms(
    make_journal: MakeJournal, database: Database
) -> None:
    network = Awaiting(sends=2)
    stale, current = make_journal(), make_journal()
    order_id = await accepted(stale)
    first = asyncio.create_task(
        Execution(stale, exchange_of(network)).carry_order(await claim(stale))
    )
    async with asyncio.timeout(DEADLINE):
        await network.begun.wait()
    await database.expire_lease(order_id)

    found = await asyncio.gather(
        first,
        Execution(current, exchange_of(network)).carry_order(await claim(current)),
        return_exceptions=True,
    )

    assert sum(isinstance(one, Overtaken) for one in found) == 1
    assert len(set(network.sent)) == 1
    assert list(network.landings.values()) == [1]
    assert await statuses(database, order_id) == CONFIRMED


async def test_a_cancelled_order_is_not_built(journal: Journal, database: Database) -> None:
    network = lands()
    order_id = await accepted(journal)
    order = await claim(journal)
    await journal.advance(move_of(order, Status.CANCELLED))

    with pytest.raises(Overtaken):
        await Execution(journal, exchange_of(network)).carry_order(order)

    assert not network.sent
    assert await statuses(database, order_id) == ["pending", "routing", "cancelled"]


async def test_a_cancelled_order_in_building_is_never_sent(
    journal: Journal, database: Database
) -> None:
    network = lands()
    order_id = await accepted(journal)
    order = await claim(journal)

    class Cancelling(StubVenue):
        async def build(self, *asked: Any) -> SignedTransaction:
            async with asyncio.timeout(DEADLINE):
                while await database.order(order_id, "status") != "building":
                    await asyncio.sleep(0.01)
            in_building = moved(order, to_building(order))
            await journal.advance(move_of(in_building, Status.CANCELLED))
            return await super().build(*asked)

    with pytest.raises(Overtaken):
        await Execution(journal, exchange_of(network, [Cancelling("raydium")])).carry_order(order)

    assert not network.sent
    assert await database.order(order_id, "status") == "cancelled"


def test_pauses_between_attempts_double_within_their_jitter() -> None:
    for _ in range(100):
        first, second, third = backoff(1), backoff(2), backoff(3)
        assert 0.8 <= first / settings.RETRY_BACKOFF <= 1.2
        assert 1.6 <= second / settings.RETRY_BACKOFF <= 2.4
        assert 3.2 <= third / settings.RETRY_BACKOFF <= 4.8


def venues_with_pools() -> list[PoolVenue]:
    depths = {"raydium": 66_667, "meteora": 20_000}
    return [
        PoolVenue(
            name,
            {
                "SOL/USDC": ConstantProductPool(
                    depth * 10**9, depth * 100 * 10**6, FeeRates(2_500, 120_000, 40_000)
                )
            },
        )
        for name, depth in depths.items()
    ]


LARGE = 1_000 * 10**9


async def test_a_split_order_is_one_transaction_of_several_legs(
    journal: Journal, database: Database
) -> None:
    network = lands()
    order_id = await executed(journal, database, network, venues_with_pools(), amount_in=LARGE)

    log = await database.log(order_id)
    decision = log[2][1]
    assert [leg["dex"] for leg in decision["legs"]] == ["raydium", "meteora"]
    assert decision["selectedDex"] == "raydium"
    assert await database.order(order_id, "venue") == "raydium"
    (sent,) = set(network.sent)
    legs = orjson.loads(sent.payload)["legs"]
    assert [leg[0] for leg in legs] == ["raydium", "meteora"]
    assert sum(leg[1] for leg in legs) == LARGE
    assert await database.order(order_id, "filled_in") == LARGE
    messages = await database.rows(
        "SELECT message FROM order_events WHERE order_id = %s AND seq IN (3, 4) ORDER BY seq",
        order_id,
    )
    assert messages == [
        ("Building the transaction for Raydium and Meteora",),
        ("Transaction sent to the network through Raydium and Meteora",),
    ]


async def test_a_split_that_another_worker_decided_is_built_as_it_was_decided(
    journal: Journal, make_journal: MakeJournal, database: Database
) -> None:
    network = lands()
    order_id = await accepted(journal, amount_in=LARGE)
    order = await claim(journal)
    exchange = exchange_of(network, venues_with_pools())
    await carry_until("after_building", journal, exchange, order)
    data = await journal.last_data(order_id, Status.BUILDING)
    decided = StoredDecision(data, order.base, order.quote, order.side)
    legs = decided.route(swap_of(order), registry.registry())
    await database.expire_lease(order_id)

    other = make_journal()
    await Execution(other, exchange).carry_order(await claim(other))

    (sent,) = set(network.sent)
    assert [leg[1:3] for leg in orjson.loads(sent.payload)["legs"]] == [
        [leg.quote.amount_in, leg.quote.amount_out] for leg in legs
    ]
    assert [leg.venue for leg in legs] == ["raydium", "meteora"]


async def test_what_an_order_asks_of_its_route_holds_for_every_attempt(
    journal: Journal, database: Database
) -> None:
    network = ScriptedNetwork(Sending.REJECTED, then=Sending.LANDS)
    venues = [StubVenue("raydium", "99"), StubVenue("meteora", "100")]
    order_id = await executed(
        journal, database, network, venues, constraints={"excludeVenues": ["meteora"]}
    )

    decisions = [data for status, data in await database.log(order_id) if status == "building"]
    assert [data["selectedDex"] for data in decisions] == ["raydium", "raydium"]
    assert all(data["dropped"][0]["code"] == "excluded" for data in decisions)


SIZES: list[dict[str, Any]] = [
    {"amount_in": LARGE},
    {"amount_in": None, "amount_out": 90_000 * 10**6},
    {"side": "buy", "amount_in": 100_000 * 10**6},
    {"side": "buy", "amount_in": None, "amount_out": LARGE},
]


@pytest.mark.parametrize("asked", SIZES)
async def test_too_much_price_impact_ends_an_order_at_once(
    asked: dict[str, Any], journal: Journal, database: Database
) -> None:
    order_id = await executed(
        *(journal, database, lands(), venues_with_pools()),
        **asked,
        constraints={"maxPriceImpactBps": 1},
    )

    log = await database.log(order_id)
    assert [status for status, _ in log] == ["pending", "routing", "failed"]
    assert log[-1][1]["failureCode"] == "price_impact_too_high"
    assert "price impact of" in log[-1][1]["reason"]


@pytest.mark.parametrize("asked", SIZES)
async def test_an_order_beyond_what_all_may_move_a_price_is_told_how_to_ask_for_more(
    asked: dict[str, Any], journal: Journal, database: Database, settings: Any
) -> None:
    settings.MAX_PRICE_IMPACT_BPS = 10
    unlimited, patient = [
        await executed(
            *(journal, database, lands(), venues_with_pools()), **asked, constraints=constraints
        )
        for constraints in (None, {"maxPriceImpactBps": 500})
    ]

    assert await database.order(unlimited, "failure_code") == "price_impact_too_high"
    assert await database.order(unlimited, "attempts") == 1
    reason = await database.order(unlimited, "failure_reason")
    assert "above 10 bps" in reason
    assert "A larger maxPriceImpactBps" in reason
    assert await database.order(patient, "status") == "confirmed"


async def test_the_log_of_routes_tells_every_attempt(journal: Journal, database: Database) -> None:
    network = ScriptedNetwork(Sending.REJECTED, then=Sending.LANDS)
    split = await executed(journal, database, network, venues_with_pools(), amount_in=LARGE)
    unlucky = FaultyVenue(REFUSAL, REFUSAL, REFUSAL)
    lost = await executed(journal, database, network, [unlucky])

    found = await routes_of(split)
    first, second = found["attempts"]
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert first["failureCode"] == "slippage_exceeded"
    assert second["failureCode"] is None
    assert found["route"] == second["decision"]
    assert len(second["decision"]["legs"]) == 2
    assert_shape(found | {"links": links(is_cancellable=False)}, "RouteLog")

    found = await routes_of(lost)
    assert found["route"] is None
    assert [attempt["decision"] for attempt in found["attempts"]] == [None, None, None]
    assert found["attempts"][0]["reason"] == "raydium: refuses, as the test wants it"
    why = {"code": "venue_unavailable", "reason": "refuses, as the test wants it"}
    assert [attempt["dropped"] for attempt in found["attempts"]] == [[{"dex": "raydium"} | why]] * 3
    assert_shape(found | {"links": links(is_cancellable=False)}, "RouteLog")


async def test_a_route_of_one_leg_is_stored_and_shown_with_it(
    journal: Journal, database: Database
) -> None:
    order_id = await executed(journal, database, lands())

    (leg,) = (await database.log(order_id))[2][1]["legs"]
    assert (leg["market"], leg["side"], leg["dex"]) == ("SOL/USDC", "sell", "raydium")
    found = await routes_of(order_id)
    assert found["route"]["legs"] == [leg]
    assert_shape(found | {"links": links(is_cancellable=False)}, "RouteLog")


async def test_an_order_that_an_older_release_decided_is_executed_and_shown_as_decided(
    journal: Journal, database: Database
) -> None:
    """It stored no leg where there was one."""
    network = lands()
    order_id = await accepted(journal)
    order = await claim(journal)
    venues = [StubVenue("raydium", "100"), StubVenue("meteora", "101")]
    decision = await best_route(swap_of(order), venues[:1], quote_timeout=1)
    data = decision_data(decision, Bound(min_out=140_000_000))
    (leg,) = data.pop("legs")
    await journal.advance(to_building(order, data=data))
    await database.expire_lease(order_id)

    await Execution(journal, exchange_of(network, venues)).carry_order(await claim(journal))

    (sent,) = network.sent
    assert [leg[0] for leg in orjson.loads(sent.payload)["legs"]] == ["raydium"]
    assert await statuses(database, order_id) == CONFIRMED
    found = await routes_of(order_id)
    assert found["route"]["legs"] == [leg]
    assert_shape(found | {"links": links(is_cancellable=False)}, "RouteLog")


@pytest.fixture
async def exchange(database: Database) -> AsyncIterator[Exchange]:
    """The simulated venues, that know what this process knows."""
    simulation = replace(settings.SIMULATION, block_seconds=0.05)
    made = simulated_exchange(database.conninfo, simulation, registry.registry)
    yield made
    await made.close()


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize("decimals", [0, 3, 18])
async def test_an_order_for_a_token_that_this_process_does_not_know_yet_is_executed(
    journal: Journal, database: Database, exchange: Exchange, decimals: int
) -> None:
    """Also when the process has just read the tables, and before the first order of the token."""
    await registry.read_again()
    add_token("NEW", decimals)
    add_market("NEW", "USDC")
    amount = 7 * 10**decimals if decimals < 18 else 7 * 10**14  # no pool has room for more
    order_id = await accepted(journal, base="NEW", quote="USDC", amount_in=amount)
    await carry_to_the_end(journal, Execution(journal, exchange), database)

    assert await statuses(database, order_id) == CONFIRMED
    assert await database.order(order_id, "filled_in") == amount


@pytest.mark.usefixtures("own_registry")
async def test_an_order_goes_on_when_its_market_is_closed(
    journal: Journal, database: Database, exchange: Exchange
) -> None:
    direct = await accepted(journal)
    hops = await accepted(journal, base="JUP", quote="USDT", amount_in=10**6)
    change("UPDATE markets SET takes_orders = false")
    await registry.read_again()
    await carry_to_the_end(journal, Execution(journal, exchange), database)

    assert await statuses(database, direct) == await statuses(database, hops) == CONFIRMED


@pytest.mark.usefixtures("own_registry")
async def test_an_order_keeps_its_two_hops_when_its_pair_gets_pools_the_other_way_round(
    journal: Journal, database: Database, exchange: Exchange
) -> None:
    order_id = await accepted(journal, base="JUP", quote="USDT", amount_in=10**6)
    add_market("USDT", "JUP", "2")
    await registry.read_again()
    await carry_to_the_end(journal, Execution(journal, exchange), database)

    assert await statuses(database, order_id) == CONFIRMED
    route = (await database.log(order_id))[2][1]
    assert {leg["market"] for leg in route["legs"]} <= {
        "JUP/USDC",
        "USDT/USDC",
        "JUP/SOL",
        "SOL/USDT",
    }


async def know_only_jup_and_usdt() -> None:
    """Have the other tokens and markets be younger than our copy."""
    rewrite(conninfo(), "TRUNCATE tokens, markets RESTART IDENTITY")
    add_token("JUP", JUP.decimals)
    add_token("USDT", USDT.decimals)
    add_market("JUP", "USDT")
    await registry.read_again()
    restore_registry(conninfo())


@pytest.mark.usefixtures("own_registry")
async def test_an_order_of_two_hops_that_is_taken_over_knows_its_legs(
    journal: Journal, database: Database, exchange: Exchange
) -> None:
    """The decision stands in the log, and its markets may be younger than our copy."""
    order_id = await accepted(journal, base="JUP", quote="USDT", amount_in=10**6)
    order = await claim(journal)
    await carry_until("after_building", journal, exchange, order)
    await database.expire_lease(order_id)
    await know_only_jup_and_usdt()
    await Execution(journal, exchange).carry_order(await claim(journal))

    assert await statuses(database, order_id) == CONFIRMED


# Two moves in one commit


class Late(StubVenue):
    """Builds when the test lets it."""

    def __init__(self, *faults: Exception) -> None:
        super().__init__("raydium")
        self.may_build = asyncio.Event()
        self._faults = list(faults)

    async def build(self, *asked: Any) -> SignedTransaction:
        await self.may_build.wait()
        if self._faults:
            raise self._faults.pop()
        return await super().build(*asked)


async def test_a_transaction_built_at_once_is_stored_with_its_decision(
    journal: Journal, database: Database
) -> None:
    order_id = await executed(journal, database, lands())

    rows = await database.rows("SELECT status, at FROM order_events ORDER BY seq")
    at = dict(rows)
    assert list(at) == CONFIRMED
    assert at["building"] == at["submitted"]
    assert at["routing"] < at["building"]
    assert (await database.order(order_id, "seq")) == len(CONFIRMED)


async def test_an_order_whose_venue_builds_slowly_is_told_as_building_meanwhile(
    journal: Journal, database: Database
) -> None:
    venue, network = Late(), lands()
    order_id = await accepted(journal)
    carrying = asyncio.create_task(
        Execution(journal, exchange_of(network, [venue])).carry_order(await claim(journal))
    )
    async with asyncio.timeout(DEADLINE):
        while await statuses(database, order_id) != CONFIRMED[:3]:
            await asyncio.sleep(0.01)
        venue.may_build.set()
        await carrying

    assert await statuses(database, order_id) == CONFIRMED


@pytest.mark.parametrize("is_late", [True, False])
async def test_an_order_whose_transaction_cannot_be_built_keeps_the_decision_in_its_log(
    journal: Journal, database: Database, is_late: bool
) -> None:
    venue, network = Late(REFUSAL), lands()
    if not is_late:
        venue.may_build.set()
    order_id = await accepted(journal)
    carrying = asyncio.create_task(
        Execution(journal, exchange_of(network, [venue])).carry_order(await claim(journal))
    )
    async with asyncio.timeout(DEADLINE):
        while len(await statuses(database, order_id)) < 3:
            await asyncio.sleep(0.01)
        venue.may_build.set()
        await carrying

    log = await database.log(order_id)
    assert [status for status, _ in log] == [*CONFIRMED[:3], "pending"]
    assert (await journal.last_data(order_id, Status.BUILDING))["selectedDex"] == "raydium"
    assert not network.sent


async def test_an_order_that_died_before_both_were_stored_is_routed_anew(
    make_journal: MakeJournal, database: Database
) -> None:
    lost, network = make_journal(), lands()
    order_id = await accepted(lost)
    await carry_until("after_build", lost, exchange_of(network), await claim(lost))
    assert await statuses(database, order_id) == CONFIRMED[:2]
    await database.expire_lease(order_id)

    journal = make_journal()
    await Execution(journal, exchange_of(network)).carry_order(await claim(journal))

    assert await statuses(database, order_id) == CONFIRMED
    assert list(network.landings.values()) == [1]
