"""A local Solana cluster that a test serves itself, and a client of its JSON-RPC.

Slots are made by `advance` alone and prices stand still, so a test waits for no clock.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import aiohttp
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from routing.cluster.cluster import Cluster, Settings
from routing.cluster.serving import listen, serving, url_of
from routing.solana.programs.memo import memo


class RpcFailed(Exception):
    """A node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data")


@dataclass
class Time:
    """The cluster's clock. It stands until a test moves it."""

    now: float = 1_790_000_000

    def __call__(self) -> float:
        return self.now


class Client:
    """Calls the nodes of a cluster. `wallet` is the one that the genesis funded."""

    def __init__(
        self, url: str, http: aiohttp.ClientSession, cluster: Cluster, time: "Time"
    ) -> None:
        self.url = url
        self.http = http
        self.cluster = cluster
        self.time = time
        self.wallet = cluster.keys.wallet

    @property
    def owner(self) -> Pubkey:
        return self.wallet.pubkey()

    def url_of(self, node: str) -> str:
        return f"{self.url}/node/{node}" if node else self.url

    async def post(self, method: str, *params: Any, node: str = "") -> aiohttp.ClientResponse:
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        return await self.http.post(self.url_of(node), json=request)

    async def call(self, method: str, *params: Any, node: str = "") -> Any:
        """Return the result.

        :raises RpcFailed: the answer is an error.
        """
        answer = await (await self.post(method, *params, node=node)).json()
        if "error" in answer:
            raise RpcFailed(answer["error"])
        return answer["result"]

    async def advance(self, slots: int = 1) -> int:
        return int(await self.call("cluster_advance", slots))

    async def set_faults(self, *faults: dict[str, Any], node: str = "") -> None:
        await self.call("cluster_setFaults", list(faults), node=node)

    async def blockhash(self, commitment: str = "finalized", node: str = "") -> str:
        options = {"commitment": commitment}
        found = await self.call("getLatestBlockhash", options, node=node)
        return str(found["value"]["blockhash"])

    async def signed(
        self,
        *instructions: Instruction,
        payer: Keypair | None = None,
        signers: Sequence[Keypair] = (),
        tables: Sequence[AddressLookupTableAccount] = (),
        blockhash: str = "",
    ) -> VersionedTransaction:
        """Return a transaction unlike any other, on the latest final blockhash."""
        first = payer or self.wallet
        unlike = [*instructions, memo(os.urandom(8).hex())]
        latest = Hash.from_string(blockhash or await self.blockhash())
        message = MessageV0.try_compile(first.pubkey(), unlike, list(tables), latest)
        return VersionedTransaction(message, [first, *signers])

    async def send(self, transaction: VersionedTransaction, node: str = "", **options: Any) -> str:
        wire = in_base64(transaction)
        given = {"encoding": "base64", "skipPreflight": True} | options
        return str(await self.call("sendTransaction", wire, given, node=node))

    async def land(self, *instructions: Instruction, **how: Any) -> Any:
        """Send the instructions, and return what `getTransaction` has once they are final."""
        transaction = await self.signed(*instructions, **how)
        signature = await self.send(transaction)
        await self.advance(2)
        return await self.told(signature)

    async def told(self, signature: str, **options: Any) -> Any:
        given = {"encoding": "base64", "maxSupportedTransactionVersion": 0} | options
        return await self.call("getTransaction", signature, given)

    async def status(self, signature: str, node: str = "", history: bool = True) -> Any:
        options = {"searchTransactionHistory": history}
        found = await self.call("getSignatureStatuses", [signature], options, node=node)
        return found["value"][0]

    async def simulated(self, transaction: VersionedTransaction, **options: Any) -> Any:
        given = {"encoding": "base64"} | options
        return (await self.call("simulateTransaction", in_base64(transaction), given))["value"]

    async def lamports(self, address: Pubkey, commitment: str = "processed") -> int:
        options = {"commitment": commitment}
        return int((await self.call("getBalance", str(address), options))["value"])

    async def tokens(self, address: Pubkey) -> int:
        options = {"commitment": "processed"}
        found = await self.call("getTokenAccountBalance", str(address), options)
        return int(found["value"]["amount"])

    async def data(self, address: Pubkey) -> bytes:
        options = {"commitment": "processed", "encoding": "base64"}
        found = await self.call("getAccountInfo", str(address), options)
        return base64.b64decode(found["value"]["data"][0])


@asynccontextmanager
async def local_cluster(**settings: Any) -> AsyncIterator[Client]:
    """Serve a cluster while the block runs; `settings` as in `Settings`."""
    still = {"slot_seconds": 0, "volatility": 0, "seed": "a test's"}
    clock = Time()
    cluster = Cluster(Settings(**still | settings), clock)
    opened = listen("127.0.0.1", 0)
    try:
        async with serving(cluster, opened), aiohttp.ClientSession() as http:
            yield Client(url_of(opened), http, cluster, clock)
    finally:
        cluster.close()


@contextmanager
def cluster_beside(**settings: Any) -> Iterator[str]:
    """Serve a cluster from a thread, for tests that wait themselves; yield its address."""
    loop = asyncio.new_event_loop()
    url: Future[str] = Future()
    ended = asyncio.Event()

    async def serve() -> None:
        async with local_cluster(**settings) as client:
            await client.advance(2)
            url.set_result(client.url)
            await ended.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = Thread(target=run)
    thread.start()
    try:
        yield url.result(timeout=30)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def in_base64(transaction: VersionedTransaction) -> str:
    return base64.b64encode(bytes(transaction)).decode()
