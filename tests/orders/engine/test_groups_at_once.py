"""Many groups at once, carried and cancelled by several; and answers that were lost."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connections

from orders.engine.execution import Execution
from orders.engine.journal import Journal, _recover_advance_terms
from orders.engine.moves import Move, Overtaken
from orders.engine.submission import NotCancellable, cancel_order, new_order_id
from orders.events import Event
from orders.lifecycle import ACTIVE
from routing.venue import InsufficientLiquidity
from tests.orders.engine.test_execution import FaultyVenue, claim
from tests.support.database import Database
from tests.support.resting import DEADLINE, cancel, lands, order_of_type, release, store
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of

pytestmark = pytest.mark.usefixtures("quick")
GROUPS = 100
ENDS = """
SELECT group_id, array_agg(status || coalesce(' ' || reason, '') ORDER BY status, reason)
FROM orders GROUP BY group_id
"""
WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"


@pytest.mark.parametrize("sending", [Sending.LANDS, Sending.REJECTED])
async def test_of_each_group_one_order_fills_or_both_are_cancelled(
    journal: Journal,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    sending: Sending,
) -> None:
    monkeypatch.setattr(settings, "ORDER_ATTEMPTS", 1)
    pairs = []
    for _ in range(GROUPS):
        group_id = new_order_id()
        target = order_of_type("limit", limit_price="99", group_id=group_id)
        stop = order_of_type("stop", trigger_price="95", group_id=group_id)
        pairs.append((target.id, stop.id))
        await asyncio.gather(journal.accept(target), journal.accept(stop))
    for target_id, _ in pairs:
        await release(database, target_id)
    network = ScriptedNetwork(then=sending)
    execution = Execution(journal, exchange_of(network))

    def cancel_some(some: list[str]) -> None:
        try:
            for order_id in some:
                with suppress(NotCancellable):
                    cancel_order(UUID(order_id), when_possible=order_id > some[0])
        finally:
            connections.close_all()

    async def carry_all() -> None:
        async with asyncio.timeout(DEADLINE):
            while orders := await journal.claim(20, ACTIVE):
                await asyncio.gather(
                    *(execution.carry_order(order) for order in orders), return_exceptions=True
                )

    with ThreadPoolExecutor(3) as pool:
        loop = asyncio.get_running_loop()
        cancelling = [
            loop.run_in_executor(pool, cancel_some, [pair[leg] for pair in pairs[first::2]])
            for first, leg in ((0, 0), (0, 1), (1, 1))
        ]
        await asyncio.gather(carry_all(), *cancelling)
    await carry_all()

    if sending is Sending.REJECTED:  # those that returned before they were asked to end
        for order_id in [one for pair in pairs for one in pair]:
            await asyncio.to_thread(cancel_some, [order_id])
    found = [tuple(ends) for _, ends in await database.rows(ENDS)]
    assert len(found) == GROUPS
    filled = ("cancelled sibling_filled", "confirmed")
    both = ("cancelled group_cancelled", "cancelled user")
    assert set(found) <= {filled, both}
    assert found.count(filled) == sum(network.landings.values())
    assert await database.rows("SELECT 1 FROM watches") == []
    assert await database.rows("SELECT 1 FROM order_groups WHERE ended_at IS NULL") == []
    assert await database.violations(network.landings.elements()) == []


async def test_a_move_whose_answer_was_lost_is_found_in_the_log(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Move, Event]] = []
    advance = journal.advance

    async def note(move: Move) -> Event:
        made.append((move, event := await advance(move)))
        return event

    monkeypatch.setattr(journal, "advance", note)
    await store(journal, "stop")
    ((stop,),) = await database.rows("SELECT id::text FROM orders")
    await release(database, stop)
    poor = exchange_of(lands(), [FaultyVenue(InsufficientLiquidity("too much"))])
    await Execution(journal, poor).carry_order(await claim(journal))
    await store(journal, "market")
    await Execution(journal, exchange_of(lands())).carry_order(await claim(journal))

    moves: list[Any] = [move for move, _ in made]
    async with journal._moves_link.connection() as connection:
        found = await _recover_advance_terms(connection, [*moves, moves[0]._replace(seq=99)])
    assert [event.status for _, event in made] == ["open", "submitted", "confirmed"]
    assert [one and one.events[-1] for one in found] == [event for _, event in made] + [None]
    with pytest.raises(Overtaken):
        await advance(moves[-1])


async def test_whoever_moves_a_group_locks_its_watches_before_its_orders(
    journal: Journal, database: Database
) -> None:
    group_id = new_order_id()
    target = order_of_type("limit", limit_price="99", group_id=group_id)
    stop = order_of_type("stop", trigger_price="95", group_id=group_id)
    await asyncio.gather(journal.accept(target), journal.accept(stop))

    async with database.transaction():  # as the watcher does, which goes on to the orders
        await database.rows("SELECT 1 FROM watches WHERE order_id = %s FOR UPDATE", stop.id)
        cancelling = asyncio.create_task(cancel(target.id))
        async with asyncio.timeout(DEADLINE):
            while not await database.rows(WAITING):
                await asyncio.sleep(0.01)
        await database.rows("SELECT 1 FROM order_groups FOR UPDATE NOWAIT")
        await database.rows("SELECT 1 FROM orders FOR UPDATE NOWAIT")
    await cancelling

    assert await database.rows("SELECT DISTINCT status FROM orders") == [("cancelled",)]
