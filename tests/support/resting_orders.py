"""Orders that rest, for tests: stored through the journal, as the API's doors store them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from orders.engine.journal import journal_of_this_loop
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from orders.representation import request_as_json
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import first_watch
from routing.registry import registry
from routing.venue import Side
from tests.support.samples import new_order

NO_ONE = -1  # the sender of these tests' anonymous orders


def resting_order(
    owner: int | None = None,
    type: str = "limit",  # noqa: A002  # as the column is called
    *,
    base: str = "SOL",
    side: Side = Side.SELL,
    amount_in: int | None = 1_500_000_000,
    amount_out: int | None = None,
    slippage_bps: int | None = None,
    time_in_force: str = "gtc",
    expires_at: datetime | None = None,
    **terms: Any,
) -> NewOrder:
    """Return an order that waits for its price, on a market of USDC."""
    known = registry()
    market = known.market(known.token(base), known.token("USDC"))
    limit = terms.get("limit_price")
    if limit is not None:
        terms["bound"] = bound_of_limit(market, side, Decimal(limit), amount_in, amount_out)
    prices = ("limit_price", "trigger_price", "activation_price")
    terms |= {name: Decimal(terms[name]) for name in prices if terms.get(name) is not None}
    asked = Terms(time_in_force, expires_at, **terms)
    if slippage_bps is None and limit is None:
        slippage_bps = 500
    order = new_order(
        id=new_order_id(),
        owner=owner,
        stranger=NO_ONE,
        type=type,
        side=side.value,
        base=base,
        amount_in=amount_in,
        amount_out=amount_out,
        slippage_bps=slippage_bps,
        terms=asked,
        watch=first_watch(type, side, asked),
    )
    return order._replace(data={"order": request_as_json(order)})


async def rest(*orders: NewOrder) -> list[str]:
    """Store these orders one after the other, and return their ids."""
    for order in orders:
        await journal_of_this_loop().accept(order)
    return [order.id for order in orders]


async def rest_limit(owner: int | None, price: object, **changes: Any) -> str:
    """Store a limit order, and return its id."""
    (order_id,) = await rest(resting_order(owner, limit_price=Decimal(str(price)), **changes))
    return order_id


async def rest_stop(owner: int | None, price: object, **changes: Any) -> str:
    """Store a stop, and return its id."""
    order = resting_order(owner, "stop", trigger_price=Decimal(str(price)), **changes)
    (order_id,) = await rest(order)
    return order_id
