"""The promises of a network, kept by `SolanaNetwork` on the cluster's real transactions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from solders.hash import Hash

from routing.cluster.chain import EXPIRY_BLOCKS
from routing.pools.pool import Direction
from routing.solana.cpmm.accounts import read_pool
from routing.solana.cpmm.instructions import PoolAt
from routing.solana.reading.reader import PoolReader
from routing.solana.reading.seen_pools import SeenPool
from routing.solana.records.agreement import Agreement, Promised
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.network import SolanaNetwork
from routing.solana.rpc.provider import Provider
from routing.solana.swap_amounts import exact_in
from routing.solana.transactions.assembly import Costs, Trade, assemble, new_nonce
from routing.solana.transactions.legs import NATIVE_SOL, Asset, CpmmLeg
from routing.solana.transactions.message import Blockhash, message_of
from routing.solana.wallet.signer import sign_transaction
from routing.venue import (
    Absent,
    Landed,
    Network,
    NetworkUnavailable,
    SignedTransaction,
    TransactionRefused,
    TransactionStatus,
)
from tests.routing.cluster.swaps import cpmm_pool, market
from tests.routing.solana.signers import KeyInMemory
from tests.support.local_cluster import Client, local_cluster
from tests.support.venue_contract import PATIENCE, NetworkContract, landed

SOL = 10**9
X_TO_Y = Direction.X_TO_Y
SOL_USDC = market("SOL/USDC")
COSTS = Costs(unit_limit=100_000, unit_price=1_000)
FAULTS = [
    {"kind": "late", "share": 0.2, "slots": 30},
    {"kind": "lost_reply", "share": 0.05},
    {"kind": "wrong_null", "share": 0.1},
    {"kind": "unavailable", "share": 0.05},
]


class OnTheCluster:
    """A cluster that makes slots by itself, with two nodes: what both prove is proven."""

    @pytest_asyncio.fixture
    async def cluster(self) -> AsyncIterator[Client]:
        async with local_cluster(slot_seconds=0.02) as client:
            await client.advance(EXPIRY_BLOCKS + 1)
            self.client = client
            yield client

    @pytest_asyncio.fixture
    async def network(self, cluster: Client) -> AsyncIterator[SolanaNetwork]:
        async for one in network_on(cluster):
            yield one

    @pytest_asyncio.fixture
    async def other_network(self, cluster: Client) -> AsyncIterator[SolanaNetwork]:
        async for one in network_on(cluster):
            yield one

    async def transaction(self, network: Network, blocks: int = 10_000) -> SignedTransaction:
        """Sell one SOL with a blockhash that expires after so many blocks, or as late as it can."""
        client, chain = self.client, self.client.cluster.chain
        age = max(EXPIRY_BLOCKS - blocks, 0)
        block = chain.earlier(chain.final(chain.block(chain.slot)), age)
        blockhash = Blockhash(Hash.from_string(block.blockhash), block.height + EXPIRY_BLOCKS)
        pool = PoolAt(SOL_USDC.cpmm, read_pool(await client.data(SOL_USDC.cpmm)))
        leg = CpmmLeg(pool, exact_in(SOL, 1), from_0=True)
        trade = Trade(client.owner, NATIVE_SOL, Asset(pool.account.mint_1), SOL)
        rent = chain.machine.rent_for(165)
        instructions = assemble(trade, [leg], COSTS, nonce=new_nonce(), rent=rent)
        message = message_of(client.owner, instructions, blockhash.hash)
        return await sign_transaction(message, KeyInMemory(client.wallet), blockhash)


async def network_on(client: Client) -> AsyncIterator[SolanaNetwork]:
    providers = [Provider(client.url_of(node)) for node in ("", "b")]
    network = SolanaNetwork(RpcClient(providers), interval=0.01)
    yield network
    await network.close()


class TestNetworkOnTheCluster(OnTheCluster, NetworkContract):
    """The contract of the simulated network, by real transactions."""


class TestLies(OnTheCluster):
    async def test_a_fill_is_what_the_pool_paid(self, network: SolanaNetwork) -> None:
        fill, _ = (await cpmm_pool(self.client, SOL_USDC)).swap_exact_in(SOL, X_TO_Y)
        sent = await self.transaction(network)

        await network.send(sent)

        status = await landed(network, sent)
        assert (status.amount_in, status.amount_out) == (SOL, fill.amount_out)
        assert status.network_fee == 5_000 + 100

    async def test_a_fill_is_compared_with_what_its_pool_had_to_pay(
        self, cluster: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        def tell(venue: str, why: str) -> None:
            told.append((venue, why))
            raise RuntimeError("a fault of ours")

        told: list[tuple[str, str]] = []
        agreement = Agreement(tell)
        client = RpcClient([Provider(cluster.url)])
        network = SolanaNetwork(client, interval=0.01, on_landed=agreement.landed)
        for amounts in (exact_in(SOL, 1), exact_in(2 * SOL, 1)):
            seen = (await PoolReader(client).read([SOL_USDC.cpmm]))[SOL_USDC.cpmm]
            assert isinstance(seen, SeenPool)
            sent = await self.transaction(network)
            agreement.remember(sent.signature, [Promised(seen, amounts, X_TO_Y)])
            await network.send(sent)
            await landed(network, sent)
        await network.close()

        ((venue, why),) = told
        assert venue == "raydium"
        assert f" for {SOL} atoms instead of " in why
        assert "what was told of" in caplog.text

    async def test_a_node_that_denies_what_landed_makes_nothing_dead(
        self, network: SolanaNetwork
    ) -> None:
        sent = await self.transaction(network)
        await network.send(sent)
        fill = await landed(network, sent)
        await self.client.set_faults({"kind": "wrong_null"}, node="b")
        await self.client.advance(2 * EXPIRY_BLOCKS)

        assert await network.status(sent) == fill

    async def test_a_node_that_stays_behind_proves_no_death(self, network: SolanaNetwork) -> None:
        await self.client.set_faults({"kind": "drop"})
        await self.client.set_faults({"kind": "drop"}, node="b")
        sent = await self.transaction(network)
        await network.send(sent)
        await self.client.set_faults({"kind": "silently_behind", "slots": 60}, node="b")
        await self.client.advance(EXPIRY_BLOCKS + 30)

        status = await network.status(sent)

        assert isinstance(status, Absent)
        assert status.height <= sent.expires_at_height

    async def test_a_lost_reply_is_no_refusal(self, network: SolanaNetwork) -> None:
        for node in ("", "b"):
            fault = {"kind": "lost_reply", "methods": ["sendTransaction"]}
            await self.client.set_faults(fault, node=node)
        sent = await self.transaction(network)

        try:
            status = await network.send(sent)
        except NetworkUnavailable:
            status = None

        assert not isinstance(status, Landed)
        assert (await landed(network, sent)).amount_in == SOL


class TestUnderFire(OnTheCluster):
    @pytest.mark.parametrize("dropped", [0.3, 0.99], ids=["some-dropped", "most-dropped"])
    async def test_the_wallet_has_paid_the_sum_of_the_fills_and_no_more(
        self, cluster: Client, dropped: float
    ) -> None:
        before = await cluster.lamports(cluster.owner)
        await cluster.set_faults(
            {"kind": "fork", "share": 0.1}, {"kind": "lost_slot", "share": 0.05}
        )
        for node in ("a", "b"):
            await cluster.set_faults({"kind": "drop", "share": dropped}, *FAULTS, node=node)
        providers = [Provider(cluster.url_of(node)) for node in ("a", "b")]
        network = SolanaNetwork(RpcClient(providers), interval=0.02)

        ends = await asyncio.gather(*(self.end_of_order(network) for _ in range(30)))
        await network.close()
        await cluster.set_faults()
        await cluster.advance(EXPIRY_BLOCKS)  # what was called dead would land by then

        fills = [one for one in ends if isinstance(one, Landed)]
        paid = sum(one.amount_in + (one.network_fee or 0) for one in fills)
        assert before - await cluster.lamports(cluster.owner) == paid
        assert len(fills) < len(ends) if dropped > 0.9 else len(fills) > len(ends) // 2

    async def end_of_order(self, network: SolanaNetwork) -> TransactionStatus:
        """Send the same bytes until they have landed, or are proven dead."""
        sent = await self.transaction(network)
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(NetworkUnavailable, TransactionRefused):
                    await network.send(sent)
                with contextlib.suppress(NetworkUnavailable):
                    status = await network.status(sent)
                    if not isinstance(status, Absent) or status.height > sent.expires_at_height:
                        return status
                await asyncio.sleep(0.1)
