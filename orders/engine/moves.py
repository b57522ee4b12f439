"""What travels between the engine and its journal: an order to store, to carry, to move.

Named tuples, because thousands are made a second and frozen dataclasses take three times as long.
Ids are text here, as in JSON and in hints.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from config.runtime.group_commit import PassingRefusal
from orders.events import Event, Words
from orders.lifecycle import AT_ONCE, FINAL, Status
from orders.terms.terms import Terms
from orders.terms.watch import ARM, CLOCK, Watch
from orders.words import OrderType, Phase, TimeInForce
from routing.venue import Side


class NewOrder(NamedTuple):
    """An order as it is accepted; the amount that is not None is fixed, in atoms."""

    id: str
    type: str
    side: str
    base: str
    quote: str
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int | None
    message: str
    data: dict[str, Any]
    owner: int | None = None
    client_order_id: str | None = None
    idempotency_key: str | None = None
    constraints: dict[str, Any] | None = None
    """What it asks of its route (`routing.constraints`); None if nothing."""
    stranger: int = 0
    """The sender of an anonymous order (`orders.access.admission.sender_of`); 0 if not known."""
    may_start: bool = False
    """Whether a carrier lingers that takes it at once, so that accepting may also be the claim."""
    terms: Terms | None = None
    """None: a plain market order."""
    watch: Watch | None = None
    """What it watches while it rests; None: it does not rest."""
    pair: str | None = None
    """The name under which its prices are kept (`Market.pair`)."""

    @property
    def sender(self) -> int:
        return self.stranger if self.owner is None else self.owner

    def as_row(self) -> dict[str, Any]:
        """Return the order as the journal's statement reads it: a JSON object."""
        return {
            "id": self.id,
            "owner": self.owner,
            "sender": self.sender,
            "client_order_id": self.client_order_id,
            "idempotency_key": self.idempotency_key,
            "type": self.type,
            "side": self.side,
            "base": self.base,
            "quote": self.quote,
            "amount_in": self.amount_in,
            "amount_out": self.amount_out,
            "slippage_bps": self.slippage_bps,
            "constraints": self.constraints,
            "message": self.message,
            "data": self.data,
        }

    def as_wide_row(self) -> dict[str, Any]:
        """Return the order as the journal's statement for orders with terms reads it."""
        terms, watch = self.terms, self.watch
        if terms is None:
            return self.as_row()
        row = self.as_row()
        row |= {name: value for name in ASKED if (value := getattr(terms, name)) is not None}
        row |= {
            name: f"{value:f}" for name in PRICES if (value := getattr(terms, name)) is not None
        }
        row["min_out"], row["max_in"] = terms.bound
        row["terms"] = terms.more
        if terms.time_in_force == TimeInForce.FOK:
            row["attempts_allowed"] = 1
        if terms.may_start:
            row["may_skip_rest"] = True
        if watch is not None:
            row |= watch_as_row(watch)
            row |= {"phase": phase_of(watch), "pair": self.pair}
        return row


ASKED = (
    *("time_in_force", "expires_at", "expires_in", "trigger_by", "trail_bps", "tags"),
    *("group_id", "parent_id", "slice", "replaces"),
)
PRICES = ("limit_price", "trigger_price", "activation_price")
"""Of an order's terms, what their columns have as it is, and as text."""


def text_of(price: Decimal | None) -> str | None:
    return None if price is None else f"{price:f}"


def watch_as_row(watch: Watch) -> dict[str, Any]:
    """Return a watch as the statements that write it read it; what is None is left out."""
    row = {
        "line": watch.line,
        "kind": watch.kind,
        "act": watch.act,
        "wake_price": text_of(watch.wake_price),
        "watch_bps": watch.trail_bps,
        "check_at": watch.check_at,
        "check_in": watch.check_in,
    }
    return {name: value for name, value in row.items() if value is not None}


def phase_of(watch: Watch) -> str:
    """Return what an order that begins to watch this is doing."""
    if watch.kind == CLOCK:
        return Phase.SLICING.value
    return Phase.UNARMED.value if watch.act == ARM else Phase.WAITING.value


PROTECTIVE_TYPES = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})


class Rules(NamedTuple):
    """What a claimed order with terms asks beyond a plain market order."""

    type: str
    owner: int | None
    time_in_force: str
    limit_price: Decimal | None
    trigger_price: Decimal | None
    trigger_by: str | None
    trail_bps: int | None
    activation_price: Decimal | None
    attempts_allowed: int | None
    releases: int
    group_id: str | None
    parent_id: str | None
    slice: int | None
    more: dict[str, Any]
    tags: dict[str, str] | None
    sender: int = 0
    is_over: bool = False
    """Whether its time was over when it was claimed."""

    @property
    def is_protective(self) -> bool:
        """Whether it is for getting out: a stop, a leg of a group, the exit of a bracket."""
        is_exit = self.parent_id is not None and self.slice is None
        return self.type in PROTECTIVE_TYPES or self.group_id is not None or is_exit

    @property
    def is_market(self) -> bool:
        return self.type == OrderType.MARKET

    @property
    def is_immediate(self) -> bool:
        """Whether it never rests (ioc, fok): it is filled by its one release, or expires."""
        return self.time_in_force in (TimeInForce.IOC, TimeInForce.FOK)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Rules":
        """Return the rules as the claim's JSON has them."""
        prices = ("limit_price", "trigger_price", "activation_price")
        read = {name: Decimal(values[name]) for name in prices if values[name] is not None}
        return cls(**(values | read))


class ClaimedOrder(NamedTuple):
    """An order that this process may move for as long as its lease lasts."""

    id: str
    lease_token: int
    seq: int
    status: Status
    attempts: int
    lost_leases: int
    side: Side
    base: str
    quote: str
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int | None
    venue: str | None
    min_out: int | None
    max_in: int | None
    constraints: dict[str, Any] | None
    owner: int | None
    signature: str | None = None
    payload: bytes | None = None
    expires_at_height: int | None = None
    rules: Rules | None = None
    """None: a plain market order."""

    @classmethod
    def of(cls, values: Iterable[Any]) -> "ClaimedOrder":
        """Return the order of these values, as PostgreSQL or JSON has them."""
        order = cls._make(values)
        order = order._replace(status=Status(order.status), side=Side(order.side))
        if order.rules is None:
            return order
        return order._replace(rules=Rules.of(order.rules))  # type: ignore[arg-type]  # JSON so far

    @classmethod
    def begun(cls, order: NewOrder) -> "ClaimedOrder":
        """Return the order as it stands when accepting it was also its first claim."""
        return cls(
            id=order.id,
            lease_token=1,
            seq=2,
            status=Status.ROUTING,
            attempts=1,
            lost_leases=0,
            side=Side(order.side),
            base=order.base,
            quote=order.quote,
            amount_in=order.amount_in,
            amount_out=order.amount_out,
            slippage_bps=order.slippage_bps,
            venue=None,
            min_out=None,
            max_in=None,
            constraints=order.constraints,
            owner=order.owner,
        )


class Rest(NamedTuple):
    """How an order rests when its release has ended without a fill."""

    watch: Watch
    phase: str
    seconds: float | None = None
    """Until it is released again by itself; None: it watches a price."""
    is_over: bool = False
    """Whether the clock ends it at once: it may not rest, and had been submitted."""
    pair: str = ""
    """The name under which its prices are kept (`Market.pair`)."""

    @property
    def is_latched(self) -> bool:
        return self.phase == Phase.LATCHED


class TermsMove(NamedTuple):
    """What a move of an order with terms brings along, in the same transaction."""

    group_id: str | None = None
    event: str | None = None
    """What happened, if that does not follow from status and seq."""
    reason: str | None = None
    """Why it is cancelled or expires."""
    phase: str | None = None
    """What it does while it rests."""
    rest: Rest | None = None
    rest_until: datetime | None = None
    exits: tuple[NewOrder, ...] = ()
    """The orders that come into being with its fill."""


class Move(NamedTuple):
    """One step of one order, or two at once. Columns that are None keep what they hold.

    With a `delay` (seconds) the lease is given back, and the order is due again after it.
    """

    order_id: str
    lease_token: int
    seq: int
    before: Status
    status: Status
    message: str
    data: dict[str, Any]
    delay: float | None = None
    venue: str | None = None
    min_out: int | None = None
    max_in: int | None = None
    signature: str | None = None
    payload: bytes | None = None
    expires_at_height: int | None = None
    outcome: str | None = None
    filled_in: int | None = None
    filled_out: int | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    needs_attention: bool = False
    passed: Words | None = None
    """What the event of the status between says, if one commit makes the two moves of `AT_ONCE`."""
    with_terms: TermsMove | None = None
    """None: of a plain market order."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def steps(self) -> int:
        """How many events it writes, and by how much the order's `seq` grows."""
        return 1 if self.passed is None else 2

    def events(self, attempts: int, at: datetime, owner: int | None) -> list[Event]:
        """Return what it wrote, once it is known in which attempt, when, and of whose order."""
        order_id, last = self.order_id, self.seq + self.steps
        name = self.with_terms.event if self.with_terms else None
        told = self.message, at, self.data, name, owner
        written = [Event(order_id, last, self.status, attempts, *told)]
        if self.passed is not None:
            between, (message, data) = AT_ONCE[self.before, self.status], self.passed
            passed = Event(order_id, last - 1, between, attempts, message, at, data, None, owner)
            written.insert(0, passed)
        return written

    def as_row(self, ordinal: int) -> dict[str, Any]:
        """Return the move as the journal's statement reads it; what is None is left out."""
        row = {name: value for name, value in zip(COLUMNS, self, strict=True) if value is not None}
        row["ordinal"] = ordinal
        row["is_final"] = self.is_final
        row["steps"] = self.steps
        if self.passed is not None:
            row["passed"] = AT_ONCE[self.before, self.status]
            row["passed_message"], row["passed_data"] = self.passed
        if self.payload is not None:
            row["payload"] = b64encode(self.payload).decode()
        if self.with_terms is not None:
            del row["with_terms"]
            row |= {name: getattr(self.with_terms, name) for name in TERMS_COLUMNS}
        return row


COLUMNS = Move._fields
TERMS_COLUMNS = ("event", "reason", "phase", "rest_until")


def params_of(moves: Sequence[Move]) -> dict[str, Any]:
    """Return moves as the statements that make them read them."""
    rows = [move.as_row(ordinal) for ordinal, move in enumerate(moves, start=1)]
    return {"moves": orjson.dumps(rows).decode(), "lease": settings.LEASE_SECONDS}


HALTED_SECONDS = 30  # after which a refused client should come again


class TradingHalted(PassingRefusal):
    """The engine takes no orders. Nothing was stored; try again when it trades again."""


class Overtaken(Exception):
    """Somebody else moved this order, so it is theirs now. Do not try again: stop carrying it."""


class Diverted(Overtaken):
    """The order's time is over, or it was to be cancelled: it was moved there, and has ended."""


class AlreadyAccepted(Exception):
    """The account has an order under this key already. Trying again finds the same order.

    `event` is that order's first one.
    """

    def __init__(self, event: Event, *, by_idempotency_key: bool) -> None:
        self.event = event
        self.by_idempotency_key = by_idempotency_key
        super().__init__(f"order {event.order_id} was accepted under the same key")
