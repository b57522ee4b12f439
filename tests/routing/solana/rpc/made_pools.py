"""A node with pools of any price, and the memory of live pools over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM, TOKEN_PROGRAM
from routing.solana.reading.known import LivePool
from routing.solana.reading.memory import PoolsInMemory
from routing.solana.reading.reader import PoolReader
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider
from routing.tokens import Market
from tests.routing.solana.recorded import account
from tests.routing.solana.rpc.fake_node import FakeNode, serving
from tests.routing.solana.rpc.test_reading import NOW, VAULT, chain, stored
from tests.routing.solana.test_token_accounts import mint, number


@asynccontextmanager
async def memory(
    *nodes: FakeNode, pools: list[LivePool], **options: Any
) -> AsyncIterator[PoolsInMemory]:
    async with serving(*nodes):
        client = RpcClient([Provider(node.url) for node in nodes])
        # A test that looks twice within the age must not depend on how quick it is.
        given = {"age": 60.0, "now": lambda: NOW} | options
        made = PoolsInMemory(PoolReader(client), lambda: pools, **given)
        try:
            yield made
        finally:
            await made.close()
            await client.close()


def accounts_calls(node: FakeNode) -> int:
    return node.calls["getMultipleAccounts"]


class MadePools:
    """Constant-product pools of any price."""

    def __init__(self) -> None:
        self.node = FakeNode(accounts=chain())
        self.pools: list[LivePool] = []

    def pool(self, market: Market, price: str, venue: str = "raydium") -> Pubkey:
        """Add a pool of a million base tokens at this price."""
        base, quote = (Pubkey.from_string(one.mint) for one in (market.base, market.quote))
        held = {base: 10**6 * 10**market.base.decimals}
        held[quote] = int(10**6 * Decimal(price) * 10**market.quote.decimals)
        sides = sorted(held, key=bytes)
        address, vaults = Pubkey.new_unique(), [Pubkey.new_unique() for _ in sides]
        data = bytearray(account("cpmm_pool"))
        for place, key in zip((168, 200, 72, 104), (*sides, *vaults), strict=True):
            data[place : place + 32] = bytes(key)
        data[341:373], data[397:413] = bytes(32), bytes(16)  # no fees wait in the vaults
        for one, vault in zip(sides, vaults, strict=True):
            content = bytes(one) + VAULT[32:64] + number(held[one]) + VAULT[72:]
            self.node.accounts[str(vault)] = stored(content, TOKEN_PROGRAM)
            self.node.accounts[str(one)] = stored(mint(), TOKEN_PROGRAM)
        self.node.accounts[str(address)] = stored(bytes(data), CPMM_PROGRAM)
        self.pools.append(LivePool(venue, market.base.mint, market.quote.mint, str(address)))
        return address
