"""The best net prices: what no swap beats, and which pools they come from."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from routing.best_prices import (
    BestPrices,
    BidAsk,
    PriceRules,
    best_prices,
    rounded,
    rounded_down,
    rounded_up,
)
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import Direction, Pool, SwapRefused
from routing.pools.volatility import Volatility
from routing.tokens import REGISTRY, Market
from tests.routing.pools.samples import (
    METEORA,
    NOW,
    RAYDIUM,
    SOL,
    amounts,
    bin_pools,
    constant_product_pools,
    directions,
)
from tests.support.venue_stubs import NOW as SHOWN_AT
from tests.support.venue_stubs import PoolVenue, StubVenue

RULES = PriceRules(max_deviation_bps=2_000, max_age=3, timeout=1)
FEE = FeeRates(trade=3_000, protocol=0, fund=0)
NAMES = ("SOL", "USDC", "USDT", "JUP", "RAY")
ANY_POOL = constant_product_pools() | bin_pools()


def market(name: str) -> Market:
    base, quote = map(REGISTRY.token, name.split("/"))
    return REGISTRY.market(base, quote)


def pool_at(price: str, name: str = "SOL/USDC", rates: FeeRates = FEE) -> ConstantProductPool:
    """Return a pool with this price before fees."""
    traded = market(name)
    base, quote = 10**6 * 10**traded.base.decimals, 10**6 * 10**traded.quote.decimals
    return ConstantProductPool(base, int(quote * Decimal(price)), rates)


async def prices_of(name: str, *venues: Any, now: int = SHOWN_AT) -> BestPrices:
    return (await best_prices([market(name)], venues, now, RULES))[name]


def less_fee(price: str) -> Fraction:
    return Fraction(price) * Fraction(997, 1000)


def with_fee(price: str) -> Fraction:
    return Fraction(price) / Fraction(997, 1000)


# One pool


@given(ANY_POOL, amounts, directions)
def test_no_swap_nets_more_than_the_price_of_the_next_atom(
    pool: ConstantProductPool | LiquidityBinPool, amount: int, way: Direction
) -> None:
    for quote in (pool.quote_exact_in, pool.quote_exact_out):
        try:
            fill = quote(amount, way, NOW)
        except SwapRefused:
            continue
        net = pool.next_atom(way, NOW).net
        assert fill.amount_out * net.atoms_in <= fill.amount_in * net.atoms_out


@given(constant_product_pools(), st.integers(1, 10**12), directions)
def test_a_small_swap_nets_the_price_of_the_next_atom_but_for_impact_and_rounding(
    pool: ConstantProductPool, amount: int, way: Direction
) -> None:
    spot, net = pool.next_atom(way)
    try:
        fill = pool.quote_exact_in(amount, way)
    except SwapRefused:
        assume(False)
    at_net = Fraction(net.atoms_out, net.atoms_in) * amount
    after_impact = at_net * spot.atoms_in / (spot.atoms_in + amount)
    rounding = 2 + 2 * Fraction(spot.atoms_out, spot.atoms_in)
    assert after_impact - rounding <= fill.amount_out


@given(bin_pools(), directions)
def test_a_swap_within_a_bin_nets_the_price_of_the_next_atom_but_for_rounding(
    pool: LiquidityBinPool, way: Direction
) -> None:
    first = next(pool.bins_ahead(way, NOW), None)
    assume(first is not None)
    assert first is not None
    amount = first.amount_in // 2
    try:
        fill = pool.quote_exact_in(amount, way, NOW)
    except SwapRefused:
        assume(False)
    spot, net = pool.next_atom(way, NOW)
    missing = Fraction(net.atoms_out, net.atoms_in) * amount - fill.amount_out
    assert 0 <= missing <= 2 + 2 * Fraction(spot.atoms_out, spot.atoms_in)


def test_the_fee_is_the_one_that_a_swap_pays_in_this_moment() -> None:
    moved = Volatility(accumulator=0, reference=50_000, index_reference=-1_898, last_update=NOW)
    calm, excited = METEORA, METEORA._replace(volatility=moved)

    net = [pool.next_atom(Direction.X_TO_Y, NOW).net for pool in (calm, excited)]
    paid = [
        pool.quote_exact_in(50 * SOL, Direction.X_TO_Y, NOW).amount_out for pool in (calm, excited)
    ]

    assert net[0].atoms_out > net[1].atoms_out
    for price, amount_out in zip(net, paid, strict=True):
        assert 0 <= 50 * SOL * price.atoms_out // price.atoms_in - amount_out <= 2


@pytest.mark.parametrize("pool", [RAYDIUM, METEORA])
def test_a_closed_pool_has_no_price(pool: Any) -> None:
    with pytest.raises(SwapRefused):
        pool._replace(enabled=False).next_atom(Direction.X_TO_Y, NOW)


def test_a_pool_that_has_nothing_left_to_sell_has_no_price() -> None:
    with pytest.raises(SwapRefused):
        METEORA._replace(bins=()).next_atom(Direction.X_TO_Y, NOW)
    with pytest.raises(SwapRefused):
        ConstantProductPool(0, 10, FEE).next_atom(Direction.Y_TO_X)


# Over venues


async def test_the_best_bid_and_ask_may_be_of_different_venues() -> None:
    found = await prices_of(
        "SOL/USDC",
        PoolVenue("raydium", {"SOL/USDC": pool_at("101")}),
        PoolVenue("meteora", {"SOL/USDC": pool_at("99")}),
    )

    assert found.best == BidAsk(less_fee("101"), with_fee("99"))
    assert found.venues == {
        "raydium": BidAsk(less_fee("101"), with_fee("101")),
        "meteora": BidAsk(less_fee("99"), with_fee("99")),
    }


@pytest.mark.parametrize(
    "other",
    [
        PoolVenue("meteora", {"SOL/USDC": pool_at("120.1")}),
        PoolVenue("meteora", {"SOL/USDC": pool_at("110")._replace(enabled=False)}),
        PoolVenue("meteora", {"SOL/USDC": pool_at("110")}, hides=True),
        PoolVenue("meteora", {}),
        StubVenue("meteora"),
    ],
    ids=["too far from the reference", "closed", "silent", "not traded", "hides its pools"],
)
async def test_a_venue_that_routing_would_leave_out_takes_no_part(other: Any) -> None:
    found = await prices_of("SOL/USDC", PoolVenue("raydium", {"SOL/USDC": pool_at("100")}), other)

    assert found.best == BidAsk(less_fee("100"), with_fee("100"))
    assert list(found.venues) == ["raydium"]


async def test_at_the_limit_of_the_deviation_a_venue_takes_part() -> None:
    found = await prices_of("SOL/USDC", PoolVenue("raydium", {"SOL/USDC": pool_at("120")}))
    assert found.best.bid == less_fee("120")


@pytest.mark.parametrize(("age", "takes_part"), [(3, True), (4, False)])
async def test_pools_older_than_three_seconds_have_no_price(age: int, takes_part: bool) -> None:
    venue = PoolVenue("raydium", {"SOL/USDC": pool_at("100")})
    found = await prices_of("SOL/USDC", venue, now=SHOWN_AT + age)
    assert (found.best != BidAsk()) is takes_part


async def test_without_venues_there_are_no_prices() -> None:
    assert await prices_of("SOL/USDC") == BestPrices(BidAsk(), {})


# In two hops


async def test_two_hops_have_the_product_of_the_best_ways() -> None:
    raydium = PoolVenue(
        "raydium",
        {"JUP/USDC": pool_at("0.5", "JUP/USDC"), "RAY/USDC": pool_at("2", "RAY/USDC")},
    )
    meteora = PoolVenue(
        "meteora",
        {"JUP/USDC": pool_at("0.51", "JUP/USDC"), "JUP/SOL": pool_at("0.0051", "JUP/SOL")},
    )

    found = await prices_of("JUP/RAY", raydium, meteora)

    # JUP is sold at 0.51 USDC, RAY is bought with them at 2; and back: RAY at 2, JUP at 0.5.
    assert found.best == BidAsk(less_fee("0.51") / with_fee("2"), with_fee("0.5") / less_fee("2"))
    assert found.venues == {
        "raydium": BidAsk(less_fee("0.5") / with_fee("2"), with_fee("0.5") / less_fee("2"))
    }


@given(st.permutations(NAMES), st.integers(1, 10**7), st.data())
async def test_a_swap_in_two_hops_never_nets_more_than_the_bid(
    names: list[str], amount: int, data: st.DataObject
) -> None:
    traded = REGISTRY.market_of_order(REGISTRY.token(names[0]), REGISTRY.token(names[1]))
    assume(traded.paths)
    path = data.draw(st.sampled_from(traded.paths))
    pools: dict[str, Pool] = {
        hop.name: pool_at(str(hop.reference_price), hop.name) for hop in path[1:]
    }
    found = await best_prices([traded], [PoolVenue("raydium", pools)], SHOWN_AT, RULES)

    atoms = amount
    for token, hop in ((traded.base, path.of_base), (path.through, path.of_quote)):
        way = Direction.X_TO_Y if hop.base.same_asset_as(token) else Direction.Y_TO_X
        try:
            atoms = pools[hop.name].quote_exact_in(atoms, way, SHOWN_AT).amount_out
        except SwapRefused:
            assume(False)
    bid = found[traded.pair].best.bid
    assert bid is not None
    worth = bid * Fraction(amount, 10**traded.base.decimals) * 10**traded.quote.decimals
    assert atoms <= worth


# As decimals

prices = st.fractions(min_value=Fraction(1, 10**15), max_value=10**15)


@given(prices)
def test_bids_are_rounded_down_and_asks_up(price: Fraction) -> None:
    down, nearest, up = rounded_down(price), rounded(price), rounded_up(price)
    assert up is not None
    assert Fraction(up) >= price
    if down is None or nearest is None:
        assert price < Fraction(1, 10**19)
        return
    assert Fraction(down) <= price
    assert down <= nearest <= up
    assert Fraction(up) - Fraction(down) <= max(price / 10**16, Fraction(1, 10**20))
    assert all(len(str(shown).partition(".")[2]) <= 20 for shown in (f"{down:f}", f"{up:f}"))


def test_a_bid_of_nothing_is_no_bid() -> None:
    assert rounded_down(Fraction(1, 10**21)) is None
    assert rounded_up(Fraction(1, 10**21)) == Decimal("1e-20")


def test_sol_and_its_wrapped_form_have_one_pair() -> None:
    wrapped = market("WSOL/USDC")
    assert (wrapped.name, wrapped.pair) == ("WSOL/USDC", "SOL/USDC")
    assert replace(wrapped, quote=REGISTRY.token("JUP")).pair == "SOL/JUP"
