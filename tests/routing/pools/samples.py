"""Pools for tests and the benchmark: arbitrary ones, and two that look like real markets."""

from collections.abc import Callable

from hypothesis import strategies as st

from routing.pools.bins import ONE, Bin, input_for, price_of_bin
from routing.pools.constant_product import ConstantProductPool, CreatorFeeOn, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import MAX_U64, Direction, Fill, SwapRefused
from routing.pools.volatility import BinParameters, CollectFeeMode, Volatility

NOW = 1_760_000_000
SOL = 10**9

RAYDIUM = ConstantProductPool(
    vault_x=66_666_666_666_667,
    vault_y=10_000_000_000_000,
    rates=FeeRates(trade=2_500, protocol=120_000, fund=40_000),
)
"""66,667 SOL and 10 million USDC, at 0.25 %."""

STEP_10 = BinParameters(
    bin_step=10,
    base_factor=10_000,
    filter_period=30,
    decay_period=600,
    reduction_factor=5_000,
    variable_fee_control=40_000,
    max_volatility_accumulator=350_000,
    protocol_share=500,
)
AT_REST = Volatility(
    accumulator=0, reference=0, index_reference=-1_898, last_update=NOW - STEP_10.decay_period
)


def curve_bins(active_id: int, each_way: int, most: int) -> tuple[Bin, ...]:
    """Return `most` atoms of x in the middle, less and less outward; below, their worth in y."""
    bins = []
    for bin_id in range(active_id - each_way, active_id + each_way + 1):
        amount_x = most * (each_way + 1 - abs(bin_id - active_id)) // (each_way + 1)
        amount_y = amount_x * price_of_bin(STEP_10.bin_step, bin_id) // ONE
        bins.append(Bin(bin_id, amount_x * (bin_id >= active_id), amount_y * (bin_id <= active_id)))
    return tuple(bins)


METEORA = LiquidityBinPool(STEP_10, -1_898, AT_REST, curve_bins(-1_898, 60, 100 * SOL))
"""121 bins of 0.1 % around 150 USDC a SOL, 100 SOL each in the middle."""


directions = st.sampled_from(Direction)
amounts = st.one_of(
    st.integers(1, 1_000),
    st.integers(1, 10**7),
    st.integers(1, 10**14),
    st.integers(1, MAX_U64),
)


@st.composite
def constant_product_pools(draw: st.DrawFn) -> ConstantProductPool:
    reserves = st.one_of(st.integers(1, 1_000), st.integers(1, 10**15), st.integers(1, MAX_U64))
    protocol = draw(st.integers(0, 500_000))
    rates = FeeRates(
        trade=draw(st.integers(1, 100_000)),
        protocol=protocol,
        fund=draw(st.integers(0, 500_000)),
        creator=draw(st.sampled_from([0, 500, 14_950])),
        creator_fee_on=draw(st.sampled_from(CreatorFeeOn)),
    )
    return ConstantProductPool(draw(reserves), draw(reserves), rates)


@st.composite
def bin_pools(draw: st.DrawFn) -> LiquidityBinPool:
    """Pools of a few bins, some empty or missing, in any state of volatility."""
    active_id = draw(st.integers(-2_000, 2_000))
    ids = draw(st.sets(st.integers(-9, 9), min_size=6))
    most = draw(st.sampled_from([100, 10**6, 10**13]))
    liquidity = st.integers(-most // 4, most).map(lambda amount: max(amount, 0))  # some empty
    bins = []
    for bin_id in sorted(active_id + distance for distance in ids):
        amount_x = draw(liquidity) if bin_id >= active_id else 0
        amount_y = draw(liquidity) if bin_id <= active_id else 0
        bins.append(Bin(bin_id, amount_x, amount_y))
    parameters = BinParameters(
        bin_step=draw(st.sampled_from([1, 4, 10, 25])),
        base_factor=draw(st.sampled_from([0, 10_000, 60_000])),
        filter_period=30,
        decay_period=600,
        reduction_factor=draw(st.integers(0, 10_000)),
        variable_fee_control=draw(st.sampled_from([0, 40_000, 2_000_000])),
        max_volatility_accumulator=350_000,
        protocol_share=draw(st.integers(0, 2_500)),
        collect_fee_mode=draw(st.sampled_from(CollectFeeMode)),
    )
    return LiquidityBinPool(parameters, active_id, draw(volatilities(active_id)), tuple(bins))


@st.composite
def bin_swaps(draw: st.DrawFn) -> tuple[LiquidityBinPool, str, int, Direction]:
    """A pool, `exact_in` or `exact_out`, an amount that its bins can mostly fill, a direction."""
    pool = draw(bin_pools())
    way = draw(directions)
    kind = draw(st.sampled_from(["exact_in", "exact_out"]))
    to_y = way is Direction.X_TO_Y
    held = [bin_.amount_y if to_y else bin_.amount_x for bin_ in pool.bins]
    if kind == "exact_in":
        prices = [price_of_bin(pool.parameters.bin_step, bin_.id) for bin_ in pool.bins]
        held = [input_for(out, price, to_y) for out, price in zip(held, prices, strict=True)]
    return pool, kind, draw(st.integers(1, sum(held) * 11 // 10 + 1)), way


@st.composite
def volatilities(draw: st.DrawFn, active_id: int) -> Volatility:
    return Volatility(
        accumulator=draw(st.integers(0, 350_000)),
        reference=draw(st.integers(0, 350_000)),
        index_reference=active_id + draw(st.integers(-40, 40)),
        last_update=NOW - draw(st.sampled_from([0, 29, 30, 599, 600])),
    )


def filled(quote: Callable[[int, Direction, int], Fill], amount: int, direction: Direction) -> Fill:
    """Return the quote at `NOW`, or one of nothing for nothing if the pool refuses."""
    try:
        return quote(amount, direction, NOW)
    except SwapRefused:
        return Fill(0, 0, 0, 0, 0, 0)
