"""A limit price as a bound in atoms, compared with exact fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from orders.terms.terms import bound_of_limit, price_text
from routing.pricing import MAX_ATOMS
from routing.tokens import MARKETS, Market
from routing.venue import Bound, Side

prices = st.decimals(Decimal("1e-20"), Decimal("1e12"), allow_nan=False, places=20)
amounts = st.integers(1, MAX_ATOMS)
markets = st.sampled_from(MARKETS)
sides = st.sampled_from(list(Side))


def net_price(market: Market, side: Side, amount_in: int, amount_out: int) -> Fraction:
    """Return what a fill nets: whole quote tokens for one whole base token."""
    base, quote = (amount_in, amount_out) if side is Side.SELL else (amount_out, amount_in)
    of_quote = Fraction(quote, 10**market.quote.decimals)
    return of_quote / Fraction(base, 10**market.base.decimals)


def is_met(side: Side, price: Fraction, limit: Decimal) -> bool:
    exact = Fraction(limit)
    return price >= exact if side is Side.SELL else price <= exact


@given(markets, sides, prices, amounts, st.booleans())
@example(MARKETS[0], Side.SELL, Decimal(1) / 3, 10**9, True)
@example(MARKETS[0], Side.BUY, Decimal("101.5"), 150_000_000, False)
def test_the_worst_fill_within_the_bound_nets_the_limit_and_the_next_atom_does_not(
    market: Market, side: Side, limit: Decimal, amount: int, is_input: bool
) -> None:
    amount_in, amount_out = (amount, None) if is_input else (None, amount)
    try:
        bound = bound_of_limit(market, side, limit, amount_in, amount_out)
    except ValueError:
        assume(False)
    if bound.min_out is not None:
        worst, beyond = (amount, bound.min_out), (amount, bound.min_out - 1)
    else:
        assert bound.max_in is not None
        worst, beyond = (bound.max_in, amount), (bound.max_in + 1, amount)
    assert is_met(side, net_price(market, side, *worst), limit)
    if all(beyond):
        assert not is_met(side, net_price(market, side, *beyond), limit)
    assert bound.admits(*worst)
    assert not bound.admits(*beyond)


@given(markets, sides, prices, amounts, st.booleans())
def test_a_limit_is_refused_only_if_the_other_amount_is_nothing_or_too_much(
    market: Market, side: Side, limit: Decimal, amount: int, is_input: bool
) -> None:
    amount_in, amount_out = (amount, None) if is_input else (None, amount)
    scale = Fraction(10**market.quote.decimals, 10**market.base.decimals)
    ratio = Fraction(limit) * scale  # quote atoms for a base atom
    base_is_given = is_input == (side is Side.SELL)
    other = amount * ratio if base_is_given else amount / ratio
    try:
        bound_of_limit(market, side, limit, amount_in, amount_out)
    except ValueError:
        assert other < 1 or other > MAX_ATOMS
    else:
        assert 0 < other <= MAX_ATOMS or (not is_input and other < MAX_ATOMS + 1)


def test_examples_of_the_specification() -> None:
    market = MARKETS[0]
    limit = Decimal("101.5")
    assert bound_of_limit(market, Side.SELL, limit, 1_500_000_000, None) == Bound(152_250_000)
    assert bound_of_limit(market, Side.SELL, limit, None, 10) == Bound(None, 98)
    assert bound_of_limit(market, Side.BUY, limit, 10, None) == Bound(99)
    assert bound_of_limit(market, Side.BUY, limit, None, 1_000_000_000) == Bound(None, 101_500_000)
    with pytest.raises(ValueError, match="out of range"):
        bound_of_limit(market, Side.BUY, limit, None, 1)


@pytest.mark.parametrize(
    ("price", "text"),
    [("100.50", "100.5"), ("1E-20", "0.00000000000000000001"), ("1E+2", "100"), ("0.10", "0.1")],
)
def test_a_price_is_told_without_exponent_or_trailing_zeros(price: str, text: str) -> None:
    assert price_text(Decimal(price)) == text
