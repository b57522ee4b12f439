"""Finds the pools of a market on chain, and looks at them before they are traded in."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.pools.pool import Direction
from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM
from routing.solana.cpmm.accounts import POOL_SIZE
from routing.solana.dlmm.lb_pair import PAIR_SIZE
from routing.solana.layout import UnreadableAccount
from routing.solana.reading.known import LivePool, venue_of
from routing.solana.reading.prices import price_of, trades
from routing.solana.reading.reader import PoolReader
from routing.solana.reading.seen_pools import SeenPool, UnusablePool
from routing.solana.rpc.client import RpcClient
from routing.solana.token_accounts import read_mint
from routing.tokens import Market

MOST_LOOKED_AT = 200
"""Pools of one market. Most are empty, and a node is asked for up to ten accounts of each."""
_CPMM_MINTS, _DLMM_MINTS = (168, 200), (88, 120)


class FoundPool(NamedTuple):
    """A pool of a market that can be traded in, or could if it were open."""

    pool: LivePool
    price: Fraction
    """Whole quote tokens for a whole base token, before fees."""
    held: int
    """Quote atoms that it can pay. Of a DLMM pair, those near its price."""
    is_open: bool


class NotAPool(Exception):
    """What stands at the address cannot be traded in as a pool of this market, for this reason."""


async def pools_on_chain(client: RpcClient, market: Market) -> list[Pubkey]:
    """Return where both programs' pools of a market stand, dead ones among them.

    :raises RpcUnavailable: no provider answered.
    :raises RpcError: no provider takes such requests.
    """
    mints = [bytes(Pubkey.from_string(one.mint)) for one in (market.base, market.quote)]
    low, high = sorted(mints)
    found = list(
        await client.accounts_of(
            CPMM_PROGRAM, POOL_SIZE, dict(zip(_CPMM_MINTS, (low, high), strict=True))
        )
    )
    for sides in (mints, mints[::-1]):
        contents = dict(zip(_DLMM_MINTS, sides, strict=True))
        found += await client.accounts_of(DLMM_PROGRAM, PAIR_SIZE, contents)
    return found


async def find_pools(client: RpcClient, market: Market) -> list[FoundPool]:
    """Return the pools of a market that are open, by venue, those that hold most first.

    :raises RpcUnavailable: no provider answered.
    :raises RpcError: no provider takes such requests.
    """
    addresses = (await pools_on_chain(client, market))[:MOST_LOOKED_AT]
    looked = await _look_at(client, addresses, market)
    found = [one for one in looked.values() if isinstance(one, FoundPool) and one.is_open]
    return sorted(found, key=lambda one: (one.pool.venue, -one.held))


async def look_at(client: RpcClient, address: Pubkey, market: Market) -> FoundPool:
    """Return the pool of this market at an address.

    :raises NotAPool: there is none that could be traded in.
    :raises RpcUnavailable: no provider answered.
    """
    found = (await _look_at(client, [address], market))[address]
    if isinstance(found, FoundPool):
        return found
    raise NotAPool(found)


async def _look_at(
    client: RpcClient, addresses: Sequence[Pubkey], market: Market
) -> dict[Pubkey, FoundPool | str]:
    """Return each pool, or why it is none of this market."""
    if not addresses:
        return {}
    reader = PoolReader(client)
    seen = await reader.read(addresses)
    if reason := await _other_decimals(client, market):
        return dict.fromkeys(addresses, reason)
    return {address: _found(one, market) for address, one in seen.items()}


async def _other_decimals(client: RpcClient, market: Market) -> str:
    """Return how the mints differ from our tokens; empty if they do not."""
    tokens = market.base, market.quote
    found = await client.accounts([Pubkey.from_string(one.mint) for one in tokens])
    for token, state in zip(tokens, found.states, strict=True):
        if state is None:
            return f"there is no mint of {token.symbol}"
        try:
            decimals = read_mint(state.data).decimals
        except UnreadableAccount as error:
            return f"{token.symbol}: {error}"
        if decimals != token.decimals:
            return f"the mint of {token.symbol} has {decimals} decimals, and not {token.decimals}"
    return ""


def _found(seen: SeenPool | UnusablePool, market: Market) -> FoundPool | str:
    if isinstance(seen, UnusablePool):
        return seen.reason
    mints = frozenset((market.base.mint, market.quote.mint))
    if {str(seen.mint_x), str(seen.mint_y)} != mints:
        return "it trades other tokens"
    if not seen.is_switched_on:
        return "it is closed for swaps"
    held = seen.held(market.quote.mint)
    if not held or not seen.held(market.base.mint):
        return "it is empty"
    pool = LivePool(venue_of(seen), market.base.mint, market.quote.mint, str(seen.address))
    is_open = all(trades(seen, direction) for direction in Direction)
    return FoundPool(pool, price_of(market, seen), held, is_open)
