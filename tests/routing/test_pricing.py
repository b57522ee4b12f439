from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.pools.pool import Fill
from routing.pricing import (
    MAX_ATOMS,
    bound_for,
    execution_price,
    execution_price_text,
    fees_bps,
)
from routing.tokens import BONK, MARKETS, REGISTRY, SOL, USDC, Market, Token
from routing.venue import Bound, Quote, Side, Swap

markets = st.sampled_from(MARKETS)
sides = st.sampled_from(Side)
amounts = st.integers(1, 2**63 - 1)
slippages = st.integers(0, 5_000)


@given(amounts, slippages)
def test_the_least_output_is_the_tolerance_rounded_up(amount: int, bps: int) -> None:
    swap = Swap(MARKETS[0], Side.SELL, amount_in=1)
    bound = bound_for(swap, Quote("raydium", 1, amount, Decimal(1), 0), bps)

    assert bound.max_in is None
    assert bound.min_out is not None
    exact = Fraction(amount * (10_000 - bps), 10_000)
    assert exact <= bound.min_out < exact + 1
    assert bound.admits(1, amount)
    assert bound.admits(1, bound.min_out)
    assert not bound.admits(1, bound.min_out - 1)


@given(amounts, slippages)
def test_the_most_input_is_the_tolerance_rounded_down(amount: int, bps: int) -> None:
    swap = Swap(MARKETS[0], Side.BUY, amount_out=1)
    bound = bound_for(swap, Quote("raydium", amount, 1, Decimal(1), 0), bps)

    assert bound.min_out is None
    assert bound.max_in is not None
    exact = min(Fraction(amount * (10_000 + bps), 10_000), Fraction(MAX_ATOMS))
    assert exact - 1 < bound.max_in <= exact
    assert bound.admits(amount, 1)
    assert bound.admits(bound.max_in, 1)
    assert not bound.admits(bound.max_in + 1, 1)


def test_the_most_input_is_never_more_than_an_account_can_hold() -> None:
    swap = Swap(MARKETS[0], Side.BUY, amount_out=1)
    quote = Quote("raydium", MAX_ATOMS - 1, 1, Decimal(1), 0)

    assert bound_for(swap, quote, 100) == Bound(max_in=MAX_ATOMS)


@pytest.mark.parametrize(
    ("base", "quote", "side", "amount_in", "amount_out", "price"),
    [
        (SOL, USDC, Side.SELL, 1_500_000_000, 149_924_550, "99.949700"),
        (SOL, USDC, Side.BUY, 150_000_000, 1_500_000_000, "100.000000"),
        (BONK, USDC, Side.BUY, 1_000_000, 4_987_654_321, "0.000020049505"),
        (SOL, USDC, Side.SELL, 1, 2**63 - 1, "9223372036854775807000.000000"),
    ],
)
def test_an_execution_price_has_the_decimals_of_the_quote_or_eight_digits(
    base: object, quote: object, side: Side, amount_in: int, amount_out: int, price: str
) -> None:
    market = REGISTRY.market(base, quote)  # type: ignore[arg-type]  # parametrize has no types
    assert str(execution_price(market, side, amount_in, amount_out)) == price


@given(
    *(st.integers(0, 18), st.integers(0, 18), sides),
    *(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1)),
)
@example(0, 0, Side.SELL, 2, 24_691_357)  # half an atom, to be rounded down
@example(0, 0, Side.SELL, 2, 24_691_359)  # and up
def test_an_execution_price_is_what_decimal_arithmetic_makes_of_it(
    base: int, quote: int, side: Side, amount_in: int, amount_out: int
) -> None:
    market = Market(Token("BASE", "b", base), Token("QUOTE", "q", quote), Decimal(1))
    amounts = (amount_in, amount_out) if side is Side.SELL else (amount_out, amount_in)
    wide = Context(prec=60, rounding=ROUND_HALF_EVEN)
    exact = wide.divide(Decimal(amounts[1]).scaleb(-quote), Decimal(amounts[0]).scaleb(-base))
    exponent = min(-quote, exact.adjusted() - 7)
    rounded = wide.quantize(exact, Decimal((0, (1,), exponent)))

    price = execution_price(market, side, amount_in, amount_out)
    assert price.as_tuple() == rounded.as_tuple()
    assert execution_price_text(market, side, amount_in, amount_out) == f"{rounded:f}"


@given(markets, sides, st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_an_execution_price_has_always_eight_digits(
    market: object, side: Side, amount_in: int, amount_out: int
) -> None:
    price = execution_price(market, side, amount_in, amount_out)  # type: ignore[arg-type]  # as above
    assert len(price.as_tuple().digits) >= 8
    assert price > 0


@pytest.mark.parametrize(
    ("fee", "bps"), [(0, 0), (300_000, 30), (300_001, 30), (304_999, 30), (305_000, 31)]
)
def test_fees_are_told_to_the_nearest_whole_bps(fee: int, bps: int) -> None:
    paid = 100_000_000
    on_input = Fill(paid, 10**6, paid - fee, 10**6, fee, 0)
    on_output = Fill(10**6, paid - fee, 10**6, paid, fee, 0)
    assert fees_bps(on_input) == fees_bps(on_output) == bps
