"""Two orders of one group: at most one is on its way, at most one fills, and both end together."""

import asyncio
from typing import Any

import pytest
from django.conf import settings

from orders.engine import terms_moves
from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.submission import NotCancellable, new_order_id
from orders.lifecycle import Status
from routing.venue import UnsupportedToken, VenueUnavailable
from tests.orders.engine.test_execution import FaultyVenue, claim
from tests.support.database import Database
from tests.support.resting import (
    DEADLINE,
    cancel,
    carry,
    event_names,
    last_data,
    order_of_type,
    poor,
    release,
    released,
    state,
    watch_of,
)
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of

pytestmark = pytest.mark.usefixtures("quick")
REFUSAL = VenueUnavailable("refuses, as the test wants it")
GROUP = "SELECT live_order::text, ended_at IS NOT NULL FROM order_groups"


async def pair(journal: Journal, stop: str = "stop", **changes: Any) -> tuple[str, str]:
    """Store a target and a stop for one amount, and return their ids."""
    group_id = new_order_id()
    stops: dict[str, dict[str, Any]] = {
        "stop": {"trigger_price": "95"},
        "stopLimit": {"trigger_price": "95", "limit_price": "94"},
        "trailingStop": {"trail_bps": 100},
        "unarmed": {"trail_bps": 100, "activation_price": "120"},
    }
    target = order_of_type("limit", limit_price="99", group_id=group_id)
    kind = "trailingStop" if stop == "unarmed" else stop
    protection = order_of_type(kind, group_id=group_id, **stops[stop], **changes)
    await asyncio.gather(journal.accept(target), journal.accept(protection))
    return target.id, protection.id


async def group(database: Database) -> tuple[str | None, bool]:
    """Return which order of the only group is on its way, and whether the group has ended."""
    rows = await database.rows(GROUP)
    return rows[0][0], rows[0][1]


async def test_the_fill_of_one_cancels_the_other_in_the_same_commit(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal)
    await released(journal, database, target)

    assert await state(database, target) == ["confirmed", None, None]
    assert await state(database, stop) == ["cancelled", None, "sibling_filled"]
    assert await last_data(database, stop) == {"reason": "sibling_filled", "by": "engine"}
    assert await event_names(database, stop) == ["accepted", "held", "cancelled"]
    assert await group(database) == (None, True)
    assert await database.rows("SELECT 1 FROM watches") == []
    ((together,),) = await database.rows("SELECT count(DISTINCT finished_at) FROM orders")
    assert together == 1


async def test_a_limit_that_returns_frees_the_group_and_the_stop_resumes_with_its_watermark(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal, "trailingStop")
    await database.rows("UPDATE watches SET armed_tick = 7, from_tick = 7 WHERE kind = 't'")
    await released(journal, database, target, poor())

    assert await state(database, target) == ["open", "waiting", None]
    assert await state(database, stop) == ["open", "waiting", None]
    assert await event_names(database, stop) == ["accepted", "held", "resumed"]
    assert await last_data(database, stop) == {"sibling": target}
    assert await group(database) == (None, False)
    watch = await watch_of(database, stop)
    assert (watch["kind"], watch["held"], watch["armed_tick"]) == ("t", False, 7)
    assert watch["from_tick"] > 7
    groups = await database.rows("SELECT count(*) FROM watches WHERE group_id IS NOT NULL")
    assert groups == [(2,)]
    await released(journal, database, stop)
    assert (await state(database, target))[2] == "sibling_filled"


async def test_an_unarmed_trailing_stop_resumes_unarmed(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal, "unarmed")
    await released(journal, database, target, poor())

    assert await state(database, stop) == ["open", "unarmed", None]


async def test_a_stop_limit_that_had_become_a_limit_resumes_as_one(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal, "stopLimit")
    await database.rows(
        "UPDATE watches SET kind = '>', act = 's', wake_price = 94 WHERE order_id = %s", stop
    )
    await released(journal, database, target, poor())

    assert await state(database, stop) == ["open", "limit", None]


async def test_a_latched_stop_keeps_the_group_until_it_is_filled(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal)
    await released(journal, database, stop, FaultyVenue(*[REFUSAL] * 3))

    assert await state(database, stop) == ["open", "latched", None]
    assert await state(database, target) == ["open", "held", None]
    assert await group(database) == (stop, False)
    await released(journal, database, stop)
    assert (await state(database, stop))[0] == "confirmed"
    assert (await state(database, target))[2] == "sibling_filled"


async def test_the_other_order_resumes_alone_when_one_fails(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal)
    await released(journal, database, target, FaultyVenue(UnsupportedToken("not here")))

    assert (await state(database, target))[0] == "failed"
    assert await state(database, stop) == ["open", "waiting", None]
    assert await group(database) == (None, True)
    assert (await watch_of(database, stop))["group_id"] is None
    await released(journal, database, stop, FaultyVenue(*[REFUSAL] * 3))
    assert (await watch_of(database, stop))["group_id"] is None
    await released(journal, database, stop)
    assert (await state(database, stop))[0] == "confirmed"


async def test_both_end_when_the_one_on_its_way_runs_out_of_time(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal)
    await release(database, target)
    await database.rows("SET session_replication_role = replica")
    await database.rows("UPDATE orders SET expires_at = now() WHERE id = %s", target)
    await database.rows("SET session_replication_role = origin")
    await carry(journal, database)

    assert (await state(database, target))[0] == "expired"
    assert await state(database, stop) == ["cancelled", None, "group_cancelled"]
    assert await group(database) == (None, True)


@pytest.mark.parametrize("cancelled", [0, 1])
@pytest.mark.parametrize("on_its_way", [None, 0, 1])
async def test_cancelling_one_ends_both(
    journal: Journal, database: Database, cancelled: int, on_its_way: int | None
) -> None:
    both = await pair(journal)
    if on_its_way is not None:
        await release(database, both[on_its_way])
        await claim(journal)
    found = await cancel(both[cancelled])

    assert found.status is Status.CANCELLED
    assert (await state(database, both[cancelled]))[2] == "user"
    assert await state(database, both[1 - cancelled]) == ["cancelled", None, "group_cancelled"]
    assert await database.rows("SELECT 1 FROM watches") == []
    assert await group(database) == (None, True)
    assert await database.violations() == []


async def submitted(
    journal: Journal, database: Database, order_id: str
) -> tuple[ScriptedNetwork, "asyncio.Task[None]"]:
    """Carry the order until its transaction is sent, and on as soon as the network says more."""
    await release(database, order_id)
    network = ScriptedNetwork()
    carrying = asyncio.create_task(
        Execution(journal, exchange_of(network)).carry_order(await claim(journal))
    )
    async with asyncio.timeout(DEADLINE):
        while not network.sent:
            await asyncio.sleep(0.01)
    return network, carrying


async def test_neither_is_cancelled_while_one_is_submitted(
    journal: Journal, database: Database
) -> None:
    target, stop = await pair(journal)
    network, carrying = await submitted(journal, database, target)
    for order_id in (target, stop):
        with pytest.raises(NotCancellable) as refused:
            await cancel(order_id)
        assert refused.value.status is Status.SUBMITTED
    network.land(network.sent[0].signature)
    await carrying

    assert (await state(database, stop))[2] == "sibling_filled"


@pytest.mark.parametrize("asked", [0, 1])
@pytest.mark.parametrize("fills", [True, False])
async def test_when_possible_both_are_cancelled_once_the_transaction_is_dead(
    journal: Journal, database: Database, asked: int, fills: bool
) -> None:
    both = await pair(journal)
    network, carrying = await submitted(journal, database, both[0])
    found = await cancel(both[asked], when_possible=True)
    assert found.is_requested
    assert await database.rows("SELECT cancel_requested FROM orders") == [(True,)] * 2
    if fills:
        network.land(network.sent[0].signature)
    else:
        network.expire()
    await asyncio.gather(carrying, return_exceptions=True)

    ends = ["confirmed", None] if fills else ["cancelled", "user"]
    reason = "sibling_filled" if fills else "group_cancelled"
    status, _, why = await state(database, both[0])
    assert [status, why] == ends
    assert await state(database, both[1]) == ["cancelled", None, reason]
    assert await group(database) == (None, True)
    assert await database.violations(network.landings.elements()) == []


class Died(Exception):
    """The process was killed here, as far as PostgreSQL knows."""


@pytest.mark.parametrize("point", ["after_moved", "after_effects"])
@pytest.mark.parametrize(
    ("sending", "ends"),
    [(Sending.LANDS, ["confirmed", "cancelled"]), (Sending.REJECTED, ["open", "open"])],
)
async def test_whoever_dies_while_moving_a_group_has_moved_none_of_it(
    journal: Journal,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    sending: Sending,
    ends: list[str],
) -> None:
    monkeypatch.setattr(settings, "ORDER_ATTEMPTS", 1)
    target, stop = await pair(journal)
    await release(database, target)
    network = ScriptedNetwork(then=sending)

    def die(passed: str) -> None:
        if passed == point and network.sent:
            raise Died

    with monkeypatch.context() as patch:
        patch.setattr(terms_moves, "crash_point", die)
        with pytest.raises(Died):
            await Execution(journal, exchange_of(network)).carry_order(await claim(journal))
    assert (await state(database, target))[0] == "submitted"
    assert await state(database, stop) == ["open", "held", None]
    assert await group(database) == (target, False)
    assert (await watch_of(database, stop))["held"] is True

    await database.expire_lease(target)
    await carry(journal, database, network)
    found = [(await state(database, one))[0] for one in (target, stop)]
    assert found == ends
    assert await database.violations(network.landings.elements()) == []
