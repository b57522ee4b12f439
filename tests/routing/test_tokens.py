"""Markets are found by their tokens: with pools, or in two hops through a third."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.tokens import (
    BONK,
    JUP,
    MARKETS,
    RAY,
    REGISTRY,
    SOL,
    TOKENS,
    USDC,
    USDT,
    WSOL,
    Market,
    Registry,
    Token,
    UnknownMarket,
    UnknownToken,
)

JUP_USDT = Market(JUP, USDT, Decimal("0.5"))
USDT_JUP = Market(USDT, JUP, Decimal(2))
LONELY = Token("LONELY", "1" * 32, 2)


def closed(*names: str) -> Registry:
    """A registry in which these markets take no new orders."""
    return Registry(
        TOKENS,
        [
            Market(market.base, market.quote, market.reference_price, is_open=False)
            if market.name in names
            else market
            for market in MARKETS
        ],
    )


def through(market: Market) -> list[Token]:
    return [path.through for path in market.paths]


@pytest.mark.parametrize("name", ["usdc", "USDC", USDC.mint])
def test_a_token_is_found_by_symbol_in_any_case_and_by_mint(name: str) -> None:
    assert REGISTRY.token(name) is USDC
    assert REGISTRY.token(SOL.mint) is SOL


@pytest.mark.parametrize("name", ["", "USD", USDC.mint.lower(), "SOL/USDC"])
def test_what_is_no_token_is_unknown(name: str) -> None:
    with pytest.raises(UnknownToken):
        REGISTRY.token(name)


def test_a_pair_with_pools_has_one_direction() -> None:
    assert REGISTRY.market(SOL, USDC).paths == ()
    assert REGISTRY.market(WSOL, USDC).name == "WSOL/USDC"
    with pytest.raises(UnknownMarket):
        REGISTRY.market(USDC, SOL)
    assert REGISTRY.market_of(USDC, SOL) is REGISTRY.market_of(SOL, USDC)


def test_two_hops_have_both_directions_and_reciprocal_prices() -> None:
    one, other = REGISTRY.market(JUP, RAY), REGISTRY.market(RAY, JUP)
    assert through(one) == through(other) == [SOL, USDC]
    assert (one.reference_price, other.reference_price) == (Decimal("0.25"), Decimal(4))
    assert [path.of_base for path in one.paths] == [path.of_quote for path in other.paths]


def test_of_two_hops_the_quote_is_what_more_markets_are_quoted_in_else_what_comes_first() -> None:
    assert REGISTRY.market_of(USDT, JUP).name == REGISTRY.market_of(JUP, USDT).name == "JUP/USDT"
    assert REGISTRY.market_of(RAY, JUP).name == "RAY/JUP"
    more = Registry([*TOKENS, LONELY], [*MARKETS, Market(LONELY, RAY, Decimal(1))])
    assert more.market_of(RAY, JUP).name == "JUP/RAY"


@pytest.mark.parametrize("pair", [(SOL, WSOL), (SOL, SOL), (LONELY, SOL), (SOL, LONELY)])
def test_an_asset_is_not_traded_against_itself_nor_one_without_markets(
    pair: tuple[Token, Token],
) -> None:
    known = Registry([*TOKENS, LONELY], MARKETS)
    with pytest.raises(UnknownMarket):
        known.market(*pair)
    with pytest.raises(UnknownMarket):
        known.market_of(*pair)


def test_an_order_keeps_its_direction_when_its_pair_gets_pools() -> None:
    same = Registry(TOKENS, [*MARKETS, JUP_USDT])

    assert same.market_of_order(JUP, USDT).paths == ()
    reverse = Registry(TOKENS, [*MARKETS, USDT_JUP])
    assert through(reverse.market_of_order(JUP, USDT)) == [SOL, USDC]
    with pytest.raises(UnknownMarket):
        reverse.market(JUP, USDT)
    assert reverse.market_of(JUP, USDT) is reverse.market(USDT, JUP)


def test_a_closed_market_is_found_and_says_so_in_both_forms_of_sol() -> None:
    known = closed("SOL/USDC")
    assert not known.market(SOL, USDC).is_open
    assert not known.market(WSOL, USDC).is_open
    assert known.market(SOL, USDT).is_open


def test_two_hops_avoid_closed_markets_until_all_ways_are() -> None:
    assert through(closed("JUP/SOL").market(JUP, USDT)) == [USDC]
    shut = closed("JUP/SOL", "USDT/USDC").market(JUP, USDT)
    assert (through(shut), shut.is_open) == ([SOL, USDC], False)


def test_the_pairs_in_two_hops_are_those_without_pools() -> None:
    names = {market.name for market in REGISTRY.joined()}
    assert names == {"JUP/USDT", "RAY/USDT", "BONK/USDT", "RAY/JUP", "BONK/JUP", "BONK/RAY"}


@given(st.sampled_from(TOKENS), st.sampled_from(TOKENS))
def test_every_pair_is_one_market_whoever_comes_first(one: Token, other: Token) -> None:
    if one.same_asset_as(other):
        return
    found = REGISTRY.market_of(one, other)
    assert {found.base, found.quote} == {one, other}
    assert found == REGISTRY.market_of(other, one) == REGISTRY.market(found.base, found.quote)


@given(st.integers(0, 18), st.integers(0, 2**63 - 1))
def test_amounts_of_all_decimals_survive_text_and_decimals(decimals: int, atoms: int) -> None:
    token = Token("ANY", BONK.mint, decimals)
    assert token.to_atoms(Decimal(token.to_text(atoms))) == atoms
    assert token.to_atoms(token.to_decimal(atoms)) == atoms
    assert token.to_full_text(atoms) == f"{token.to_decimal(atoms):f}"
