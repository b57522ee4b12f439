"""An order as clients see it: camelCase, decimals as strings, RFC 3339 times."""

from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

from orders.events import Event, timestamp
from orders.lifecycle import Status
from orders.models import Order, OrderEvent
from orders.terms.exits import role_in_group
from orders.terms.summary import percent, sentence
from orders.terms.terms import Terms, price_text
from orders.words import OrderType, Phase
from routing.pricing import execution_price
from routing.registry import look_up
from routing.stored_decision import StoredDecision
from routing.tokens import Token
from routing.venue import Bound, Side, Swap
from routing.venues import LABELS


class Requested(Protocol):
    """What an order is asked to do: a stored order, or one that is about to be stored."""

    @property
    def id(self) -> object: ...
    @property
    def type(self) -> str: ...
    @property
    def side(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def quote(self) -> str: ...
    @property
    def amount_in(self) -> int | None: ...
    @property
    def amount_out(self) -> int | None: ...
    @property
    def slippage_bps(self) -> int | None: ...
    @property
    def client_order_id(self) -> str | None: ...
    @property
    def constraints(self) -> dict[str, Any] | None: ...
    @property
    def terms(self) -> Any: ...


def request_as_json(order: Requested) -> dict[str, Any]:
    """Return what the client asked for, and where to follow it."""
    token_in, token_out = tokens_of(order)
    asked = {
        "orderId": str(order.id),
        "wsUrl": f"/ws/orders/{order.id}",
        "type": order.type,
        "side": order.side,
        "baseToken": order.base,
        "quoteToken": order.quote,
        "tokenIn": token_in.symbol,
        "tokenOut": token_out.symbol,
        "amountIn": decimal(token_in, order.amount_in),
        "amountOut": decimal(token_out, order.amount_out),
        "slippageBps": order.slippage_bps,
        "clientOrderId": order.client_order_id,
        "summary": summary(order),
        **(order.constraints or {}),
    }
    terms = terms_of(order)
    if terms is None:
        return asked
    asked |= terms_as_json(order.type, terms, token_in, token_out)
    return asked | {"summary": sentence(asked, terms.expires_in)}


def terms_of(order: Requested) -> Terms | None:
    """Return what an order asks beyond a plain market order; None: it is one."""
    if not isinstance(order, Order):
        terms: Terms | None = order.terms
        return terms
    if order.terms is None:
        return None
    return Terms(
        time_in_force=order.time_in_force or "",
        expires_at=order.expires_at,
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
        trigger_by=order.trigger_by,
        trail_bps=order.trail_bps,
        activation_price=order.activation_price,
        bound=Bound() if order.limit_price is None else Bound(order.min_out, order.max_in),
        more=order.terms,
        tags=order.tags,
        group_id=None if order.group_id is None else str(order.group_id),
        parent_id=None if order.parent_id is None else str(order.parent_id),
        slice=order.slice,
        replaces=None if order.replaces is None else str(order.replaces),
    )


def terms_as_json(
    order_type: str, terms: Terms, token_in: Token, token_out: Token
) -> dict[str, Any]:
    """Return what applies of an order's terms, in the words of the API."""
    asked = {
        "limitPrice": price_text(terms.limit_price),
        "triggerPrice": price_text(terms.trigger_price),
        "triggerBy": terms.trigger_by,
        "trailBps": terms.trail_bps,
        "activationPrice": price_text(terms.activation_price),
        "minAmountOut": decimal(token_out, terms.bound.min_out),
        "maxAmountIn": decimal(token_in, terms.bound.max_in),
        **terms.more,
        "groupId": terms.group_id,
        "groupRole": None if terms.group_id is None else role_in_group(order_type),
        "parentOrderId": terms.parent_id,
        "slice": terms.slice,
        "replaces": terms.replaces,
        "tags": terms.tags,
    }
    given = {name: value for name, value in asked.items() if value is not None}
    return {"timeInForce": terms.time_in_force, "expiresAt": time(terms.expires_at), **given}


def swap_as_json(swap: Swap) -> dict[str, Any]:
    """Return the pair, the side, both tokens, and the amount that is given."""
    return {
        "market": swap.market.name,
        "side": swap.side.value,
        "tokenIn": swap.token_in.symbol,
        "tokenOut": swap.token_out.symbol,
        "amountIn": decimal(swap.token_in, swap.amount_in),
        "amountOut": decimal(swap.token_out, swap.amount_out),
    }


def summary(order: Requested) -> str:
    """Return as a sentence what a market order is taken for: "Sell 1.5 SOL for USDC, ..."."""
    return f"{headline(order)}, slippage at most {percent(order.slippage_bps or 0)}."


def headline(order: Requested) -> str:
    """Return what an order asks for, such as "Sell 1.5 SOL for USDC"."""
    token_in, token_out = tokens_of(order)
    of = token_out if order.amount_in is None else token_in
    amount = f"{decimal(of, order.amount_in or order.amount_out)} {of.symbol}"
    verb, link = order.side.capitalize(), "for" if order.side == Side.SELL else "with"
    if of.symbol == order.base:
        return f"{verb} {amount} {link} {order.quote}"
    return f"{verb} {order.base} {link} {amount}"


def order_as_json(order: Order) -> dict[str, Any]:
    """Return all that a client may know of an order; None where nothing is known yet."""
    token_in, token_out = tokens_of(order)
    asked = request_as_json(order)
    shown = asked | {
        "status": order.status,
        "seq": order.seq,
        "attempts": order.attempts,
        "route": LABELS.get(order.venue, order.venue) if order.venue else None,
        "routedDex": order.venue,
        "minAmountOut": decimal(token_out, order.min_out),
        "maxAmountIn": decimal(token_in, order.max_in),
        "txHash": order.signature,
        "executedPrice": executed_price(order),
        "executedAmountIn": decimal(token_in, order.filled_in),
        "executedAmountOut": decimal(token_out, order.filled_out),
        "failureCode": order.failure_code,
        "error": order.failure_reason,
        "createdAt": time(order.created_at),
        "startedAt": time(order.started_at),
        "finishedAt": time(order.finished_at),
    }
    return shown | resting_as_json(order)


def resting_as_json(order: Order) -> dict[str, Any]:
    """Return what applies of how an order rests, rested and ended."""
    stands = {
        "phase": order.phase if order.resting else None,
        "triggeredAt": time(order.triggered_at),
        "triggerTick": order.trigger_tick,
        "releases": None if order.terms is None else order.releases,
        "restUntil": time(order.rest_until) if order.resting else None,
        "replacedBy": None if order.replaced_by is None else str(order.replaced_by),
        "cancelRequested": order.cancel_requested,
        "reason": order.reason,
    }
    return {name: value for name, value in stands.items() if value is not None}


NO_PRICE_LIMIT = "no_price_limit"
"""The first quote of a new pool is no reference: a sniper without a limit pays whatever it asks."""

NOTHING_YET = {
    "status": "pending",
    "seq": 1,
    "attempts": 0,
    "route": None,
    "routedDex": None,
    "minAmountOut": None,
    "maxAmountIn": None,
    "txHash": None,
    "executedPrice": None,
    "executedAmountIn": None,
    "executedAmountOut": None,
    "failureCode": None,
    "error": None,
    "createdAt": None,
    "startedAt": None,
    "finishedAt": None,
}
"""What an order just accepted has beside its request."""


def accepted_as_json(
    request: dict[str, Any], at: datetime, status: Status = Status.PENDING
) -> dict[str, Any]:
    """Return what `order_as_json` would of an order just accepted, without reading it."""
    if "timeInForce" not in request:
        return request | NOTHING_YET | {"createdAt": timestamp(at)}
    stands: dict[str, Any] = {"status": status.value, "createdAt": timestamp(at), "releases": 0}
    if status is Status.OPEN:
        stands["phase"] = first_phase(request)
    if request["type"] == OrderType.TWAP:
        stands |= {
            "slicesFilled": 0,
            "remainingAmount": request["amountIn"],
            "filledPercent": "0",
            "nextSliceAt": request.get("startAt", timestamp(at)),
        }
    if request["type"] == OrderType.SNIPER and "limitPrice" not in request:
        stands["warnings"] = [NO_PRICE_LIMIT]
    return NOTHING_YET | request | stands | {"summary": sentence(request)}


def first_phase(request: dict[str, Any]) -> str:
    """Return what an order does that has just begun to rest (`orders.engine.moves.phase_of`)."""
    if request["type"] == OrderType.TWAP:
        return Phase.SLICING.value
    return Phase.WAITING.value if request.get("activationPrice") is None else Phase.UNARMED.value


def tokens_of(order: Requested) -> tuple[Token, Token]:
    """Return what goes in and what comes out."""
    base, quote = look_up(lambda known: (known.token(order.base), known.token(order.quote)))
    return (base, quote) if order.side == Side.SELL else (quote, base)


def decimal(token: Token, atoms: int | None) -> str | None:
    return None if atoms is None else token.to_text(atoms)


def time(at: datetime | None) -> str | None:
    return None if at is None else timestamp(at)


def executed_price(order: Order) -> str | None:
    """Return the net price of the fill, in whole quote tokens per base token."""
    if order.filled_in is None or order.filled_out is None:
        return None
    market = look_up(
        lambda known: known.market_of_order(known.token(order.base), known.token(order.quote))
    )
    return f"{execution_price(market, Side(order.side), order.filled_in, order.filled_out):f}"


def event_of(row: OrderEvent) -> Event:
    """Return a stored line of the log as the event it is."""
    return Event(
        *(str(row.order_id), row.seq, Status(row.status), row.attempt),
        *(row.message, row.at, row.data, row.event),
    )


def route_log(order: Order) -> dict[str, Any]:
    """Return how an order was routed, attempt by attempt: all decisions of its log, oldest first.

    The latest of those that were carried out is the `route`; None before the first.
    """
    events = order.events.filter(attempt__gt=0).order_by("seq")
    built = [event for event in events if event.status == Status.BUILDING]
    return {
        "orderId": str(order.id),
        "status": order.status,
        "route": _decision(order, built[-1]) if built else None,
        "attempts": [
            _attempt(order, number, list(rows))
            for number, rows in groupby(events, key=lambda event: event.attempt)
        ],
    }


def _attempt(order: Order, number: int, events: list[OrderEvent]) -> dict[str, Any]:
    faults = [event.data for event in events if "failureCode" in event.data]
    fault: dict[str, Any] = faults[0] if faults else {}
    decisions = [(event.at, data) for event in events if (data := _decision(order, event))]
    decided_at, decision = decisions[0] if decisions else (None, None)
    return {
        "attempt": number,
        "startedAt": timestamp(events[0].at),
        "decidedAt": timestamp(decided_at) if decided_at else None,
        "decision": decision,
        "dropped": (decision or fault).get("dropped", []),
        "failureCode": fault.get("failureCode"),
        "reason": fault.get("reason"),
    }


def _decision(order: Order, event: OrderEvent) -> dict[str, Any] | None:
    """Return what an event stores of a decision; one that broke the bound is in the fault's."""
    is_built = event.status == Status.BUILDING
    data: dict[str, Any] | None = event.data if is_built else event.data.get("decision")
    return data and StoredDecision(data, order.base, order.quote, order.side).data
