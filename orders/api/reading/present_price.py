"""Compares a new order with the price of this moment: has its trigger been crossed already?

A stop on the wrong side of the market is nearly always a mistake, and executing it costs real
money: it is refused, unless the order says that it is meant.
"""

from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from orders.api.reading.fields import refuse
from orders.api.reading.term_fields import EXECUTE, REJECT
from orders.engine.quotes import price_now
from orders.engine.submission import OrderRequest, PricesUnavailable, watch_of
from orders.engine.triggers.last_prices import last_tick
from orders.terms.exits import role_in_group
from orders.terms.terms import price_text
from orders.terms.watch import SIZE, UP, Watch


class Prices(Protocol):
    """The last tick of a pair."""

    @property
    def bid(self) -> Decimal | None: ...
    @property
    def ask(self) -> Decimal | None: ...
    @property
    def reference(self) -> Decimal | None: ...


async def at_present(request: OrderRequest) -> OrderRequest:
    """Return the order, marked as one that may start at once if the market meets its limit.

    A pair in which nothing rests may have no ticks. Then it is quoted.

    :raises ValidationError: its trigger has been crossed, and it does not say that it is meant.
    :raises PricesUnavailable: there is no fresh price by which to tell, and no venue quotes one.
    :raises psycopg.OperationalError: the database does not answer.
    """
    if request.legs:
        for leg in request.legs:
            await _refuse_crossed(leg, f"{role_in_group(leg.type)}.")
        return request
    watch = watch_of(request)
    if watch is None or request.terms is None or watch.wake_price is None:
        return request
    if watch.act == SIZE:  # a limit order
        is_met = holds(watch, await last_tick(request.market.pair))
        return replace(request, terms=request.terms._replace(may_start=bool(is_met)))
    await _refuse_crossed(request)
    return request


def holds(watch: Watch, tick: Prices | None) -> bool | None:
    """Return whether the tick has the price that is watched for; None: nobody can tell."""
    price = price_of(watch, tick)
    if price is None or watch.wake_price is None:
        return None
    return price >= watch.wake_price if watch.kind == UP else price <= watch.wake_price


def price_of(watch: Watch, tick: Prices | None) -> Decimal | None:
    """Return the tick's price on the line that is watched."""
    if tick is None:
        return None
    return {"b": tick.bid, "a": tick.ask}.get(watch.line, tick.reference)


async def _refuse_crossed(request: OrderRequest, within: str = "") -> None:
    """:raises ValidationError, PricesUnavailable: as `at_present`."""
    watch = watch_of(request)
    if request.if_crossed == EXECUTE or watch is None or watch.wake_price is None:
        return
    if watch.act == SIZE:
        return
    tick = await price_now(request.market)
    is_crossed = holds(watch, tick)
    if is_crossed is None:
        raise PricesUnavailable
    if is_crossed:
        price = price_text(price_of(watch, tick)) or ""
        field = "activationPrice" if request.type == "trailingStop" else "triggerPrice"
        text = f"The price is {price}, so it would go off at once."
        if not within:
            text += f" If that is meant, give ifCrossed: {EXECUTE} (now it is {REJECT})."
        raise refuse(f"{within}{field}", "would_trigger_immediately", text, price=price)
