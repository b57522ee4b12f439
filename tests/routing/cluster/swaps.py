"""Swaps in the cluster's pools as a wallet makes them, and the pools as mathematics see them."""

from typing import NamedTuple

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.cluster.genesis.accounts import Pools, mint_of, pools
from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.solana.addresses import associated_token_account
from routing.solana.cpmm import instructions as cpmm
from routing.solana.cpmm.accounts import read_config, read_pool
from routing.solana.cpmm.pools import pool_of
from routing.solana.dlmm import addresses
from routing.solana.dlmm import instructions as dlmm
from routing.solana.dlmm.bin_arrays import arrays_with_liquidity, read_bin_array
from routing.solana.dlmm.lb_pair import read_lb_pair
from routing.solana.dlmm.pools import pool_of_bins
from routing.solana.swap_amounts import SwapAmounts
from tests.support.local_cluster import Client


class Accounts(NamedTuple):
    """The user's token accounts of a swap's two sides."""

    base: Pubkey
    quote: Pubkey


def market(name: str) -> Pools:
    (found,) = [one for one in pools() if one.market.name == name]
    return found


def own_accounts(node: Client, one: Pools) -> Accounts:
    tokens = one.market.base, one.market.quote
    return Accounts(*(associated_token_account(node.owner, mint_of(token)) for token in tokens))


async def cpmm_pool(node: Client, one: Pools) -> ConstantProductPool:
    account = read_pool(await node.data(one.cpmm))
    config = read_config(await node.data(account.config))
    return pool_of(
        account,
        config,
        vault_0=await node.tokens(account.vault_0),
        vault_1=await node.tokens(account.vault_1),
        now=int(node.time.now),
    )


async def dlmm_pool(node: Client, one: Pools) -> LiquidityBinPool:
    account = read_lb_pair(await node.data(one.pair))
    arrays = [
        read_bin_array(await node.data(addresses.bin_array(one.pair, index)))
        for index in arrays_with_liquidity(account.bitmap)
    ]
    bins = (one for array in arrays for one in array.bins)
    pool = pool_of_bins(account, bins, slot=0, now=int(node.time.now))
    assert isinstance(pool, LiquidityBinPool)
    return pool


async def in_cpmm(
    node: Client, one: Pools, amounts: SwapAmounts, *, sells: bool, user: Accounts | None = None
) -> Instruction:
    account = read_pool(await node.data(one.cpmm))
    user = user or own_accounts(node, one)
    base_is_0 = account.mint_0 == mint_of(one.market.base)
    user_in, user_out = user if sells else reversed(user)
    return cpmm.swap(
        cpmm.PoolAt(one.cpmm, account),
        amounts,
        from_0=base_is_0 is sells,
        user=node.owner,
        user_in=user_in,
        user_out=user_out,
    )


async def in_dlmm(
    node: Client,
    one: Pools,
    amounts: SwapAmounts,
    *,
    sells: bool,
    user: Accounts | None = None,
    arrays: list[int] | None = None,
) -> Instruction:
    account = read_lb_pair(await node.data(one.pair))
    user = user or own_accounts(node, one)
    user_in, user_out = user if sells else reversed(user)
    if arrays is None:
        arrays = arrays_with_liquidity(account.bitmap)
        arrays.sort(reverse=sells)
    return dlmm.swap(
        dlmm.PairAt(one.pair, account),
        amounts,
        arrays,
        to_y=sells,
        user=node.owner,
        user_in=user_in,
        user_out=user_out,
    )
