"""The live venues on one network, with a wallet or without."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from solders.pubkey import Pubkey

from routing.solana.networks import NetworkCheck
from routing.solana.reading.known import LivePool
from routing.solana.reading.memory import PoolsInMemory
from routing.solana.reading.prices import Feeds, LivePrices
from routing.solana.reading.reader import PoolReader
from routing.solana.records.agreement import Agreement, Tell
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.network import SolanaNetwork
from routing.solana.rpc.provider import Provider
from routing.solana.transactions.costs import FeePolicy
from routing.solana.wallet.allowance import Allowance
from routing.solana.wallet.signer import Signer
from routing.solana.wallet.wallet import Terms, Wallet
from routing.solana.wallet.worth import Worth, WorthByReferences
from routing.tokens import Registry
from routing.venues import LABELS, Exchange
from routing.venues.live.building import Builder
from routing.venues.live.venue import LiveVenue


class Listed(Protocol):
    """A pool that may be traded in: a row of the operators' list."""

    @property
    def venue(self) -> str: ...

    @property
    def base(self) -> str: ...

    @property
    def quote(self) -> str: ...

    @property
    def address(self) -> str: ...


class LiveSettings(NamedTuple):
    rpc_urls: tuple[str, ...]
    """The providers of JSON-RPC. What all of them prove is proven."""
    price_feeds: Mapping[str, str] = {}
    """Price accounts by mint."""
    send_urls: tuple[str, ...] = ()
    """Services that only take transactions."""


class Purse(NamedTuple):
    """What a process needs that signs."""

    signer: Signer
    allowance: Allowance
    terms: Terms = Terms(FeePolicy(least_price=1_000, most_lamports=1_000_000))
    has_limits: bool = False
    """Whether what an order is worth has to be known."""
    is_live: bool = False
    """Whether it may sign for another network than a local cluster."""


@dataclass(frozen=True, slots=True)
class LiveExchange(Exchange):
    pools: PoolsInMemory | None = None
    builder: Builder | None = None
    wallet: Wallet | None = None
    client: RpcClient | None = None

    async def close(self) -> None:
        """See `Exchange.close`."""
        if self.builder is not None:
            await self.builder.close()
        if self.pools is not None:
            await self.pools.close()
        await self.network.close()


def live_exchange(
    chosen: LiveSettings,
    listed: Callable[[], Sequence[Listed]],
    registry: Callable[[], Registry],
    purse: Purse | None = None,
    now: Callable[[], float] | None = None,
    tell: Tell | None = None,
) -> LiveExchange:
    """Return the live venues, in the order in which they are asked. For one asyncio loop.

    `listed` returns the pools that may be traded in. Without a purse nothing is built or signed.
    `now` is our clock, in unix seconds, which the chain's may not be far behind. `tell` is told of
    each fill that differs from what was calculated.

    :raises ValueError: there is no provider, or an address that is none.
    """
    senders = [Provider(url) for url in chosen.send_urls]
    client = RpcClient([Provider(url) for url in chosen.rpc_urls], senders)
    agreement = None if tell is None else Agreement(tell)
    tip = purse.terms.tip if purse is not None else None
    network = SolanaNetwork(
        client,
        tip_receivers=(tip.receiver,) if tip else (),
        on_landed=agreement.landed if agreement else None,
    )
    places = {mint: Pubkey.from_string(one) for mint, one in chosen.price_feeds.items()}
    feeds = Feeds(places)
    pools = PoolsInMemory(PoolReader(client), _known(listed), beside=feeds.beside, now=now)
    references = LivePrices(pools, registry, feeds)
    wallet = builder = None
    if purse is not None:
        worth = WorthByReferences(registry, references) if purse.has_limits else None
        wallet = _wallet(purse, client, network, worth)
        builder = Builder(client, pools, wallet, agreement)
    venues = tuple(LiveVenue(name, label, pools, builder) for name, label in LABELS.items())
    return LiveExchange(venues, network, references, True, pools, builder, wallet, client)


def _wallet(purse: Purse, client: RpcClient, network: SolanaNetwork, worth: Worth | None) -> Wallet:
    return Wallet(
        purse.signer,
        client=client,
        blockhash=network.blockhash,
        network=NetworkCheck(client.providers, is_live=purse.is_live),
        allowance=purse.allowance,
        worth=worth,
        terms=purse.terms,
    )


def _known(listed: Callable[[], Sequence[Listed]]) -> Callable[[], Sequence[LivePool]]:
    """Return the list as pools, made anew only when it is another."""
    rows: Sequence[Listed] = ()
    pools: tuple[LivePool, ...] = ()

    def known() -> Sequence[LivePool]:
        nonlocal rows, pools
        if (latest := listed()) is not rows:
            pools = tuple(LivePool(one.venue, one.base, one.quote, one.address) for one in latest)
            rows = latest
        return pools

    return known
