"""What clients ask of the engine: take this order, cancel that one."""

import hashlib
import logging
import os
import re
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.conf import settings

from config.runtime import group_commit
from config.runtime.counters import counts
from orders.access.admission import backlog_of_this_loop
from orders.access.browser_keys import BrowserKey
from orders.access.open_orders import ANONYMOUS_OPEN_ORDERS, open_orders_of_this_loop
from orders.engine import bell
from orders.engine.crash_points import crash_point
from orders.engine.handover import handover_of_this_loop
from orders.engine.hints import publish_now
from orders.engine.journal import cancel_now, journal_of_this_loop
from orders.engine.moves import AlreadyAccepted, NewOrder
from orders.engine.terms_moves import Cancellation, NotCancellable
from orders.events import RECEIVED, Event
from orders.lifecycle import Status
from orders.models import Order
from orders.representation import accepted_as_json, request_as_json
from orders.terms.exits import TARGET
from orders.terms.terms import Terms
from orders.terms.type_rules import AT_ONCE
from orders.terms.watch import Watch, first_watch
from orders.words import EndReason
from routing.tokens import Market, Token
from routing.venue import Side, Swap

__all__ = ["Cancellation", "NotCancellable"]

logger = logging.getLogger(__name__)

CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A valid request; the amount that is not None is fixed, in atoms."""

    type: str
    market: Market
    side: Side
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int | None
    """None: a limit price is its bound."""
    client_order_id: str | None = None
    constraints: dict[str, Any] | None = None
    """What it asks of its route, as `routing.constraints` writes it."""
    terms: Terms | None = None
    """None: a plain market order."""
    if_crossed: str | None = None
    """`reject` or `execute`, if its trigger holds already; None: it has no trigger."""
    legs: "tuple[OrderRequest, ...]" = ()
    """Of an OCO its two orders, the target first. It is no order itself."""

    @property
    def swap(self) -> Swap:
        return Swap(self.market, self.side, self.amount_in, self.amount_out)

    @property
    def tokens(self) -> tuple[Token, Token]:
        """What goes in and what comes out."""
        return self.swap.token_in, self.swap.token_out


class Submitted(NamedTuple):
    """An order for its client, with its first event; `is_replay`: it was accepted before."""

    order: dict[str, Any]
    event: Event
    is_replay: bool = False


class SubmittedGroup(NamedTuple):
    """The two orders of an OCO for their client, the target first, with their first events."""

    group_id: str
    orders: list[dict[str, Any]]
    events: list[Event]
    is_replay: bool = False


class AccountRequired(Exception):
    """An anonymous order has a key, which strangers would share. Try without, or log in."""


class IdempotencyKeyReused(Exception):
    """The account sent another order under this key. Trying again does not help."""


class ClientOrderIdTaken(Exception):
    """The account has another order of this client order id. Trying again does not help."""


class OutcomeUnknown(Exception):
    """Nobody knows whether the order was stored. Look for it by its id, or repeat it by its key.

    It may still be stored for as long as a statement may take, so look again after some seconds.
    """

    def __init__(self, order_id: str) -> None:
        self.order_id = order_id
        super().__init__(f"it is not known whether order {order_id} is stored")


class PricesUnavailable(Exception):
    """No price is fresh enough to tell whether a trigger has been crossed. Trying again helps."""


async def submit_order(
    request: OrderRequest,
    owner: int | None = None,
    *,
    stranger: int = 0,
    order_id: str | None = None,
    idempotency_key: str | None = None,
    sent: object = None,
) -> Submitted:
    """Store the order of an account or an anonymous one, ring the bell, and return the order.

    The order is safe once this returns. The bell is best effort: the scheduler rings for orders
    whose bell was lost. Order and key are stored together or not at all, so a request that comes
    again under the same key gets the same order and the same answer. `sent` is the request as it
    came. A repeated request is recognised by it, even if it would be read differently by then.
    `stranger` is the sender of an anonymous order (`orders.access.admission.sender_of`).

    :raises AccountRequired: an anonymous order has a key.
    :raises IdempotencyKeyReused, ClientOrderIdTaken: the key belongs to another order.
    :raises Overloaded, ShareIsFull: too many orders wait, of all or of this sender; nothing is
        stored.
    :raises TradingHalted: the engine takes no orders; nothing is stored.
    :raises OutcomeUnknown: the database did not say whether it stored the order.
    :raises psycopg.OperationalError: the database does not answer; nothing is stored.
    """
    if owner is None and needs_account(idempotency_key, request.client_order_id):
        raise AccountRequired
    order = _new_order(request, owner, order_id or new_order_id(), idempotency_key)
    asked = data = data_of(order)
    if idempotency_key or request.client_order_id:
        data = data | fingerprint_of(sent)
    handover = handover_of_this_loop()
    order = order._replace(stranger=stranger, data=data, may_start=handover.is_likely)
    try:
        async with room_for([order]):
            event, begun = await journal_of_this_loop().accept_or_begin(order)
    except AlreadyAccepted as before:
        return recognise(sent, before) or replay(asked, before)
    except group_commit.OutcomeUnknown as error:
        logger.warning("an order may be stored: %s", error, extra={"order_id": order.id})
        raise OutcomeUnknown(order.id) from error
    crash_point("after_accept")
    counts["orders_accepted"] += 1
    logger.info("order accepted", extra={"order_id": order.id})
    if begun:
        handover.hand_soon(begun)
    elif event.status is not Status.OPEN:
        bell.ring_soon()
    return Submitted(answer_of(event), event)


async def submit_group(
    request: OrderRequest,
    owner: int | None = None,
    *,
    stranger: int = 0,
    order_ids: Sequence[str] = (),
    idempotency_key: str | None = None,
    sent: object = None,
) -> SubmittedGroup:
    """Store the two orders of an OCO, both or neither, and return them.

    Each has the request's key, a space and its place as its own key.

    :raises Exception: what `submit_order` raises.
    """
    legs = _new_legs(request, owner, order_ids, idempotency_key)
    named = any(leg.idempotency_key or leg.client_order_id for leg in legs)
    for leg in legs:
        if owner is None and needs_account(leg.idempotency_key, leg.client_order_id):
            raise AccountRequired
    found_by = fingerprint_of(sent) if named else {}
    orders = [leg._replace(stranger=stranger, data=leg.data | found_by) for leg in legs]
    try:
        async with room_for(orders):
            events = await journal_of_this_loop().accept_together(orders)
    except AlreadyAccepted as before:
        return await recognise_group(sent, before) or await _replay_group(legs, before)
    except group_commit.OutcomeUnknown as error:
        logger.warning("two orders may be stored: %s", error, extra={"order_id": orders[0].id})
        raise OutcomeUnknown(orders[0].id) from error
    crash_point("after_accept")
    counts["orders_accepted"] += len(orders)
    for order in orders:
        logger.info("order accepted", extra={"order_id": order.id})
    return _group_of(events)


def orders_of(
    request: OrderRequest,
    owner: int | None,
    *,
    stranger: int,
    order_ids: Sequence[str] = (),
    idempotency_key: str | None = None,
    sent: object = None,
) -> list[NewOrder]:
    """Return the order, or the two orders of an OCO, as they are to be stored.

    They have these ids, or new ones.

    :raises AccountRequired: an anonymous order has a key.
    """
    if request.legs:
        orders = _new_legs(request, owner, order_ids, idempotency_key)
    else:
        (order_id,) = order_ids or (new_order_id(),)
        order = _new_order(request, owner, order_id, idempotency_key)
        orders = [order._replace(data=data_of(order))]
    named = any(one.idempotency_key or one.client_order_id for one in orders)
    if owner is None and named:
        raise AccountRequired
    found_by = fingerprint_of(sent) if named else {}
    return [one._replace(stranger=stranger, data=one.data | found_by) for one in orders]


def accepted(events: Sequence[Event]) -> "Submitted | SubmittedGroup":
    """Return an order, or the two of an OCO, of their first events; ring if one can start."""
    counts["orders_accepted"] += len(events)
    for event in events:
        logger.info("order accepted", extra={"order_id": event.order_id})
        if event.status is not Status.OPEN:
            bell.ring_soon()
    return _group_of(events) if len(events) > 1 else Submitted(answer_of(events[0]), events[0])


async def recognise_group(sent: object, before: AlreadyAccepted) -> SubmittedGroup | None:
    """Return the OCO that was accepted before if it was sent in these very words, else None."""
    if recognise(sent, before) is None or not is_group(before):
        return None
    events = await journal_of_this_loop().stored_with(before.event.order_id)
    return _group_of(events)._replace(is_replay=True)


def is_group(before: AlreadyAccepted) -> bool:
    """Whether the order that was accepted before is one of an OCO's two."""
    return before.event.data["order"].get("groupId") is not None


async def repeat_group(
    request: OrderRequest, owner: int | None, idempotency_key: str | None, before: AlreadyAccepted
) -> SubmittedGroup:
    """Return the OCO that this request repeats.

    :raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for.
    """
    return await _replay_group(_new_legs(request, owner, (), idempotency_key), before)


async def _replay_group(legs: Sequence[NewOrder], before: AlreadyAccepted) -> SubmittedGroup:
    events = await journal_of_this_loop().stored_with(before.event.order_id)
    found = _group_of(events) if is_group(before) else None
    meant = [meaning(leg.data) for leg in legs]
    if found is None or meant != [meaning(event.data) for event in found.events]:
        raise conflict_with(before)
    return found._replace(is_replay=True)


def _group_of(events: Sequence[Event]) -> SubmittedGroup:
    target_first = sorted(events, key=lambda event: event.data["order"]["groupRole"] != TARGET)
    group_id = target_first[0].data["order"]["groupId"]
    return SubmittedGroup(group_id, [answer_of(event) for event in target_first], target_first)


def _new_legs(
    request: OrderRequest, owner: int | None, order_ids: Sequence[str], key: str | None
) -> list[NewOrder]:
    """Return the orders of an OCO, each with the data of its first event."""
    group_id = new_order_id()
    ids = order_ids or [new_order_id() for _ in request.legs]
    legs = []
    for place, (leg, order_id) in enumerate(zip(request.legs, ids, strict=True)):
        own_key = None if key is None else f"{key} {place}"
        if own_key is not None and isinstance(key, BrowserKey):
            own_key = BrowserKey(own_key)
        order = _new_order(leg, owner, order_id, own_key)
        order = order._replace(terms=order.terms and order.terms._replace(group_id=group_id))
        data = data_of(order)
        data["order"]["siblingOrderId"] = ids[1 - place]
        legs.append(order._replace(data=data))
    return legs


def room_for(orders: Sequence[NewOrder]) -> AbstractAsyncContextManager[None]:
    """Return a context in which orders of one sender are stored together, all that rest or none.

    Entering it raises what `Backlog.room` and `OpenOrders.room` do.
    """
    order = orders[0]
    if order.watch is None:
        return backlog_of_this_loop().room(order.sender)
    most = settings.MAX_OPEN_ORDERS if order.owner is not None else ANONYMOUS_OPEN_ORDERS
    return open_orders_of_this_loop().room(order.sender, most, len(orders))


async def accepted_before(
    owner: int | None, idempotency_key: str | None, client_order_id: object
) -> AlreadyAccepted | None:
    """Return the order that a request repeats, if one of its keys is known.

    Call it before any other check: a repeated order must be found even if markets, limits or the
    backlog would refuse it by now.

    :raises psycopg.OperationalError: the database does not answer.
    """
    is_name = isinstance(client_order_id, str) and CLIENT_ORDER_ID.fullmatch(client_order_id)
    name = str(client_order_id) if is_name else None
    if not (idempotency_key or name):
        return None
    if owner is None and needs_account(idempotency_key, name):
        return None
    return await journal_of_this_loop().accepted_before(owner, idempotency_key, name)


def needs_account(idempotency_key: str | None, client_order_id: str | None) -> bool:
    """Whether these keys belong to an account: all but a key in a browser's own space."""
    is_of_browser = isinstance(idempotency_key, BrowserKey)
    return client_order_id is not None or bool(idempotency_key and not is_of_browser)


def recognise(sent: object, before: AlreadyAccepted) -> Submitted | None:
    """Return the order that was accepted before if it was sent in these very words, else None.

    The words are compared and not interpreted: tokens, venues, bounds and defaults may have
    changed since.
    """
    fingerprint = fingerprint_of(sent)
    if not fingerprint or not fingerprint.items() <= before.event.data.items():
        return None
    return Submitted(answer_of(before.event), before.event, is_replay=True)


def fingerprint_of(sent: object) -> dict[str, str]:
    """Return the SHA-256 of a request's fields, in whichever order; empty if it is no order."""
    if not isinstance(sent, dict):
        return {}
    given = {name: value for name, value in sent.items() if value is not None}
    try:
        text = orjson.dumps(given, default=str, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # nested too deep, say
        return {}
    return {"fingerprint": hashlib.sha256(text).hexdigest()}


def repeat_order(
    request: OrderRequest, owner: int | None, idempotency_key: str | None, before: AlreadyAccepted
) -> Submitted:
    """Return the order that this request repeats.

    :raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for.
    """
    order = _new_order(request, owner, before.event.order_id, idempotency_key)
    return replay(data_of(order), before)


def data_of(order: NewOrder) -> dict[str, Any]:
    """Return what the order's first event tells of it."""
    data: dict[str, Any] = {"order": request_as_json(order)}
    if order.terms is not None and order.terms.expires_in is not None:
        data["expiresInSeconds"] = order.terms.expires_in
    return data


def _new_order(
    request: OrderRequest, owner: int | None, order_id: str, idempotency_key: str | None
) -> NewOrder:
    watch = watch_of(request)
    return NewOrder(
        id=order_id,
        type=request.type,
        side=request.side.value,
        base=request.market.base.symbol,
        quote=request.market.quote.symbol,
        amount_in=request.amount_in,
        amount_out=request.amount_out,
        slippage_bps=request.slippage_bps,
        constraints=request.constraints,
        message=RECEIVED,
        data={},
        owner=owner,
        client_order_id=request.client_order_id,
        idempotency_key=idempotency_key,
        terms=request.terms,
        watch=watch,
        pair=None if watch is None else request.market.pair,
    )


def watch_of(request: OrderRequest) -> Watch | None:
    """Return what the order watches from its acceptance on; None: it does not rest."""
    terms = request.terms
    if terms is None or terms.time_in_force in AT_ONCE:
        return None
    return first_watch(request.type, request.side, terms)


def replay(asked: dict[str, Any], before: AlreadyAccepted) -> Submitted:
    """Return the order that was accepted before, as it was answered then.

    `asked` is the data of the first event that this request would have.

    :raises IdempotencyKeyReused, ClientOrderIdTaken: something else was asked for.
    """
    if meaning(asked) == meaning(before.event.data):
        # Orders of an older release have no summary: that of the repeated request is the same.
        said = {"summary": asked["order"]["summary"]}
        return Submitted(said | answer_of(before.event), before.event, is_replay=True)
    raise conflict_with(before)


def conflict_with(before: AlreadyAccepted) -> IdempotencyKeyReused | ClientOrderIdTaken:
    """Return the error for a different request that was sent under the key of this order."""
    return IdempotencyKeyReused() if before.by_idempotency_key else ClientOrderIdTaken()


def meaning(data: dict[str, Any]) -> dict[str, Any]:
    """Return what distinguishes requests: all fields that were given, without the order's own.

    An end that was given in seconds is compared in seconds.
    """
    own = {"orderId", "wsUrl", "summary", "groupId", "siblingOrderId"}
    seconds = data.get("expiresInSeconds")
    if seconds is not None:
        own.add("expiresAt")
    asked = data["order"] | {"expiresInSeconds": seconds}
    return {name: value for name, value in asked.items() if value is not None and name not in own}


def answer_of(event: Event) -> dict[str, Any]:
    """Return what the client is told of an order when it is accepted; `event` is its first."""
    told = accepted_as_json(event.data["order"], event.at, event.status)
    return {"message": event.message, **told}


def cancel_order(
    order_id: UUID,
    *,
    when_possible: bool = False,
    by: str = "user",
    reason: EndReason = EndReason.USER,
) -> Cancellation:
    """Cancel the order unless it was submitted, and the other order of its group with it.

    It is locked first. So an order is either cancelled or executed, never both: the worker that
    carries it moves it before, or is overtaken. To cancel again what is cancelled changes nothing.

    `by` is who asks: user, a key's prefix or operator. With `when_possible`, an order that was
    submitted is marked: it is cancelled once its transaction is proven dead.

    :raises Order.DoesNotExist: there is no such order.
    :raises NotCancellable: it was submitted or has ended, or the other order of its group was
        submitted.
    """
    order = Order.objects.only("group_id").get(pk=order_id)
    group_id = None if order.group_id is None else str(order.group_id)
    found = cancel_now(str(order.id), group_id, when_possible=when_possible, by=by, reason=reason)
    crash_point("after_cancel")
    for event in found.events:
        publish_now(event)
    return found


def new_order_id() -> str:
    """Return a UUID of version 7 (RFC 9562): in order of time, so that indexes grow at one end."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)
    text = f"{value & ~(0x3 << 62) | (0x2 << 62):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
