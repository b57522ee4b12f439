"""Where prices are live, quotes are held to the price of this moment, or not believed at all."""

import asyncio
from decimal import Decimal
from fractions import Fraction

import pytest

from routing.decision import Decision
from routing.router import NoQuotes, best_route
from routing.tokens import REGISTRY, SOL, USDC, Market
from routing.venue import Side, StalePools, Swap, UnsupportedToken
from tests.support.venue_stubs import StubVenue

SOL_USDC = REGISTRY.market(SOL, USDC)
SELL = Swap(SOL_USDC, Side.SELL, amount_in=1_500_000_000)
JUP_RAY = Swap(REGISTRY.market(*map(REGISTRY.token, ("JUP", "RAY"))), Side.SELL, amount_in=10**9)


class Prices:
    """References by pair; an exception is raised, and what is missing has no price."""

    def __init__(self, **known: str | Exception) -> None:
        self._known = {name.replace("_", "/"): price for name, price in known.items()}

    async def of(self, market: Market, now: int) -> Fraction | None:
        price = self._known.get(market.pair)
        if isinstance(price, Exception):
            raise price
        return None if price is None else Fraction(price)


class NoAnswer:
    async def of(self, market: Market, now: int) -> Fraction | None:
        await asyncio.Event().wait()
        return None


async def route(
    *venues: StubVenue, references: Prices | NoAnswer, swap: Swap = SELL, timeout: float = 5
) -> Decision:
    return await best_route(
        swap, venues, quote_timeout=timeout, max_deviation_bps=200, references=references
    )


async def test_a_quote_is_held_to_the_price_of_this_moment_and_not_to_the_stored_one() -> None:
    moved = StubVenue("raydium", "250", 30)
    decision = await route(moved, references=Prices(SOL_USDC="252"))

    assert decision.quote.venue == "raydium"
    assert decision.swap.market.reference_price == 252
    with pytest.raises(NoQuotes, match="more than 200 bps"):
        await route(moved, references=Prices(SOL_USDC="256"))
    with pytest.raises(NoQuotes, match="more than 200 bps"):
        await route(StubVenue("raydium", "100", 30), references=Prices(SOL_USDC="250"))


@pytest.mark.parametrize(
    "references",
    [Prices(), Prices(SOL_USDC=StalePools("old")), NoAnswer()],
    ids=["none", "old", "no answer"],
)
async def test_without_a_fresh_price_no_quote_is_believed(references: Prices | NoAnswer) -> None:
    venues = StubVenue("raydium", "100", 30), StubVenue("meteora", "100", 20)
    with pytest.raises(NoQuotes) as found:
        await route(*venues, references=references, timeout=0.05)

    assert [(one.venue, one.code) for one in found.value.dropped] == [
        ("raydium", "no_fresh_price"),
        ("meteora", "no_fresh_price"),
    ]


async def test_a_market_without_any_pool_is_refused_for_good_by_its_venues() -> None:
    with pytest.raises(UnsupportedToken):
        await route(
            StubVenue("raydium", fault=UnsupportedToken("not here")),
            references=Prices(SOL_USDC=UnsupportedToken("no pool")),
        )


async def test_of_two_hops_only_ways_with_fresh_prices_are_left() -> None:
    venue = StubVenue("raydium", "0.25", 30)  # which shows no pools: it knows the way by itself
    swap = JUP_RAY
    assert {path.through.symbol for path in swap.market.paths} == {"SOL", "USDC"}
    decision = await route(
        venue, swap=swap, references=Prices(JUP_USDC="0.5", RAY_USDC="2", JUP_SOL="0.005")
    )
    (path,) = decision.swap.market.paths
    assert path.through.symbol == "USDC"
    assert path.of_base.reference_price == Decimal("0.5")
    with pytest.raises(NoQuotes, match="no fresh price of JUP/RAY"):
        await route(venue, swap=swap, references=Prices(JUP_USDC="0.5"))
