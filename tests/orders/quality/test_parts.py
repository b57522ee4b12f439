"""What lies between the market's price and the fill adds up to the atom, whatever the numbers."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orders.quality.parts import Chain, chain_of, compared, gain, gain_bps, offers_of, parts_of
from routing.pricing import MAX_ATOMS, bound_for
from routing.stored_decision import StoredDecision, decision_data
from routing.tokens import MARKETS, REGISTRY, SOL, USDC
from routing.venue import Quote, Side, Swap, Venue
from tests.routing.test_routes import HOPS, METEORA, RAYDIUM, route
from tests.support.venue_stubs import StubVenue

SOL_USDC = REGISTRY.market(SOL, USDC)
JUP_USDT = REGISTRY.market(REGISTRY.token("JUP"), REGISTRY.token("USDT"))
ATOMS = st.integers(1, MAX_ATOMS)
PRICES = st.decimals("0.000001", "1000000", places=9, allow_nan=False)


@st.composite
def swaps(draw: st.DrawFn) -> Swap:
    amount, is_exact_in = draw(ATOMS), draw(st.booleans())
    return Swap(
        draw(st.sampled_from(MARKETS)),
        draw(st.sampled_from(Side)),
        amount if is_exact_in else None,
        None if is_exact_in else amount,
    )


@st.composite
def quotes(draw: st.DrawFn) -> Quote:
    impact = draw(st.none() | st.decimals("0", "20000", places=2))
    return Quote("raydium", draw(ATOMS), draw(ATOMS), draw(PRICES), 30, impact)


@given(swaps(), quotes(), PRICES, ATOMS)
def test_the_parts_add_up_to_the_atom(
    swap: Swap, quote: Quote, arrival_price: Decimal, filled: int
) -> None:
    chain = chain_of(swap, arrival_price, quote)
    assume(chain is not None)
    assert chain is not None

    parts = parts_of(swap, chain, filled)

    sign = 1 if swap.is_exact_in else -1
    assert chain.arrival + sign * sum(parts) == filled
    assert parts.fill == gain(swap, compared(swap, quote.amount_in, quote.amount_out), filled)


@given(swaps(), ATOMS, ATOMS)
def test_a_gain_is_what_one_has_more_or_pays_less(swap: Swap, before: int, after: int) -> None:
    bps = gain_bps(swap, before, after)
    assert (bps > 0) <= (after > before if swap.is_exact_in else after < before)
    assert (bps == 0) >= (after == before)
    exact = Decimal(gain(swap, before, after)) * 10_000 / before
    assert abs(exact - bps) <= Decimal("0.01") + abs(exact) / 10**20


def test_a_quote_by_hand_is_taken_apart_as_by_hand() -> None:
    swap = Swap(SOL_USDC, Side.SELL, amount_in=2 * 10**9)
    # The venue stands at 99.5, moves by 100 bps to 98.505, and takes 30 bps.
    quote = Quote("raydium", 2 * 10**9, 196_418_970, Decimal("98.505"), 30, Decimal("100"))

    chain = chain_of(swap, Decimal(100), quote)

    assert chain == Chain(200_000_000, 199_000_000, 197_010_000, 196_418_970)
    assert parts_of(swap, chain, 196_400_000) == (-1_000_000, -1_990_000, -591_030, -18_970)


def test_a_purchase_of_a_fixed_output_is_compared_by_what_it_pays() -> None:
    swap = Swap(SOL_USDC, Side.BUY, amount_out=2 * 10**9)
    quote = Quote("raydium", 201_603_009, 2 * 10**9, Decimal("100.5"), 30, None)

    chain = chain_of(swap, Decimal(100), quote)

    assert chain == Chain(200_000_000, 201_000_000, 201_000_000, 201_603_009)
    assert parts_of(swap, chain, 201_600_000) == (-1_000_000, 0, -603_009, 3_009)


@pytest.mark.parametrize("price", ["0", "-1", "NaN"])
def test_a_price_that_is_none_makes_no_chain(price: str) -> None:
    swap = Swap(SOL_USDC, Side.SELL, amount_in=10**9)
    quote = Quote("raydium", 10**9, 10**8, Decimal(100), 30)
    assert chain_of(swap, Decimal(100), quote._replace(price=Decimal(price))) is None
    if price != "NaN":
        assert chain_of(swap, Decimal(price), quote) is None


SELL = Swap(SOL_USDC, Side.SELL, amount_in=1_500_000_000)
ORCA = StubVenue("orca", "99.9")


@pytest.mark.parametrize(
    ("swap", "venues", "other"),
    [
        (SELL, [RAYDIUM], None),
        (SELL, [RAYDIUM, ORCA], "orca"),
        (SELL._replace(amount_in=10**12), [RAYDIUM, METEORA], "best single"),
        (Swap(JUP_USDT, Side.SELL, amount_in=10**8), [*HOPS], "second way"),
        (Swap(JUP_USDT, Side.BUY, amount_out=10**8), [*HOPS], "second way"),
    ],
)
async def test_the_other_offer_is_the_runner_up_of_the_choice(
    swap: Swap, venues: list[Venue], other: str | None
) -> None:
    decision = await route(swap, *venues)
    data = decision_data(decision, bound_for(swap, decision.quote, 100))
    stored = StoredDecision(data, swap.market.base.symbol, swap.market.quote.symbol, swap.side)

    found = offers_of(swap, stored)

    assert found is not None
    assert found.quote.amount_in == decision.quote.amount_in
    assert found.quote.amount_out == decision.quote.amount_out
    if other is None:
        assert found.other is None
        return
    assert found.other is not None
    assert found.other.venue == decision.runner_up
    first = compared(swap, found.other.amount_in, found.other.amount_out)
    chosen = compared(swap, decision.quote.amount_in, decision.quote.amount_out)
    assert gain_bps(swap, first, chosen) == decision.margin_bps
