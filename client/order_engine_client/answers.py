"""What the engine answers, as values: amounts and prices are Decimal, times are datetime."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from order_engine_client.errors import EngineError

FINAL = frozenset(("confirmed", "failed", "cancelled", "expired"))
"""The statuses after which nothing happens to an order any more."""

DECIMALS = frozenset(
    (
        *("activationPrice", "amount", "amountIn", "amountOut", "ask", "atPrice", "bid", "buy"),
        *("currentTriggerPrice", "distanceBps", "executedAmountIn", "executedAmountOut"),
        *("executedPrice", "filledPercent", "first", "high", "last", "limitPrice", "low"),
        "maxOrderValue",
        *("marginBps", "maxAcceptablePrice", "maxAmountIn", "minAcceptablePrice", "minAmountOut"),
        *("minLiquidity", "minimum", "netPrice", "networkFee", "price", "priceImpactBps"),
        *("reference", "referencePrice", "remaining", "remainingAmount", "retryInSeconds", "sell"),
        *("rent", "splitGainBps", "tip", "triggerPrice", "watermark"),
        *(
            "arrivalAmount",
            "arrivalPrice",
            "fee",
            "fill",
            "impact",
            "quotedAmount",
            "vsOtherAmount",
        ),
        *("vsOtherBps", "vsQuoteBps", "bps", "confirmedPercent", "medianBps", "p5Bps", "volume"),
    )
)
TIMES = frozenset(
    (
        *("at", "createdAt", "decidedAt", "expiresAt", "finishedAt", "from", "hour"),
        *("nextSliceAt", "restUntil", "startAt", "startedAt", "timestamp", "to", "triggeredAt"),
    )
)
OWN_WORDS = "tags"  # a client's own names and texts, which are left as they are
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as it stands; None where nothing is known yet."""

    order_id: str
    client_order_id: str | None
    type: str
    side: str
    base_token: str
    quote_token: str
    token_in: str
    token_out: str
    amount_in: Decimal | None
    amount_out: Decimal | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    status: str
    phase: str | None
    seq: int
    summary: str | None
    tags: Mapping[str, str] | None
    group_id: str | None
    group_role: str | None
    parent_order_id: str | None
    children: list[str] | None
    reason: str | None
    failure_code: str | None
    error: str | None
    tx_hash: str | None
    executed_price: Decimal | None
    executed_amount_in: Decimal | None
    executed_amount_out: Decimal | None
    quoted_amount: Decimal | None
    vs_quote_bps: Decimal | None
    vs_other_bps: Decimal | None
    vs_other_amount: Decimal | None
    arrival_price: Decimal | None
    expires_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    all: Mapping[str, Any] = field(repr=False)
    """The whole answer, under the API's names."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One step of an order. `seq` counts its steps from 1, without a gap."""

    order_id: str
    seq: int
    event: str
    status: str
    message: str
    timestamp: datetime
    attempt: int
    route: str | None
    tx_hash: str | None
    executed_price: Decimal | None
    error: str | None
    data: Mapping[str, Any]
    all: Mapping[str, Any] = field(repr=False)
    """The whole message, under the API's names."""

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All orders that are open (and pass the filter), before the events that follow.

    `is_anew`: the engine did not know the cursor. Orders may have moved, and ended, by events that
    are never told: read those that you know and that are not here.
    """

    orders: tuple[Order, ...]
    is_anew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an order would do now."""

    summary: str | None
    executes_now: bool | None
    warnings: list[str] | None
    error: str | None
    """Why it would fail, for people."""
    all: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one order of several: `orders` (two of an oco), or the `error`."""

    index: int
    status: int
    orders: tuple[Order, ...]
    error: EngineError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """How many orders were cancelled; `requested`: they are, once that is proven possible."""

    cancelled: int
    requested: int
    order_ids: list[str]
    """The first 1,000."""
    all: Mapping[str, Any] = field(repr=False)


def parse(text: str | bytes) -> Any:
    """Return a JSON text as values.

    :raises ValueError: it is none.
    """
    return values(json.loads(text, parse_float=Decimal))


def values(found: Any, name: str = "") -> Any:
    """Return JSON with exact numbers and times in place of their texts."""
    if isinstance(found, dict):
        return {key: one if key == OWN_WORDS else values(one, key) for key, one in found.items()}
    if isinstance(found, list):
        return [values(one, name) for one in found]
    if isinstance(found, str) and name in DECIMALS:
        return _decimal(found)
    if isinstance(found, str) and name in TIMES:
        return _time(found)
    return found


def build(kind: type[Found], found: Mapping[str, Any]) -> Found:
    """Fill a dataclass with the members that have its fields' names in camel case."""
    named = [one.name for one in fields(kind) if one.name != "all"]  # type: ignore[arg-type]
    make: Callable[..., Found] = kind
    return make(**{name: found.get(camel(name)) for name in named}, all=found)


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _time(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text
