"""Honest clients: an order a second, each followed on its own stream to its end."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.abuse.attacks import ORDER, Target
from tests.support.accounts import Account

PATIENCE = 60.0  # seconds for one order, from its POST to `confirmed`
AGAIN = 0.5


@dataclass
class Order:
    """What an honest client saw of one order; seconds since its POST began."""

    accepted: float | None = None
    ended: float | None = None
    last: str = "not accepted"


@dataclass
class Honest:
    """Accounts that take turns; from an address of their own."""

    port: int
    accounts: Sequence[Account]
    source: str
    orders: list[Order] = field(default_factory=list)

    async def trade(self, seconds: float) -> list[Order]:
        """Place an order a second for so long; return them when each has ended or was given up."""
        began = len(self.orders)
        async with asyncio.TaskGroup() as group:
            for turn in range(int(seconds)):
                account = self.accounts[turn % len(self.accounts)]
                order = Order()
                self.orders.append(order)
                group.create_task(self._place_and_follow(account, order, f"h{began + turn}"))
                await asyncio.sleep(1.0)
        return self.orders[began:]

    async def _place_and_follow(self, account: Account, order: Order, key: str) -> None:
        began_at = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                order_id = await self._placed(account, key)
                order.accepted, order.last = time.monotonic() - began_at, "pending"
                await self._follow(account, order_id, order)
                order.ended = time.monotonic() - began_at

    async def _placed(self, account: Account, key: str) -> str:
        """Send it, again under the same key if it was refused or not answered."""
        target = Target(self.port, self.source, account.key)
        lines = (
            *("Content-Type: application/json", f"Content-Length: {len(ORDER)}"),
            *(f"Idempotency-Key: {key}", "Connection: close"),
        )
        while True:
            with suppress(OSError, ValueError):
                reader, writer = await target.open()
                try:
                    writer.write(target.head("POST", "/api/orders/execute", *lines) + ORDER)
                    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                finally:
                    writer.transport.abort()
                if head.startswith(b"HTTP/1.1 20"):
                    return str(json.loads(body)["orderId"])
            await asyncio.sleep(AGAIN)

    async def _follow(self, account: Account, order_id: str, order: Order) -> None:
        seq = 0
        while True:
            with suppress(OSError, ConnectionClosed, InvalidHandshake):
                async with websockets.connect(
                    f"ws://127.0.0.1:{self.port}/ws/orders/{order_id}?after={seq}",
                    additional_headers=account.headers,
                    local_addr=(self.source, 0),
                ) as stream:
                    async for text in stream:
                        event = json.loads(text)
                        if "seq" not in event:
                            continue
                        seq, order.last = event["seq"], event["status"]
                        if order.last in ("confirmed", "failed", "cancelled"):
                            return
            await asyncio.sleep(AGAIN)
