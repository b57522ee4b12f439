"""A node that answers as a script says: what it knows, and the faults it is told to have."""

import base64
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from solders.hash import Hash

Fault = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
KNOWN = {"context": {"slot": 0}}


def status(confirmation: str = "finalized", error: Any = None) -> dict[str, Any]:
    return {"slot": 1, "err": error, "confirmationStatus": confirmation}


@dataclass
class FakeNode:
    slot: int = 1_000
    height: int = 900
    first_slot: int = 0
    blockhash: Hash = field(default_factory=Hash.new_unique)
    blockhash_expires: int = 1_050
    answers_as_of: int | None = None
    """The slot of its answers on signatures and accounts, if it is another than its own."""
    statuses: dict[str, Any] = field(default_factory=dict)
    records: dict[str, Any] = field(default_factory=dict)
    accounts: dict[str, Any] = field(default_factory=dict)
    simulation: dict[str, Any] = field(default_factory=dict)
    fees: list[int] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    faults: defaultdict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    """By method, first come first. A method without faults is answered."""
    always: dict[str, Fault] = field(default_factory=dict)
    """By method, or `*` for all."""
    url: str = ""

    @property
    def calls(self) -> Counter[str]:
        return Counter(method for method, _ in self.asked)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        method, params = body["method"], body["params"]
        self.asked.append((method, params))
        fault = self.always.get(method) or self.always.get("*")
        if self.faults[method]:
            fault = self.faults[method].popleft()
        if fault is not None:
            return await fault(request, body)
        return result(body, getattr(self, f"_{method}")(*params))

    @property
    def _context(self) -> dict[str, int]:
        return {"slot": self.slot if self.answers_as_of is None else self.answers_as_of}

    def _getEpochInfo(self, config: Any) -> Any:  # noqa: N802  # as the method is called
        assert config == {"commitment": "finalized"}
        return {"absoluteSlot": self.slot, "blockHeight": self.height, "epoch": 1}

    def _getLatestBlockhash(self, config: Any) -> Any:  # noqa: N802
        assert config == {"commitment": "finalized"}
        value = {"blockhash": str(self.blockhash), "lastValidBlockHeight": self.blockhash_expires}
        return {"context": self._context, "value": value}

    def _getSignatureStatuses(self, signatures: list[str], config: Any) -> Any:  # noqa: N802
        assert config == {"searchTransactionHistory": True}
        assert len(signatures) <= 256
        return {"context": self._context, "value": [self.statuses.get(one) for one in signatures]}

    def _getFirstAvailableBlock(self) -> int:  # noqa: N802
        return self.first_slot

    def _getTransaction(self, signature: str, config: Any) -> Any:  # noqa: N802
        assert config["commitment"] == "finalized"
        return self.records.get(signature)

    def _sendTransaction(self, content: str, config: Any) -> str:  # noqa: N802
        assert config == {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        self.taken.append(base64.b64decode(content))
        return "a signature"

    def _getMultipleAccounts(self, addresses: list[str], config: Any) -> Any:  # noqa: N802
        return {"context": self._context, "value": [self.accounts.get(one) for one in addresses]}

    def _simulateTransaction(self, content: str, config: Any) -> Any:  # noqa: N802
        return {"context": self._context, "value": self.simulation}

    def _getRecentPrioritizationFees(self, addresses: list[str]) -> Any:  # noqa: N802
        return [{"slot": 1, "prioritizationFee": fee} for fee in self.fees]

    def _getMinimumBalanceForRentExemption(self, size: int) -> int:  # noqa: N802
        return size * 10


def result(body: Any, value: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": body["id"], "result": value})


def refusing(code: int, message: str = "no", data: Any = None) -> Fault:
    async def fault(_: web.Request, body: Any) -> web.Response:
        error = {"code": code, "message": message, "data": data}
        return web.json_response({"jsonrpc": "2.0", "id": body["id"], "error": error})

    return fault


def with_http(status: int, text: str = "", **headers: str) -> Fault:
    async def fault(_: web.Request, body: Any) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return fault


def answering(value: Any) -> Fault:
    async def fault(_: web.Request, body: Any) -> web.Response:
        return result(body, value)

    return fault


@asynccontextmanager
async def serving(*nodes: FakeNode) -> AsyncIterator[None]:
    """Serve each node on a port of its own."""
    runners = []
    try:
        for node in nodes:
            app = web.Application()
            app.router.add_post("/{key}", node.answer)
            runner = web.AppRunner(app, shutdown_timeout=0.01)
            runners.append(runner)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            node.url = f"http://127.0.0.1:{runner.addresses[0][1]}/a-key-that-nobody-sees"
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
