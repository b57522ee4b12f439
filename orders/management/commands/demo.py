"""Send five orders at once to an engine and watch them: `manage.py demo --url URL`."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.management.demo_board import Board
from orders.management.demo_client import NoEngine, Refused, SentOrder, follow, send_order

URL = "http://127.0.0.1:8000"
DEADLINE_SECONDS = 90.0
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
ORDERS: tuple[dict[str, Any], ...] = (
    {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"},
    {"type": "market", "side": "buy", "amount": 10},  # of the default market's base token
    {
        **{"baseToken": "SOL", "quoteToken": "USDT", "side": "buy"},
        **{"amountIn": "250", "slippageBps": 100},
    },
    {"tokenIn": USDC_MINT, "tokenOut": "BONK", "amountOut": "1000000", "slippage": "0.01"},
    {"baseToken": "JUP", "quoteToken": "SOL", "side": "sell", "amountOut": "0.25"},
)
"""Sells and buys, fixed inputs and fixed outputs, in the words of several dialects."""


class Command(BaseCommand):
    help = "Send five orders at once through the public API and watch them to their end."
    requires_system_checks = []  # it only talks to an engine

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--url", default=URL, help=f"of the engine ({URL})")
        parser.add_argument(
            "--within",
            type=float,
            default=DEADLINE_SECONDS,
            metavar="SECONDS",
            help=f"in which all must end ({DEADLINE_SECONDS:g})",
        )

        parser.add_argument(
            "--api-key",
            default=settings.ENGINE_API_KEY,
            metavar="KEY",
            help="where orders need an account (ENGINE_API_KEY)",
        )

    def handle(self, *args: Any, url: str, within: float, api_key: str, **options: Any) -> None:
        """:raises CommandError: not every order was confirmed. The message says what happened."""
        site = url.rstrip("/")
        if not site.startswith(("http://", "https://")):
            raise CommandError(f"{url} is not a URL such as {URL}.")
        try:
            orders = asyncio.run(show_orders(site, within, Board(self.stdout), api_key))
        except (NoEngine, Refused) as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the orders go on.", returncode=130) from None
        check(orders, within)
        self.stdout.write(f"All {len(orders)} orders were confirmed.")


async def show_orders(url: str, within: float, board: Board, key: str = "") -> list[SentOrder]:
    """Send all orders at once and show their events until all have ended or the time is up.

    :raises NoEngine: nothing answers at the URL.
    :raises Refused: the engine did not take an order.
    """
    try:
        async with asyncio.timeout(within):
            orders = await asyncio.gather(*(send_order(url, body, key) for body in ORDERS))
    except TimeoutError:
        raise NoEngine(f"The engine at {url} did not take the orders in {within:g} s.") from None
    board.begin(orders)
    try:
        async with asyncio.timeout(within):
            await asyncio.gather(*(follow(url, order, board.show, key) for order in orders))
    except TimeoutError:
        pass  # orders that have not ended are shown as they are
    board.close()
    return orders


def check(orders: list[SentOrder], within: float) -> None:
    """:raises CommandError: not every order was confirmed."""
    confirmed = sum(order.status == "confirmed" for order in orders)
    if confirmed == len(orders):
        return
    unended = sum(order.ended_at is None for order in orders)
    late = f"; {unended} had not ended after {within:g} s" if unended else ""
    raise CommandError(f"Only {confirmed} of {len(orders)} orders were confirmed{late}.")
