"""Makes the slices of TWAPs when their slots are due, and ends the TWAPs after their last.

A slice is an order like others, stored in the transaction that tells of it in its parent's log. So
after any breakdown there is one of each slot or none, and the next look goes on from what is there.
"""

import logging
from collections import Counter
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from config.runtime.counters import counts
from orders.engine.crash_points import crash_point
from orders.engine.journal import Stored, first_event, storing_wide
from orders.engine.moves import NewOrder
from orders.engine.submission import new_order_id
from orders.engine.triggers import slices_sql as sql
from orders.engine.triggers.passes_sql import TARGET_TURN
from orders.engine.triggers.session import Session, tell
from orders.events import RECEIVED, Event
from orders.lifecycle import Status
from orders.representation import request_as_json
from orders.terms.minimum import minimum_in
from orders.terms.slicing import LOOK_AGAIN, End, LastSlice, Plan, Progress, Slice, Wait, next_step
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.type_rules import IOC
from orders.words import EndReason, OrderType
from routing.pricing import execution_price_text
from routing.registry import registry
from routing.tokens import Market, Token, UnknownMarket, UnknownToken
from routing.venue import BPS, Bound, Side, Swap

logger = logging.getLogger(__name__)

MOST = 100
"""Parents that one transaction looks at."""


class Parent(NamedTuple):
    """A TWAP whose watch is locked, with what its slices have done."""

    id: str
    owner: int | None
    sender: int
    side: str
    base: str
    quote: str
    amount_in: int
    slippage_bps: int | None
    limit_price: Decimal | None
    constraints: dict[str, Any] | None
    terms: dict[str, Any]
    created_at: datetime
    expires_at: datetime | None
    is_cancelled: bool
    filled_in: int
    filled_out: int
    slices_filled: int
    last_slot: int | None
    is_last_filled: bool
    is_on_its_way: bool
    now: datetime
    is_halted: bool
    bid: Decimal | None
    ask: Decimal | None

    @property
    def plan(self) -> Plan:
        return Plan.of(self.terms, self.amount_in, self.created_at, self.expires_at)

    @property
    def progress(self) -> Progress:
        last = None
        if self.last_slot is not None:
            last = LastSlice(self.last_slot, self.is_last_filled)
        return Progress(self.filled_in, last, self.is_on_its_way, self.is_cancelled)

    def market(self) -> Market:
        """:raises LookupError: this process does not know it yet."""
        known = registry()
        return known.market_of_order(known.token(self.base), known.token(self.quote))


class Batch:
    """What one transaction does."""

    def __init__(self) -> None:
        self.children: list[NewOrder] = []
        self.moves: list[dict[str, Any]] = []
        self.later: dict[str, datetime] = {}
        """By parent, when it is looked at again."""

    def take(self, parent: Parent) -> None:
        """Decide what this parent does now. A fault in one of them does not stop the others."""
        try:
            self._decide(parent, parent.market())
        except (UnknownToken, UnknownMarket):
            logger.warning("this process knows no market %s/%s yet", parent.base, parent.quote)
            self.later[parent.id] = parent.now + LOOK_AGAIN
        except Exception:
            logger.exception("order %s cannot be sliced", parent.id)
            self.later[parent.id] = parent.now + LOOK_AGAIN

    def _decide(self, parent: Parent, market: Market) -> None:
        least = minimum_in(market, Side(parent.side))
        step = next_step(
            *(parent.plan, parent.progress, parent.now), minimum=least, is_halted=parent.is_halted
        )
        match step:
            case Wait(until):
                self.later[parent.id] = until
            case Slice():
                self._slice(parent, market, step)
            case End():
                self.moves.append(end_of(parent, market, step))

    def turns(self) -> list[int]:
        """Return the turns of the slices: those of one sender one after the other."""
        sent: Counter[int] = Counter()
        turns = []
        for child in self.children:
            turns.append(TARGET_TURN + sent[child.sender])
            sent[child.sender] += 1
        return turns

    def _slice(self, parent: Parent, market: Market, step: Slice) -> None:
        self.later[parent.id] = step.until
        try:
            child = slice_of(parent, market, step)
        except ValueError as fault:  # at the limit price it would pay nothing
            logger.warning("no slice of order %s: %s", parent.id, fault)
            return
        self.children.append(child)
        token = _token_in(market, parent)
        amount, remaining = token.to_text(step.amount), token.to_text(step.remaining)
        self.moves.append(
            {
                "parent": parent.id,
                "status": Status.OPEN.value,
                "event": "slice",
                "message": f"Slice {step.slot + 1} of {parent.plan.slices}: {amount}"
                f" {token.symbol}",
                "data": {
                    "slice": step.slot,
                    "childOrderId": child.id,
                    "amount": amount,
                    "missed": step.missed,
                    "remaining": remaining,
                },
            }
        )


async def make_slices(session: Session) -> int:
    """Do what is due of one batch of TWAPs. Return how many were looked at.

    :raises psycopg.Error: nothing was done, or all of it.
    """
    written: list[tuple[Any, ...]] = []
    async with session.connection.transaction():
        ids = [row[0] for row in await session.rows(sql.LOCK_DUE, {"most": MOST})]
        if not ids:
            return 0
        batch = Batch()
        for row in await session.rows(sql.READ_DUE, {"ids": ids}):
            batch.take(Parent._make(row))
        born = await _store(session, batch) if batch.children else []
        crash_point("after_slice_stored")
        if batch.moves:
            moves = orjson.dumps(batch.moves).decode()
            written = await session.rows(sql.MOVE_PARENTS, {"moves": moves})
        later = {"ids": list(batch.later), "times": list(batch.later.values())}
        await session.rows(sql.LOOK_LATER, later)
    crash_point("after_slice")
    tell([*map(_as_row, born), *written])
    counts["slices_made"] += len(born)
    return len(ids)


async def _store(session: Session, batch: Batch) -> list[Event]:
    """Store the slices, and return their first events. There is one of each slot.

    The parent's watch is locked, so no other process makes the same; should there be one all the
    same, it stays, and its parent's log tells nothing of another.
    """
    rows = {row[0]: row for row in await session.rows(*storing_wide(batch.children))}
    ids = [child.id for child in batch.children]
    await session.rows(sql.TAKE_TURNS, {"ids": ids, "turns": batch.turns()})
    batch.moves = [
        move
        for move in batch.moves
        if "childOrderId" not in move["data"] or move["data"]["childOrderId"] in rows
    ]
    return [
        first_event(child, Stored(*rows[child.id][1:]))
        for child in batch.children
        if child.id in rows
    ]


def slice_of(parent: Parent, market: Market, step: Slice) -> NewOrder:
    """Return the order of one slot.

    :raises ValueError: at the limit price this amount pays nothing.
    """
    limit = parent.limit_price
    terms = Terms(
        time_in_force=IOC,
        expires_at=parent.now + parent.plan.wait,
        limit_price=limit,
        bound=_bound(parent, market, step.amount),
        parent_id=parent.id,
        slice=step.slot,
    )
    child = NewOrder(
        id=new_order_id(),
        type=(OrderType.MARKET if limit is None else OrderType.LIMIT).value,
        side=parent.side,
        base=parent.base,
        quote=parent.quote,
        amount_in=step.amount,
        amount_out=None,
        slippage_bps=parent.slippage_bps if limit is None else None,
        message=RECEIVED,
        data={},
        owner=parent.owner,
        constraints=parent.constraints,
        stranger=parent.sender,
        terms=terms,
    )
    return child._replace(data={"order": request_as_json(child)})


def _bound(parent: Parent, market: Market, amount: int) -> Bound:
    """Return the worst fill of a slice with a limit price: its limit, and the slippage if asked.

    The slippage counts from the last tick; without one, the limit alone holds.
    """
    if parent.limit_price is None:
        return Bound()
    side = Side(parent.side)
    least = bound_of_limit(market, side, parent.limit_price, amount, None).min_out or 0
    price = parent.bid if side is Side.SELL else parent.ask
    if parent.slippage_bps is not None and price is not None:
        shown = bound_of_limit(market, side, price, amount, None).min_out or 0
        least = max(least, -(-shown * (BPS - parent.slippage_bps) // BPS))
    return Bound(min_out=least)


def end_of(parent: Parent, market: Market, end: End) -> dict[str, Any]:
    """Return how a TWAP ends: with what its slices have traded together."""
    status, reason = _how(end)
    token_in, token_out = _token_in(market, parent), _token_out(market, parent)
    data: dict[str, Any] = {
        "amountIn": token_in.to_text(parent.filled_in),
        "amountOut": token_out.to_text(parent.filled_out),
        "slicesFilled": parent.slices_filled,
    }
    if parent.filled_in and parent.filled_out:
        data["executedPrice"] = execution_price_text(
            market, Side(parent.side), parent.filled_in, parent.filled_out
        )
    if reason is not None:
        data |= {"reason": reason.value}
    if reason is EndReason.USER:
        data |= {"by": "user"}
    sold = f"{data['amountIn']} of {token_in.to_text(parent.amount_in)} {token_in.symbol}"
    return {
        "parent": parent.id,
        "status": status.value,
        "reason": None if reason is None else reason.value,
        "filled_in": parent.filled_in or None,
        "filled_out": parent.filled_out or None,
        "message": f"{_END_WORDS[status]}: {sold} traded in {parent.slices_filled} slices",
        "data": data,
    }


_END_WORDS = {
    Status.CONFIRMED: "Order executed",
    Status.EXPIRED: "Order expired",
    Status.CANCELLED: "Order cancelled",
}


def _how(end: End) -> tuple[Status, EndReason | None]:
    if end.is_complete:
        return Status.CONFIRMED, None
    if end.is_cancelled:
        return Status.CANCELLED, EndReason.USER
    return Status.EXPIRED, EndReason.TWAP_INCOMPLETE


def _token_in(market: Market, parent: Parent) -> Token:
    return Swap(market, Side(parent.side)).token_in


def _token_out(market: Market, parent: Parent) -> Token:
    return Swap(market, Side(parent.side)).token_out


def _as_row(event: Event) -> tuple[Any, ...]:
    return (
        *(event.order_id, event.seq, event.status.value, event.attempt, event.message),
        *(event.at, event.data, event.event, event.owner),
    )
