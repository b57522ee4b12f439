"""A client that follows one order through whatever breaks, and keeps what it was told."""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import websockets
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from tests.support.checker import Transcript
from tests.support.engine import PATIENCE, Web

TRY_AGAIN_LATER = 1013  # closes a stream, after an error that says why
AGAIN = 0.02  # seconds before it tries another connection


@dataclass
class Subscriber:
    """Resumes by `after` whenever its connection breaks, at the web process that is named then."""

    web: Callable[[], Web]
    order_id: str
    after: int = 0
    hangs_up_after: int = 0  # messages, without a word, once; 0: never
    messages: list[Any] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)  # since the commit, or the first connection
    connections: int = 0
    codes: list[int | None] = field(default_factory=list)  # with which connections were closed
    comes_again_after: frozenset[int] = frozenset()  # HTTP statuses that refuse a connection

    async def follow(self) -> "Subscriber":
        """Read to the final event."""
        began_at = time.time()
        while not await self._is_told_all(began_at):
            await asyncio.sleep(AGAIN)
        return self

    def transcript(self) -> Transcript:
        return Transcript(self.messages, self.after, is_complete=True)

    @property
    def last(self) -> int:
        return int(self.messages[-1]["seq"]) if self.messages else self.after

    async def _is_told_all(self, began_at: float) -> bool:
        """Connect, read for as long as it lasts, and return whether it ended with 1000."""
        self.connections += 1
        url = self.web().stream_url(self.order_id, self.last)
        refused: Any = None
        try:
            async with websockets.connect(url, open_timeout=PATIENCE) as stream:
                with suppress(ConnectionClosed):
                    async for text in stream:
                        message = json.loads(text)
                        if message.get("type") == "error":
                            refused = message
                            continue
                        self._hear(message, began_at)
                        if len(self.messages) == self.hangs_up_after:
                            stream.transport.abort()
            self.codes.append(stream.close_code)
            assert refused is None or stream.close_code == TRY_AGAIN_LATER, refused
        except InvalidStatus as refusal:
            if refusal.response.status_code not in self.comes_again_after:
                raise
            return False
        except (OSError, ConnectionClosed, InvalidMessage):
            return False
        return stream.close_code == 1000

    def _hear(self, message: Any, began_at: float) -> None:
        self.messages.append(message)
        self.delays.append(time.time() - max(committed_at(message), began_at))


def committed_at(message: Any) -> float:
    """Return the time of an event, in seconds since 1970."""
    return datetime.fromisoformat(message["timestamp"]).timestamp()
