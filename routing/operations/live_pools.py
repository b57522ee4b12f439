"""What operators do with live pools: look one up on chain and add it, or find those of a market."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from solders.pubkey import Pubkey

from routing import models, tokens
from routing.registry import look_up
from routing.solana.networks import genesis_of, is_local
from routing.solana.reading import search
from routing.solana.reading.search import FoundPool, NotAPool
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider, RpcError, RpcUnavailable

MOST_OF_A_VENUE = 3
"""Of each market: a quote reads all of them."""
CLUSTER = "the local cluster"
"""By whom a release adds pools, as the admin shows it."""

Answer = TypeVar("Answer")


class CannotAdd(Exception):
    """It is no pool that could be traded in, for this reason."""


class NoNode(Exception):
    """No provider answers, or none answers such a question. Trying again may help."""


def look_at(urls: Sequence[str], market: models.Market, address: str) -> FoundPool:
    """Return the pool at an address, as it is on chain.

    :raises CannotAdd: it is no pool of this market that could be traded in.
    :raises NoNode: it cannot be looked up.
    """
    try:
        key = Pubkey.from_string(address)
        return _ask(urls, lambda client: search.look_at(client, key, _market_of(market)))
    except (NotAPool, ValueError) as fault:
        raise CannotAdd(str(fault)) from fault


def find_pools(urls: Sequence[str], market: models.Market) -> list[FoundPool]:
    """Return the open pools of a market, by venue, those that hold most first.

    :raises NoNode: they cannot be searched for.
    """
    return _ask(urls, lambda client: search.find_pools(client, _market_of(market)))


def store_found(
    market: models.Market, found: Iterable[FoundPool], by: str, most: int = MOST_OF_A_VENUE
) -> list[models.LivePool]:
    """Store the first `most` pools of each venue, and return those that were not known.

    It may run twice. A pool that an operator has switched off stays so, and counts.
    """
    added = []
    for one in _first(found, most):
        row, is_new = models.LivePool.objects.get_or_create(
            address=one.pool.address,
            defaults={"venue": one.pool.venue, "market": market, "added_by": by},
        )
        if is_new:
            added.append(row)
    return added


def store_pools_of_cluster(urls: Sequence[str]) -> list[models.LivePool]:
    """Store all pools of a local cluster, where all are ours; none of other networks.

    :raises NoNode: the network does not answer.
    """
    if not _ask(urls, _is_cluster):
        return []
    return [
        row
        for market in models.Market.objects.all()
        for row in store_found(market, find_pools(urls, market), CLUSTER)
    ]


def _first(found: Iterable[FoundPool], most: int) -> Iterator[FoundPool]:
    for _, of_venue in groupby(found, lambda one: one.pool.venue):
        yield from list(of_venue)[:most]


async def _is_cluster(client: RpcClient) -> bool:
    return all([is_local(await genesis_of(one)) for one in client.providers])


def _ask(urls: Sequence[str], question: Callable[[RpcClient], Awaitable[Answer]]) -> Answer:
    async def asked() -> Answer:
        client = RpcClient([Provider(url) for url in urls])
        try:
            return await question(client)
        finally:
            await client.close()

    try:
        return asyncio.run(asked())
    except (RpcUnavailable, RpcError) as error:
        raise NoNode(str(error)) from error


def _market_of(row: models.Market) -> tokens.Market:
    return look_up(lambda known: known.market(known.token(row.base_id), known.token(row.quote_id)))
