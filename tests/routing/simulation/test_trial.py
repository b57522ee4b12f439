"""What is accepted as a pool can be traded in, and what cannot is refused before it is made."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.pools.bins import price_of_bin
from routing.pools.pool import Direction
from routing.pricing import pool_quote
from routing.quoting import check_price
from routing.simulation.pool import CONSTANT_PRODUCT, LIQUIDITY_BINS, direction
from routing.simulation.seeding import BIN_STEPS, MOST_ATOMS, STEP_20, bin_ids, pool_like
from routing.simulation.trial import NotTradable, quote_depth_in_atoms, try_pool
from routing.tokens import SOL, USDC, Market, Token
from routing.venue import Liquidity, Side, Swap
from routing.venues import SIMULATED_VENUES

KINDS = (CONSTANT_PRODUCT, LIQUIDITY_BINS)
SOL_USDC = Market(SOL, USDC, Decimal(100))


def pool(market: Market, depth: str, kind: str = CONSTANT_PRODUCT, **shape: Any) -> Any:
    """Return a pool with this many whole quote tokens on each side."""
    shape = {"fee_bps": Decimal(20), "bin_step": 20} | shape
    atoms = quote_depth_in_atoms(market, market.quote.to_atoms(Decimal(depth)))
    return try_pool(market, pool_like(kind, **shape), atoms)


@pytest.mark.parametrize("bin_step", BIN_STEPS)
def test_a_pool_of_bins_reaches_as_far_and_costs_as_much_whatever_its_step(bin_step: int) -> None:
    made = pool(SOL_USDC, "1000000", LIQUIDITY_BINS, fee_bps=Decimal("25"), bin_step=bin_step)
    ids = [bin_.id for bin_ in made.bins]

    assert (ids[-1] - ids[0]) * bin_step == 4_000
    assert made.parameters.base_fee_rate == 25 * 100_000
    most = made.parameters.variable_fee_rate(made.parameters.max_volatility_accumulator)
    assert most == STEP_20.variable_fee_rate(STEP_20.max_volatility_accumulator)


def test_the_usual_shape_is_what_the_venues_make() -> None:
    for venue in SIMULATED_VENUES:
        own = pool_like(venue.kind, Decimal(venue.fee_bps), 20)
        assert own(10**12, 10**11) == venue.new_pool(10**12, 10**11)


def test_fees_of_both_kinds_are_charged() -> None:
    for kind in KINDS:
        made = pool(SOL_USDC, "10000000", kind, fee_bps=Decimal("100"))
        shown = Liquidity("", made, Direction.X_TO_Y, 10_000)
        assert pool_quote("it", Swap(SOL_USDC, Side.SELL, amount_in=10**9), shown).fee_bps == 100


@pytest.mark.parametrize(("fee", "step"), [("1000", 10), ("0.01", 100), ("20", 25), ("1", 80)])
def test_a_pool_of_bins_has_just_the_fee_that_was_asked_for(fee: str, step: int) -> None:
    made = pool(SOL_USDC, "1000000", LIQUIDITY_BINS, fee_bps=Decimal(fee), bin_step=step)
    assert made.parameters.base_fee_rate == Decimal(fee) * 100_000
    assert made.parameters.base_factor < 2**16


def test_a_fee_that_no_base_factor_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot have just this fee"):
        pool(SOL_USDC, "1000000", LIQUIDITY_BINS, fee_bps=Decimal("0.01"), bin_step=80)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("depth", "reason"),
    [
        ("0", "only 0 atoms"),
        ("-5", "only -"),
        ("0.000099", "only 990 atoms|only 99 atoms"),
        ("2305843009213.693952", "could not|room for"),
        ("99999999999999", "room for"),
    ],
)
def test_a_depth_that_cannot_be_is_refused(kind: str, depth: str, reason: str) -> None:
    with pytest.raises(NotTradable, match=reason):
        pool(SOL_USDC, depth, kind)


@pytest.mark.parametrize("step", BIN_STEPS)
def test_bins_have_a_price(step: int) -> None:
    ids = bin_ids(step)
    assert price_of_bin(step, ids[0]) > 0
    assert price_of_bin(step, ids[-1]) < 2**128


@given(
    decimals=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    depth=st.tuples(st.integers(10**8, MOST_ATOMS), st.integers(10**8, MOST_ATOMS)),
    kind=st.sampled_from(KINDS),
    step=st.sampled_from(BIN_STEPS),
    share=st.integers(100, 10_000),
)
def test_pools_of_a_hundred_million_atoms_are_taken_and_quoted_on_both_sides(
    decimals: tuple[int, int], depth: tuple[int, int], kind: str, step: int, share: int
) -> None:
    """Whatever the decimals of their tokens, and however far the two are apart."""
    base, quote = (Token(f"T{d}", f"mint{place}", d) for place, d in enumerate(decimals))
    price = quote.to_decimal(depth[1]) / base.to_decimal(depth[0])
    market = Market(base, quote, price)
    made = try_pool(market, pool_like(kind, Decimal(20), step), depth)
    sold, paid = made.vault_x // share, made.vault_y // share
    for swap in (
        Swap(market, Side.SELL, amount_in=sold),
        Swap(market, Side.BUY, amount_in=paid),
        Swap(market, Side.SELL, amount_out=paid),
        Swap(market, Side.BUY, amount_out=sold),
    ):
        shown = Liquidity("", made, direction(swap.side), 0)
        check_price(swap, pool_quote("it", swap, shown), 500)
