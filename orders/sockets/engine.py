"""`/ws/engine`: how the engine stands, every two seconds.

It is read once for all sockets of a process.
"""

import asyncio
import logging
from typing import Any

import orjson
import psycopg

from config.runtime.background import Background
from config.runtime.per_loop import once_per_loop
from orders.access.keys import TRADE
from orders.monitoring.pulse import pulse_of_this_loop
from orders.sockets.newest import NewestSocket, frame_of

logger = logging.getLogger(__name__)

EACH_SECONDS = 2.0


class EngineStream(NewestSocket):
    """The engine's state, for all who may send orders."""

    only = "the engine's state"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            feed_of_this_loop().leave(self)

    async def connect(self) -> None:
        await self.admit(TRADE)
        await self.check_query({"ticket"})
        await self.identify(TRADE)
        feed_of_this_loop().join(self)


class EngineFeed:
    """Reads the state for all sockets of one asyncio loop."""

    def __init__(self) -> None:
        self._sockets: set[EngineStream] = set()
        self._telling = Background(self._tell_for_ever)

    def join(self, socket: EngineStream) -> None:
        self._sockets.add(socket)
        self._telling.begin()

    def leave(self, socket: EngineStream) -> None:
        self._sockets.discard(socket)

    async def close(self) -> None:
        await self._telling.stop()

    async def _tell_for_ever(self) -> None:
        """End when the last socket has gone."""
        while self._sockets:
            try:
                state = {"type": "engine"} | await pulse_of_this_loop().read()
            except psycopg.Error as error:
                logger.warning("the engine's state cannot be read for now: %s", error)
            else:
                message = orjson.dumps(state)
                frame = frame_of(message)
                for socket in list(self._sockets):
                    socket.tell(message, frame)
            await asyncio.sleep(EACH_SECONDS)


@once_per_loop
def feed_of_this_loop() -> EngineFeed:
    return EngineFeed()
