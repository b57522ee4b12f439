"""Orders with terms for tests, and the watcher's part in their lives, done by hand."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connections

from orders.engine.changes.amending import Amendment, amend_order
from orders.engine.execution import Execution
from orders.engine.journal import Journal
from orders.engine.moves import Diverted, NewOrder
from orders.engine.submission import Cancellation, OrderRequest, cancel_order
from orders.events import Event
from orders.lifecycle import ACTIVE, Status
from orders.representation import request_as_json
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import first_watch
from routing.registry import registry
from routing.venue import Side, Venue
from tests.support.database import Database
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, Sending, exchange_of
from tests.support.venue_stubs import StubVenue

DEADLINE = 120.0
LIMIT: dict[str, Any] = {"limit_price": "99"}
STOP: dict[str, Any] = {"trigger_price": "101"}
FILLED = ["routing", "building", "submitted", "confirmed"]
TERMS: dict[str, dict[str, Any]] = {
    "market": {"time_in_force": "ioc"},
    "limit": LIMIT,
    "stop": STOP,
    "stopLimit": LIMIT | STOP,
    "takeProfit": {"trigger_price": "99"},
    "takeProfit with a limit": {"trigger_price": "99", "limit_price": "99"},
    "trailingStop": {"trail_bps": 100},
}

LOCK = "SELECT 1 FROM watches WHERE order_id = %s FOR UPDATE"
RELEASE = """
WITH gone AS (DELETE FROM watches WHERE order_id = %(id)s),
claimed AS (UPDATE order_groups SET live_order = %(id)s
  WHERE id = (SELECT group_id FROM orders WHERE id = %(id)s)),
moved AS (
  UPDATE orders SET status = 'pending', resting = false, phase = NULL, rest_until = NULL,
    seq = seq + 1, releases = releases + 1, attempts_allowed = attempts + %(attempts)s,
    turn = -1, next_check = clock_timestamp()
  WHERE id = %(id)s AND status = 'open' RETURNING id, seq, attempts
)
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at, event)
SELECT id, seq, 'pending', attempts, 'Released', '{}', clock_timestamp(), 'released' FROM moved
"""
HOLD = """
WITH held AS (UPDATE watches SET held = true WHERE order_id = %(id)s),
moved AS (
  UPDATE orders SET phase = 'held', seq = seq + 1 WHERE id = %(id)s RETURNING id, seq, attempts)
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at, event)
SELECT id, seq, 'open', attempts, 'Held', '{}', clock_timestamp(), 'held' FROM moved
"""


def order_of_type(type_: str, **changes: Any) -> NewOrder:
    """An order of this type that rests, to sell 1.5 SOL; prices and other terms as `changes`."""
    changes = dict(changes)
    given = {name: changes.pop(name) for name in Terms._fields if name in changes}
    for name in ("limit_price", "trigger_price", "activation_price"):
        if given.get(name) is not None:
            given[name] = Decimal(given[name])
    order = new_order(type=type_, **{"slippage_bps": 100} | changes)
    terms = Terms(**{"time_in_force": "gtc"} | given)
    if terms.limit_price is not None:
        known = registry()
        market = known.market_of_order(known.token(order.base), known.token(order.quote))
        amounts = order.amount_in, order.amount_out
        bound = bound_of_limit(market, Side(order.side), terms.limit_price, *amounts)
        terms = terms._replace(bound=bound)
        order = order._replace(slippage_bps=None)
    rests = type_ != "market" and terms.time_in_force in ("gtc", "gtd")
    watch = first_watch(type_, Side(order.side), terms) if rests else None
    order = order._replace(terms=terms, watch=watch)
    return order._replace(data={"order": request_as_json(order)})


async def release(database: Database, order_id: str) -> None:
    """Release a resting order as the watcher does; another order of its group is held."""
    siblings = await database.rows(
        "SELECT s.id::text FROM orders s JOIN orders o ON o.group_id = s.group_id AND s.id <> o.id"
        " WHERE o.id = %s AND s.status = 'open' AND s.phase <> 'held'",
        order_id,
    )
    params = {"id": order_id, "attempts": settings.ORDER_ATTEMPTS}
    async with database.transaction():
        await database.rows(LOCK, order_id)
        await database.rows_named(RELEASE, params)
        for (sibling,) in siblings:
            await database.rows_named(HOLD, {"id": sibling})


async def event_names(database: Database, order_id: str) -> list[str]:
    """Return what happened to the order, in the words of the stream."""
    rows = await database.rows(
        "SELECT seq, status, event FROM order_events WHERE order_id = %s ORDER BY seq", order_id
    )
    return [event or ("accepted" if seq == 1 else _name(status)) for seq, status, event in rows]


def _name(status: str) -> str:
    return "retry" if status == Status.PENDING else status


def lands() -> ScriptedNetwork:
    return ScriptedNetwork(then=Sending.LANDS)


def poor() -> StubVenue:
    """Quotes less than every limit and stop of these tests takes."""
    return StubVenue("raydium", "98")


async def store(journal: Journal, kind: str, **terms: Any) -> str:
    order = order_of_type(kind.split()[0], **(TERMS[kind] | terms))
    await journal.accept(order)
    return order.id


async def carry(
    journal: Journal,
    database: Database,
    network: ScriptedNetwork | None = None,
    venues: Sequence[Venue] = (),
) -> ScriptedNetwork:
    """Do as carriers would until nothing waits or is on its way."""
    network = network or lands()
    execution = Execution(journal, exchange_of(network, venues))
    on_the_way = "SELECT 1 FROM orders WHERE finished_at IS NULL AND NOT resting"
    async with asyncio.timeout(DEADLINE):
        while await database.rows(on_the_way):
            for order in await journal.claim(1, ACTIVE):
                with suppress(Diverted):
                    await execution.carry_order(order)
            await asyncio.sleep(0.01)
    assert await database.violations(network.landings.elements()) == []
    return network


async def released(
    journal: Journal,
    database: Database,
    order_id: str,
    *venues: Venue,
    network: ScriptedNetwork | None = None,
) -> ScriptedNetwork:
    await release(database, order_id)
    return await carry(journal, database, network, venues)


async def watch_of(database: Database, order_id: str) -> dict[str, Any]:
    """Return what the order watches; empty if it watches nothing."""
    rows = await database.rows("SELECT to_jsonb(w) FROM watches w WHERE order_id = %s", order_id)
    return rows[0][0] if rows else {}


async def state(database: Database, order_id: str) -> list[Any]:
    """Return its status, what it does while it rests, and why it ended."""
    columns = "status, phase, reason"
    rows = await database.rows(f"SELECT {columns} FROM orders WHERE id = %s", order_id)
    return list(rows[0])


async def last_data(database: Database, order_id: str) -> dict[str, Any]:
    data: dict[str, Any] = (await database.log(order_id))[-1][1]
    return data


async def ids(database: Database, where: str, *parameters: Any) -> list[str]:
    query = f"SELECT id::text FROM orders WHERE {where} ORDER BY id"
    return [row[0] for row in await database.rows(query, *parameters)]


async def cancel(order_id: str, **how: Any) -> Cancellation:
    """Cancel an order as a view does, in a thread of its own."""

    def cancel_and_leave() -> Cancellation:
        try:
            return cancel_order(UUID(order_id), **how)
        finally:
            connections.close_all()

    return await asyncio.to_thread(cancel_and_leave)


async def amend(database: Database, order_id: str, to: NewOrder, *fields: str) -> Event:
    """Amend an order as a view does: from now on it asks in these fields for what `to` asks."""
    known = registry()
    market = known.market_of_order(known.token(to.base), known.token(to.quote))
    asked = OrderRequest(
        *(to.type, market, Side(to.side), to.amount_in, to.amount_out, to.slippage_bps),
        terms=to.terms,
        if_crossed="execute",
    )
    amendment = Amendment(
        *(order_id, await database.order(order_id, "seq"), asked, frozenset(fields)),
        **{"before": dict.fromkeys(fields), "after": dict.fromkeys(fields)},
        keeps_end=True,
        by="user",
    )

    def amend_and_leave() -> Event:
        try:
            return amend_order(amendment, None)
        finally:
            connections.close_all()

    return await asyncio.to_thread(amend_and_leave)
