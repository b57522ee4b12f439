"""Tries in memory whether orders could trade in a simulated pool before it is made.

It finds prices that leave 64 bits, bins beyond the program's range, and tokens of too few atoms. A
person learns of them now. Otherwise the first order would.
"""

from collections.abc import Iterator

from routing.pools.pool import SwapRefused
from routing.pricing import atoms_ratio, pool_quote
from routing.quoting import UnusableQuote, check_price
from routing.simulation.pool import AnyPool, Price, direction
from routing.simulation.seeding import MOST_ATOMS, NewPool
from routing.tokens import Market
from routing.venue import InsufficientLiquidity, Liquidity, Side, Swap

SHARE = 100
"""The trial trades one atom in so many."""

TOLERANCE_BPS = 500
"""How far that may be from the reference price. Prices wander further, and must stay usable."""


class NotTradable(ValueError):
    """Orders would find no price in such a pool. The message says why. Another depth may help."""


def reference_of(market: Market) -> Price:
    return Price(*atoms_ratio(market, market.reference_price))


def quote_depth_in_atoms(market: Market, quote_atoms: int) -> tuple[int, int]:
    """Return a depth in atoms of base and quote, at the reference price."""
    price = reference_of(market)
    return quote_atoms * price.base_atoms // price.quote_atoms, quote_atoms


def try_pool(market: Market, new_pool: NewPool, depth: tuple[int, int]) -> AnyPool:
    """Return the new pool, after a trial. `depth` is in atoms of base and quote.

    :raises NotTradable: it cannot be made, or its quotes would be refused or dropped.
    """
    for atoms, token in zip(depth, (market.base, market.quote), strict=True):
        if atoms < SHARE:
            raise NotTradable(f"That would be only {atoms} atoms of {token.symbol}.")
        if atoms > MOST_ATOMS:
            most = token.to_text(MOST_ATOMS)
            raise NotTradable(f"A pool has room for {most} {token.symbol} at most.")
    try:
        pool = new_pool(*depth)
        for swap in _trials(market, pool):
            liquidity = Liquidity("", pool, direction(swap.side), 0)
            check_price(swap, pool_quote("the pool", swap, liquidity), TOLERANCE_BPS)
    except (SwapRefused, InsufficientLiquidity) as refused:
        raise NotTradable(f"It could not be traded in: {refused or 'out of range'}.") from refused
    except UnusableQuote as unusable:
        raise NotTradable(f"It would be priced too coarsely: {unusable}.") from unusable
    return pool


def _trials(market: Market, pool: AnyPool) -> Iterator[Swap]:
    base, quote = max(pool.vault_x // SHARE, 1), max(pool.vault_y // SHARE, 1)
    yield Swap(market, Side.SELL, amount_in=base)
    yield Swap(market, Side.BUY, amount_in=quote)
    yield Swap(market, Side.SELL, amount_out=quote)
    yield Swap(market, Side.BUY, amount_out=base)
