"""The prices of a market, live: one frame a second.

All price sockets of a process share one query a second, and those of a market one frame.
"""

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from rest_framework.exceptions import ValidationError

from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from orders.api.markets import as_text, market_named
from orders.api.problems import DatabaseUnavailable, invalid_fields, problem_of
from orders.engine.triggers.last_prices import last_prices_of_this_loop
from orders.engine.triggers.ticks import Tick
from orders.events import timestamp
from orders.sockets.newest import NewestSocket, frame_of
from orders.sockets.protocol import DATABASE_ERRORS, Close

logger = logging.getLogger(__name__)

MADE_AFTER = 0.3
"""Seconds into each second at which its ticks are there."""
LEAST_PAUSE = 0.1


class PriceStream(NewestSocket):
    """`/ws/prices?market=`: the newest prices, from the last second on."""

    only = "prices"
    pair = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            feed_of_this_loop().leave(self)

    async def connect(self) -> None:
        await self.admit()
        await self.check_query({"market", "ticket"})
        await self.identify()
        try:
            self.pair = (await market_named(self.query().get("market"))).pair
        except ValidationError as refused:
            await self.end(Close.JUNK, invalid_fields(refused))
        except DATABASE_ERRORS:
            await self.end(Close.TRY_AGAIN_LATER, problem_of(DatabaseUnavailable()))
        feed_of_this_loop().join(self)


class PriceFeed:
    """Reads the last ticks for all price sockets of one asyncio loop."""

    def __init__(self) -> None:
        self._sockets: defaultdict[str, set[PriceStream]] = defaultdict(set)
        self._telling = Background(self._tell_for_ever)

    def join(self, socket: PriceStream) -> None:
        self._sockets[socket.pair].add(socket)
        self._telling.begin()

    def leave(self, socket: PriceStream) -> None:
        self._sockets[socket.pair].discard(socket)
        if not self._sockets[socket.pair]:
            del self._sockets[socket.pair]

    async def close(self) -> None:
        await self._telling.stop()

    async def _tell_for_ever(self) -> None:
        """End when the last socket has gone."""
        while self._sockets:
            try:
                now, ticks = await last_prices_of_this_loop().all()
            except psycopg.Error as error:
                logger.warning("prices cannot be read for now: %s", error)
                await asyncio.sleep(1)
                continue
            self._tell(int(now), ticks)
            await asyncio.sleep(pause_after(now))

    def _tell(self, second: int, ticks: dict[str, Tick]) -> None:
        for pair, sockets in list(self._sockets.items()):
            tick = ticks.get(pair) or Tick.at(pair, second)
            message = orjson.dumps(as_message(tick))
            frame = frame_of(message)
            for socket in list(sockets):
                socket.tell(message, frame)


def as_message(tick: Tick) -> dict[str, Any]:
    """Return what a socket tells of a tick. Without prices they are null."""
    return {
        "type": "prices",
        "market": tick.pair,
        "at": timestamp(datetime.fromtimestamp(tick.tick, UTC)),
        **{
            name: None if price is None else as_text(price)
            for name, price in (
                ("bid", tick.bid),
                ("ask", tick.ask),
                ("reference", tick.reference),
            )
        },
        "venues": tick.venues or {},
    }


def pause_after(now: float) -> float:
    """Return how long to wait from the unix time `now` until the next ticks are there."""
    pause = (MADE_AFTER - now) % 1
    return pause if pause >= LEAST_PAUSE else pause + 1


@once_per_loop
def feed_of_this_loop() -> PriceFeed:
    return PriceFeed()
