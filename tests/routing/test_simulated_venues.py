import asyncio
import json
from decimal import Decimal

import pytest

from routing.faults import Faults
from routing.pricing import bound_for
from routing.router import best_route
from routing.simulation import Simulation
from routing.venue import Bound, Leg, Network, NetworkUnavailable, Venue, VenueUnavailable
from routing.venues import SIMULATED_VENUES
from routing.venues.meteora import SimulatedMeteora
from routing.venues.raydium import SimulatedRaydium
from routing.venues.simulated import SimulatedVenue
from tests.routing.contract import SELL, VenueContract
from tests.routing.stubs import StubNetwork, StubVenue


def fixed(price: str) -> tuple[Decimal, Decimal]:
    return Decimal(price), Decimal(price)


def simulated(kind: type[SimulatedVenue] = SimulatedRaydium, **settings: object) -> SimulatedVenue:
    simulation = Simulation(**{"quote_latency": 0, "seed": 1, **settings})  # type: ignore[arg-type]  # tests name them
    return kind(simulation, StubNetwork())


@pytest.mark.parametrize(
    "venue", [simulated(kind) for kind in SIMULATED_VENUES], ids=lambda v: v.name
)
class TestSimulatedVenues(VenueContract):
    pass


@pytest.mark.parametrize("venue", [StubVenue()])
class TestStubVenue(VenueContract):
    test_a_market_that_is_not_traded_is_refused_for_good = None  # type: ignore[assignment]  # faults are given to it
    test_an_amount_that_cannot_be_filled_is_refused_for_good = None  # type: ignore[assignment]  # likewise


async def test_the_worked_example_holds_with_the_simulated_venues() -> None:
    ranges = {"raydium": fixed("1.002"), "meteora": fixed("1.0015")}
    venues = [simulated(kind, price_ranges=ranges) for kind in SIMULATED_VENUES]
    decision = await best_route(SELL, venues, quote_timeout=1)
    assert {quote.venue: quote.amount_out for quote in decision.quotes} == {
        "raydium": 149_849_100,
        "meteora": 149_924_550,
    }
    assert decision.legs[0].venue == "meteora"


@pytest.mark.parametrize(
    ("kind", "least", "most", "fee_bps"),
    [(SimulatedRaydium, "98", "102", 30), (SimulatedMeteora, "97", "102", 20)],
)
async def test_prices_and_fees_are_those_of_the_brief(
    kind: type[SimulatedVenue], least: str, most: str, fee_bps: int
) -> None:
    venue = simulated(kind)
    quotes = [await venue.quote(SELL) for _ in range(2_000)]
    prices = [quote.price for quote in quotes]
    assert Decimal(least) <= min(prices) < Decimal(least) + Decimal("0.1")
    assert Decimal(most) - Decimal("0.1") < max(prices) <= Decimal(most)
    assert {quote.fee_bps for quote in quotes} == {fee_bps}


async def test_the_same_seed_gives_the_same_quotes() -> None:
    async def prices(seed: int | None) -> list[Decimal]:
        venue = simulated(seed=seed)
        return [(await venue.quote(SELL)).price for _ in range(5)]

    assert await prices(1) == await prices(1)
    assert await prices(1) != await prices(2)
    assert await prices(None) != await prices(None)


async def test_a_quote_takes_its_latency() -> None:
    clock = asyncio.get_running_loop().time
    asked = clock()
    await simulated(quote_latency=0.02).quote(SELL)
    assert clock() - asked >= 0.019


async def test_a_quote_can_be_refused_at_one_venue_only() -> None:
    faults = Faults.parse("raydium.quote_refused=1")
    with pytest.raises(VenueUnavailable):
        await simulated(SimulatedRaydium, faults=faults).quote(SELL)
    assert (await simulated(SimulatedMeteora, faults=faults).quote(SELL)).venue == "meteora"


@pytest.mark.parametrize("fault", ["quote_timeout", "quote_refused", "absurd_quote"])
async def test_the_router_survives_every_fault_of_a_venue(fault: str) -> None:
    venues: list[Venue] = [simulated(faults=Faults.parse(f"{fault}=1"), seed=n) for n in range(8)]
    honest = simulated(SimulatedMeteora)
    decision = await best_route(SELL, [*venues, honest], quote_timeout=0.05)
    assert [quote.venue for quote in decision.quotes] == ["meteora"]
    assert len(decision.dropped) == 8


async def test_absurd_quotes_come_in_all_their_kinds() -> None:
    venue = simulated(faults=Faults.parse("absurd_quote=1"))
    prices = [(await venue.quote(SELL)).price for _ in range(50)]
    assert any(price.is_nan() for price in prices)
    assert any(price < 0 for price in prices if not price.is_nan())
    assert any(price > 900 for price in prices if not price.is_nan())


async def test_a_transaction_carries_what_it_is_to_do() -> None:
    venue = simulated()
    quote = await venue.quote(SELL)
    bound = bound_for(SELL, quote, 100)
    built = await venue.build(SELL, [Leg(venue.name, quote)], bound)
    content = json.loads(built.payload)
    assert built.expires_at_height == 1000 + 150
    assert content["minOut"] == bound.min_out
    assert content["legs"] == [[venue.name, quote.amount_in, quote.amount_out]]
    assert (content["wrapsSol"], content["unwrapsSol"]) == (True, False)
    assert b" " not in built.payload


async def test_a_venue_that_cannot_learn_the_height_is_unavailable() -> None:
    class Dumb(StubNetwork):
        async def height(self) -> int:
            raise NetworkUnavailable

    network: Network = Dumb()
    venue = SimulatedRaydium(Simulation(quote_latency=0), network)
    quote = await venue.quote(SELL)
    with pytest.raises(VenueUnavailable):
        await venue.build(SELL, [Leg(venue.name, quote)], Bound(min_out=1))
