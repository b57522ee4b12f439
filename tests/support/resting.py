"""Orders with terms for tests, and the watcher's part in their lives, done by hand."""

from decimal import Decimal
from typing import Any

from django.conf import settings

from orders.engine.moves import NewOrder
from orders.lifecycle import Status
from orders.representation import request_as_json
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import first_watch
from routing.registry import registry
from routing.venue import Side
from tests.support.database import Database
from tests.support.samples import new_order

STOPS = ("stop", "takeProfit", "trailingStop")

RELEASE = """
WITH gone AS (DELETE FROM watches WHERE order_id = %(id)s AND trail_bps IS NULL),
still AS (UPDATE watches SET held = true, kind = 'c', check_at = now()
  WHERE order_id = %(id)s AND trail_bps IS NOT NULL),
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
    params = {"id": order_id, "attempts": settings.ORDER_ATTEMPTS}
    await database.rows_named(RELEASE, params)
    for sibling in await database.rows(
        "SELECT s.id::text FROM orders s JOIN orders o ON o.group_id = s.group_id AND s.id <> o.id"
        " WHERE o.id = %s AND s.status = 'open' AND s.phase <> 'held'",
        order_id,
    ):
        await database.rows_named(HOLD, {"id": sibling[0]})


async def event_names(database: Database, order_id: str) -> list[str]:
    """Return what happened to the order, in the words of the stream."""
    rows = await database.rows(
        "SELECT seq, status, event FROM order_events WHERE order_id = %s ORDER BY seq", order_id
    )
    return [event or ("accepted" if seq == 1 else _name(status)) for seq, status, event in rows]


def _name(status: str) -> str:
    return "retry" if status == Status.PENDING else status
