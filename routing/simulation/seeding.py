"""How deep the simulated pools are. A venue's first quote of a market makes its pool."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import log, log1p
from typing import Protocol

from routing.pools.bins import BPS, ONE, Bin, price_of_bin
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import MAX_U64
from routing.pools.volatility import BinParameters, Volatility
from routing.simulation.arbitrage import nearest_bin
from routing.simulation.pool import CONSTANT_PRODUCT, AnyPool, Price
from routing.tokens import USDC, Market, Token

MOST_ATOMS = MAX_U64 // 8
"""The most of each token in a new pool, so that swaps have room in the program's 64 bits."""

MAPPED_BINS = 35_840
"""The program maps where liquidity is for so many bins below the price 1, and as many above it."""

BIN_STEPS = (10, 20, 25, 50, 80, 100)
"""The program's steps, in bps, with which few enough bins reach as far as prices wander."""

RANGE_BPS = 2_000
"""How far the bins of a pool reach each way, in bps."""

MOST_BASE_FACTOR = 2**16 - 1
MOST_MOVEMENT = 350_000 * 20
"""The movement of the price that still counts, in hundred-millionths: 7 %."""


class NewPool(Protocol):
    def __call__(self, atoms_x: int, atoms_y: int, /) -> AnyPool:
        """Return a pool of about so many base and quote atoms. Their ratio is its price."""
        ...


def depth_in_atoms(
    market: Market, markets: Iterable[Market], price: Price, dollars: int
) -> tuple[int, int]:
    """Return how many atoms of base and quote are worth `dollars` each, at `price`.

    If one of them is too large, both are smaller. A token's value follows from the markets'
    reference prices against USDC. For a token without such a market, a unit counts as a dollar.
    """
    quote = Fraction(dollars) / dollar_price(market.quote, markets) * 10**market.quote.decimals
    base = quote * price.base_atoms / price.quote_atoms
    shrink = min(Fraction(1), MOST_ATOMS / max(base, quote))
    return int(base * shrink), int(quote * shrink)


def dollar_price(token: Token, markets: Iterable[Market]) -> Fraction:
    """Return the value of one whole token in USDC; 1 if no market says."""
    for market in markets:
        if market.base.mint == token.mint and market.quote.mint == USDC.mint:
            return Fraction(market.reference_price)
    return Fraction(1)


def bin_ids(bin_step: int) -> range:
    """Return the bins whose price fits into 64.64 fixed point with a few digits to spare."""
    most = min(int(log(2**60) / log1p(bin_step / BPS)), MAPPED_BINS)
    return range(-most, most)


def pool_like(kind: str, fee_bps: Decimal, bin_step: int) -> NewPool:
    """Return a maker of pools of this kind with such a fee; `bin_step` is for pools of bins.

    :raises ValueError: the program has no such fee. The message says so to people.
    """
    if kind == CONSTANT_PRODUCT:
        return constant_product(trade=int(fee_bps * 100))
    return liquidity_bins(bin_parameters(fee_bps, bin_step), each_way=RANGE_BPS // bin_step)


def bin_parameters(fee_bps: Decimal, bin_step: int) -> BinParameters:
    """Return a pool's parameters for this base fee. Movement costs as much more as in `STEP_20`.

    :raises ValueError: no base factor of the program makes this fee.
    """
    factor, power = fee_bps * BPS / bin_step, 0
    while factor > MOST_BASE_FACTOR:
        factor, power = factor / 10, power + 1
    if factor != int(factor):
        raise ValueError(f"Bins of {bin_step} bps cannot have just this fee.")
    return replace(
        STEP_20,
        bin_step=bin_step,
        base_factor=int(factor),
        base_fee_power_factor=power,
        max_volatility_accumulator=STEP_20.max_volatility_accumulator
        * STEP_20.bin_step
        // bin_step,
    )


def constant_product(trade: int) -> NewPool:
    """Return a maker of Raydium CPMM pools with this fee, in millionths."""
    rates = FeeRates(trade=trade, protocol=120_000, fund=40_000)
    return lambda atoms_x, atoms_y: ConstantProductPool(atoms_x, atoms_y, rates)


def liquidity_bins(
    parameters: BinParameters, each_way: int
) -> Callable[[int, int], LiquidityBinPool]:
    """Return a maker of Meteora DLMM pools, spot-shaped: each bin holds the same amount.

    `each_way`: how many bins there are on each side of the active one.
    """

    def new_pool(atoms_x: int, atoms_y: int) -> LiquidityBinPool:
        step = parameters.bin_step
        active = nearest_bin(step, bin_ids(step), (atoms_y << 64) // atoms_x)
        share = atoms_x // each_way
        bins = []
        for bin_id in range(active - each_way, active + each_way + 1):
            worth = share * price_of_bin(step, bin_id) // ONE
            bins.append(Bin(bin_id, share * (bin_id >= active), worth * (bin_id <= active)))
        at_rest = Volatility(accumulator=0, reference=0, index_reference=active, last_update=0)
        return LiquidityBinPool(parameters, active, at_rest, tuple(bins))

    return new_pool


STEP_20 = BinParameters(
    bin_step=20,
    base_factor=10_000,
    filter_period=30,
    decay_period=600,
    reduction_factor=5_000,
    variable_fee_control=20_000,
    max_volatility_accumulator=MOST_MOVEMENT // 20,
    protocol_share=500,
)
"""Meteora's preset for bins of 0.2 %: a fee of 0.2 %, and more when the price moves."""
