"""The demo's orders that wait: a limit that rests a little and fills, a stop that is cancelled."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from order_engine_client import AsyncClient, EngineError, NewOrder
from orders.management.demo_client import SentOrder, amend, read_prices, send

BASE, QUOTE = "SOL", "USDC"
PAIR: NewOrder = {"baseToken": BASE, "quoteToken": QUOTE}
Side = Literal["buy", "sell"]
AWAY = Decimal("0.0005")
"""How far from the present price the limit is: the simulation's prices go that far in seconds."""
STOP_AWAY = Decimal("0.06")
PATIENCE_SECONDS = 8.0
"""After which the limit is moved to where the price went instead."""
AGAIN_SECONDS = 3.0
"""And again, if it came back unfilled."""
PRICE_SECONDS = 8.0
"""For the first prices of a new engine, which makes them once a second."""
LOOK_PAUSE = 0.5
LOOKED_AT = 10
"""Seconds of prices from which the demo sees where they go."""


def limit_near(prices: Sequence[dict[str, Any]]) -> NewOrder:
    """Return a limit order that the price, going on as it did, soon reaches.

    `prices` are those of the last seconds, in order. A sale waits for a bid that rises, a purchase
    for an ask that falls: whichever moved more.
    """
    bids, asks = _line(prices, "bid"), _line(prices, "ask")
    side: Side
    rise, fall = bids[-1] - bids[0], asks[0] - asks[-1]
    side, price = (
        ("sell", bids[-1] * (1 + AWAY)) if rise >= fall else ("buy", asks[-1] * (1 - AWAY))
    )
    amount: NewOrder = {"amountIn": "1"} if side == "sell" else {"amountOut": "1"}
    return {**PAIR, "type": "limit", "side": side, "limitPrice": _text(price), **amount}


def stop_far(prices: Sequence[dict[str, Any]]) -> NewOrder:
    """Return a stop that the price does not reach while the demo runs."""
    price = _line(prices, "bid")[-1] * (1 - STOP_AWAY)
    trigger = _text(price)
    return {**PAIR, "type": "stop", "side": "sell", "triggerPrice": trigger, "amountIn": "1"}


def met_limit(order: SentOrder, prices: Sequence[dict[str, Any]]) -> str:
    """Return the limit with which an order that rests is filled at the present price."""
    if order.order.side == "sell":
        return _text(_line(prices, "bid")[-1] * (1 - 4 * AWAY))
    return _text(_line(prices, "ask")[-1] * (1 + 4 * AWAY))


async def prices_of_seconds(client: AsyncClient) -> list[dict[str, Any]]:
    """Return the pair's prices of the last seconds, in order; it waits for the first.

    :raises EngineError: there are none.
    """
    ends_at = asyncio.get_running_loop().time() + PRICE_SECONDS
    while asyncio.get_running_loop().time() < ends_at:
        prices = await read_prices(client, f"{BASE}/{QUOTE}", LOOKED_AT)
        whole = [one for one in prices if one["bid"] and one["ask"]]
        if whole:
            return whole
        await asyncio.sleep(LOOK_PAUSE)
    raise EngineError(
        "prices_unavailable",
        f"The engine has no prices of {BASE}/{QUOTE}, so no order can wait for one. Is its"
        " scheduler running?",
    )


async def send_resting(client: AsyncClient) -> tuple[SentOrder, SentOrder]:
    """Send a limit near the price and a stop far from it.

    :raises EngineError: there are no prices, or an order was not taken.
    """
    prices = await prices_of_seconds(client)
    return await send(client, limit_near(prices)), await send(client, stop_far(prices))


async def meet_the_price(client: AsyncClient, limit: SentOrder) -> str:
    """Move the limit of an order that rests to where it is filled now, and say so.

    :raises EngineError: there are no prices, or the order may not be changed so.
    """
    price = met_limit(limit, await prices_of_seconds(client))
    if await amend(client, limit, limitPrice=price):
        return f"The price went away, so the limit was amended to {price}."
    return "The price came at last."


def _line(prices: Sequence[dict[str, Any]], name: str) -> list[Decimal]:
    return [one[name] for one in prices]


def _text(price: Decimal) -> str:
    return f"{price:.6f}"
