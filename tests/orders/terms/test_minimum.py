"""The least input of what is sliced: an operator's, else what pays 100 atoms."""

from dataclasses import replace

import pytest

from orders.terms.minimum import minimum_in
from routing.pricing import atoms_ratio
from routing.tokens import MARKETS, Market
from routing.venue import Side


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.name)
@pytest.mark.parametrize("side", Side)
def test_the_least_input_pays_at_least_100_atoms_and_one_atom_less_does_not(
    market: Market, side: Side
) -> None:
    quote, base = atoms_ratio(market, market.reference_price)
    out, into = (quote, base) if side is Side.SELL else (base, quote)
    least = minimum_in(market, side)

    assert least * out // into >= 100
    assert (least - 1) * out // into < 100


def test_what_an_operator_has_set_holds() -> None:
    market = replace(MARKETS[0], min_base=7, min_quote=9)

    assert minimum_in(market, Side.SELL) == 7
    assert minimum_in(market, Side.BUY) == 9
