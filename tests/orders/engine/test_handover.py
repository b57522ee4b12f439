"""Orders that are claimed while they are accepted, and how they come to a carrier."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import psycopg
import pytest
import pytest_asyncio
import redis
from channels.db import database_sync_to_async
from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings

from config.runtime.rate import Rate
from orders.engine import bell
from orders.engine.handover import HandOver
from orders.engine.journal import KEPT_SHARE, MOST_BEGUN, Journal
from orders.engine.journal_sql import LOCK_BUDGET
from orders.engine.moves import AlreadyAccepted, ClaimedOrder
from orders.lifecycle import ACTIVE, Status
from tests.support.accounts import make_account
from tests.support.carriers import (
    DEADLINE,
    Gate,
    Run,
    assert_all_confirmed_once,
    listeners,
    query,
    store,
    value,
    with_journal,
)
from tests.support.checker import load, violations
from tests.support.database import Database, MakeJournal
from tests.support.engine import wait_for
from tests.support.samples import move_of, new_order, to_building
from tests.support.stubs import ScriptedNetwork, Sending
from tests.support.task_queue import Queue
from tests.support.venue_stubs import StubVenue

HELD = "SELECT lease_until IS NOT NULL FROM orders WHERE id = %s"
STATUS = "SELECT status FROM orders WHERE id = %s"


async def begin(journal: Journal, **changes: Any) -> ClaimedOrder | None:
    """Accept an order as a web process does that knows of a carrier."""
    return (await journal.accept_or_begin(new_order(may_start=True, **changes)))[1]


async def begun(journal: Journal) -> ClaimedOrder:
    order = await begin(journal)
    assert order is not None
    return order


# Accepting that is also the claim


async def test_an_order_that_may_start_is_claimed_in_the_commit_that_stores_it(
    journal: Journal, database: Database
) -> None:
    order = await begun(journal)

    assert [status for status, _ in await database.log(order.id)] == ["pending", "routing"]
    ((one, two),) = await database.rows("SELECT min(at), max(at) FROM order_events")
    assert one == two
    assert await journal.claim(1, ACTIVE) == []
    assert (await journal.advance(to_building(order))).seq == 3


async def test_the_order_that_is_handed_over_is_the_one_that_is_stored(
    journal: Journal, database: Database
) -> None:
    constraints = {"venues": ["raydium"]}
    order = await begin(journal, side="buy", amount_in=None, amount_out=7, constraints=constraints)
    assert order is not None
    await database.expire_lease(order.id)
    (stored,) = await journal.claim_named(order.id)

    own = {"lease_token": order.lease_token, "lost_leases": order.lost_leases}
    assert stored._replace(**own) == order
    assert stored.lease_token == order.lease_token + 1


async def test_an_order_that_never_reaches_a_carrier_is_taken_when_its_short_lease_ends(
    journal: Journal, database: Database
) -> None:
    order = await begun(journal)
    ((seconds,),) = await database.rows(
        "SELECT extract(epoch FROM lease_until - created_at) FROM orders"
    )
    assert 0 < seconds <= 2
    await database.expire_lease(order.id)

    (again,) = await journal.claim(1, ACTIVE)
    assert (again.id, again.status, again.attempts) == (order.id, Status.ROUTING, 1)


async def test_no_order_starts_before_those_that_wait_in_line(journal: Journal) -> None:
    await journal.accept(new_order())

    assert await begin(journal) is None
    assert {order.status for order in await journal.claim(2, ACTIVE)} == {Status.ROUTING}


async def test_a_crowd_waits_for_its_bell(journal: Journal, database: Database) -> None:
    found = await asyncio.gather(*(begin(journal) for _ in range(10 * MOST_BEGUN)))

    waiting = await database.rows("SELECT 1 FROM orders WHERE status = 'pending'")
    assert len(waiting) == found.count(None) > 0


async def test_an_order_waits_when_the_budget_of_starts_is_used_up(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(3, 60))
    for _ in range(3):
        await begun(journal)

    assert await begin(journal) is None
    assert await database.rows("SELECT sum(orders) FROM order_starts") == [(3,)]


async def test_starts_stay_within_the_budget_whoever_claims(
    make_journal: MakeJournal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(40, 60))
    journals = [make_journal() for _ in range(4)]

    async def place(journal: Journal) -> None:
        for _ in range(20):
            await begin(journal)
            await journal.claim(3, ACTIVE)

    await asyncio.gather(*(place(journal) for journal in journals))

    ((started, counted),) = await database.rows(
        "SELECT (SELECT count(*) FROM orders WHERE started_at IS NOT NULL),"
        " (SELECT sum(orders) FROM order_starts)"
    )
    assert started == counted == 40 - 40 // KEPT_SHARE  # some are kept for other senders


async def test_a_budget_that_another_is_about_to_spend_is_not_waited_for(
    make_journal: MakeJournal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(100, 60))
    async with await psycopg.AsyncConnection.connect(database.conninfo) as spending:
        await spending.execute(LOCK_BUDGET)
        assert await begin(make_journal()) is None


async def test_an_order_of_a_known_key_is_neither_stored_nor_claimed_again(
    journal: Journal, database: Database
) -> None:
    owner = (await database_sync_to_async(make_account)()).id
    keyed: dict[str, Any] = {"owner": owner, "idempotency_key": "once"}
    first = await begin(journal, **keyed)
    with pytest.raises(AlreadyAccepted):
        await begin(journal, **keyed)

    assert first is not None
    assert await database.rows("SELECT id::text, seq FROM orders") == [(first.id, 2)]


# The way to a carrier


class Heard:
    """A listener of the test's, and what came to it."""

    def __init__(self) -> None:
        self.bells = asyncio.Event()
        self.orders: asyncio.Queue[ClaimedOrder] = asyncio.Queue()
        self.listener = bell.Listener(self.bells.set, self._take)

    def _take(self, orders: list[ClaimedOrder]) -> None:
        for order in orders:
            self.orders.put_nowait(order)

    async def offer(self, queue: Queue) -> None:
        """Listen, and offer room; return when others can see it."""
        assert await self.listener.start()
        self.listener.offer(True)
        async with asyncio.timeout(DEADLINE):
            while not queue.client.zcard(bell.OFFERS):
                await asyncio.sleep(0.01)

    async def next(self) -> ClaimedOrder:
        return await asyncio.wait_for(self.orders.get(), DEADLINE)


@pytest_asyncio.fixture
async def heard(redis_client: redis.Redis) -> AsyncIterator[Heard]:
    heard = Heard()
    yield heard
    await heard.listener.stop()


@pytest_asyncio.fixture
async def ringer(redis_client: redis.Redis) -> AsyncIterator[bell.Ringer]:
    ringer = bell.Ringer()
    yield ringer
    await ringer.close()


async def learn(ringer: bell.Ringer) -> None:
    """Ring once; the answer tells of a carrier, if there is one."""
    ringer.ring_soon()
    await ringer.wait_until_drained()


async def hand(journal: Journal, ringer: bell.Ringer, *orders: ClaimedOrder) -> None:
    handover = HandOver(journal, ringer)
    for order in orders:
        handover.hand_soon(order)
    await handover.close()


async def test_an_order_comes_whole_to_a_carrier_that_offered_room(
    journal: Journal, database: Database, ringer: bell.Ringer, heard: Heard, queue: Queue
) -> None:
    await heard.offer(queue)
    await learn(ringer)
    orders = [await begun(journal), await begun(journal)]
    await hand(journal, ringer, *orders)

    assert [await heard.next(), await heard.next()] == orders
    assert (await database.rows(HELD, orders[0].id)) == [(True,)]


async def test_a_carrier_that_stops_has_heard_all_that_was_handed_to_it(
    journal: Journal, ringer: bell.Ringer, heard: Heard, queue: Queue
) -> None:
    await heard.offer(queue)
    await learn(ringer)
    order = await begun(journal)
    await hand(journal, ringer, order)
    await heard.listener.stop()

    assert heard.orders.get_nowait() == order


async def test_a_writer_of_redis_can_neither_read_nor_make_an_order(
    journal: Journal, heard: Heard, queue: Queue
) -> None:
    order = await begun(journal)
    message = bell.message_of([order])
    assert order.id.encode() not in message
    assert b"SOL" not in message

    await heard.offer(queue)
    (name,) = queue.client.zrange(bell.OFFERS, 0, -1)
    altered = orjson.dumps([list(order._replace(amount_in=10**12))])
    stranger = MultiFernet([Fernet(Fernet.generate_key())])
    for forged in (altered, message[:-1] + b"A", stranger.encrypt(altered)):
        queue.client.publish(bell.channel_of(name.decode()), forged)
    queue.client.publish(bell.channel_of(name.decode()), message)

    assert await heard.next() == order
    assert heard.orders.empty()


async def test_a_bell_names_no_carrier_that_does_not_hear(
    ringer: bell.Ringer, heard: Heard, queue: Queue
) -> None:
    await heard.offer(queue)
    (name,) = queue.client.zrange(bell.OFFERS, 0, -1)
    queue.client.zadd(bell.OFFERS, {"zzz": time.time(), "later": time.time() + 3600})
    await learn(ringer)

    assert ringer.lingering() == name.decode()


async def test_offers_of_carriers_that_are_gone_are_forgotten(
    heard: Heard, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "OFFER_SECONDS", 0.01)
    await heard.offer(queue)
    queue.client.zadd(bell.OFFERS, {"gone": time.time() - 60, "later": time.time() + 60})
    async with asyncio.timeout(DEADLINE):
        while queue.client.zcard(bell.OFFERS) != 1:
            await asyncio.sleep(0.01)


async def test_a_carrier_that_does_not_hear_offers_no_room(
    heard: Heard, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "OFFER_SECONDS", 0.01)
    await heard.offer(queue)
    queue.client.client_kill_filter(_type="pubsub")
    async with asyncio.timeout(DEADLINE):
        while queue.client.zcard(bell.OFFERS):
            await asyncio.sleep(0.01)


async def test_a_web_process_that_knows_of_no_carrier_lets_orders_wait(
    ringer: bell.Ringer, journal: Journal, queue: Queue
) -> None:
    await learn(ringer)
    assert not HandOver(journal, ringer).is_likely


async def test_an_order_whose_carrier_is_gone_is_given_back_and_rung_for(
    journal: Journal, database: Database, ringer: bell.Ringer, heard: Heard, queue: Queue
) -> None:
    await heard.offer(queue)
    await learn(ringer)
    await heard.listener.stop()
    queue.take()
    order = await begun(journal)
    await hand(journal, ringer, order)
    await ringer.wait_until_drained()

    assert (await database.rows(HELD, order.id)) == [(False,)]
    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]
    assert ringer.lingering() is None


async def test_an_offer_that_was_not_renewed_is_not_believed(
    journal: Journal, database: Database, ringer: bell.Ringer, heard: Heard, queue: Queue
) -> None:
    await heard.offer(queue)
    await learn(ringer)
    heard.listener.offer(False)
    async with asyncio.timeout(DEADLINE):
        while queue.client.zcard(bell.OFFERS):
            await asyncio.sleep(0.01)
    queue.client.zadd(bell.OFFERS, {str(ringer.lingering()): time.time() - 10})
    order = await begun(journal)
    await hand(journal, ringer, order)

    assert (await database.rows(HELD, order.id)) == [(False,)]
    assert heard.orders.empty()


async def test_an_order_is_given_back_when_redis_does_not_answer(
    journal: Journal,
    database: Database,
    ringer: bell.Ringer,
    heard: Heard,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await heard.offer(queue)
    await learn(ringer)
    order = await begun(journal)
    monkeypatch.setattr(settings, "REDIS_URL", "redis://127.0.0.1:9/0")
    await hand(journal, ringer, order)

    assert (await database.rows(HELD, order.id)) == [(False,)]


async def test_a_listener_stops_at_whatever_moment_it_is_told(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "OFFER_SECONDS", 0.001)
    async with asyncio.timeout(DEADLINE):
        for turn in range(300):
            listener = bell.Listener(lambda: None)
            listener.offer(True)
            assert await listener.start()
            await asyncio.sleep(turn % 20 * 0.0002)
            await listener.stop()


@pytest.mark.parametrize("message", [b"junk", b"[[1]]", b"{}", b"[null]", b'["ab"]', b"\xff"])
async def test_a_message_that_is_no_order_stops_no_listener(
    heard: Heard, queue: Queue, message: bytes
) -> None:
    await heard.offer(queue)
    (name,) = queue.client.zrange(bell.OFFERS, 0, -1)
    assert queue.client.publish(bell.channel_of(name.decode()), message) == 1
    assert queue.client.publish(bell.LISTENERS, "") == 1

    await asyncio.wait_for(heard.bells.wait(), DEADLINE)
    assert heard.orders.empty()


# A carrier that takes them


def hand_to_carrier(queue: Queue, count: int) -> list[ClaimedOrder]:
    """Do as a web process that hears of a carrier with the answer to its first order's bell."""

    async def act(journal: Journal) -> list[ClaimedOrder]:
        ringer = bell.Ringer()
        first = await journal.accept(new_order())
        await learn(ringer)
        assert ringer.lingering() is not None
        async with asyncio.timeout(DEADLINE):
            while value(STATUS, first.order_id) == "pending":
                await asyncio.sleep(0.01)
        orders = [await begun(journal) for _ in range(count)]
        await hand(journal, ringer, *orders)
        await ringer.close()
        return orders

    wait_for(lambda: queue.client.zcard(bell.OFFERS))
    return list(with_journal(act))


@pytest.mark.usefixtures("lingering")
def test_a_carrier_that_lingers_carries_what_is_handed_to_it(run: Run, queue: Queue) -> None:
    running = run(ScriptedNetwork(then=Sending.LANDS))
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    orders = hand_to_carrier(queue, 3)

    for order in orders:
        wait_for(lambda: value(STATUS, order.id) == "confirmed")  # noqa: B023
    assert {order.lease_token for order in orders} == {1}
    assert value("SELECT sum(lost_leases) FROM orders") == 0
    assert_all_confirmed_once(running.network, 4)


@pytest.mark.usefixtures("lingering")
def test_a_carrier_gives_back_what_it_has_no_room_for(
    run: Run,
    gate: Gate,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "ORDER_CONCURRENCY", 2)
    running = run(gate)
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    orders = hand_to_carrier(queue, 4)
    wait_for(lambda: gate.waiting == 2)
    wait_for(lambda: value("SELECT count(*) FROM orders WHERE lease_until IS NULL") == 3)
    gate.open()

    for order in orders:
        wait_for(lambda: value(STATUS, order.id) == "confirmed")  # noqa: B023
    assert gate.most == 2
    assert_all_confirmed_once(gate, 5)


@pytest.mark.usefixtures("lingering")
def test_a_carrier_that_stops_offers_no_room_while_its_orders_end(
    run: Run, gate: Gate, queue: Queue
) -> None:
    running = run(gate)
    running.carry()
    wait_for(lambda: queue.client.zcard(bell.OFFERS))
    hand_to_carrier(queue, 1)
    wait_for(lambda: gate.waiting == 2)
    running.carrier.stop()

    wait_for(lambda: not queue.client.zcard(bell.OFFERS))
    assert gate.waiting == 2
    gate.open()


@pytest.mark.usefixtures("lingering")
def test_a_suspect_is_carried_alone_also_when_an_order_is_handed_over_meanwhile(
    run: Run, gate: Gate, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_named, is_claimed, may_go_on = Journal.claim_named, threading.Event(), threading.Event()

    async def claim_slowly(self: Journal, order_id: str) -> list[ClaimedOrder]:
        orders = await claim_named(self, order_id)
        is_claimed.set()
        while not may_go_on.is_set():
            await asyncio.sleep(0.01)
        return orders

    running = run(gate)
    running.carry()
    wait_for(lambda: queue.client.zcard(bell.OFFERS))
    (suspect,) = store(new_order())
    with_journal(lambda journal: journal.claim_named(suspect))
    query("UPDATE orders SET lost_leases = 1, lease_until = clock_timestamp() - interval '1 s'")
    monkeypatch.setattr(Journal, "claim_named", claim_slowly)
    running.carrier.carry((), (suspect, True))
    wait_for(is_claimed.is_set)
    handed = with_journal(begun)
    (name,) = queue.client.zrange(bell.OFFERS, 0, -1)
    queue.client.publish(bell.channel_of(name.decode()), bell.message_of([handed]))

    wait_for(lambda: query(HELD, handed.id) == [(False,)])
    may_go_on.set()
    wait_for(lambda: gate.waiting == 1)
    gate.open()
    wait_for(lambda: value(STATUS, handed.id) == "confirmed")
    assert gate.most == 1
    assert_all_confirmed_once(gate, 2)


@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize("blips", [0, 1])
def test_an_order_that_is_quoted_for_long_keeps_its_carrier(
    run: Run,
    queue: Queue,
    monkeypatch: pytest.MonkeyPatch,
    blips: int,
) -> None:
    """Also where the first renewal of its lease fails."""
    renew, tries = Journal.renew, iter(range(1000))

    async def renew_or_fail(self: Journal, orders: Any) -> Any:
        if next(tries) < blips:
            raise psycopg.OperationalError("a blip, as the test wants it")
        return await renew(self, orders)

    monkeypatch.setattr(Journal, "renew", renew_or_fail)
    monkeypatch.setattr("orders.engine.carrier.BEGUN_SECONDS", 0.4)
    may_quote = threading.Event()
    quote = StubVenue.quote

    async def quote_late(self: StubVenue, *asked: Any) -> Any:
        while not may_quote.is_set():
            await asyncio.sleep(0.01)
        return await quote(self, *asked)

    running = run(ScriptedNetwork(then=Sending.LANDS))
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    monkeypatch.setattr(StubVenue, "quote", quote_late)
    monkeypatch.setattr(settings, "QUOTE_TIMEOUT", DEADLINE)
    (order,) = hand_to_carrier(queue, 1)
    half = settings.LEASE_SECONDS / 2
    wait_for(
        lambda: value(f"SELECT lease_until > created_at + {half} * interval '1 s' FROM orders")
    )
    may_quote.set()

    wait_for(lambda: value(STATUS, order.id) == "confirmed")
    assert value("SELECT sum(lost_leases) FROM orders") == 0


async def test_whoever_dies_between_accepting_and_handing_over_loses_no_order(
    make_journal: MakeJournal, database: Database
) -> None:
    """Two may carry it then: the one it was sent to late, and the one that took it up."""
    order = await begun(make_journal())
    await database.expire_lease(order.id)
    late, current = make_journal(), make_journal()
    (taken,) = await current.claim(1, ACTIVE)
    await current.advance(to_building(taken))

    with pytest.raises(Exception, match="no longer at seq"):
        await late.advance(move_of(order, Status.BUILDING, venue="raydium", min_out=1))
    assert violations(load(database.conninfo)) == []
