"""What an order would do if it were sent now. Nothing is stored.

It is read, priced and routed by the code that reads, prices and routes orders.
"""

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from orders.api.reading.present_price import Prices, holds, price_of
from orders.engine.quotes import Quoted, price_now, quotes_of_this_loop
from orders.engine.submission import OrderRequest, orders_of, watch_of
from orders.engine.triggers.last_prices import last_tick
from orders.events import timestamp
from orders.representation import decimal
from orders.terms.slicing import Plan
from orders.terms.terms import price_text
from orders.terms.watch import UP, Watch
from orders.words import OrderType
from routing.best_prices import rounded_down, rounded_up
from routing.constraints import UNCONSTRAINED, Constraints
from routing.registry import registry
from routing.router import NoRoute
from routing.tokens import SOL, USDC, UnknownMarket, UnknownToken
from routing.venue import BPS, Quote, Side, Swap
from routing.venues import NETWORK_FEE

WIDE_BPS = 300
FAR_BPS = 2_000
COST_PERCENT = 10
OWN = ("orderId", "wsUrl", "groupId", "siblingOrderId", "clientOrderId")
"""What only an order that is stored has."""


class Moment(NamedTuple):
    """The prices of this moment; None: no tick is fresh."""

    tick: Prices | None

    @property
    def reference(self) -> Decimal | None:
        return None if self.tick is None else self.tick.reference


async def preview(asked: OrderRequest, owner: int | None) -> dict[str, Any]:
    """Return what an order would do, and what may be wrong with it.

    :raises AccountRequired: an anonymous order has a client order id.
    :raises NotQuoted: it would execute now, and no venue gives a usable quote.
    :raises psycopg.Error: the database does not answer.
    """
    drafts = orders_of(asked, owner, stranger=0)
    told = [
        {name: value for name, value in draft.data["order"].items() if name not in OWN}
        for draft in drafts
    ]
    moment = Moment(await _tick_for(asked))
    if not asked.legs:
        return told[0] | await _outlook(asked, moment)
    legs = [one | await _outlook(leg, moment) for one, leg in zip(told, asked.legs, strict=True)]
    return {"type": asked.type, "orders": legs}


async def _tick_for(asked: OrderRequest) -> Prices | None:
    """Return the prices of this moment. For what waits for one, a pair without ticks is quoted."""
    if asked.legs or watch_of(asked) is not None:
        return await price_now(asked.market)
    return await last_tick(asked.market.pair)


async def quote_of(asked: OrderRequest) -> Quoted:
    """:raises NotQuoted: no venue gives a usable quote at present."""
    limits = Constraints.from_json(asked.constraints) if asked.constraints else UNCONSTRAINED
    return await quotes_of_this_loop().of(asked.swap, limits)


def slots_of(asked: OrderRequest) -> list[dict[str, Any]]:
    """Return when each slice of a TWAP is due, and how large it is if none is missed.

    Without `startAt` the first is due when the order is stored: by our clock about now.
    """
    if asked.terms is None or asked.amount_in is None:
        return []
    plan = Plan.of(asked.terms.more, asked.amount_in, datetime.now(UTC))
    token, _ = asked.tokens
    return [
        {
            "slice": slot,
            "at": timestamp(plan.due_at(slot)),
            "amountIn": decimal(token, plan.share(slot)),
        }
        for slot in range(plan.slices)
    ]


async def _outlook(asked: OrderRequest, moment: Moment) -> dict[str, Any]:
    watch = watch_of(asked)
    is_now = watch is None or bool(asked.terms and asked.terms.may_start)
    found: dict[str, Any] = {
        "executesNow": is_now,
        "reserved": _reserved(asked),
        "warnings": warnings_of(asked, moment.reference),
    }
    has_limit = asked.terms is not None and asked.terms.limit_price is not None
    quoted = (
        await quote_of(asked) if is_now or (has_limit and asked.type == OrderType.LIMIT) else None
    )
    if is_now and quoted is not None:
        terms = asked.terms
        bound = terms.bound if terms and has_limit else quoted.bound(asked.slippage_bps or 0)
        found |= quoted.as_json(bound)
    elif watch is not None:
        found |= _distance(asked, watch, moment.tick)
    if asked.type == OrderType.TWAP:
        found["slots"] = slots_of(asked)
    if quoted is not None and has_limit:
        found["sized"] = _sized(asked, quoted, moment.tick)
    return found


def _reserved(asked: OrderRequest) -> dict[str, str] | None:
    """Return what the order takes of the wallet at most; None: its first quote decides."""
    terms, (token, _) = asked.terms, asked.tokens
    most = asked.amount_in if asked.amount_in is not None else terms and terms.bound.max_in
    amount = decimal(token, most)
    return None if amount is None else {"token": token.symbol, "amount": amount}


def _distance(asked: OrderRequest, watch: Watch, tick: Prices | None) -> dict[str, Any]:
    """Return whether its condition holds now, and by how much the price misses it.

    A negative distance is one that was passed.
    """
    price = price_of(watch, tick)
    told: dict[str, Any] = {"wouldTrigger": holds(watch, tick), "price": price_text(price)}
    if watch.wake_price is None:
        trail = asked.terms.trail_bps if asked.terms else None
        return told | {"wouldTrigger": False, "distanceBps": None if trail is None else str(trail)}
    if price is None:
        return told | {"distanceBps": None}
    away = Fraction(watch.wake_price) - Fraction(price)
    share = (away if watch.kind == UP else -away) * BPS / Fraction(price)
    return told | {"distanceBps": f"{Decimal(round(share * 100)).scaleb(-2):f}"}


def _sized(asked: OrderRequest, quoted: Quoted, tick: Prices | None) -> dict[str, Any]:
    """Return whether the whole amount nets the limit, and at which price of the pair it would.

    That price is `limit * shown / net` (`orders/engine/triggers/sizing.py`): a vanishing amount
    would have to get it for the whole amount to net the limit.
    """
    terms, watch_line = asked.terms, "b" if asked.side is Side.SELL else "a"
    if terms is None or terms.limit_price is None or isinstance(quoted.outcome, NoRoute):
        return {"fits": False, "netPrice": None, "atPrice": None}
    quote = quoted.outcome.quote
    net = _net_price(asked.swap, quote)
    shown = None if tick is None else (tick.bid if watch_line == "b" else tick.ask)
    at_price = None
    if shown is not None:
        wanted = Fraction(terms.limit_price) * Fraction(shown) / net
        at_price = rounded_up(wanted) if asked.side is Side.SELL else rounded_down(wanted)
    return {
        "fits": terms.bound.admits(quote.amount_in, quote.amount_out),
        "netPrice": price_text(rounded_down(net)),
        "atPrice": price_text(at_price),
    }


def _net_price(swap: Swap, quote: Quote) -> Fraction:
    """Return the price of the whole amount, fees included."""
    base, paid = quote.amount_in, quote.amount_out
    if swap.side is Side.BUY:
        base, paid = paid, base
    market = swap.market
    return Fraction(paid * 10**market.base.decimals, base * 10**market.quote.decimals)


def warnings_of(asked: OrderRequest, reference: Decimal | None) -> list[str]:
    """Return the codes of what is allowed and probably not meant."""
    terms = asked.terms
    limit = terms and terms.limit_price
    found = []
    if asked.type == OrderType.SNIPER and limit is None:
        found.append("no_price_limit")
    if asked.slippage_bps is not None and asked.slippage_bps > WIDE_BPS:
        found.append("wide_slippage")
    prices = (terms.limit_price, terms.trigger_price, terms.activation_price) if terms else ()
    if reference is not None and any(_is_far(price, reference) for price in prices if price):
        found.append("far_from_market")
    if _costs_too_much(asked):
        found.append("below_cost_of_network")
    return found


def _is_far(price: Decimal, reference: Decimal) -> bool:
    return abs(price - reference) * BPS > reference * FAR_BPS


def _costs_too_much(asked: OrderRequest) -> bool:
    """Whether the network's fee is a large part of what is traded, by the reference prices."""
    known = registry()
    token, atoms = (
        (asked.swap.token_out, asked.amount_out or 0)
        if asked.amount_in is None
        else (asked.swap.token_in, asked.amount_in)
    )
    try:
        unit = known.token(USDC.symbol)
        value = known.value_of(token, atoms, unit)
        fee = known.value_of(known.token(SOL.symbol), NETWORK_FEE, unit)
    except (UnknownToken, UnknownMarket):
        return False
    return fee * 100 > value * COST_PERCENT
