"""A TWAP's slices: one of each slot, whatever breaks, and their sum exact to the atom."""

import asyncio
import time
from typing import Any

import pytest

from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.triggers import slices
from orders.engine.triggers.evaluator import Evaluator
from orders.lifecycle import ACTIVE
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.support.database import Database
from tests.support.resting import cancel, carry, event_names, lands, last_data, order_of_type
from tests.support.stubs import ScriptedNetwork, exchange_of
from tests.support.venue_stubs import StubVenue

TOTAL = 1_500_000_003
PASS = """
WITH earlier AS (UPDATE watches SET check_at = check_at - %(by)s * interval '1 second'
  WHERE order_id = %(id)s)
UPDATE orders SET created_at = created_at - %(by)s * interval '1 second' WHERE id = %(id)s
"""
CHILDREN = """
SELECT slice, amount_in, status, type, filled_in, id::text FROM orders
WHERE parent_id = %s ORDER BY slice
"""


class Twaps:
    """Takes TWAPs, lets their time pass, and looks at what is due."""

    def __init__(self, journal: Journal, database: Database, evaluator: Evaluator) -> None:
        self.journal, self.database, self.evaluator = journal, database, evaluator
        self.network = lands()

    async def take(self, slices: int = 20, interval: int = 60, **terms: Any) -> str:
        more = {"slices": slices, "intervalSeconds": interval, "catchUp": "spread"}
        more |= terms.pop("more", {})
        order = order_of_type("twap", amount_in=TOTAL, more=more, **terms)
        await self.journal.accept(order)
        return order.id

    async def pass_slots(self, order_id: str, count: int = 1, interval: int = 60) -> None:
        by = count * interval
        await self.database.rows_named(PASS, {"id": order_id, "by": by})

    async def look(self) -> None:
        await self.evaluator.evaluate(int(time.time()))

    async def look_now(self, order_id: str) -> None:
        """Look at it, as a second later."""
        await self.database.rows(
            "UPDATE watches SET check_at = clock_timestamp() WHERE order_id = %s", order_id
        )
        await self.look()

    async def carry(self, *venues: StubVenue) -> None:
        await carry(self.journal, self.database, self.network, venues)

    async def run(self, order_id: str, slots: int) -> None:
        """Let so many slots come, each with its slice."""
        for _ in range(slots):
            await self.look_now(order_id)
            await self.carry()
            await self.pass_slots(order_id)

    async def children(self, order_id: str) -> list[Any]:
        return await self.database.rows(CHILDREN, order_id)

    async def parent(self, order_id: str) -> tuple[Any, ...]:
        rows = await self.database.rows(
            "SELECT status, reason, filled_in, phase FROM orders WHERE id = %s", order_id
        )
        found: tuple[Any, ...] = rows[0]
        return found


@pytest.fixture
def twaps(journal: Journal, database: Database, evaluator: Evaluator) -> Twaps:
    return Twaps(journal, database, evaluator)


async def test_every_slot_has_its_slice_and_the_last_one_confirms_the_parent(
    twaps: Twaps, database: Database
) -> None:
    order = await twaps.take(slices=4)
    await twaps.run(order, 4)
    await twaps.look_now(order)

    made = await twaps.children(order)
    assert [row[0] for row in made] == [0, 1, 2, 3]
    assert sum(row[4] for row in made) == TOTAL
    assert await twaps.parent(order) == ("confirmed", None, TOTAL, None)
    assert await event_names(database, order) == ["accepted", *4 * ["slice"], "confirmed"]
    data = await last_data(database, order)
    assert (data["amountIn"], data["slicesFilled"]) == ("1.500000003", 4)
    assert await database.rows("SELECT * FROM watches") == []
    assert await database.violations(twaps.network.landings.elements()) == []


async def test_the_log_tells_of_each_slice_and_the_slice_of_its_parent(
    twaps: Twaps, database: Database
) -> None:
    order = await twaps.take(slices=4)
    await twaps.look()

    ((*_, child),) = await twaps.children(order)
    assert await last_data(database, order) == {
        "slice": 0,
        "childOrderId": child,
        "amount": "0.375000001",
        "missed": [],
        "remaining": "1.125000002",
    }
    asked = (await database.log(child))[0][1]["order"]
    assert (asked["parentOrderId"], asked["slice"], asked["type"]) == (order, 0, "market")
    assert await database.order(child, "turn") < 0
    ((wait,),) = await database.rows(
        "SELECT extract(epoch FROM expires_at - created_at)::int FROM orders WHERE id = %s", child
    )
    assert wait == 60


async def test_stopped_for_7_slots_no_burst_spread_cap_3_and_the_sum_exact_to_the_atom(
    twaps: Twaps, database: Database
) -> None:
    order = await twaps.take(slices=20)
    await twaps.run(order, 5)
    await twaps.pass_slots(order, 7)
    await twaps.run(order, 1)
    assert (await last_data(database, order))["missed"] == list(range(5, 12))
    await twaps.run(order, 7)
    await twaps.look_now(order)

    made = await twaps.children(order)
    amounts = [row[1] for row in made]
    assert [row[0] for row in made] == [*range(5), *range(12, 20)]
    assert max(amounts) <= 3 * -(-TOTAL // 20)
    assert max(amounts[5:]) - min(amounts[5:]) <= 1
    assert sum(amounts) == TOTAL
    assert (await twaps.parent(order))[0] == "confirmed"


async def test_skip_leaves_undone_what_was_missed(twaps: Twaps) -> None:
    order = await twaps.take(slices=4, more={"catchUp": "skip"})
    await twaps.run(order, 1)
    await twaps.pass_slots(order)
    await twaps.run(order, 2)
    await twaps.look_now(order)

    made = await twaps.children(order)
    assert [row[0] for row in made] == [0, 2, 3]
    assert {row[1] for row in made} <= {375_000_000, 375_000_001}
    status, reason, filled, _ = await twaps.parent(order)
    assert (status, reason) == ("expired", "twap_incomplete")
    assert filled == sum(row[4] for row in made)


async def test_two_schedulers_make_each_slice_once(
    twaps: Twaps, make_evaluator: MakeEvaluator
) -> None:
    orders = [await twaps.take(slices=4) for _ in range(30)]
    others = [make_evaluator(), make_evaluator()]

    for _ in range(3):
        for order in orders:
            await twaps.pass_slots(order)
        await asyncio.gather(*(one.evaluate(int(time.time())) for one in others))
        await twaps.carry()

    for order in orders:
        made = await twaps.children(order)
        assert [row[0] for row in made] == [1, 2, 3]
        assert sum(row[1] for row in made) == TOTAL


class Killed(BaseException):
    """The process is gone."""


class Leaving(ScriptedNetwork):
    async def send(self, transaction: Any) -> Any:
        raise Killed


@pytest.mark.parametrize("point", ["after_slice_stored", "after_slice"])
async def test_killed_at_each_point_a_slot_has_one_slice(
    twaps: Twaps, make_evaluator: MakeEvaluator, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def die(reached: str) -> None:
        if reached == point:
            raise Killed

    order = await twaps.take(slices=4)
    with monkeypatch.context() as patch:
        patch.setattr(slices, "crash_point", die)
        with pytest.raises(Killed):
            await twaps.look()
    await make_evaluator().evaluate(int(time.time()))
    await twaps.carry()

    assert [row[0] for row in await twaps.children(order)] == [0]
    assert await event_names(twaps.database, order) == ["accepted", "slice"]


async def test_cancelled_with_a_slice_submitted_it_is_counted_and_then_the_parent_ends(
    twaps: Twaps,
) -> None:
    order = await twaps.take(slices=4)
    await twaps.look()
    ((*_, child),) = await twaps.children(order)
    await submit(twaps, child)

    found = await cancel(order)
    assert (found.status, found.is_requested) == ("open", True)
    await twaps.pass_slots(order)
    await twaps.look()
    assert len(await twaps.children(order)) == 1

    await twaps.carry()
    await twaps.look_now(order)
    assert await twaps.parent(order) == ("cancelled", "user", 375_000_001, None)


async def submit(twaps: Twaps, child: str) -> None:
    """Bring a slice to where it may have filled, and leave it there."""
    (claimed,) = await twaps.journal.claim(1, ACTIVE)
    assert claimed.id == child
    with pytest.raises(Killed):
        await Execution(twaps.journal, exchange_of(Leaving())).carry_order(claimed)
    assert await twaps.database.order(child, "status") == "submitted"
    await twaps.database.rows(
        "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second' WHERE id = %s",
        child,
    )


async def test_cancelled_with_a_slice_that_waits_both_end_at_once(
    twaps: Twaps, database: Database
) -> None:
    order = await twaps.take(slices=4)
    await twaps.run(order, 1)
    await twaps.look()
    await cancel(order)

    assert [row[2] for row in await twaps.children(order)] == ["confirmed", "cancelled"]
    assert await twaps.parent(order) == ("cancelled", "user", 375_000_001, None)
    assert await database.rows("SELECT * FROM watches") == []


async def test_a_limit_that_is_not_met_for_some_slots_is_spread_over_the_others(
    twaps: Twaps, database: Database
) -> None:
    poor, good = StubVenue("raydium", "98"), StubVenue("raydium", "100")
    order = await twaps.take(slices=4, limit_price="99")
    for venue in (poor, poor, good, good):
        await twaps.look_now(order)
        await twaps.carry(venue)
        await twaps.pass_slots(order)
    await twaps.look_now(order)

    made = await twaps.children(order)
    assert [row[2] for row in made] == ["expired", "expired", "confirmed", "confirmed"]
    assert {row[3] for row in made} == {"limit"}
    assert sum(row[4] or 0 for row in made) == TOTAL
    assert (await twaps.parent(order))[0] == "confirmed"
    rows = await database.rows(
        "SELECT data->'missed' FROM order_events WHERE order_id = %s AND event = 'slice'"
        " ORDER BY seq",
        order,
    )
    assert [row[0] for row in rows] == [[], [0], [1], []]


async def test_a_slice_on_its_way_holds_the_next_up_until_it_ended(twaps: Twaps) -> None:
    order = await twaps.take(slices=4)
    await twaps.look()
    await twaps.pass_slots(order)
    await twaps.look()
    assert [row[0] for row in await twaps.children(order)] == [0]

    await twaps.carry()
    await twaps.look_now(order)
    assert [row[0] for row in await twaps.children(order)] == [0, 1]


async def test_halted_nothing_is_sliced(twaps: Twaps, database: Database) -> None:
    order = await twaps.take(slices=4)
    state = "INSERT INTO trading_states (state, changed_by, why) VALUES (%s, 'a test', '')"
    await database.rows(state, "halted")
    await twaps.look()
    await twaps.pass_slots(order)
    assert await twaps.children(order) == []

    await database.rows(state, "active")
    await twaps.look_now(order)
    assert [row[0] for row in await twaps.children(order)] == [1]
    assert (await last_data(database, order))["missed"] == [0]
