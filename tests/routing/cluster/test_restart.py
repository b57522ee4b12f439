"""A second start goes on with the same chain, and with what was in flight."""

import asyncio
import json
import os
import signal
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from routing.cluster.cluster import Cluster, Settings, write_key
from routing.solana.programs import system
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import cpmm_pool, dlmm_pool, in_cpmm, in_dlmm, market
from tests.support.local_cluster import Client, local_cluster

SOL = 10**9
SOL_USDC = market("SOL/USDC")


async def test_a_second_start_has_the_same_slots_accounts_and_transactions(
    tmp_path: Path,
) -> None:
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        for swap in (in_cpmm, in_dlmm):
            await node.land(await swap(node, SOL_USDC, exact_in(SOL, 1), sells=True))
        before = await everything(node)

    async with local_cluster(folder=tmp_path, seed="of no account now") as node:
        assert await everything(node) == before
        await node.advance()
        assert await node.call("getSlot") == before["slot"] + 1


async def test_a_transaction_in_flight_lands_after_the_restart(tmp_path: Path) -> None:
    receiver = Keypair().pubkey()
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        signed = await node.signed(system.transfer(node.owner, receiver, SOL))
        signature = await node.send(signed)

    async with local_cluster(folder=tmp_path) as node:
        assert await node.status(signature) is None
        await node.advance(2)
        assert (await node.status(signature))["confirmationStatus"] == "finalized"
        await node.send(signed)
        await node.advance(2)
        assert await node.lamports(receiver) == SOL


async def test_what_lands_late_does_so_after_the_restart(tmp_path: Path) -> None:
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        await node.set_faults({"kind": "late", "slots": 30})
        transfer = system.transfer(node.owner, Keypair().pubkey(), SOL)
        signature = await node.send(await node.signed(transfer))

    async with local_cluster(folder=tmp_path) as node:
        await node.advance(30)
        assert await node.status(signature) is None
        await node.advance()
        assert await node.status(signature) is not None


async def test_a_blockhash_from_before_is_valid_after_and_no_longer_than_before(
    tmp_path: Path,
) -> None:
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        signed = [
            await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL))
            for _ in range(2)
        ]
        await node.advance(100)

    async with local_cluster(folder=tmp_path) as node:
        await node.advance(30)
        first = await node.send(signed[0])
        await node.advance(30)
        second = await node.send(signed[1])
        await node.advance(2)
        assert await node.status(first) is not None
        assert await node.status(second) is None


async def test_a_block_that_was_taken_back_is_gone_after_the_restart(tmp_path: Path) -> None:
    receiver = Keypair().pubkey()
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        transfer = system.transfer(node.owner, receiver, SOL)
        signature = await node.send(await node.signed(transfer))
        await node.advance()
        gone = await node.call("getSlot", {"commitment": "processed"})
        await node.call("cluster_reorganise")

    async with local_cluster(folder=tmp_path) as node:
        assert await node.status(signature) is None
        assert await node.lamports(receiver) == 0
        await node.advance()
        assert await node.lamports(receiver) == SOL
        assert (await node.status(signature))["slot"] == gone + 1


async def test_what_a_fork_has_lost_stays_lost_after_the_restart(tmp_path: Path) -> None:
    receiver = Keypair().pubkey()
    async with local_cluster(folder=tmp_path) as node:
        await node.advance(2)
        await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
        await node.advance()
        await node.call("cluster_reorganise", {"landsAgain": False})

    async with local_cluster(folder=tmp_path) as node:
        await node.advance(3)
        assert await node.lamports(receiver) == 0


def test_two_processes_never_have_one_chain(tmp_path: Path) -> None:
    first = Cluster(Settings(folder=tmp_path))
    with pytest.raises(sqlite3.OperationalError):
        Cluster(Settings(folder=tmp_path))
    first.close()
    Cluster(Settings(folder=tmp_path)).close()


def test_each_new_chain_has_wallets_of_its_own_unless_a_seed_says_which() -> None:
    drawn = [Cluster(Settings()) for _ in range(2)]
    seeded = [Cluster(Settings(seed="x")) for _ in range(2)]
    addresses = [one.keys.wallet.pubkey() for one in (*drawn, *seeded)]
    for one in (*drawn, *seeded):
        one.close()

    assert len(set(addresses)) == 3
    assert addresses[2] == addresses[3]


async def test_a_process_that_is_killed_forgets_nothing_that_it_has_told(tmp_path: Path) -> None:
    """Send transfers while it is killed again and again: each that landed stays so."""
    receiver, landed = Keypair().pubkey(), set[str]()
    sent: list[VersionedTransaction] = []
    height = 0
    for round_ in range(3):
        process, url = await start(tmp_path)
        async with aiohttp.ClientSession() as http:
            wallet = key_in(tmp_path)
            client = Remote(url, http, wallet)
            assert await client.call("getBlockHeight", {"commitment": "processed"}) >= height
            for signature in landed:
                assert await client.status(signature) is not None
            for _ in range(10):
                transfer = system.transfer(wallet.pubkey(), receiver, SOL)
                sent.append(await client.signed(transfer))
                await client.send(sent[-1])
            async with asyncio.timeout(30):
                while len(landed) < 10 * round_ + 5:
                    statuses = [(str(one.signatures[0])) for one in sent]
                    landed |= {one for one in statuses if await client.status(one)}
            height = await client.call("getBlockHeight", {"commitment": "processed"})
        process.send_signal(signal.SIGKILL)
        await process.wait()

    process, url = await start(tmp_path)
    async with aiohttp.ClientSession() as http:
        client = Remote(url, http, key_in(tmp_path))
        async with asyncio.timeout(30):
            while await client.lamports(receiver) < len(sent) * SOL:
                await asyncio.sleep(0.01)
        assert await client.lamports(receiver) == len(sent) * SOL
    process.terminate()
    assert await process.wait() == 0


def test_the_key_of_the_wallet_is_for_its_owner_alone(tmp_path: Path) -> None:
    path, keypair = tmp_path / "wallet.json", Keypair()
    path.write_text("an old one")
    path.chmod(0o644)

    write_key(path, keypair)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_in(tmp_path) == keypair


class Remote(Client):
    """A client of a cluster in another process."""

    def __init__(self, url: str, http: aiohttp.ClientSession, wallet: Keypair) -> None:
        self.url = url
        self.http = http
        self.wallet = wallet


def key_in(folder: Path) -> Keypair:
    return Keypair.from_bytes(bytes(json.loads((folder / "wallet.json").read_text())))


async def start(folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "routing.cluster", "--port", "0", "--slot-ms", "20"),
        *("--data", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONWARNINGS": "error"},
    )
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    return process, line.split()[3]


async def everything(node: Client) -> dict[str, Any]:
    found = await node.call("getSignaturesForAddress", str(node.owner))
    return {
        "slot": await node.call("getSlot"),
        "height": await node.call("getBlockHeight"),
        "blockhash": await node.blockhash("processed"),
        "lamports": await node.lamports(node.owner),
        "pools": (await cpmm_pool(node, SOL_USDC), await dlmm_pool(node, SOL_USDC)),
        "transactions": [(one, await node.told(one["signature"])) for one in found],
        "genesis": await node.call("getGenesisHash"),
        "wallet": str(node.owner),
    }
