"""A decision is read back from the log as it was taken, whichever release stored it."""

from decimal import Decimal
from typing import Any

import pytest

from routing.decision import Decision
from routing.pricing import bound_for
from routing.stored_decision import StoredDecision, decision_data, decision_to_json
from routing.tokens import JUP, REGISTRY, SOL, USDC, USDT, Market, Registry, UnknownMarket
from routing.venue import Leg, Quote, Side, Swap, Venue
from tests.routing.test_routes import HOPS, METEORA, RAYDIUM, route
from tests.support.venue_stubs import StubVenue

SOL_USDC = REGISTRY.market(SOL, USDC)
JUP_USDT = REGISTRY.market(JUP, USDT)
JUPITER = StubVenue("jupiter", "0.52", 10)
SELL = Swap(SOL_USDC, Side.SELL, amount_in=1_500_000_000)
ROUTES: dict[str, tuple[Swap, list[Venue]]] = {
    "one": (SELL, [RAYDIUM, StubVenue("orca")]),
    "one of a buy": (Swap(SOL_USDC, Side.BUY, amount_in=10**8), [RAYDIUM]),
    "one for a fixed output": (Swap(SOL_USDC, Side.SELL, amount_out=10**8), [RAYDIUM]),
    "split": (Swap(SOL_USDC, Side.SELL, amount_in=10**12), [RAYDIUM, METEORA]),
    "split for a fixed output": (
        Swap(SOL_USDC, Side.BUY, amount_out=10**12),
        [RAYDIUM, METEORA],
    ),
    "two hops": (Swap(JUP_USDT, Side.SELL, amount_in=10**8), [*HOPS]),
    "two hops for a fixed output": (Swap(JUP_USDT, Side.BUY, amount_out=10**8), [*HOPS]),
    "two hops at one venue": (Swap(JUP_USDT, Side.SELL, amount_in=10**8), [*HOPS, JUPITER]),
}
# As a release stored it that kept no leg where there was one.
OLDER: dict[str, Any] = {
    "selectedDex": "meteora",
    "runnerUp": "raydium",
    "marginBps": "5.03",
    "reason": "Meteora nets 149.924550 USDC, 0.075450 more than Raydium",
    "quote": {
        **{"dex": "meteora", "price": "100.15", "feeBps": 20, "ageMs": 3},
        **{"amountIn": "1.5", "amountOut": "149.92455", "priceImpactBps": "0.31"},
    },
    "quotes": [],
    "dropped": [],
    "steps": [],
    "minAmountOut": "148.425305",
    "minAcceptablePrice": "98.950203",
}


def read(swap: Swap, data: dict[str, Any]) -> StoredDecision:
    market = swap.market
    return StoredDecision(data, market.base.symbol, market.quote.symbol, swap.side.value)


def stored(decision: Decision) -> dict[str, Any]:
    return decision_data(decision, bound_for(decision.swap, decision.quote, 100))


@pytest.mark.parametrize("name", ROUTES)
async def test_the_route_that_was_chosen_is_read_back_leg_by_leg(name: str) -> None:
    swap, venues = ROUTES[name]
    decision = await route(swap, *venues)

    again = read(swap, stored(decision))

    assert again.route(swap, REGISTRY) == decision.legs
    assert again.venues == list(dict.fromkeys(leg.venue for leg in decision.legs))
    assert [quote.venue for quote in again.quotes] == [quote.venue for quote in decision.quotes]
    assert again.dropped == list(decision.dropped)
    assert again.reason == decision.reason


@pytest.mark.parametrize("name", ROUTES)
async def test_a_decision_is_stored_with_all_its_legs_and_so_are_its_hops(name: str) -> None:
    swap, venues = ROUTES[name]
    decision = await route(swap, *venues)

    data = decision_to_json(decision)

    assert len(data["legs"]) == len(decision.legs)
    hops = data.get("hops", [])
    assert [leg for hop in hops for leg in hop["legs"]] == (data["legs"] if hops else [])


@pytest.mark.parametrize("name", [name for name in ROUTES if name.startswith("one")])
async def test_a_decision_that_an_older_release_stored_without_its_leg_has_it(name: str) -> None:
    swap, venues = ROUTES[name]
    decision = await route(swap, *venues)
    data = stored(decision)
    older = {name: value for name, value in data.items() if name != "legs"}

    again = read(swap, older)

    assert again.data == data
    assert again.route(swap, REGISTRY) == decision.legs
    assert "legs" not in older, "what was handed over stays as it was"


def test_the_leg_of_an_older_release_is_its_quote() -> None:
    quote = Quote("meteora", 1_500_000_000, 149_924_550, Decimal("100.15"), 20, Decimal("0.31"))

    assert read(SELL, OLDER).route(SELL, REGISTRY) == (Leg("meteora", quote),)


def test_a_way_in_two_hops_at_one_venue_needs_no_market_of_its_own() -> None:
    """The pair may have got pools of its own since, in the other direction."""
    swap = Swap(JUP_USDT, Side.SELL, amount_in=10**8)
    quote = OLDER["quote"] | {"amountIn": "100", "amountOut": "51"}
    reversed_since = Registry([JUP, USDT], [Market(USDT, JUP, SOL_USDC.reference_price)])

    (leg,) = read(swap, OLDER | {"quote": quote}).route(swap, reversed_since)

    assert (leg.swap, leg.quote.amount_out) == (None, 51_000_000)


async def test_a_hop_in_a_market_that_is_not_known_is_looked_up_and_not_guessed() -> None:
    swap = Swap(JUP_USDT, Side.SELL, amount_in=10**8)
    data = stored(await route(swap, *HOPS))

    with pytest.raises(UnknownMarket):
        read(swap, data).route(swap, Registry([JUP, USDT, USDC], []))


def test_what_a_decision_of_another_time_lacks_is_empty() -> None:
    again = read(SELL, {"quotes": [], "selectedDex": "nowhere"})

    assert again.venues == ["nowhere"]
    assert (again.quote, again.runner_up, again.margin_bps) == (None, None, None)
    assert (again.least_out, again.most_in, again.reason) == (None, None, "")
    assert (again.quotes, again.dropped, again.steps) == ([], [], [])
