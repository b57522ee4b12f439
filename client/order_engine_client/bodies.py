"""What a program sends: orders in the words of the API, amounts and prices as Decimal or text."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

Number = Decimal | int | str


class Exit(TypedDict, total=False):
    """A target or a stop: of an oco, or made when an entry fills."""

    limitPrice: Number
    triggerPrice: Number
    trailBps: int
    activationPrice: Number
    slippageBps: int
    clientOrderId: str


class NewOrder(TypedDict, total=False):
    """An order that is to be placed. docs/orders.md and docs/api.md say what each field takes."""

    type: str
    side: Literal["buy", "sell"]
    baseToken: str
    quoteToken: str
    tokenIn: str
    tokenOut: str
    amount: Number
    amountIn: Number
    amountOut: Number
    slippageBps: int
    slippage: Number
    venues: list[str]
    excludeVenues: list[str]
    maxPriceImpactBps: int
    limitPrice: Number
    triggerPrice: Number
    triggerBy: Literal["executable", "reference"]
    ifCrossed: Literal["reject", "execute"]
    trailBps: int
    activationPrice: Number
    timeInForce: Literal["gtc", "gtd", "ioc", "fok"]
    expiresAt: datetime | str
    expiresInSeconds: int
    maxWaitSeconds: int
    takeProfit: Exit
    stopLoss: Exit
    slices: int
    intervalSeconds: int
    durationSeconds: int
    startAt: datetime | str
    catchUp: Literal["spread", "skip"]
    poolEvent: Literal["any", "launch", "migration"]
    minLiquidity: Number
    maxPoolAgeSeconds: int
    clientOrderId: str
    tags: Mapping[str, str]


class Changes(TypedDict, total=False):
    """What is to be another of an order that rests; None takes away what may be missing."""

    limitPrice: Number | None
    triggerPrice: Number | None
    trailBps: int | None
    activationPrice: Number | None
    slippageBps: int | None
    amountIn: Number | None
    amountOut: Number | None
    expiresAt: datetime | str | None
    expiresInSeconds: int | None
    tags: Mapping[str, str] | None
    catchUp: Literal["spread", "skip"] | None
    takeProfit: Exit | None
    stopLoss: Exit | None
    ifCrossed: Literal["reject", "execute"]


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON: a Decimal as text with all its digits, a time as RFC 3339."""
    return json.dumps(body, default=plain).encode()


def plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} cannot be sent")


def is_pair(order: Mapping[str, Any]) -> bool:
    """Whether an order is an oco: two orders."""
    return re.sub("[_-]", "", str(order.get("type", ""))).lower() == "oco"
