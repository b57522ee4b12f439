"""What keeps a cluster going for days: it forgets what it may, and outlives faults of its own."""

import pytest
from solders.keypair import Keypair

from routing.cluster.programs.cpmm import Cpmm
from routing.solana.programs import system
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import in_cpmm, market
from tests.support.local_cluster import Client, RpcFailed, local_cluster

SOL = 10**9
SOL_USDC = market("SOL/USDC")


async def test_old_blocks_and_the_traders_swaps_are_forgotten_and_no_others() -> None:
    async with local_cluster(volatility=200) as node:
        await node.advance(2)
        mine = await node.land(system.transfer(node.owner, Keypair().pubkey(), SOL))
        node.time.now += 86_400
        for _ in range(20):
            node.cluster.step()
        trader, chain = node.cluster.keys.trader.pubkey(), node.cluster.chain
        theirs = await node.call("getSignaturesForAddress", str(trader))
        assert len(theirs) > 5
        recent = theirs[0]

        chain.store.forget(recent["slot"], trader)

        left = await node.call("getSignaturesForAddress", str(trader))
        assert [one["signature"] for one in left] == [recent["signature"]]
        (own,) = await node.call("getSignaturesForAddress", str(node.owner))
        told = await node.told(own["signature"])
        assert told["meta"] == mine["meta"]
        assert told["blockTime"] is None
        await node.land(system.transfer(node.owner, Keypair().pubkey(), SOL))


async def test_a_fault_of_the_emulation_ends_neither_the_chain_nor_the_node(
    node: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def effect(*_: object) -> None:
        raise KeyError("a fault of ours")

    monkeypatch.setattr(Cpmm, "effect", effect)
    lamports, receiver = await node.lamports(node.owner), Keypair().pubkey()
    swap = await node.signed(await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))
    signature = await node.send(swap)
    await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    await node.advance(3)

    assert await node.status(signature) is None
    assert await node.lamports(receiver) == SOL
    assert await node.lamports(node.owner) == lamports - SOL - 5_000
    with pytest.raises(RpcFailed) as failed:
        await node.simulated(swap)
    assert failed.value.code == -32603
    assert await node.call("getHealth") == "ok"
