"""Show orders of an engine to their ends: `manage.py demo --url URL`.

Five market orders at once, then a limit that rests a little and fills, and a stop that is
cancelled.
"""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from order_engine_client import AsyncClient, EngineError, NewOrder, OutcomeUnknown
from orders.management.demo_board import Board
from orders.management.demo_client import SentOrder, cancel, follow, send
from orders.management.demo_money import money_line, sum_line
from orders.management.demo_resting import (
    AGAIN_SECONDS,
    PATIENCE_SECONDS,
    meet_the_price,
    send_resting,
)

URL = "http://127.0.0.1:8000"
DEADLINE_SECONDS = 40.0
KEY = "make one with `manage.py create_api_key`, and give it as ENGINE_API_KEY or --api-key."
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
ORDERS: tuple[NewOrder, ...] = (
    {"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"},
    {"type": "market", "side": "buy", "amount": 10},  # of the default market's base token
    {
        "baseToken": "SOL",
        "quoteToken": "USDT",
        "side": "buy",
        "amountIn": "250",
        "slippageBps": 100,
    },
    {"tokenIn": USDC_MINT, "tokenOut": "BONK", "amountOut": "1000000", "slippage": "0.01"},
    {"baseToken": "JUP", "quoteToken": "SOL", "side": "sell", "amountOut": "0.25"},
)
"""Sells and buys, fixed inputs and fixed outputs, in the words of several dialects."""


class Command(BaseCommand):
    help = (
        "Send five market orders at once through the public API, then a limit that rests a little"
        " and a stop that is cancelled, and watch them to their end."
    )
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
        """:raises CommandError: an order did not end as it should. The message says what it did."""
        site = url.rstrip("/")
        if not site.startswith(("http://", "https://")):
            raise CommandError(f"{url} is not a URL such as {URL}.")
        orders: list[SentOrder] = []
        board = Board(self.stdout, no_color=options["no_color"])
        try:
            asyncio.run(show_all(site, api_key, within, board, orders))
        except EngineError as error:
            raise CommandError(said_of(error, site)) from None
        except KeyboardInterrupt:
            raise CommandError("Stopped; the orders go on.", returncode=130) from None
        check(orders, within)
        board.say(money_line(orders))
        board.say(sum_line(orders[: len(ORDERS)]))


def said_of(error: EngineError, url: str) -> str:
    """Return in a sentence why the demo ended."""
    if error.code == "not_authenticated":
        return f"The engine at {url} wants an API key: {KEY}"
    if isinstance(error, OutcomeUnknown):
        return f"Nobody knows whether the engine took an order: {error}"
    return str(error)


async def show_all(
    url: str, key: str, within: float, board: Board, orders: list[SentOrder]
) -> None:
    """Show the market orders and then those that rest, and add each to `orders`.

    :raises EngineError: there is no engine, or it did not take an order.
    """
    async with AsyncClient(url, key, give_up_after=0) as client:
        await client.get("/api/markets")  # so that it is said at once if nothing answers
    async with AsyncClient(url, key, give_up_after=within) as client:
        ends_at = asyncio.get_running_loop().time() + within
        orders += await show_orders(client, within, board)
        try:
            if all(order.status == "confirmed" for order in orders):
                left = ends_at - asyncio.get_running_loop().time()
                orders += await show_resting(client, left, board)
        finally:
            board.close()


async def show_resting(client: AsyncClient, within: float, board: Board) -> list[SentOrder]:
    """Send a limit near the price and a stop far from it; cancel the stop once the limit is filled.

    :raises EngineError: it has no prices, or did not take an order.
    """
    limit, stop = orders = list(await send_resting(client))
    for one in orders:
        board.say(one.order.summary or "")
    board.begin(orders)

    async def see_the_limit_filled() -> None:
        following = asyncio.create_task(follow(client, limit, board.show))
        await asyncio.wait([following], timeout=PATIENCE_SECONDS)
        while not following.done():
            if limit.status == "open":
                board.say(await meet_the_price(client, limit))
            await asyncio.wait([following], timeout=AGAIN_SECONDS)
        await following
        await cancel(client, stop)

    try:
        async with asyncio.timeout(within):
            await asyncio.gather(see_the_limit_filled(), follow(client, stop, board.show))
    except TimeoutError:
        pass  # orders that have not ended are shown as they are
    return orders


async def show_orders(client: AsyncClient, within: float, board: Board) -> list[SentOrder]:
    """Send all orders at once and show their events until all have ended or the time is up.

    :raises EngineError: it did not take an order.
    """
    try:
        async with asyncio.timeout(within):
            orders = await asyncio.gather(*(send(client, body) for body in ORDERS))
    except TimeoutError:
        text = f"The engine did not take the orders in {within:g} s."
        raise EngineError("no_answer", text) from None
    board.begin(orders)
    try:
        async with asyncio.timeout(within):
            await asyncio.gather(*(follow(client, order, board.show) for order in orders))
    except TimeoutError:
        pass  # orders that have not ended are shown as they are
    return orders


def check(orders: list[SentOrder], within: float) -> None:
    """:raises CommandError: not every order ended as it should."""
    market, resting = orders[: len(ORDERS)], orders[len(ORDERS) :]
    confirmed = sum(order.status == "confirmed" for order in market)
    unended = sum(order.ended_at is None for order in orders)
    late = f"; {unended} had not ended after {within:g} s" if unended else ""
    if confirmed < len(market):
        raise CommandError(f"Only {confirmed} of {len(market)} orders were confirmed{late}.")
    ends = [order.status for order in resting]
    if ends != ["confirmed", "cancelled"]:
        raise CommandError(f"The limit is {ends[0]} and the stop is {ends[1]}{late}.")
