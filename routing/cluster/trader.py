"""Moves the prices of the cluster's pools, as arbitrage does: by swaps of its own wallet."""

from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.cluster.bank import send
from routing.cluster.chain import Chain
from routing.cluster.genesis.accounts import Pools, pools
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import MAX_U64, Direction, Pool
from routing.simulation.arbitrage import Arbitrage, move_to
from routing.simulation.pool import AnyPool, PoolKey, Price, SimulatedPool
from routing.simulation.price import seeded_walk
from routing.simulation.trial import reference_of
from routing.solana.addresses import associated_token_account
from routing.solana.cpmm import instructions as cpmm
from routing.solana.cpmm.accounts import read_config, read_pool
from routing.solana.cpmm.pools import pool_of
from routing.solana.dlmm import addresses
from routing.solana.dlmm import instructions as dlmm
from routing.solana.dlmm.bin_arrays import arrays_ahead, arrays_with_liquidity, read_bin_array
from routing.solana.dlmm.lb_pair import read_lb_pair
from routing.solana.dlmm.pools import pool_of as pool_of_arrays
from routing.solana.programs.compute_budget import limit, price
from routing.solana.swap_amounts import SwapAmounts, exact_in, exact_out
from routing.solana.token_accounts import read_token_account
from routing.tokens import USDC, USDT, Market

RANGES = {"raydium": (997_000, 1_003_000), "meteora": (997_000, 1_003_000)}
"""How far the venues' prices are from the market's, in millionths."""
LEAST_MOVE_BPS = 5
"""It leaves a price alone that is nearer than this to its goal."""
MOST_ARRAYS = 6
UNITS, UNIT_PRICE = 600_000, 1_000
STABLE = frozenset({USDC.mint, USDT.mint})


class Order(NamedTuple):
    """A swap that brings a pool to its price."""

    amounts: SwapAmounts
    from_x: bool


def prices(seed: str, volatility: int) -> Arbitrage:
    """Return the walk of all prices; `volatility` in millionths, of a second."""
    return Arbitrage(seed, seeded_walk(seed, volatility, STABLE), RANGES, flow=0)


def market_price(arbitrage: Arbitrage, market: Market, now: int) -> Price:
    """Return a market's price: quote atoms for base atoms."""
    reference = reference_of(market)
    return Price(
        reference.quote_atoms * arbitrage.price_of(market.base.mint, now),
        reference.base_atoms * arbitrage.price_of(market.quote.mint, now),
    )


class Trader:
    """Looks at one pool after the other. Its bounds are wide: it takes what it gets."""

    def __init__(self, chain: Chain, keypair: Keypair, arbitrage: Arbitrage) -> None:
        self._chain = chain
        self._keypair = keypair
        self._arbitrage = arbitrage
        self._turns = cycle(list(self._all_turns()))

    def trade(self, now: int) -> None:
        """Bring the next pool to its price at `now`, if it is far from it."""
        venue, one = next(self._turns)
        swap = self._in_cpmm(one, now) if venue == "raydium" else self._in_dlmm(one, now)
        if swap is not None:
            send(self._chain, self._keypair, [limit(UNITS), price(UNIT_PRICE), swap])

    def _all_turns(self) -> Iterator[tuple[str, Pools]]:
        for one in pools():
            yield "raydium", one
            yield "meteora", one

    def _in_cpmm(self, one: Pools, now: int) -> Instruction | None:
        account = read_pool(self._data(one.cpmm))
        pool = pool_of(
            account,
            read_config(self._data(account.config)),
            vault_0=self._atoms(account.vault_0),
            vault_1=self._atoms(account.vault_1),
            now=now,
        )
        target = self._target("raydium", one.market, pool, now)
        if str(account.mint_0) != one.market.base.mint:
            target = Price(target.base_atoms, target.quote_atoms)
        order = order_to(pool, target, now)
        if order is None:
            return None
        mints = account.mint_0, account.mint_1
        mint_in, mint_out = mints if order.from_x else reversed(mints)
        return cpmm.swap(
            cpmm.PoolAt(one.cpmm, account),
            order.amounts,
            from_0=order.from_x,
            user=self._keypair.pubkey(),
            user_in=self._own(mint_in),
            user_out=self._own(mint_out),
        )

    def _in_dlmm(self, one: Pools, now: int) -> Instruction | None:
        account = read_lb_pair(self._data(one.pair))
        indexes = arrays_with_liquidity(account.bitmap)
        arrays = [
            read_bin_array(self._data(addresses.bin_array(one.pair, index))) for index in indexes
        ]
        pool = pool_of_arrays(account, arrays, slot=self._chain.slot, now=now)
        if not isinstance(pool, LiquidityBinPool):  # with limit orders: not the genesis' pair
            return None
        order = order_to(pool, self._target("meteora", one.market, pool, now), now)
        if order is None:
            return None
        mints = account.mint_x, account.mint_y
        mint_in, mint_out = mints if order.from_x else reversed(mints)
        return dlmm.swap(
            dlmm.PairAt(one.pair, account),
            order.amounts,
            arrays_ahead(
                account.active_id, account.bitmap, None, to_y=order.from_x, count=MOST_ARRAYS
            ),
            to_y=order.from_x,
            user=self._keypair.pubkey(),
            user_in=self._own(mint_in),
            user_out=self._own(mint_out),
        )

    def _target(self, venue: str, market: Market, pool: AnyPool, now: int) -> Price:
        key = PoolKey.of(venue, market)
        return self._arbitrage.target(SimulatedPool(key, reference_of(market), pool, now), now)

    def _data(self, address: Pubkey) -> bytes:
        return self._chain.machine.accounts.existing(address).data

    def _atoms(self, vault: Pubkey) -> int:
        return read_token_account(self._data(vault)).amount

    def _own(self, mint: Pubkey) -> Pubkey:
        return associated_token_account(self._keypair.pubkey(), mint)


def order_to(pool: AnyPool, target: Price, now: int) -> Order | None:
    """Return the swap that brings the pool to a price (y atoms for x atoms); None if it is near."""
    if not _is_far(pool, target):
        return None
    after = move_to(pool, target, now)
    moved_x, moved_y = after.vault_x - pool.vault_x, after.vault_y - pool.vault_y
    if not moved_x or not moved_y:
        return None
    if isinstance(pool, LiquidityBinPool):
        return Order(exact_out(max(-moved_x, -moved_y), MAX_U64), from_x=moved_y < 0)
    return Order(exact_in(max(moved_x, moved_y), 0), from_x=moved_x > 0)


def _is_far(pool: Pool, target: Price) -> bool:
    spot = pool.spot(Direction.X_TO_Y)
    have, want = spot.atoms_out * target.base_atoms, target.quote_atoms * spot.atoms_in
    return abs(have - want) * 10_000 > want * LEAST_MOVE_BPS
