"""Orders that are stored together: all or none, whatever is cut off and whoever is first."""

import asyncio
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from orders.engine.journal import Journal
from orders.engine.moves import AlreadyAccepted, NewOrder
from orders.engine.submission import new_order_id
from orders.lifecycle import Status
from orders.terms.terms import Terms
from orders.terms.watch import first_watch
from routing.venue import Bound, Side
from tests.support.accounts import make_account
from tests.support.database import Database, MakeJournal
from tests.support.proxy import Cut, proxy_of
from tests.support.samples import new_order


def exits(owner: int | None = None, key: str | None = None, **of_stop: Any) -> list[NewOrder]:
    """Return a target and a stop of one new group."""
    group = new_order_id()
    target = Terms("gtc", limit_price=Decimal(112), bound=Bound(168_000_000), group_id=group)
    stop = Terms("gtc", trigger_price=Decimal(95), trigger_by="executable", group_id=group)
    return [
        new_order(
            **{
                "type": kind,
                "terms": terms,
                "watch": first_watch(kind, Side.SELL, terms),
                "slippage_bps": bps,
                "owner": owner,
                "idempotency_key": None if key is None else f"{key} {place}",
                **(of_stop if place else {}),
            }
        )
        for place, (kind, terms, bps) in enumerate((("limit", target, None), ("stop", stop, 500)))
    ]


async def stored(database: Database) -> tuple[int, int, int, int]:
    """Return how many orders, first events, watches and groups there are."""
    ((row),) = await database.rows(
        "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_events),"
        " (SELECT count(*) FROM watches), (SELECT count(*) FROM order_groups)"
    )
    orders, events, watches, groups = row
    return orders, events, watches, groups


async def test_both_orders_are_stored_with_their_watches_and_their_group(
    journal: Journal, database: Database
) -> None:
    events = await journal.accept_together(exits())
    assert [event.status for event in events] == [Status.OPEN, Status.OPEN]
    assert await stored(database) == (2, 2, 2, 1)


@pytest.mark.parametrize("cut", Cut)
async def test_two_orders_whose_acceptance_was_cut_off_are_stored_once(
    make_journal: MakeJournal, database: Database, cut: Cut
) -> None:
    async with proxy_of(database.conninfo) as proxy:
        journal = make_journal(proxy.conninfo)
        await journal.connect()
        proxy.cut = cut
        events = await asyncio.gather(*(journal.accept_together(exits()) for _ in range(5)))
        await journal.close()

    assert proxy.cuts == 1
    assert len({event.order_id for pair in events for event in pair}) == 10
    assert await stored(database) == (10, 10, 10, 5)


async def test_of_two_orders_one_of_which_cannot_be_stored_none_is(
    journal: Journal, database: Database
) -> None:
    refused, taken = exits(amount_in=-1), exits()
    answers = await asyncio.gather(
        journal.accept_together(refused), journal.accept_together(taken), return_exceptions=True
    )
    assert isinstance(answers[0], psycopg.errors.CheckViolation)
    assert await stored(database) == (2, 2, 2, 1)


@pytest.mark.parametrize("place", [0, 1])
async def test_of_two_orders_one_of_whose_keys_is_taken_none_is_stored(
    journal: Journal, database: Database, place: int
) -> None:
    owner = make_account().id
    first = await journal.accept(new_order(owner=owner, idempotency_key=f"k {place}"))
    with pytest.raises(AlreadyAccepted) as known:
        await journal.accept_together(exits(owner, "k"))
    assert known.value.event.order_id == first.order_id
    assert await stored(database) == (1, 1, 0, 0)


async def test_the_same_two_orders_of_many_at_once_are_stored_once(
    make_journal: MakeJournal, database: Database
) -> None:
    owner = make_account().id
    journals = [make_journal() for _ in range(4)]
    answers = await asyncio.gather(
        *(journal.accept_together(exits(owner, "k")) for journal in journals for _ in range(3)),
        return_exceptions=True,
    )
    won = [answer for answer in answers if isinstance(answer, list)]
    assert len(won) == 1
    ids = {event.order_id for event in won[0]}
    known = [answer for answer in answers if isinstance(answer, AlreadyAccepted)]
    assert len(known) == 11
    assert {one.event.order_id for one in known} <= ids
    assert await stored(database) == (2, 2, 2, 1)


async def test_either_order_of_a_group_leads_to_both(journal: Journal) -> None:
    events = await journal.accept_together(exits())
    await journal.accept_together(exits())
    for event in events:
        found = await journal.stored_with(event.order_id)
        assert {one.order_id: one for one in found} == {one.order_id: one for one in events}
    alone = await journal.accept(new_order())
    assert await journal.stored_with(alone.order_id) == [alone]
