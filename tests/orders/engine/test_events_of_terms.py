"""What is told of orders with terms has the form that the document of the sockets promises."""

from typing import Any

import pytest

from orders.engine.journal import Journal
from orders.engine.submission import new_order_id
from orders.events import Event
from orders.lifecycle import Status
from routing.venue import InsufficientLiquidity, UnsupportedToken
from tests.orders.engine.test_execution import FaultyVenue
from tests.support.accounts import make_account
from tests.support.database import Database
from tests.support.resting import (
    cancel,
    carry,
    lands,
    order_of_type,
    poor,
    released,
    store,
)
from tests.support.shapes import assert_told
from tests.support.stubs import ScriptedNetwork, Sending

pytestmark = pytest.mark.usefixtures("quick")
TOO_MUCH = InsufficientLiquidity("too much")
LOG = """
SELECT order_id::text, seq, status, attempt, message, at, data, event FROM order_events
ORDER BY order_id, seq
"""


async def told(database: Database) -> list[dict[str, Any]]:
    """Return all that streams tell of all orders."""
    rows = await database.rows(LOG)
    events = [Event(row[0], row[1], Status(row[2]), *row[3:]) for row in rows]
    messages = [event.as_message() for event in events]
    assert_told(messages, "orderStream")
    return messages


def names(messages: list[dict[str, Any]]) -> set[str]:
    return {message["event"] for message in messages}


async def test_what_is_told_of_orders_that_return_and_expire(
    journal: Journal, database: Database
) -> None:
    dead = ScriptedNetwork(then=Sending.REJECTED)
    await released(journal, database, await store(journal, "limit"), poor())
    await released(journal, database, await store(journal, "stop"), FaultyVenue(TOO_MUCH))
    await released(journal, database, await store(journal, "trailingStop"), network=dead)
    await store(journal, "limit", time_in_force="ioc", expires_in=60)
    await carry(journal, database, venues=[FaultyVenue(TOO_MUCH)])
    await cancel(await store(journal, "takeProfit"))

    assert names(await told(database)) >= {"returned", "expired", "cancelled", "retry"}


async def test_what_is_told_of_groups_and_brackets(journal: Journal, database: Database) -> None:
    owner = make_account().id
    group_id = new_order_id()
    target = order_of_type("limit", limit_price="99", group_id=group_id, owner=owner)
    stop = order_of_type("stop", trigger_price="95", group_id=group_id, owner=owner)
    out_of_reach = {"limitPrice": f"0.{'0' * 19}1"}  # of which an account cannot hold so much
    more = {"takeProfit": out_of_reach, "stopLoss": {"triggerPrice": "95"}}
    await journal.accept(target)
    await journal.accept(stop)
    await released(journal, database, target.id, poor())
    network = await released(journal, database, target.id, network=lands())
    entry = order_of_type("market", time_in_force="ioc", owner=owner, more=more)
    await journal.accept(entry)
    await carry(journal, database, network)
    lone = order_of_type("stop", trigger_price="95", owner=owner)
    await journal.accept(lone)
    missing = FaultyVenue(UnsupportedToken("not here"))
    await released(journal, database, lone.id, missing, network=network)

    messages = await told(database)
    assert names(messages) >= {"returned", "resumed", "confirmed", "cancelled", "failed"}
    assert [one for one in messages if "children" in one["data"]]
    assert [one for one in messages if "childrenRefused" in one["data"]]
