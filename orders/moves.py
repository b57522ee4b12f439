"""What travels between the engine and its journal: an order to store, to carry, to move."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from orders.lifecycle import FINAL, Status, check_transition
from routing.venue import Side


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as it is accepted; the amount that is not None is fixed, in atoms."""

    id: UUID
    type: str
    side: str
    base: str
    quote: str
    amount_in: int | None
    amount_out: int | None
    slippage_bps: int
    message: str
    data: dict[str, Any]
    owner: int | None = None
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedOrder:
    """An order that this process may move for as long as its lease lasts."""

    id: UUID
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
    slippage_bps: int
    venue: str | None
    min_out: int | None
    max_in: int | None
    signature: str | None
    payload: bytes | None
    expires_at_height: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """One step of one order. Columns that are None keep what they hold.

    `delay` (seconds) gives the lease back and has the order looked at again after it.
    """

    order_id: UUID
    lease_token: int
    seq: int
    before: Status
    status: Status
    message: str
    data: dict[str, Any] = field(default_factory=dict)
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

    def __post_init__(self) -> None:
        check_transition(self.before, self.status)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def gives_back(self) -> bool:
        """Whether the lease ends with this move, so that older holders find another token."""
        return self.is_final or self.delay is not None


class Overtaken(Exception):
    """Somebody else moved this order, so it is theirs now. Do not try again: stop carrying it."""
