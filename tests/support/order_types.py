"""An order of each type as clients send it, and the prices that they are compared with."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from orders.engine.triggers.ticks import Tick
from routing.tokens import Market
from tests.support.client import SELL_SOL

BID, ASK = Decimal("100"), Decimal("100.4")
LIMIT = SELL_SOL | {"type": "limit", "limitPrice": "112"}
STOP = SELL_SOL | {"type": "stop", "triggerPrice": "95"}
STOP_LIMIT = SELL_SOL | {"type": "stopLimit", "triggerPrice": "95", "limitPrice": "94.5"}
TARGET = SELL_SOL | {"type": "takeProfit", "triggerPrice": "112"}
TRAIL = SELL_SOL | {"type": "trailingStop", "trailBps": 150}
OCO = SELL_SOL | {
    "type": "oco",
    "takeProfit": {"limitPrice": "112"},
    "stopLoss": {"triggerPrice": "95", "slippageBps": 500},
}
BRACKET = {"takeProfit": {"limitPrice": "112"}, "stopLoss": {"trailBps": 200}}
SELLING_BRACKET = {"takeProfit": {"limitPrice": "88"}, "stopLoss": {"trailBps": 200}}
TWAP = SELL_SOL | {"type": "twap", "slices": 3, "intervalSeconds": 10}
SNIPER: dict[str, Any] = {
    **{"type": "sniper", "tokenIn": "USDC", "tokenOut": "SOL"},
    "amountIn": "1.5",
}
BY_TYPE: dict[str, dict[str, Any]] = {
    "market": SELL_SOL,
    "limit": LIMIT,
    "stop": STOP,
    "stopLimit": STOP_LIMIT,
    "takeProfit": TARGET,
    "trailingStop": TRAIL,
    "twap": TWAP,
    "sniper": SNIPER,
    "oco": OCO,
}
VALUES: dict[str, Any] = {
    "triggerPrice": "95",
    "triggerBy": "reference",
    "ifCrossed": "execute",
    "trailBps": 100,
    "activationPrice": "120",
    "limitPrice": "90",
    "slippageBps": 100,
    "slippage": "0.01",
    "expiresAt": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    "expiresInSeconds": 60,
    "maxWaitSeconds": 60,
    "takeProfit": {"limitPrice": "88"},
    "stopLoss": {"triggerPrice": "120"},
    "clientOrderId": "mine",
    "amountOut": "100",
    "slices": 3,
    "intervalSeconds": 60,
    "durationSeconds": 180,
    "startAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    "catchUp": "skip",
    "poolEvent": "launch",
    "minLiquidity": "50",
    "maxPoolAgeSeconds": 60,
}
"""A value of each field that some types have no use for."""


async def no_prices(quotes: object, market: Market, second: int) -> Tick:
    """In place of `Quotes._tick`: no venue quotes."""
    return Tick.at(market.pair, second)
