"""The journal: who comes second moves nothing, and nothing is lost, doubled or skipped."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from psycopg import errors

from config.runtime.rate import Rate
from orders.engine.execution import Execution
from orders.engine.journal import Journal, journal_of_this_loop
from orders.engine.journal_sql import GIVEN_UP_AFTER, SUSPECT_AFTER
from orders.engine.moves import ClaimedOrder, Overtaken
from orders.engine.submission import NotCancellable, cancel_order
from orders.lifecycle import IllegalTransition, Status
from tests.support.checker import load, violations
from tests.support.database import Database, MakeJournal
from tests.support.proxy import Cut, proxy_of
from tests.support.samples import move_of, moved, new_order, to_building, to_submitted
from tests.support.stubs import ScriptedNetwork, exchange_of

UNSUBMITTED = (Status.PENDING, Status.ROUTING, Status.BUILDING)
EXPIRE_LEASE = (
    "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s"
)
ANY_LOCK_WAIT = 120.0


async def accepted(journal: Journal, count: int = 1, **changes: Any) -> list[str]:
    orders = [new_order(**changes) for _ in range(count)]
    await asyncio.gather(*(journal.accept(order) for order in orders))
    return [str(order.id) for order in orders]


async def claimed(journal: Journal, **changes: Any) -> ClaimedOrder:
    await accepted(journal, **changes)
    (order,) = await journal.claim(1, UNSUBMITTED)
    return order


async def resubmitted(journal: Journal, order: ClaimedOrder, signature: str) -> ClaimedOrder:
    """Move a claimed order in routing on to submitted."""
    for move in (to_building(order), None):
        step = move or to_submitted(order, signature)
        await journal.advance(step)
        order = moved(order, step)
    return order


def failed(order: ClaimedOrder) -> Any:
    return move_of(order, Status.FAILED, failure_code="worker_lost", failure_reason="test")


# Accept


async def test_accepted_orders_are_stored_with_their_first_event(
    journal: Journal, database: Database
) -> None:
    orders = [new_order(data={"number": number}) for number in range(120)]
    events = await asyncio.gather(*(journal.accept(order) for order in orders))

    facts = load(database.conninfo)
    assert [str(event.order_id) for event in events] == [str(order.id) for order in orders]
    for event in events:
        assert facts[str(event.order_id)].log == [event]
    assert violations(facts) == []


async def test_an_order_that_a_constraint_refuses_does_not_hinder_the_others(
    journal: Journal, database: Database
) -> None:
    orders = [new_order(), new_order(amount_in=0), new_order()]
    found = await asyncio.gather(
        *(journal.accept(order) for order in orders), return_exceptions=True
    )

    assert isinstance(found[1], errors.CheckViolation)
    assert set(load(database.conninfo)) == {str(orders[0].id), str(orders[2].id)}


@pytest.mark.parametrize("cut", Cut)
async def test_an_order_whose_acceptance_was_cut_off_is_stored_once(
    make_journal: MakeJournal, database: Database, cut: Cut
) -> None:
    async with proxy_of(database.conninfo) as proxy:
        journal = make_journal(proxy.conninfo)
        await accepted(journal)
        orders = [new_order() for _ in range(10)]
        proxy.cut = cut
        events = await asyncio.gather(*(journal.accept(order) for order in orders))
        await journal.close()

    assert proxy.cuts == 1
    facts = load(database.conninfo)
    assert len(facts) == 11
    assert [facts[str(event.order_id)].log for event in events] == [[event] for event in events]


# Advance


async def test_a_move_that_the_table_does_not_allow_is_refused(journal: Journal) -> None:
    order = await claimed(journal)
    with pytest.raises(IllegalTransition):
        await journal.advance(move_of(order, Status.SUBMITTED))


async def test_a_holder_whose_token_is_old_moves_nothing(
    journal: Journal, database: Database
) -> None:
    stale = await claimed(journal)
    await database.expire_lease(stale.id)
    (current,) = await journal.claim(1, UNSUBMITTED)

    with pytest.raises(Overtaken):
        await journal.advance(to_building(stale))

    assert await database.order(stale.id, "status") == "routing"
    assert (await journal.advance(to_building(current))).seq == 3
    assert await database.violations() == []


@pytest.mark.parametrize("stale_first", [True, False])
async def test_of_a_stale_and_the_current_holder_in_one_batch_only_the_current_moves(
    journal: Journal, database: Database, stale_first: bool
) -> None:
    stale = await claimed(journal)
    await database.expire_lease(stale.id)
    (current,) = await journal.claim(1, UNSUBMITTED)

    holders = [stale, current] if stale_first else [current, stale]
    found = await asyncio.gather(
        *(journal.advance(to_building(order)) for order in holders), return_exceptions=True
    )

    outcomes = dict(zip([order.lease_token for order in holders], found, strict=True))
    assert isinstance(outcomes[stale.lease_token], Overtaken)
    assert not isinstance(outcomes[current.lease_token], BaseException)
    assert await database.violations() == []


async def test_the_same_move_made_twice_happens_once(journal: Journal, database: Database) -> None:
    order = await claimed(journal)
    found = await asyncio.gather(
        *(journal.advance(to_building(order)) for _ in range(5)), return_exceptions=True
    )

    assert sum(isinstance(one, Overtaken) for one in found) == 4
    assert await database.order(order.id, "seq") == 3
    assert await database.violations() == []


async def test_logs_stay_without_gap_when_many_orders_move_at_once(
    journal: Journal, database: Database
) -> None:
    await accepted(journal, 60)
    orders = await journal.claim(60, UNSUBMITTED)
    assert len(orders) == 60

    async def carry(order: ClaimedOrder) -> None:
        await resubmitted(journal, order, f"signature of {order.id}")

    await asyncio.gather(*(carry(order) for order in orders))

    facts = load(database.conninfo)
    assert {len(order.log) for order in facts.values()} == {4}
    assert violations(facts) == []


@pytest.mark.parametrize("cut", Cut)
async def test_a_move_whose_answer_was_cut_off_happens_once_and_is_told_to_its_caller(
    make_journal: MakeJournal, database: Database, cut: Cut
) -> None:
    async with proxy_of(database.conninfo) as proxy:
        journal = make_journal(proxy.conninfo)
        await accepted(journal, 12)
        orders = await journal.claim(12, UNSUBMITTED)
        proxy.cut = cut
        # Some that keep their lease, some that give it back, some that end their order.
        moves = [
            (to_building(order), move_of(order, Status.PENDING, delay=1.0), failed(order))[n % 3]
            for n, order in enumerate(orders)
        ]
        events = await asyncio.gather(*(journal.advance(move) for move in moves))
        await journal.close()

    assert proxy.cuts == 1
    facts = load(database.conninfo)
    assert [facts[event.order_id].log[-1] for event in events] == events
    assert {len(order.log) for order in facts.values()} == {3}
    assert violations(facts) == []


async def test_a_move_that_was_cut_off_is_not_taken_for_that_of_the_next_holder(
    make_journal: MakeJournal, database: Database
) -> None:
    async with proxy_of(database.conninfo) as proxy:
        slow, quick = make_journal(proxy.conninfo), make_journal()
        await accepted(slow)
        (stale,) = await slow.claim(1, UNSUBMITTED)
        await proxy.shut()
        giving_back = asyncio.create_task(slow.advance(move_of(stale, Status.PENDING, delay=1.0)))
        await database.expire_lease(stale.id)
        (current,) = await quick.claim(1, UNSUBMITTED)
        await quick.advance(to_building(current))
        await proxy.open()
        with pytest.raises(Overtaken):
            await giving_back
        await slow.close()

    assert await database.violations() == []


async def test_bounds_once_stored_are_never_loosened(journal: Journal, database: Database) -> None:
    order = await claimed(journal)
    await journal.advance(to_building(order, min_out=149_000_000))
    order = moved(order, to_building(order))
    await journal.advance(move_of(order, Status.PENDING, delay=0.0))
    (again,) = await journal.claim(1, UNSUBMITTED)
    assert again.min_out == 149_000_000

    await journal.advance(to_building(again, min_out=1))

    assert await database.order(order.id, "min_out") == 149_000_000


async def test_an_order_has_at_most_one_transaction_that_may_land(
    journal: Journal, database: Database
) -> None:
    order = await resubmitted(journal, await claimed(journal), "first")
    # As a bug would have it: back to pending without the proof that the first one is dead.
    await journal.advance(move_of(order, Status.PENDING, delay=0.0))
    (again,) = await journal.claim(1, UNSUBMITTED)
    building = to_building(again)
    await journal.advance(building)

    with pytest.raises(errors.UniqueViolation):
        await journal.advance(to_submitted(moved(again, building), "second"))

    assert await database.order(order.id, "status") == "building"
    assert await database.rows("SELECT signature FROM order_transactions") == [("first",)]


async def test_an_order_whose_transaction_is_proven_dead_may_have_another(
    journal: Journal, database: Database
) -> None:
    order = await resubmitted(journal, await claimed(journal), "first")
    await journal.advance(move_of(order, Status.PENDING, delay=0.0, outcome="rejected"))
    (again,) = await journal.claim(1, UNSUBMITTED)
    order = await resubmitted(journal, again, "second")

    rows = await database.rows("SELECT signature, outcome FROM order_transactions ORDER BY attempt")
    assert rows == [("first", "rejected"), ("second", None)]


# Claim


async def test_orders_are_claimed_oldest_first_and_no_more_than_there_is_room(
    journal: Journal,
) -> None:
    ids = [(await accepted(journal))[0] for _ in range(5)]
    assert [order.id for order in await journal.claim(3, UNSUBMITTED)] == ids[:3]
    assert [order.id for order in await journal.claim(3, UNSUBMITTED)] == ids[3:]
    assert await journal.claim(3, UNSUBMITTED) == []


async def test_no_order_is_claimed_twice_by_claimers_at_the_same_time(
    make_journal: MakeJournal, database: Database
) -> None:
    journals = [make_journal() for _ in range(4)]
    ids = await accepted(journals[0], 200)

    async def take_all(journal: Journal) -> list[str]:
        taken: list[str] = []
        while orders := await journal.claim(7, UNSUBMITTED):
            taken += [order.id for order in orders]
        return taken

    shares = await asyncio.gather(*(take_all(journal) for journal in journals))

    assert sorted(order_id for share in shares for order_id in share) == sorted(ids)
    assert await database.violations() == []


async def test_a_claim_takes_only_what_is_due_in_the_statuses_asked_for(
    journal: Journal, database: Database
) -> None:
    submitted = await resubmitted(journal, await claimed(journal), "signature")
    later = await claimed(journal)
    await journal.advance(move_of(later, Status.PENDING, delay=60.0))
    await database.expire_lease(submitted.id)

    assert await journal.claim(5, UNSUBMITTED) == []
    (found,) = await journal.claim(5, [Status.SUBMITTED])
    assert found.id == submitted.id
    assert found.signature == "signature"
    assert bytes(found.payload or b"") == b"bytes"
    assert found.expires_at_height == 2**40


async def test_a_lease_that_lasts_keeps_others_away(journal: Journal, database: Database) -> None:
    order = await claimed(journal)
    assert await journal.claim(5, UNSUBMITTED) == []
    assert await journal.claim_named(order.id) == []
    await database.expire_lease(order.id)
    assert [found.id for found in await journal.claim(5, UNSUBMITTED)] == [order.id]


async def test_a_named_order_is_claimed_before_its_retry_is_due(journal: Journal) -> None:
    order = await claimed(journal)
    await journal.advance(move_of(order, Status.PENDING, delay=60.0))
    await accepted(journal)

    (found,) = await journal.claim_named(order.id)

    assert found.id == order.id
    assert found.attempts == 2


async def test_an_order_that_has_ended_is_not_claimed_by_name(journal: Journal) -> None:
    order = await claimed(journal)
    await journal.advance(failed(order))
    assert await journal.claim_named(order.id) == []


async def test_a_resumed_order_goes_on_in_its_status_without_a_new_event(
    journal: Journal, database: Database
) -> None:
    order = await claimed(journal)
    await database.expire_lease(order.id)
    (again,) = await journal.claim(1, UNSUBMITTED)
    assert (again.status, again.seq, again.attempts) == (Status.ROUTING, 2, 1)
    assert again.lease_token == order.lease_token + 1


# Leases


async def test_lost_leases_are_counted_and_progress_resets_the_count(
    journal: Journal, database: Database
) -> None:
    order = await claimed(journal)
    assert order.lost_leases == 0
    await database.expire_lease(order.id)
    (again,) = await journal.claim(1, UNSUBMITTED)
    assert again.lost_leases == 1

    await journal.advance(to_building(again))

    assert await database.order(order.id, "lost_leases") == 0


async def test_a_lease_given_back_is_free_at_once_and_not_a_lost_one(journal: Journal) -> None:
    order = await claimed(journal)

    assert await journal.release([order]) == {order.id}
    (again,) = await journal.claim(1, UNSUBMITTED)
    assert again.lost_leases == 0
    with pytest.raises(Overtaken):
        await journal.advance(to_building(order))


async def test_only_leases_that_are_still_ours_are_renewed_and_released(
    journal: Journal, database: Database
) -> None:
    ours, lost, ended = [await claimed(journal) for _ in range(3)]
    await database.expire_lease(lost.id)
    await journal.claim(1, UNSUBMITTED)
    await journal.advance(failed(ended))
    await database.rows(
        "UPDATE orders SET lease_until = clock_timestamp() + interval '1 second' WHERE id = %s",
        ours.id,
    )

    assert await journal.renew([ours, lost, ended]) == {ours.id}
    left = await database.order(ours.id, "extract(epoch FROM lease_until - clock_timestamp())")
    assert settings.LEASE_SECONDS - 1 < left <= settings.LEASE_SECONDS
    assert await journal.release([ours, lost, ended]) == {ours.id}


async def test_renewing_and_moving_at_once_never_deadlocks(
    journal: Journal, database: Database
) -> None:
    await accepted(journal, 40)
    orders = await journal.claim(40, UNSUBMITTED)
    renewals = [journal.renew(list(reversed(orders))) for _ in range(10)]
    moves = [journal.advance(to_building(order)) for order in orders]
    async with asyncio.timeout(ANY_LOCK_WAIT):
        await asyncio.gather(*renewals, *moves)

    assert await database.violations() == []


async def test_an_order_suspected_of_killing_its_workers_is_claimed_by_name_only(
    journal: Journal, database: Database
) -> None:
    order = await claimed(journal)
    await database.expire_lease(order.id)
    await database.lose_leases(order.id, SUSPECT_AFTER)

    assert await journal.claim(5, UNSUBMITTED) == []
    (found,) = await journal.claim_named(order.id)
    assert found.lost_leases == SUSPECT_AFTER + 1


async def test_an_order_that_killed_all_its_workers_ends_if_it_was_never_submitted(
    journal: Journal, database: Database
) -> None:
    order = await claimed(journal)
    await database.expire_lease(order.id)
    await database.lose_leases(order.id, GIVEN_UP_AFTER - 1)
    (poison,) = await journal.claim_named(order.id)
    assert poison.lost_leases == GIVEN_UP_AFTER

    await Execution(journal, exchange_of(ScriptedNetwork())).give_up(poison)

    assert await database.order(order.id, "status") == "failed"
    assert await database.order(order.id, "failure_code") == "worker_lost"
    assert await database.violations() == []


async def test_an_order_that_killed_all_its_workers_is_flagged_and_never_failed_once_submitted(
    journal: Journal, database: Database
) -> None:
    order = await resubmitted(journal, await claimed(journal), "signature")
    await database.expire_lease(order.id)
    await database.lose_leases(order.id, GIVEN_UP_AFTER - 1)
    (poison,) = await journal.claim_named(order.id)
    network = ScriptedNetwork()

    settling = asyncio.create_task(Execution(journal, exchange_of(network)).give_up(poison))
    async with asyncio.timeout(ANY_LOCK_WAIT):
        while not network.sent:
            await asyncio.sleep(0.01)
        assert await database.order(order.id, "needs_attention")
        assert await database.order(order.id, "status") == "submitted"
        network.land("signature")
        await settling
    assert await database.order(order.id, "status") == "confirmed"


# Rate


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Rate:
    rate = Rate(19, 1)  # of so few none is kept for newcomers
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", rate)
    return rate


async def test_starts_never_exceed_the_limit_under_four_concurrent_claimers(
    make_journal: MakeJournal, database: Database, limit: Rate
) -> None:
    journals = [make_journal() for _ in range(4)]
    await accepted(journals[0], 50)
    deadline = time.monotonic() + ANY_LOCK_WAIT

    async def claim_on(journal: Journal) -> int:
        count = 0
        while await database_open(journal, deadline):
            orders = await journal.claim(7, UNSUBMITTED)
            count += len(orders)
        return count

    async def database_open(journal: Journal, until: float) -> bool:
        assert time.monotonic() < until
        return bool(await database.rows("SELECT 1 FROM orders WHERE started_at IS NULL LIMIT 1"))

    shares = await asyncio.gather(*(claim_on(journal) for journal in journals))

    assert sum(shares) == 50
    starts = [row[0] for row in await database.rows("SELECT started_at FROM orders")]
    assert most_in_a_window(starts, limit.seconds) == limit.count


async def test_a_resumed_order_needs_no_budget(
    journal: Journal, database: Database, limit: Rate
) -> None:
    await accepted(journal, 20)
    orders = await journal.claim(50, UNSUBMITTED)
    assert len(orders) == 19
    await database.expire_lease(orders[0].id)
    await journal.advance(move_of(orders[1], Status.PENDING, delay=0.0))

    found = await journal.claim(50, UNSUBMITTED)

    assert {order.id for order in found} == {orders[0].id, orders[1].id}


async def test_an_order_claimed_by_name_counts_and_waits_as_any_other(
    journal: Journal, limit: Rate
) -> None:
    named, *_, last = await accepted(journal, 20)
    assert len(await journal.claim_named(named)) == 1
    assert len(await journal.claim(50, UNSUBMITTED)) == 18
    assert await journal.claim_named(last) == []


def most_in_a_window(starts: Sequence[Any], seconds: float) -> int:
    """Return the most starts within any window of that length."""
    ordered = sorted(starts)
    most, first = 0, 0
    for last, start in enumerate(ordered):
        while (start - ordered[first]).total_seconds() >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


# Cancelling


async def test_an_order_is_cancelled_or_moved_by_its_holder_never_both(
    journal: Journal, database: Database
) -> None:
    await accepted(journal, 50)
    orders = await journal.claim(50, UNSUBMITTED)

    async def carry(order: ClaimedOrder) -> Any:
        return await resubmitted(journal, order, f"signature of {order.id}")

    def cancel_and_leave(order: ClaimedOrder) -> Any:
        try:
            return cancel_order(order.id)
        finally:
            connections.close_all()

    async def cancel(order: ClaimedOrder) -> Any:
        return await asyncio.to_thread(cancel_and_leave, order)

    carried, cancelled = await asyncio.gather(
        asyncio.gather(*(carry(order) for order in orders), return_exceptions=True),
        asyncio.gather(*(cancel(order) for order in orders), return_exceptions=True),
    )

    for one, other in zip(carried, cancelled, strict=True):
        if isinstance(one, Overtaken):
            assert other.status is Status.CANCELLED
        else:
            assert one.status is Status.SUBMITTED
            assert isinstance(other, NotCancellable)
    assert await database.violations() == []


async def test_the_loops_own_journal_is_one(engine_loop: None) -> None:
    assert journal_of_this_loop() is journal_of_this_loop()
