"""Amends an order that rests: the same order asks for something else from now on.

It is a compare-and-set on its `seq`, in one transaction with its log, with what it watches, and, if
the amount changes, with the other order of its group. So an order is amended or triggered, and the
fill obeys what the log says was in force.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from orders import events
from orders.engine.changes import amending_sql as sql
from orders.engine.crash_points import crash_point
from orders.engine.hints import publish_now
from orders.engine.journal import run_now
from orders.engine.moves import phase_of, text_of, watch_as_row
from orders.engine.submission import OrderRequest, PricesUnavailable
from orders.engine.terms_moves import Script
from orders.engine.triggers.ticks import MAX_TICK_AGE
from orders.events import Event, timestamp
from orders.lifecycle import FINAL, Status
from orders.terms.exits import Exit, check_exits, role_in_group
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import ARM, CLOCK, POOL, SIZE, TRAIL, Watch, first_watch, limit_watch
from orders.words import OrderType, Phase
from routing.tokens import Market
from routing.venue import BPS, Bound, Side

AMENDED = "amended"


class OrderChanged(Exception):
    """The order is no longer at the seq that the client saw. Look at it before trying again."""

    def __init__(self, seq: int, status: Status) -> None:
        self.seq, self.status = seq, status
        super().__init__(f"the order is {status}, at seq {seq}")


class NotAmendable(Exception):
    """The order rests no more, or the other one of its group is on its way."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(f"the order is {status}")


class AlreadyTriggered(Exception):
    """It was triggered before, so that this field means nothing any more. `field` names it."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"{field} of an order that was triggered")


class WouldTrigger(Exception):
    """The trail would fire at once, at `price`. Say that it is meant, or take a wider one."""

    def __init__(self, price: Decimal) -> None:
        self.price = price
        super().__init__(f"the price is {price}")


class AmountOutOfRange(Exception):
    """Of a group: at the other order's limit price, the other amount is out of range. Of a TWAP: it
    is less than what was traded."""


class Amendment(NamedTuple):
    """What is to be changed, and to what."""

    order_id: str
    seq: int
    """At which the client saw the order."""
    asked: OrderRequest
    """The whole order as it is from now on."""
    changed: frozenset[str]
    """The fields that differ, in the words of the API."""
    before: dict[str, Any]
    after: dict[str, Any]
    """What these fields were, and are."""
    keeps_end: bool
    """Whether the order ends when it did."""
    by: str
    """`user`, or a key's prefix."""


class Resting(NamedTuple):
    """An order as it stands, with what it watches; locked until the transaction ends."""

    id: str
    seq: int
    status: Status
    type: str
    side: Side
    attempts: int
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    trigger_by: str | None
    trail_bps: int | None
    activation_price: Decimal | None
    time_in_force: str
    expires_at: datetime | None
    min_out: int | None
    max_in: int | None
    more: dict[str, Any]
    tags: dict[str, str] | None
    phase: str | None
    group_id: str | None
    is_over: bool
    at: datetime
    pair: str | None
    line: str | None
    kind: str | None
    act: str | None
    armed_tick: int | None

    @property
    def became_limit(self) -> bool:
        return self.act == SIZE and self.type != "limit"

    @property
    def is_armed(self) -> bool:
        return self.armed_tick is not None

    @property
    def terms(self) -> Terms:
        return Terms(
            self.time_in_force,
            self.expires_at,
            limit_price=self.limit_price,
            trigger_price=self.trigger_price,
            trigger_by=self.trigger_by,
            trail_bps=self.trail_bps,
            activation_price=self.activation_price,
            bound=Bound(self.min_out, self.max_in) if self.limit_price else Bound(),
            more=self.more,
            tags=self.tags,
        )


def amend_order(amendment: Amendment, group_id: str | None) -> Event:
    """Amend an order through Django's connection, and return the event.

    :raises OrderChanged: it is no longer at that seq.
    :raises NotAmendable: it does not rest, or the other order of its group is on its way.
    :raises AlreadyTriggered: a trigger is changed that has gone off.
    :raises WouldTrigger: a trail is changed to one that would fire at once, which is not meant.
    :raises PricesUnavailable: there is no fresh price by which to tell that.
    :raises WrongPrice: the prices of the group's two orders would be out of order.
    :raises AmountOutOfRange: the group's other order cannot have this amount.
    """
    written = run_now(amending(amendment, group_id))
    crash_point("after_amend")
    for event in written:
        publish_now(event)
    return written[0]


def amending(amendment: Amendment, group_id: str | None) -> Script[list[Event]]:
    """Lock, compare, write; raise what `amend_order` does. Return the events, its own first."""
    ids = {"ids": [amendment.order_id], "groups": [group_id] if group_id else []}
    yield sql.LOCK_WATCHES, ids
    if group_id:
        yield sql.LOCK_GROUPS, ids
    rows = yield sql.LOCK_ORDERS, ids
    orders = {order.id: order for order in map(_resting, rows)}
    order = orders.pop(amendment.order_id)
    _check_stands(order, amendment.seq)
    _check_triggers(order, amendment)
    yield from _check_trail(order, amendment)
    siblings = [one for one in orders.values() if one.status not in FINAL]
    for sibling in siblings:
        _check_group(order, amendment.asked, sibling)
    yield from _check_total(order, amendment)
    changes = [_own_change(order, amendment)]
    if {"amountIn", "amountOut"} & amendment.changed:
        changes += [_change_of_sibling(sibling, amendment) for sibling in siblings]
    written = yield sql.AMEND, {"changes": orjson.dumps(changes).decode()}
    found = {row[0]: row[1:] for row in written}
    params = {"changes": orjson.dumps(changes).decode(), "most_days": settings.MAX_RESTING_DAYS}
    yield sql.WATCH_OTHERWISE, params | {"at": found[order.id][2]}
    return [
        Event(
            *(change["order_id"], found[change["order_id"]][0], Status.OPEN),
            *(found[change["order_id"]][1], change["message"], found[change["order_id"]][2]),
            *(change["data"], AMENDED, found[change["order_id"]][3]),
        )
        for change in changes
    ]


def _resting(row: Any) -> Resting:
    order = Resting._make(row)
    return order._replace(
        status=Status(order.status),
        side=Side(order.side),
        more=_loaded(order.more) or {},
        tags=_loaded(order.tags),
    )


def _loaded(value: Any) -> Any:
    """Return a JSON column's value. Django's connection hands it over as text."""
    return orjson.loads(value) if isinstance(value, str) else value


def _check_stands(order: Resting, seq: int) -> None:
    if order.seq != seq:
        raise OrderChanged(order.seq, order.status)
    if order.status is not Status.OPEN or order.is_over:
        raise NotAmendable(order.status)


def _check_triggers(order: Resting, amendment: Amendment) -> None:
    """:raises AlreadyTriggered: what is changed has gone off."""
    if order.kind == CLOCK or order.became_limit:
        for field in ("triggerPrice", "trailBps", "activationPrice"):
            if field in amendment.changed:
                raise AlreadyTriggered(field)
    if order.became_limit and amendment.asked.terms and not amendment.asked.terms.limit_price:
        raise AlreadyTriggered("limitPrice")
    if order.is_armed and "activationPrice" in amendment.changed:
        raise AlreadyTriggered("activationPrice")


def _check_trail(order: Resting, amendment: Amendment) -> Script[None]:
    """:raises WouldTrigger, PricesUnavailable: as `amend_order`."""
    bps = amendment.asked.terms.trail_bps if amendment.asked.terms else None
    if "trailBps" not in amendment.changed or order.kind != TRAIL or bps is None:
        return
    if amendment.asked.if_crossed == "execute":
        return
    asked = {"pair": order.pair, "line": order.line, "armed": order.armed_tick}
    ((mark, price),) = yield sql.WATERMARK, asked | {"age": MAX_TICK_AGE}
    if price is None:
        raise PricesUnavailable
    if mark is not None and _fires(order.side, price, mark, bps):
        raise WouldTrigger(price)


def _check_total(order: Resting, amendment: Amendment) -> Script[None]:
    """:raises AmountOutOfRange: less than a TWAP's slices have traded, or are about to."""
    if order.type != OrderType.TWAP or "amountIn" not in amendment.changed:
        return
    ((done,),) = yield sql.SLICED, {"id": order.id}
    if (amendment.asked.amount_in or 0) < done:
        raise AmountOutOfRange


def _fires(side: Side, price: Decimal, mark: Decimal, bps: int) -> bool:
    if side is Side.SELL:
        return price * BPS <= mark * (BPS - bps)
    return price * BPS >= mark * (BPS + bps)


def _check_group(order: Resting, asked: OrderRequest, sibling: Resting) -> None:
    """:raises WrongPrice: the target would be on the wrong side of the stop."""
    legs = {
        role_in_group(one.type): _exit(one.type, terms)
        for one, terms in ((order, asked.terms or order.terms), (sibling, sibling.terms))
    }
    check_exits(order.side, legs)


def _exit(order_type: str, terms: Terms) -> Exit:
    return Exit(
        role_in_group(order_type),
        terms.limit_price,
        terms.trigger_price,
        terms.trail_bps,
        terms.activation_price,
    )


def _own_change(order: Resting, amendment: Amendment) -> dict[str, Any]:
    asked = amendment.asked
    terms = asked.terms or order.terms
    expires_at = terms.expires_at
    if amendment.keeps_end:
        terms = terms._replace(time_in_force=order.time_in_force)
        expires_at = order.expires_at
    elif terms.expires_in is not None:
        expires_at = order.at + timedelta(seconds=terms.expires_in)
    after = amendment.after
    if "expiresAt" in amendment.changed:
        after = after | {"expiresAt": None if expires_at is None else timestamp(expires_at)}
    words = events.Amended(amendment.before, after, amendment.by).words()
    amounts = asked.amount_in, asked.amount_out
    new = _Standing(asked.market, terms, *amounts, asked.slippage_bps, expires_at)
    return _change(order, new, words)


def _change_of_sibling(sibling: Resting, amendment: Amendment) -> dict[str, Any]:
    """Return the change of the group's other order: the two have one amount.

    :raises NotAmendable: it is on its way, with the amount that it has.
    :raises AmountOutOfRange: at its limit price, the other amount would be out of range.
    """
    if sibling.status is not Status.OPEN:
        raise NotAmendable(sibling.status)
    asked, terms = amendment.asked, sibling.terms
    if terms.limit_price is not None:
        try:
            bound = bound_of_limit(
                asked.market, sibling.side, terms.limit_price, asked.amount_in, asked.amount_out
            )
        except ValueError as error:
            raise AmountOutOfRange from error
        terms = terms._replace(bound=bound)
    own = ("amountIn", "amountOut")
    before = {name: amendment.before[name] for name in own if name in amendment.before}
    after = {name: amendment.after[name] for name in own if name in amendment.after}
    words = events.Amended(before, after, amendment.by).words()
    amounts = asked.amount_in, asked.amount_out
    new = _Standing(asked.market, terms, *amounts, sibling.slippage_bps, sibling.expires_at)
    return _change(sibling, new, words)


class _Standing(NamedTuple):
    """What an order asks from now on."""

    market: Market
    terms: Terms
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int | None
    expires_at: datetime | None


def _change(order: Resting, new: _Standing, words: events.Words) -> dict[str, Any]:
    """Return the row by which the statements change the order, its log and its watch."""
    terms, (message, data) = new.terms, words
    watch = _watch_of(order, terms)
    goes_behind = _goes_behind(order, new)
    if goes_behind:  # its watch may be made anew, and then the log alone knows
        data = data | {"goesBehind": True}
    keeps_phase = order.phase not in (Phase.WAITING, Phase.UNARMED)
    row = {
        **{"order_id": order.id, "seq": order.seq, "message": message, "data": data},
        **{"amount_in": new.amount_in, "amount_out": new.amount_out},
        "slippage_bps": new.slippage_bps,
        "limit_price": text_of(terms.limit_price),
        "trigger_price": text_of(terms.trigger_price),
        "trail_bps": terms.trail_bps,
        "activation_price": text_of(terms.activation_price),
        "time_in_force": terms.time_in_force,
        "expires_at": new.expires_at,
        **{"min_out": terms.bound.min_out, "max_in": terms.bound.max_in},
        **{"terms": terms.more, "tags": terms.tags},
        "phase": order.phase if keeps_phase or watch is None else phase_of(watch),
        "goes_behind": goes_behind,
    }
    if watch is None or not _watches_otherwise(order, new):
        return row
    return row | watch_as_row(watch) | {"is_rewritten": True}


def _watch_of(order: Resting, terms: Terms) -> Watch | None:
    """Return what the order watches from now on; None: a time or a pool, as before."""
    if order.kind in (CLOCK, POOL):
        return None
    if order.became_limit and terms.limit_price is not None:
        return limit_watch(order.side, terms.limit_price)
    watch = first_watch(order.type, order.side, terms)
    if watch.act == ARM and order.is_armed:
        return Watch(watch.line, TRAIL, trail_bps=terms.trail_bps)
    return watch


def _watches_otherwise(order: Resting, new: _Standing) -> bool:
    """Whether the watch is made anew. A limit order that was sized keeps its wake price else."""
    amounts = (order.amount_in, order.amount_out) != (new.amount_in, new.amount_out)
    return amounts or _has_other_prices(order, new)


def _goes_behind(order: Resting, new: _Standing) -> bool:
    """Whether it takes its place behind the others of its price: that changed, or it grew."""
    amount, before = new.amount_in or new.amount_out or 0, order.amount_in or order.amount_out or 0
    has_grown = amount > before or (order.amount_in is None) != (new.amount_in is None)
    return has_grown or _has_other_prices(order, new)


def _has_other_prices(order: Resting, new: _Standing) -> bool:
    names = ("limit_price", "trigger_price", "trail_bps", "activation_price")
    return any(getattr(order, name) != getattr(new.terms, name) for name in names)
