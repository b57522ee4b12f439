"""Events of an order: the line of its log, the message of its stream, the hint between processes.

An event is a fact of PostgreSQL. What travels through Redis is a hint of it, with the message
ready to be sent: losing it costs a second, never an event. The engine hands over what happened;
how an event tells it, in words and as JSON, is decided here alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import orjson

from orders.lifecycle import FINAL, Status
from routing.decision import Decision, DroppedQuote
from routing.pricing import execution_price_text
from routing.stored_decision import decision_data, dropped_to_json
from routing.tokens import SOL
from routing.venue import Bound, Landed, Leg, Swap
from routing.venues import LABELS

MESSAGE_TYPE = "status_update"
"""The `type` of every event (3 systems wait for it); errors and answers to frames have others."""

RECEIVED = "Order received and queued"
RESTS = "Order received; it waits for its price or its time"
COMPARING = "Comparing prices"
CANCELLED = "Order cancelled"
CANCELLED_BECAUSE = {
    "sibling_filled": "the other order of its group was filled",
    "group_cancelled": "the other order of its group ended",
}
EXPIRED_BECAUSE = {
    "gtd": "it was not sent by the time it was good for",
    "queue_deadline": "it was not sent within the longest wait it allows",
    "not_marketable": "the market did not give what it asks for",
    "max_age": "no order rests longer",
}
"""In words, by `EndReason`."""


class Event(NamedTuple):
    """One line of the log; `at` is aware, `data` is what JSON can hold."""

    order_id: str
    seq: int
    status: Status
    attempt: int
    message: str
    at: datetime
    data: dict[str, Any]
    event: str | None = None
    """What happened, if that does not follow from status and seq."""
    owner: int | None = None
    """The order's account, if it has one and this is to be told on the account's stream."""

    @property
    def name(self) -> str:
        """What happened, in the words of the stream."""
        if self.event is not None:
            return self.event
        if self.seq == 1 and self.status in (Status.PENDING, Status.OPEN):
            return "accepted"
        return "retry" if self.status is Status.PENDING else self.status.value

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def as_message(self) -> dict[str, Any]:
        """Return the stream's message, with the fields of all five dialects."""
        data = self.data
        venue = data.get("selectedDex")
        return {
            "type": MESSAGE_TYPE,
            "orderId": self.order_id,
            "seq": self.seq,
            "event": self.name,
            "status": self.status,
            "message": self.message,
            "timestamp": timestamp(self.at),
            "attempt": self.attempt,
            "route": LABELS.get(venue, venue) if venue else None,
            "routedDex": venue,
            "txHash": data.get("txHash"),
            "executedPrice": data.get("executedPrice"),
            "error": data.get("error"),
            "data": data,
        }

    def as_text(self) -> bytes:
        return orjson.dumps(self.as_message())


def timestamp(at: datetime) -> str:
    """Return an RFC 3339 time in UTC; `at` is in UTC, as all connections are set to it."""
    if at.microsecond:  # orjson is quicker, but leaves out a fraction of nothing
        return orjson.dumps(at, option=orjson.OPT_UTC_Z)[1:-1].decode()
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def group_of(order_id: str) -> str:
    """Return the name of the channel layer's group for one order's hints."""
    return f"order.{order_id}"


def group_of_account(owner: int) -> str:
    """Return the name of the group for the hints of all orders of an account."""
    return f"account.{owner}"


Words = tuple[str, dict[str, Any]]
"""What an event says: to people, and as JSON."""


class Fact(Protocol):
    """What happened to an order."""

    def words(self) -> Words: ...


class Routed(NamedTuple):
    """A route was chosen, for which a transaction is built next."""

    decision: Decision
    bound: Bound

    def words(self) -> Words:
        message = f"Building the transaction for {_labels(self.decision.legs)}"
        return message, decision_data(self.decision, self.bound)


class Built(NamedTuple):
    """The transaction is signed and stored, and sent as soon as that is known."""

    legs: Sequence[Leg]
    venue: str | None
    signature: str
    costs: Mapping[str, int] | None = None

    def words(self) -> Words:
        message = f"Transaction sent to the network through {_labels(self.legs)}"
        data: dict[str, Any] = {"selectedDex": self.venue, "txHash": self.signature}
        if self.costs is not None:
            data["costs"] = dict(self.costs)
        return message, data


class Filled(NamedTuple):
    """The transaction landed; `is_within`: as the order's bound allows."""

    swap: Swap
    venue: str | None
    signature: str | None
    fill: Landed
    is_within: bool
    exits: Sequence[str] = ()
    """The ids of the orders that come into being with it."""
    refused: Sequence[dict[str, str]] = ()
    """The exits that do not, with the reason."""

    def words(self) -> Words:
        swap, fill = self.swap, self.fill
        price = execution_price_text(swap.market, swap.side, fill.amount_in, fill.amount_out)
        data: dict[str, Any] = {
            "selectedDex": self.venue,
            "txHash": self.signature,
            "executedPrice": price,
            "amountIn": swap.token_in.to_text(fill.amount_in),
            "amountOut": swap.token_out.to_text(fill.amount_out),
            **_fee(fill.network_fee),
        }
        if fill.tip:
            data["tip"] = SOL.to_text(fill.tip)
        if fill.rent:
            data["rent"] = SOL.to_text(fill.rent)
        if not self.is_within:
            data["boundBroken"] = True
        if self.exits:
            data["children"] = list(self.exits)
        if self.refused:
            data["childrenRefused"] = list(self.refused)
        return f"Order executed at {price}", data


class Fault(NamedTuple):
    """Why an attempt, or the whole order, failed; `code` is one of `FailureCode`."""

    code: str
    reason: str
    is_final: bool = False
    dropped: Sequence[DroppedQuote] | None = None
    """All venues, if none of them was usable."""
    unused: Routed | None = None
    """A route that was chosen, and is not carried out."""
    signature: str | None = None
    """Of its transaction, if that was sent."""
    proof: str | None = None
    """How the transaction is known to be dead: an `OrderTransaction.Outcome`."""
    network_fee: int | None = None
    """Lamports that the network took for it all the same."""

    def as_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"failureCode": self.code, "reason": self.reason}
        if self.dropped is not None:
            data["dropped"] = dropped_to_json(self.dropped)
        if self.unused is not None:
            data["decision"] = decision_data(*self.unused)
        if self.proof is not None:
            data |= {"txHash": self.signature, "proof": self.proof}
        return data | _fee(self.network_fee)


class SentBack(NamedTuple):
    """One of `most` attempts failed, and another one follows after `delay` seconds."""

    fault: Fault
    attempt: int
    most: int
    delay: float

    def words(self) -> Words:
        message = f"Attempt {self.attempt} of {self.most} failed: {self.fault.reason}"
        return message, self.fault.as_data() | {"retryInSeconds": f"{self.delay:.3f}"}


class Returned(NamedTuple):
    """A release ended without a fill, and the order rests again."""

    fault: Fault

    def words(self) -> Words:
        return f"Not filled, it rests again: {self.fault.reason}", self.fault.as_data()


class Expired(NamedTuple):
    """Its time was over, or the market did not give what it asks; `reason` is an `EndReason`."""

    reason: str
    fault: Fault | None = None

    def words(self) -> Words:
        found = {} if self.fault is None else self.fault.as_data()
        told = {"reason": self.reason} | ({"details": found} if found else {})
        return f"Order expired: {EXPIRED_BECAUSE[self.reason]}", told


class Cancelled(NamedTuple):
    """`reason` is an `EndReason`; `by` is who asked: user, a key's prefix, operator or engine."""

    reason: str
    by: str = "engine"

    def words(self) -> Words:
        because = CANCELLED_BECAUSE.get(self.reason)
        message = CANCELLED if because is None else f"{CANCELLED}: {because}"
        return message, {"reason": self.reason, "by": self.by}


class Resumed(NamedTuple):
    """It watches again: the other order of its group (`sibling`) is no more on its way."""

    sibling: str

    def words(self) -> Words:
        return "It watches again: the other order was not filled", {"sibling": self.sibling}


class Failed(NamedTuple):
    """No other attempt follows."""

    fault: Fault

    def words(self) -> Words:
        reason = self.fault.reason
        return f"Order failed: {reason}", self.fault.as_data() | {"error": reason}


class Amended(NamedTuple):
    """What an order asks was changed by its sender; both in the words of the API."""

    before: dict[str, Any]
    after: dict[str, Any]
    by: str

    def words(self) -> Words:
        named = ", ".join(self.after)
        return f"Order amended: {named}", {
            "before": self.before,
            "after": self.after,
            "by": self.by,
        }


def outside_bound(decision: Decision, *, is_limit: bool = False) -> str:
    bound = "its limit price" if is_limit else "the bound of the first quote"
    return f"{decision.reason}, which is outside {bound}"


def price_impact_too_high(reason: str) -> str:
    return (
        f"{reason}. A larger maxPriceImpactBps (100 is 1 %) in the order would allow more; a"
        " smaller amount moves the price less"
    )


def not_built(fault: str) -> str:
    return f"the transaction could not be built, by a fault of the engine's own ({fault})"


def workers_lost(count: int) -> str:
    return f"{count} workers in a row were lost while they carried this order"


def expired(expires_at_height: int, height: int) -> str:
    return f"expired at height {expires_at_height}, absent at {height}"


def _labels(legs: Sequence[Leg]) -> str:
    """Return the venues of these legs as people write them, each once."""
    names = dict.fromkeys([leg.venue for leg in legs])
    return " and ".join([LABELS.get(name, name) for name in names])


def _fee(lamports: int | None) -> dict[str, str]:
    """Return what the network took, in SOL, if it told."""
    return {} if lamports is None else {"networkFee": SOL.to_text(lamports)}
