import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.pools.bins import ONE, price_of_bin
from routing.pools.constant_product import ConstantProductPool
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction
from routing.simulation.arbitrage import MEMORY, STEP, Arbitrage, moments, move_to
from routing.simulation.pool import AnyPool, PoolKey, Price, SimulatedPool
from routing.simulation.price import MILLION, seeded_walk
from routing.simulation.seeding import STEP_20, constant_product, liquidity_bins

NOW = 1_760_000_000
REFERENCE = Price(1, 10)  # 100 USDC for a SOL
RAYDIUM = constant_product(3_000)(10**14, 10**13)
METEORA = liquidity_bins(STEP_20, 100)(10**14, 10**13)
POOLS = {"raydium": RAYDIUM, "meteora": METEORA}
ARBITRAGE = Arbitrage("7", seeded_walk("7", 200), {"raydium": (980_000, 1_020_000)}, flow=100)

pools = st.sampled_from(sorted(POOLS))
millionths = st.integers(850_000, 1_180_000)


def held(venue: str, tick: int = NOW) -> SimulatedPool:
    return SimulatedPool(PoolKey(venue, "base", "quote"), REFERENCE, POOLS[venue], tick)


def price_of(pool: AnyPool) -> float:
    spot = pool.spot(Direction.X_TO_Y)
    return spot.atoms_out / spot.atoms_in * 10


@given(pools, millionths, millionths)
def test_a_pool_is_moved_to_the_price_wherever_it_stood(venue: str, one: int, other: int) -> None:
    """A pool of bins to the nearest bin; the other but for the fees, which it keeps."""
    pool = POOLS[venue]
    for target in (one, other):
        pool = move_to(pool, Price(target, 10 * MILLION), NOW)
        off = price_of(pool) / (target / MILLION) - 1
        assert abs(off) <= (0.001_01 if venue == "meteora" else 0.000_6)


@given(st.lists(millionths, min_size=1, max_size=6))
def test_arbitrage_never_takes_from_what_the_pool_is_worth(targets: list[int]) -> None:
    pool: AnyPool = RAYDIUM
    for target in targets:
        after = move_to(pool, Price(target, 10 * MILLION), NOW)
        assert isinstance(pool, ConstantProductPool)
        assert isinstance(after, ConstantProductPool)
        assert after.reserve_x * after.reserve_y >= pool.reserve_x * pool.reserve_y
        pool = after


@given(pools)
def test_a_price_beyond_the_bins_moves_the_pool_as_far_as_it_goes(venue: str) -> None:
    for target in (100_000, 10 * MILLION):
        after = move_to(POOLS[venue], Price(target, 10 * MILLION), NOW)
        assert (price_of(after) < price_of(POOLS[venue])) is (target < MILLION)


@given(pools, st.integers(0, 5_000))
def test_followers_of_the_same_pool_agree(venue: str, seconds: int) -> None:
    one = ARBITRAGE.pool_at(held(venue), NOW + seconds)
    assert one == ARBITRAGE.pool_at(held(venue), NOW + seconds)
    assert one.tick == NOW + seconds
    assert ARBITRAGE.pool_at(one, NOW + seconds) is one
    assert ARBITRAGE.pool_at(one, NOW) is one


@given(pools, st.integers(1, 5_000))
def test_a_follower_is_near_the_market(venue: str, seconds: int) -> None:
    """As near as bins are apart, and as far as others' trades take it."""
    after = ARBITRAGE.pool_at(held(venue), NOW + seconds)
    target = ARBITRAGE.target(after, NOW + seconds)
    off = price_of(after.pool) / (target.quote_atoms / target.base_atoms * 10) - 1
    assert abs(off) < 0.003_5


def test_others_trade_where_prices_move() -> None:
    quiet = Arbitrage("7", seeded_walk("7", 0), {}, flow=0)
    assert quiet.pool_at(held("raydium"), NOW + 60).pool == RAYDIUM
    loud = Arbitrage("7", seeded_walk("7", 0), {}, flow=1_000)
    seen = {loud.pool_at(held("raydium"), NOW + n).pool for n in range(1, 20)}
    assert len(seen) == 19


def test_the_fee_of_bins_forgets_a_movement_that_is_over() -> None:
    """Else the first quote after an idle hour would pay for the hour's whole movement."""
    far = Arbitrage(
        "7", lambda mint, now: MILLION * 110 // 100 if mint == "base" else MILLION, {}, 0
    )
    fees = []
    for seconds in (1, 3_600):
        pool = far.pool_at(held("meteora"), NOW + seconds).pool
        fill = pool.quote_exact_in(10**9, Direction.X_TO_Y, NOW + seconds)
        fees.append((fill.amount_in - fill.net_in) / fill.amount_in)

    assert fees[0] > 0.003
    assert fees[1] == pytest.approx(0.002, abs=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 100_000))
def test_moments_are_few_in_order_and_end_now(tick: int, seconds: int) -> None:
    now = tick + seconds
    found = list(moments(tick, now))

    assert found == sorted(set(found))
    assert tick < found[0]
    assert found[-1] == now
    assert len(found) <= MEMORY // STEP + 2


def test_new_bins_are_worth_the_same_on_both_sides_and_cover_a_fifth_either_way() -> None:
    assert isinstance(METEORA, LiquidityBinPool)
    assert len(METEORA.bins) == 201
    lowest, highest = (price_of_bin(20, METEORA.bins[end].id) / ONE * 10 for end in (0, -1))
    assert lowest < 0.826
    assert highest > 1.21
    assert METEORA.vault_x / 10 == pytest.approx(METEORA.vault_y, rel=0.15)
