"""Readers of accounts' events through a run: each comes back where its last cursor was."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import psycopg
import websockets

from tests.support.accounts import Account

PAUSE = 0.25  # seconds before another try
SILENCE_SECONDS = 15.0  # after which a reader no longer believes in its line
WAIT_SECONDS = 5  # of the feed
OF_ACCOUNT = 6
"""Readers of the run's own account."""
NO_HEADERS: Mapping[str, str] = {}
TRANSPORTS = ("socket", "events", "feed")
LOG = """
SELECT owner_id, order_id::text, seq FROM order_events WHERE owner_id = ANY(%s) AND xid IS NOT NULL
"""
SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.01"}
RATE = 20.0
"""Orders a second that the accounts send, all together."""

Key = tuple[str, int]
"""An order and a seq."""


@dataclass(slots=True)
class Reader:
    """What one client was told over all its connections, which one transport made."""

    account: Account
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
    traded: int = 0
    """Orders that the other accounts sent."""


class Readers:
    """Readers over each transport in turn: some of the run's account, one of each other one.

    The other accounts send orders as well, and these readers are told of them alone.
    """

    def __init__(self, port: int, account: Account, others: Sequence[Account] = ()) -> None:
        self._address = f"127.0.0.1:{port}"
        self._others = others
        of = [account] * OF_ACCOUNT + list(others)
        self.readers = [Reader(one, TRANSPORTS[place % 3]) for place, one in enumerate(of)]
        self._tasks: list[asyncio.Task[None]] = []
        self._traded = 0
        # One for all: to make one takes tens of milliseconds, for certificates that are not used.
        self._client = httpx.AsyncClient(
            base_url=f"http://{self._address}",
            timeout=SILENCE_SECONDS,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
            verify=False,  # http
        )

    async def start(self) -> None:
        """Begin where the log is now, before any order: the web process answers."""
        for reader in self.readers:
            page = await self._ask("GET", "/api/events", reader.account)
            reader.cursor = page["cursor"]
        self._tasks = [asyncio.create_task(self._read(reader)) for reader in self.readers]

    async def trade(self, seconds: float) -> None:
        """Have the other accounts send orders for so long, each until it is answered."""
        async with asyncio.TaskGroup() as group:
            for place in range(int(seconds * RATE) if self._others else 0):
                group.create_task(self._send(self._others[place % len(self._others)]))
                await asyncio.sleep(1 / RATE)

    async def _send(self, account: Account) -> None:
        headers = {"idempotency-key": uuid4().hex}
        while True:
            with suppress(httpx.HTTPError, ValueError):
                await self._ask("POST", "/api/orders/execute", account, headers, SELL)
                self._traded += 1
                return
            await asyncio.sleep(PAUSE)

    async def _ask(
        self,
        method: str,
        path: str,
        account: Account,
        headers: Mapping[str, str] = NO_HEADERS,
        body: object = None,
    ) -> Any:
        """:raises httpx.HTTPError: there was no answer, or none that was good."""
        sent = {**account.headers, **headers}
        answer = await self._client.request(method, path, headers=sent, json=body)
        answer.raise_for_status()
        return answer.json()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def until_told(self, database: str, seconds: float) -> None:
        """Wait until each was told the whole log, for so many seconds at most."""
        ends_at = time.monotonic() + seconds
        while (await self.report(database)).missed and time.monotonic() < ends_at:
            await asyncio.sleep(1)

    async def report(self, database: str) -> Report:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            owners = [reader.account.id for reader in self.readers]
            rows = await (await connection.execute(LOG, (owners,))).fetchall()
        logs: defaultdict[int, set[Key]] = defaultdict(set)
        for owner, order_id, seq in rows:
            logs[owner].add((order_id, seq))
        missed: Counter[str] = Counter()
        for reader in self.readers:
            wrong = len(logs[reader.account.id] ^ set(reader.told))
            missed[reader.transport] += wrong + reader.misplaced
        return Report(
            +missed,
            told=sum(len(reader.told) for reader in self.readers),
            twice=sum(reader.twice for reader in self.readers),
            connections=sum(reader.connections for reader in self.readers),
            traded=self._traded,
        )

    async def _read(self, reader: Reader) -> None:
        read = {"socket": self._socket, "events": self._events, "feed": self._feed}
        while True:
            with suppress(
                OSError, TimeoutError, EOFError, ValueError, KeyError,
                httpx.HTTPError, websockets.WebSocketException,
            ):  # fmt: skip
                reader.begin()
                headers = reader.account.headers
                async for message in read[reader.transport](reader.cursor, headers):
                    reader.take(message)
            await asyncio.sleep(PAUSE)

    async def _socket(self, cursor: str, headers: dict[str, str]) -> AsyncIterator[Any]:
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        async with websockets.connect(
            f"ws://{self._address}/ws/orders{query}",
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=SILENCE_SECONDS,
            close_timeout=1,
        ) as stream:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    text = await stream.recv()
                yield json.loads(text)

    async def _events(self, cursor: str, headers: dict[str, str]) -> AsyncIterator[Any]:
        headers = headers | ({"last-event-id": cursor} if cursor else {})
        async with self._client.stream("GET", "/api/orders/stream", headers=headers) as answer:
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[len("data:") :])

    async def _feed(self, cursor: str, headers: dict[str, str]) -> AsyncIterator[Any]:
        while True:
            query = {"cursor": cursor, "wait": WAIT_SECONDS}
            answer = await self._client.get("/api/events", params=query, headers=headers)
            answer.raise_for_status()
            page = answer.json()
            for event in page["events"]:
                yield event
            cursor = page["cursor"]
            yield {"type": "checkpoint", "cursor": cursor}
