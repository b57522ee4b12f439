"""The live exchange on a cluster of a test's own, whose slots go by themselves or by request."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from routing.cluster.genesis.accounts import pools
from routing.solana.reading.known import LivePool
from routing.tokens import REGISTRY
from routing.venue import Venue
from routing.venues.live.exchange import LiveExchange, LiveSettings, Purse, live_exchange
from tests.routing.solana.signers import KeyInMemory
from tests.routing.solana.wallet.desk import AllowanceInMemory
from tests.support.local_cluster import Client, local_cluster

LISTED = tuple(
    LivePool(venue, one.market.base.mint, one.market.quote.mint, str(address))
    for one in pools()
    for venue, address in (("raydium", one.cpmm), ("meteora", one.pair))
)


class Desk(NamedTuple):
    node: Client
    exchange: LiveExchange

    def venue(self, name: str) -> Venue:
        (found,) = [venue for venue in self.exchange.venues if venue.name == name]
        return found


@asynccontextmanager
async def desk(nodes: Sequence[str] = ("",), **settings: Any) -> AsyncIterator[Desk]:
    """Serve a cluster, and make an exchange with its funded wallet on these nodes of it."""
    async with local_cluster(**settings) as node:
        await node.advance(2)
        exchange = exchange_on(node, nodes)
        try:
            yield Desk(node, exchange)
        finally:
            await exchange.close()


def exchange_on(node: Client, nodes: Sequence[str] = ("",)) -> LiveExchange:
    urls = tuple(node.url_of(name) for name in nodes)
    purse = Purse(KeyInMemory(node.wallet), AllowanceInMemory())
    return live_exchange(LiveSettings(urls), lambda: LISTED, lambda: REGISTRY, purse)
