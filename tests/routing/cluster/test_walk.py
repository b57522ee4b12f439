"""A random walk of sends, late landings, forks and restarts: what is final adds up."""

import random
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from routing.solana.programs import system
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import in_cpmm, market, own_accounts
from tests.support.local_cluster import Client, local_cluster

SOL = 10**9
SOL_USDC = market("SOL/USDC")
FAULTS = [
    {"kind": "drop", "share": 0.1},
    {"kind": "late", "share": 0.3, "slots": 7},
]


@pytest.mark.parametrize("seed", range(3))
async def test_balances_are_the_sum_of_what_landed(tmp_path: Path, seed: int) -> None:
    chance, receiver = random.Random(seed), Keypair().pubkey()
    transfers: list[VersionedTransaction] = []
    swaps: list[VersionedTransaction] = []
    final: set[str] = set()

    async def walk(node: Client) -> None:
        await node.set_faults(*FAULTS)
        for _ in range(40):
            step = chance.choice(["transfer", "swap", "again", "advance", "advance", "fork"])
            if step == "transfer":
                transfer = system.transfer(node.owner, receiver, SOL)
                transfers.append(await node.signed(transfer))
                await node.send(transfers[-1])
            elif step == "swap":
                swap = await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)
                swaps.append(await node.signed(swap))
                await node.send(swaps[-1])
            elif step == "again" and transfers:
                await node.send(chance.choice(transfers + swaps))
            elif step == "advance":
                await node.advance()
            elif step == "fork":
                await node.call("cluster_reorganise", {"landsAgain": chance.random() < 0.5})
            for signature in final:
                assert (await node.status(signature))["confirmationStatus"] == "finalized"
            final.update(await finalized(node, transfers + swaps))

    for _ in range(3):
        async with local_cluster(folder=tmp_path) as node:
            await node.advance(2)
            await walk(node)
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(10)
        landed = await finalized(node, transfers + swaps)
        sold = len(landed & {str(one.signatures[0]) for one in swaps})
        paid = len(landed) - sold
        assert await node.lamports(receiver) == paid * SOL
        assert await node.lamports(node.owner) == 10_000 * SOL - paid * SOL - len(landed) * 5_000
        assert await node.tokens(own_accounts(node, SOL_USDC).base) == (10_000 - sold) * SOL
        assert 0 < len(landed) < len(transfers + swaps)


async def finalized(node: Client, sent: list[VersionedTransaction]) -> set[str]:
    signatures = [str(one.signatures[0]) for one in sent]
    statuses = {one: await node.status(one) for one in signatures}
    return {
        signature
        for signature, status in statuses.items()
        if status and status["confirmationStatus"] == "finalized"
    }
