"""Clients that do not give up: they send again, connect again, and resume where they were."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import websockets

from tests.chaos.plan import Errand
from tests.support.accounts import Account
from tests.support.checker import Transcript

NOTHING_STORED = "Nothing was stored"  # of a refusal
OUTCOME_UNKNOWN = "outcome_unknown"
EXITS_SECONDS = 4.0  # that the exits of a bracket may rest
PAUSE = 0.25  # seconds before another try
ATOMS = {"sell": Decimal("1e-9"), "buy": Decimal("1e-6")}  # the least amount of SOL, of USDC


@dataclass(slots=True)
class Follower:
    """One client's view of one order, over all its connections."""

    order_id: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    is_complete: bool = False

    @property
    def after(self) -> int:
        return int(self.messages[-1]["seq"]) if self.messages else 0

    @property
    def transcript(self) -> Transcript:
        """What was told over all connections; resumed by `after`, it is one slice of the log."""
        return Transcript(self.messages, is_complete=self.is_complete)


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer other than 201 said of an order without a key; no other has its name.

    `order_id`: what is said that the order would be found under; "" if it is not stored.
    """

    name: str
    order_id: str


class Clients:
    """All clients of a run, of one account and on one port; in one asyncio loop."""

    def __init__(self, port: int, account: Account, patience: float = 6.0) -> None:
        """`patience`: seconds until a client no longer waits for an answer."""
        self._port = port
        self._patience = patience
        self._credential = account.headers
        self._background: set[asyncio.Task[None]] = set()
        self.answered: list[str] = []
        """The ids of the orders whose 201 a client has seen."""
        self.done = 0
        """How many errands were answered."""
        self._ended_exits: set[str] = set()
        self.cancelled: list[str] = []
        """Those whose cancellation was answered with 200."""
        self.followers: list[Follower] = []
        self.answers: Counter[int] = Counter()
        """How often each HTTP status was seen; 0 is no answer."""
        self.seconds: list[float] = []
        """How long each order that was sent waited for its answer, or in vain."""
        self.posts: Counter[str] = Counter()
        """How often an order that was sent was answered by which status and code."""
        self.told: list[Told] = []
        """What was said of orders without a key that were not answered with 201."""
        self.unknown: list[str] = []
        """The ids that were said to be those of orders of which nobody knows the outcome."""
        self.names: set[str] = set()
        """The names of orders without a key that were answered with 201."""
        self._tries = count(1)
        self.closes: Counter[int] = Counter()
        """How often a stream was closed with which code; 1006 is no orderly end."""

    async def run(self, errands: Sequence[Errand]) -> None:
        """Send every order at its time; return when each was answered with 201."""
        clock = asyncio.get_running_loop().time
        start = clock()
        async with asyncio.TaskGroup() as group:
            for errand in errands:
                await asyncio.sleep(start + errand.at - clock())
                group.create_task(self._send(errand))

    @property
    def have_ended(self) -> bool:
        """Whether every follower has been told the end of its order."""
        return all(follower.is_complete for follower in self.followers)

    async def stop(self) -> None:
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _send(self, errand: Errand) -> None:
        order_ids = await self._stored(errand)
        self.done += 1
        self.answered += order_ids
        for order_id in order_ids:
            for delay in errand.follows:
                follower = Follower(order_id)
                self.followers.append(follower)
                self._in_background(self._follow(follower, delay))
        if errand.cancels_after is not None:
            self._in_background(self._cancel(order_ids[0], errand.cancels_after))

    async def _stored(self, errand: Errand) -> list[str]:
        """Send the order until it is answered with its id, or a group with its two."""
        while True:
            name, body = ("", errand.order) if errand.has_key else self.with_a_name(errand.order)
            start = time.monotonic()
            status, answer = await self._try(
                "POST", "/api/orders/execute", body, errand.key if errand.has_key else ""
            )
            self.seconds.append(time.monotonic() - start)
            self._note(name, status, answer)
            if _is_final(status):
                assert "orderId" in answer or "groupId" in answer, answer
                legs = [answer] if "orderId" in answer else answer["orders"]
                return [str(leg["orderId"]) for leg in legs]
            await asyncio.sleep(PAUSE)

    def with_a_name(self, order: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
        """Return an order whose amount no other has, and what `name_of` calls it.

        A `clientOrderId` would be a key, of which it is never said that nothing was stored.
        """
        side = str(order["side"])
        amount = Decimal(str(order["amountIn"])) + next(self._tries) * ATOMS[side]
        return name_of(side, int(amount / ATOMS[side])), {**order, "amountIn": f"{amount:f}"}

    def _note(self, name: str, status: int, answer: Mapping[str, Any]) -> None:
        code = str(answer.get("error") or "")
        self.posts[f"{status or 'none'} {code}".strip()] += 1
        order_id = str(answer.get("orderId") or "")
        if code == OUTCOME_UNKNOWN:
            self.unknown.append(order_id)
        if not name:
            return
        if _is_final(status):
            self.names.add(name)
        elif code == OUTCOME_UNKNOWN:
            self.told.append(Told(name, order_id))
        elif NOTHING_STORED in str(answer.get("detail")):
            self.told.append(Told(name, ""))

    def _note_exits(self, message: Mapping[str, Any]) -> None:
        children = message["data"].get("children")
        if children and message["orderId"] not in self._ended_exits:
            self._ended_exits.add(message["orderId"])
            self._in_background(self._end_exits(children))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)

    async def _cancel(self, order_id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        answer = await self._ask("POST", f"/api/orders/{order_id}/cancel", {})
        if answer.get("status") == "cancelled" and "error" not in answer:
            self.cancelled.append(order_id)

    async def _end_exits(self, children: Sequence[str]) -> None:
        """End the exits of a bracket: one of them ends both."""
        await asyncio.sleep(EXITS_SECONDS)
        await self._ask("POST", f"/api/orders/{children[0]}/cancel", {"whenPossible": True})

    async def _ask(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """Ask until there is an answer that asking again would not change, and return its body."""
        while True:
            status, answer = await self._try(method, path, body)
            if _is_final(status):
                return answer
            await asyncio.sleep(PAUSE)

    async def _try(
        self, method: str, path: str, body: Any, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Ask once; the status is 0 if there was no answer."""
        try:
            async with asyncio.timeout(self._patience):
                status, answer = await self._ask_once(method, path, body, key)
        except (OSError, TimeoutError, EOFError, ValueError):
            status, answer = 0, {}
        self.answers[status] += 1
        return status, answer

    async def _ask_once(
        self, method: str, path: str, body: Any, key: str
    ) -> tuple[int, dict[str, Any]]:
        """:raises ValueError: the answer was cut off."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            data = json.dumps(body).encode()
            head = [
                f"{method} {path} HTTP/1.1",
                "host: localhost",
                "connection: close",
                "content-type: application/json",
                f"content-length: {len(data)}",
                *(f"{name}: {value}" for name, value in self._credential.items()),
                *([f"idempotency-key: {key}"] if key else []),
            ]
            writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
            told, _, text = (await reader.read()).partition(b"\r\n\r\n")
            status = int(told.split(maxsplit=2)[1])
            return status, {} if status == 500 else json.loads(text)  # which may be a page
        except IndexError:
            raise ValueError("no status line") from None
        finally:
            writer.close()

    async def _follow(self, follower: Follower, delay: float) -> None:
        await asyncio.sleep(delay)
        while not follower.is_complete:
            try:
                await self._read(follower)
            except (OSError, TimeoutError, EOFError, websockets.WebSocketException):
                self.closes[1006] += 1
            if not follower.is_complete:
                await asyncio.sleep(PAUSE)

    async def _read(self, follower: Follower) -> None:
        """Read one connection to its end."""
        url = f"ws://127.0.0.1:{self._port}/ws/orders/{follower.order_id}?after={follower.after}"
        async with websockets.connect(
            url,
            additional_headers=self._credential,
            compression=None,
            proxy=None,
            open_timeout=self._patience,
            close_timeout=1,
        ) as stream:
            try:
                async for text in stream:
                    message = json.loads(text)
                    if "seq" in message:  # else the server says why it closes
                        follower.messages.append(message)
                        self._note_exits(message)
            except websockets.ConnectionClosedError:
                pass
        code = stream.close_code or 1006
        self.closes[code] += 1
        follower.is_complete = code == 1000


def name_of(side: str, atoms: int) -> str:
    return f"{side} {atoms}"


def _is_final(status: int) -> bool:
    """Whether to ask again would change nothing."""
    return 0 < status < 500 and status != 429
