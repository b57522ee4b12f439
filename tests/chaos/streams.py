"""Readers of the account's events through a run: each comes back where its last cursor was."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import websockets

PAUSE = 0.25  # seconds before another try
SILENCE_SECONDS = 15.0  # after which a reader no longer believes in its line
WAIT_SECONDS = 5  # of the feed
TRANSPORTS = ("socket", "events", "feed")
LOG = """
SELECT order_id::text, seq FROM order_events WHERE owner_id = %s AND xid IS NOT NULL
"""

Key = tuple[str, int]
"""An order and a seq."""


@dataclass(slots=True)
class Reader:
    """What one client was told over all its connections, which one transport made."""

    transport: str
    cursor: str = ""
    told: Counter[Key] = field(default_factory=Counter)
    connections: int = 0
    misplaced: int = 0
    """Events that did not follow the one before of their order on the same connection."""
    _last: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        self.connections += 1
        self._last = {}

    def take(self, message: Mapping[str, Any]) -> None:
        if message["type"] in ("hello", "checkpoint"):
            self.cursor = message["cursor"]
        elif message["type"] == "status_update":
            order_id, seq = message["orderId"], message["seq"]
            last = self._last.get(order_id)
            self.misplaced += last is not None and seq > last + 1
            self._last[order_id] = max(seq, last or 0)
            self.told[order_id, seq] += 1

    @property
    def twice(self) -> int:
        return sum(self.told.values()) - len(self.told)


@dataclass(frozen=True, slots=True)
class Report:
    """What all readers were told."""

    missed: Mapping[str, int] = field(default_factory=dict)
    """By transport: events of the log that a reader was not told, or told that are in no log, or
    not in the order of their seq."""
    told: int = 0
    twice: int = 0
    connections: int = 0


class Readers:
    """Some readers of one account, over each transport in turn."""

    def __init__(self, port: int, owner: int, headers: Mapping[str, str], number: int) -> None:
        self._address = f"127.0.0.1:{port}"
        self._owner, self._headers = owner, dict(headers)
        self.readers = [Reader(TRANSPORTS[place % 3]) for place in range(number)]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin where the log is now, before any order: the web process answers."""
        async with httpx.AsyncClient(timeout=SILENCE_SECONDS, trust_env=False) as client:
            answer = await client.get(f"http://{self._address}/api/events", headers=self._headers)
        answer.raise_for_status()
        for reader in self.readers:
            reader.cursor = answer.json()["cursor"]
        self._tasks = [asyncio.create_task(self._read(reader)) for reader in self.readers]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until_told(self, database: str, seconds: float) -> None:
        """Wait until each was told the whole log, for so many seconds at most."""
        ends_at = time.monotonic() + seconds
        while (await self.report(database)).missed and time.monotonic() < ends_at:
            await asyncio.sleep(PAUSE)

    async def report(self, database: str) -> Report:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            rows = await (await connection.execute(LOG, (self._owner,))).fetchall()
        log = {(str(order_id), int(seq)) for order_id, seq in rows}
        missed: Counter[str] = Counter()
        for reader in self.readers:
            missed[reader.transport] += len(log ^ set(reader.told)) + reader.misplaced
        return Report(
            +missed,
            told=sum(len(reader.told) for reader in self.readers),
            twice=sum(reader.twice for reader in self.readers),
            connections=sum(reader.connections for reader in self.readers),
        )

    async def _read(self, reader: Reader) -> None:
        read = {"socket": self._socket, "events": self._events, "feed": self._feed}
        while True:
            with suppress(
                OSError, TimeoutError, EOFError, ValueError, KeyError,
                httpx.HTTPError, websockets.WebSocketException,
            ):  # fmt: skip
                reader.begin()
                async for message in read[reader.transport](reader.cursor):
                    reader.take(message)
            await asyncio.sleep(PAUSE)

    async def _socket(self, cursor: str) -> AsyncIterator[Any]:
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        async with websockets.connect(
            f"ws://{self._address}/ws/orders{query}",
            additional_headers=self._headers,
            compression=None,
            proxy=None,
            open_timeout=SILENCE_SECONDS,
            close_timeout=1,
        ) as stream:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    text = await stream.recv()
                yield json.loads(text)

    async def _events(self, cursor: str) -> AsyncIterator[Any]:
        headers = self._headers | ({"last-event-id": cursor} if cursor else {})
        async with (
            httpx.AsyncClient(timeout=SILENCE_SECONDS, trust_env=False) as client,
            client.stream(
                "GET", f"http://{self._address}/api/orders/stream", headers=headers
            ) as answer,
        ):
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[len("data:") :])

    async def _feed(self, cursor: str) -> AsyncIterator[Any]:
        async with httpx.AsyncClient(timeout=SILENCE_SECONDS, trust_env=False) as client:
            while True:
                query = {"cursor": cursor, "wait": WAIT_SECONDS} if cursor else {}
                answer = await client.get(
                    f"http://{self._address}/api/events", params=query, headers=self._headers
                )
                answer.raise_for_status()
                page = answer.json()
                for event in page["events"]:
                    yield event
                cursor = page["cursor"]
                yield {"type": "checkpoint", "cursor": cursor}
