"""Moves of orders with terms, and what each does to watches, to groups and to siblings.

One transaction does it all. It is written here as a script: a generator that yields statements and
is sent their rows. So the journal's coroutines and the sync doors run the very same. All rows are
locked before anything is decided, which is why the decisions can be made in Python.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, LiteralString, NamedTuple, TypeVar

import orjson
from django.conf import settings

from orders import events
from orders.engine import terms_sql as sql
from orders.engine.crash_points import crash_point
from orders.engine.moves import Move, NewOrder, Overtaken, Rest, TermsMove, params_of, watch_as_row
from orders.events import Event, Fact
from orders.lifecycle import CANCELLABLE, FINAL, Status, check_transition
from orders.terms.watch import ARM, SIZE
from orders.words import EndReason, OrderType, Phase, TimeInForce

RESUMED, RETURNED = "resumed", "returned"

Answer = TypeVar("Answer")
Statement = tuple[LiteralString, dict[str, Any]]
Script = Generator[Statement, Any, Answer]
"""Yields the statements of one transaction, and is sent the rows of each."""
Storing = Callable[[Sequence[NewOrder]], Statement]
"""The statement that stores new orders with terms, and returns the ids of those it stored."""


class Written(NamedTuple):
    """The events that a move wrote: those of its order, and those of other orders."""

    events: list[Event]
    others: list[Event]


class NotCancellable(Exception):
    """The order may have filled, or has ended. Trying again does not help."""

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(f"the order is {status}")


class Cancellation(NamedTuple):
    """What became of the wish to cancel an order."""

    status: Status
    events: list[Event]
    is_requested: bool = False
    """It was submitted: it is cancelled as soon as its transaction is proven dead."""


class Locked(NamedTuple):
    """An order as it stands, locked until the transaction ends."""

    id: str
    seq: int
    lease_token: int
    status: Status
    type: str
    time_in_force: str | None
    group_id: str | None
    is_over: bool
    """Whether its time is over: it must not be submitted any more."""
    cancel_requested: bool
    at: datetime

    def move(self, status: Status, fact: Fact, **brings: Any) -> Move:
        """Return its move to `status` because of this fact."""
        identity = self.id, self.lease_token, self.seq, self.status
        with_terms = TermsMove(group_id=self.group_id, **brings)
        return Move(*identity, status, *fact.words(), with_terms=with_terms)

    def cancelled(self, reason: EndReason, by: str = "engine") -> Move:
        fact = events.Cancelled(reason.value, by)
        return self.move(Status.CANCELLED, fact, reason=reason.value)


class Standing:
    """All that the transaction has locked: orders, and what each of them watches."""

    def __init__(self, orders: Iterable[Sequence[Any]], acts: dict[str, str]) -> None:
        locked = [Locked._make(row) for row in orders]
        self.orders = {one.id: one._replace(status=Status(one.status)) for one in locked}
        self._acts = acts

    def siblings_of(self, order: Locked) -> list[Locked]:
        """Return the other orders of its group that have not ended."""
        if order.group_id is None:
            return []
        return [
            other
            for other in self.orders.values()
            if other.group_id == order.group_id and other.id != order.id
            if other.status not in FINAL
        ]

    def note(self, move: Move) -> None:
        """Know the order as it stands after this move."""
        order = self.orders[move.order_id]
        self.orders[order.id] = order._replace(seq=move.seq + move.steps, status=move.status)

    def phase_resumed(self, order: Locked) -> str:
        """Return what a held order does once it watches again."""
        act = self._acts.get(order.id)
        if act == ARM:
            return Phase.UNARMED.value
        became_limit = act == SIZE and order.type != OrderType.LIMIT
        return Phase.LIMIT.value if became_limit else Phase.WAITING.value


def advancing(moves: Sequence[Move], storing: Storing) -> Script[list[Written | Overtaken]]:
    """Make these moves, with all that follows from them; answer each with what it wrote."""
    standing = yield from _locking(
        [move.order_id for move in moves],
        {move.with_terms.group_id for move in moves if move.with_terms},
    )
    made: list[list[Move]] = []
    """Each move with those that follow from it; empty: it was overtaken."""
    for move in moves:
        order = standing.orders.get(move.order_id)
        if order is None or (order.seq, order.lease_token) != (move.seq, move.lease_token):
            made.append([])
        else:
            made.append(_with_followers(_diverted(move, order), order, standing))
    written = yield from _writing([one for together in made for one in together], storing)
    return [
        _told(written, together)
        or Overtaken(f"order {move.order_id} is no longer at seq {move.seq}")
        for move, together in zip(moves, made, strict=True)
    ]


def cancelling(
    order_id: str,
    group_id: str | None,
    *,
    when_possible: bool,
    reason: EndReason,
    by: str,
    storing: Storing,
) -> Script[Cancellation]:
    """Cancel an order and the other one of its group, unless one of them is submitted.

    With `when_possible`, those that are submitted are marked. The move that would send them back
    cancels them instead.

    :raises NotCancellable: the order, or the other one of its group, may have filled or has ended.
    """
    standing = yield from _locking([order_id], {group_id})
    order = standing.orders[order_id]
    if order.status is Status.CANCELLED:
        return Cancellation(order.status, [])
    if order.type == OrderType.TWAP and order.status is Status.OPEN:
        return (yield from _cancelling_twap(order, reason, by, storing))
    legs = [order, *standing.siblings_of(order)]
    for leg in legs:
        if leg.status in CANCELLABLE:
            continue
        if leg.status in FINAL or not when_possible:
            raise NotCancellable(leg.status)
        yield sql.REQUEST_CANCEL, {"ids": [one.id for one in legs]}
        return Cancellation(order.status, [], is_requested=True)
    own = order.cancelled(reason, by)
    written = yield from _writing(_with_followers(own, order, standing), storing)
    return Cancellation(own.status, [event for one in written.values() for event in one.events])


def _cancelling_twap(
    order: Locked, reason: EndReason, by: str, storing: Storing
) -> Script[Cancellation]:
    """Cancel the parent of slices, and the slice that is on its way unless it is submitted.

    A submitted one is counted when it is known how it ended: until then the parent is marked.
    """
    standing = Standing([], {})
    children = yield sql.CHILDREN_ON_THEIR_WAY, {"id": order.id}
    if children:
        standing = yield from _locking([row[0] for row in children], set())
    moves = []
    for child in standing.orders.values():
        if child.status is Status.SUBMITTED:
            yield sql.REQUEST_CANCEL, {"ids": [order.id, child.id]}
            yield sql.LOOK_NOW, {"id": order.id}
            return Cancellation(order.status, [], is_requested=True)
        if child.status in CANCELLABLE:
            moves.append(child.cancelled(reason, by))
    ((filled_in, filled_out),) = yield sql.SUMS_OF_SLICES, {"id": order.id}
    own = order.cancelled(reason, by)
    moves.append(own._replace(filled_in=filled_in, filled_out=filled_out))
    written = yield from _writing(moves, storing)
    return Cancellation(own.status, [event for one in written.values() for event in one.events])


def _locking(ids: list[str], group_ids: Iterable[str | None]) -> Script[Standing]:
    groups = sorted({group for group in group_ids if group is not None})
    asked = {"ids": ids, "groups": groups}
    watches = yield sql.LOCK_WATCHES, asked
    if groups:
        yield sql.LOCK_GROUPS, asked
    orders = yield sql.LOCK_ORDERS, asked
    return Standing(orders, {row[0]: row[1] for row in watches})


def _diverted(move: Move, order: Locked) -> Move:
    """Return the move that is really made.

    It is another one if the order's time is over, or if its sender wants it no more.
    """
    if move.status is Status.SUBMITTED and order.is_over:
        return order.move(Status.EXPIRED, events.Expired(over := end_of(order)), reason=over)
    if move.status in (Status.PENDING, Status.OPEN) and order.cancel_requested:
        instead = order.cancelled(EndReason.USER, "user")
        return instead._replace(outcome=move.outcome)
    rest = move.with_terms.rest if move.with_terms else None
    if move.with_terms and rest and rest.seconds is not None:
        until = order.at + timedelta(seconds=rest.seconds)
        data = move.data | {"restUntil": events.timestamp(until)}
        return move._replace(data=data, with_terms=move.with_terms._replace(rest_until=until))
    return move


def end_of(order: Locked) -> str:
    """Return why an order expires that was not submitted in time."""
    is_gtd = order.time_in_force == TimeInForce.GTD
    return (EndReason.GTD if is_gtd else EndReason.QUEUE_DEADLINE).value


def _with_followers(move: Move, order: Locked, standing: Standing) -> list[Move]:
    """Return the move, and those of the other order of the group that follow from it."""
    check_transition(move.before, move.status, passes=move.passed is not None)
    followers = [
        follower
        for sibling in standing.siblings_of(order)
        if (follower := _follower(move, sibling, standing)) is not None
    ]
    for one in (move, *followers):
        standing.note(one)
    return [move, *followers]


def _follower(move: Move, sibling: Locked, standing: Standing) -> Move | None:
    match move.status:
        case Status.CONFIRMED:
            return sibling.cancelled(EndReason.SIBLING_FILLED)
        case Status.CANCELLED | Status.EXPIRED:
            return sibling.cancelled(EndReason.GROUP_CANCELLED)
        case Status.FAILED if sibling.cancel_requested:
            return sibling.cancelled(EndReason.USER, "user")
        case Status.FAILED:
            pass
        case Status.OPEN if frees_its_group(move):
            pass
        case _:
            return None
    phase = standing.phase_resumed(sibling)
    fact = events.Resumed(move.order_id)
    return sibling.move(Status.OPEN, fact, event=RESUMED, phase=phase)


def frees_its_group(move: Move) -> bool:
    """Return whether an order that goes back to rest lets the other one of its group go."""
    rest = move.with_terms.rest if move.with_terms else None
    return rest is not None and not (rest.is_latched or rest.is_over)


def _writing(moves: Sequence[Move], storing: Storing) -> Script[dict[str, Written]]:
    """Make moves of locked orders; return what each wrote, and of its exits."""
    if not moves:
        return {}
    rows = yield sql.ADVANCE, params_of(moves)
    crash_point("after_moved")
    yield from _setting(moves)
    found = {row[0]: row[1:] for row in rows}
    written: dict[str, Written] = {}
    for ordinal, move in enumerate(moves, start=1):
        exits = move.with_terms.exits if move.with_terms else ()
        told = (yield from _storing_exits(exits, found[ordinal][1], storing)) if exits else []
        written[move.order_id] = Written(move.events(*found[ordinal]), told)
    crash_point("after_effects")
    return written


def _setting(moves: Sequence[Move]) -> Script[None]:
    """Set groups and watches to what they are after these moves."""
    brought = [(move, move.with_terms or TermsMove()) for move in moves]
    grouped = [(move, brings.group_id) for move, brings in brought if brings.group_id is not None]
    if groups := [group for move, group in grouped if move.is_final]:
        yield sql.END_GROUPS, {"groups": groups}
    if groups := [group for move, group in grouped if frees_its_group(move)]:
        yield sql.FREE_GROUPS, {"groups": groups}
    if ended := [move.order_id for move in moves if move.is_final]:
        yield sql.UNWATCH, {"ids": ended}
    if rests := [_rest_as_row(move.order_id, one.rest) for move, one in brought if one.rest]:
        days = {"most_days": settings.MAX_RESTING_DAYS}
        yield sql.WATCH_AGAIN, {"rests": orjson.dumps(rests).decode()} | days
    if resumed := [move.order_id for move, one in brought if one.event == RESUMED]:
        yield sql.RESUME, {"ids": resumed}


def _rest_as_row(order_id: str, rest: Rest) -> dict[str, Any]:
    own = {"order_id": order_id, "is_over": rest.is_over, "pair": rest.pair}
    return watch_as_row(rest.watch) | own


def _storing_exits(
    exits: Sequence[NewOrder], at: datetime, storing: Storing
) -> Script[list[Event]]:
    """Store the exits of a bracket. A name that is taken by now is left out, and the log says so.

    The position is protected in any case: what was named meanwhile must not prevent that.
    """
    rows = yield storing(exits)
    stored = {row[0] for row in rows}
    unnamed = [unnamed_exit(one) for one in exits if one.id not in stored]
    if unnamed:
        yield storing(unnamed)
    told = [*(one for one in exits if one.id in stored), *unnamed]
    return [
        Event(one.id, 1, Status.OPEN, 0, events.RESTS, at, one.data, owner=one.owner)
        for one in told
    ]


def unnamed_exit(order: NewOrder) -> NewOrder:
    """Return the exit without its clientOrderId, of which its first event tells."""
    asked = order.data["order"] | {"clientOrderId": None}
    data = order.data | {"order": asked, "clientOrderIdTaken": order.client_order_id}
    return order._replace(client_order_id=None, data=data)


def _told(written: dict[str, Written], together: Sequence[Move]) -> Written | None:
    """Return the events of a move, of its exits, and of the moves that followed from it."""
    if not together:
        return None
    own, *followers = [written[move.order_id] for move in together]
    return Written(own.events, [*own.others, *(event for one in followers for event in one.events)])
