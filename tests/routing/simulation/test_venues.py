import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from config.environment.data_folder import PROJECT
from routing.pools.pool import Direction
from routing.pricing import bound_for, execution_price
from routing.router import best_route
from routing.simulation.faults import Faults
from routing.simulation.pools import SimulatedPools
from routing.simulation.seeding import constant_product
from routing.simulation.settings import Simulation
from routing.tokens import BONK, JUP, REGISTRY, SOL, USDC
from routing.venue import (
    Bound,
    Leg,
    Network,
    NetworkUnavailable,
    QuotesAtOnce,
    ShowsPools,
    Side,
    Swap,
    Venue,
    VenueUnavailable,
)
from routing.venues import SIMULATED_VENUES, price_ranges
from routing.venues.meteora import SimulatedMeteora
from routing.venues.raydium import SimulatedRaydium
from routing.venues.simulated import SimulatedVenue
from tests.support.database import Database
from tests.support.venue_contract import SELL, SWAPS, VenueContract
from tests.support.venue_stubs import StubNetwork, StubVenue

pytestmark = pytest.mark.usefixtures("transactional_db")

MakeVenue = Callable[..., SimulatedVenue]

GUIDE = PROJECT / "docs/venues.md"
DEEP = 10**11
STILL: dict[str, Any] = {"volatility_bps": Decimal(0), "depth": DEEP}


def fixed(price: str) -> tuple[Decimal, Decimal]:
    return Decimal(price), Decimal(price)


@pytest_asyncio.fixture
async def simulated(database_conninfo: str) -> AsyncIterator[MakeVenue]:
    """Make venues on the test database, each as another process would have it."""
    made: list[SimulatedPools] = []

    def new(
        kind: type[SimulatedVenue] = SimulatedRaydium,
        network: Network | None = None,
        **settings: Any,
    ) -> SimulatedVenue:
        simulation = Simulation(**{"quote_latency": 0, "seed": 1, **settings})
        made.append(SimulatedPools(database_conninfo, simulation, price_ranges(simulation)))
        return kind(simulation, network or StubNetwork(), made[-1])

    yield new
    for pools in made:
        await pools.close()


def venue_of_the_guide() -> type[SimulatedVenue]:
    """The class that the guide to adding a venue shows."""
    names: dict[str, Any] = {"Decimal": Decimal, "SimulatedVenue": SimulatedVenue}
    names["constant_product"] = constant_product
    (code,) = re.findall(r"```python\n(# routing/venues/.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(code, names)
    kind: type[SimulatedVenue] = names["SimulatedOrca"]
    return kind


@pytest.mark.parametrize(
    "kind", [*SIMULATED_VENUES, venue_of_the_guide()], ids=lambda kind: kind.name
)
class TestSimulatedVenues(VenueContract):
    @pytest.fixture
    def venue(self, kind: type[SimulatedVenue], simulated: MakeVenue) -> Venue:
        return simulated(kind)


@pytest.mark.parametrize("venue", [StubVenue()])
class TestStubVenue(VenueContract):
    test_a_market_that_is_not_traded_is_refused_for_good = None  # type: ignore[assignment]  # faults are given to it
    test_an_amount_that_cannot_be_filled_is_refused_for_good = None  # type: ignore[assignment]  # likewise


async def test_the_worked_example_holds_with_pools_deep_enough(simulated: MakeVenue) -> None:
    """Raydium 100.20 at 0.3 % loses against Meteora near 100.15 at 0.2 %: the fees decide."""
    ranges = {"raydium": fixed("1.002"), "meteora": fixed("1.0015")}
    kinds = (SimulatedRaydium, SimulatedMeteora)
    venues = [simulated(kind, price_ranges=ranges, **STILL) for kind in kinds]
    decision = await best_route(SELL, venues, quote_timeout=1)
    raydium, meteora = sorted(decision.quotes, key=lambda quote: quote.venue, reverse=True)

    assert 149_849_100 - 10 <= raydium.amount_out <= 149_849_100
    # A bin's price is up to half a step of 0.2 % from the market's.
    assert abs(meteora.amount_out - 149_924_550) <= 149_924_550 * 10 // 10_000
    assert abs(raydium.price - Decimal("100.2")) <= Decimal("0.000001")
    assert (raydium.fee_bps, meteora.fee_bps) == (30, 20)


@pytest.mark.parametrize("kind", SIMULATED_VENUES, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "swap",
    [
        Swap(SELL.market, Side.SELL, amount_in=1_234_567_891),
        Swap(SELL.market, Side.BUY, amount_in=1_234_567),
        Swap(SELL.market, Side.SELL, amount_out=1_234_567),
    ],
    ids=["sell", "buy", "for a fixed output"],
)
async def test_an_amount_of_which_the_fee_is_no_whole_atom_costs_the_venues_rate(
    simulated: MakeVenue, kind: type[SimulatedVenue], swap: Swap
) -> None:
    assert (await simulated(kind, **STILL).quote(swap)).fee_bps == kind.fee_bps


@pytest.mark.parametrize("kind", SIMULATED_VENUES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: f"{swap.side}-{swap.market.name}")
async def test_a_quote_is_what_the_shown_pool_pays(
    simulated: MakeVenue, kind: type[SimulatedVenue], swap: Swap
) -> None:
    venue = simulated(kind, **STILL | {"price_ranges": {kind.name: fixed("1")}})

    assert isinstance(venue, ShowsPools)
    (shown,) = await venue.liquidity(swap)
    quote = await venue.quote(swap)
    assert shown.direction is (Direction.X_TO_Y if swap.side is Side.SELL else Direction.Y_TO_X)
    if swap.amount_in is not None:
        fill = shown.pool.quote_exact_in(swap.amount_in, shown.direction, shown.now)
    else:
        fill = shown.pool.quote_exact_out(swap.amount_out or 0, shown.direction, shown.now)
    assert (quote.amount_in, quote.amount_out) == (fill.amount_in, fill.amount_out)


async def test_the_larger_the_amount_the_worse_the_price(simulated: MakeVenue) -> None:
    for kind in SIMULATED_VENUES:
        venue = simulated(kind, price_ranges={kind.name: fixed("1")}, volatility_bps=Decimal(0))
        swaps = [
            Swap(SELL.market, Side.SELL, amount_in=10**9 * size) for size in (1, 5_000, 20_000)
        ]
        prices = [
            execution_price(SELL.market, Side.SELL, quote.amount_in, quote.amount_out)
            for quote in [await venue.quote(swap) for swap in swaps]
        ]
        assert prices[0] > prices[1] > prices[2]
        assert prices[0] > 99
        assert prices[2] < 98


async def test_a_pool_is_as_deep_as_the_setting_says(simulated: MakeVenue) -> None:
    """In dollars a side, whatever the tokens and their decimals."""
    for base, quote in ((SOL, USDC), (JUP, SOL), (BONK, USDC), (BONK, SOL)):
        market = REGISTRY.market(base, quote)
        for kind in SIMULATED_VENUES:
            venue = simulated(kind, depth=1_000_000, volatility_bps=Decimal(0), block_seconds=9)
            (shown,) = await venue.liquidity(Swap(market, Side.SELL, amount_in=10**9))
            pool: Any = shown.pool
            dollars = {SOL: 100, USDC: 1, JUP: Decimal("0.5"), BONK: Decimal("0.00002")}
            sides = (
                base.to_decimal(pool.vault_x) * dollars[base],
                quote.to_decimal(pool.vault_y) * dollars[quote],
            )
            assert all(900_000 < side < 1_100_000 for side in sides)


async def test_two_processes_quote_the_same_at_the_same_moment(simulated: MakeVenue) -> None:
    one, other = (simulated(volatility_bps=Decimal(50), seed=None) for _ in range(2))
    async with asyncio.timeout(120):
        while True:
            (first,), (second,), (again,) = [
                await venue.liquidity(SELL) for venue in (one, other, one)
            ]
            if first.now == second.now == again.now:
                assert first == second
                return


async def test_without_a_seed_another_database_has_other_prices(
    simulated: MakeVenue, database: Database
) -> None:
    async def spot() -> Any:
        await database.rows("TRUNCATE simulated_pools, simulated_seeds")
        (shown,) = await simulated(seed=None).liquidity(SELL)
        return shown.pool.spot(shown.direction)

    assert await spot() != await spot()


@pytest.mark.parametrize("kind", SIMULATED_VENUES, ids=lambda kind: kind.name)
async def test_a_quote_is_known_at_once_when_the_pool_was_read_for_another(
    simulated: MakeVenue, kind: type[SimulatedVenue]
) -> None:
    venue = simulated(kind, **STILL | {"block_seconds": 60})
    at_once: QuotesAtOnce = venue

    assert at_once.quote_now(SELL) is None
    assert await venue.quote(SELL) == at_once.quote_now(SELL)


async def test_what_was_read_more_than_a_block_ago_is_not_known_at_once(
    simulated: MakeVenue,
) -> None:
    venue = simulated(block_seconds=0.01)
    await venue.quote(SELL)

    async with asyncio.timeout(60):
        while venue.quote_now(SELL) is not None:
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(
    "settings", [{"quote_latency": 0.001}, {"faults": Faults.parse("quote_timeout=0.001")}]
)
async def test_a_quote_that_may_take_time_is_never_known_at_once(
    simulated: MakeVenue, settings: dict[str, Any]
) -> None:
    venue = simulated(block_seconds=60, **settings)
    await venue.liquidity(SELL)

    assert venue.quote_now(SELL) is None


async def test_a_quote_takes_its_latency(simulated: MakeVenue) -> None:
    clock = asyncio.get_running_loop().time
    venue = simulated(quote_latency=0.02)
    asked = clock()
    await venue.quote(SELL)
    assert clock() - asked >= 0.019


async def test_a_quote_can_be_refused_at_one_venue_only(simulated: MakeVenue) -> None:
    faults = Faults.parse("raydium.quote_refused=1")
    with pytest.raises(VenueUnavailable):
        await simulated(SimulatedRaydium, faults=faults).quote(SELL)
    assert (await simulated(SimulatedMeteora, faults=faults).quote(SELL)).venue == "meteora"


@pytest.mark.parametrize("fault", ["quote_timeout", "quote_refused", "absurd_quote"])
async def test_the_router_survives_every_fault_of_a_venue(simulated: MakeVenue, fault: str) -> None:
    venues = [simulated(faults=Faults.parse(f"{fault}=1"), seed=n) for n in range(8)]
    honest = simulated(SimulatedMeteora)
    for venue in (*venues, honest):  # the first look connects, which takes longer than a quote may
        await venue.liquidity(SELL)
    decision = await best_route(SELL, [*venues, honest], quote_timeout=0.05)

    assert [quote.venue for quote in decision.quotes] == ["meteora"]
    assert len(decision.dropped) == 8


async def test_absurd_quotes_come_in_all_their_kinds(simulated: MakeVenue) -> None:
    venue = simulated(faults=Faults.parse("absurd_quote=1"))
    prices = [(await venue.quote(SELL)).price for _ in range(50)]
    assert any(price.is_nan() for price in prices)
    assert any(price < 0 for price in prices if not price.is_nan())
    assert any(price > 900 for price in prices if not price.is_nan())


async def test_a_transaction_carries_what_it_is_to_do(simulated: MakeVenue) -> None:
    venue = simulated()
    quote = await venue.quote(SELL)
    bound = bound_for(SELL, quote, 100)
    built = await venue.build(SELL, [Leg(venue.name, quote)], bound)
    content = json.loads(built.payload)

    assert built.expires_at_height == 1000 + 150
    assert content["minOut"] == bound.min_out
    assert content["legs"] == [[venue.name, quote.amount_in, quote.amount_out]]
    assert content["markets"] == [[SOL.mint, USDC.mint, "sell"]]
    assert (content["wrapsSol"], content["unwrapsSol"]) == (True, False)
    assert b" " not in built.payload


async def test_a_venue_that_cannot_learn_the_height_is_unavailable(simulated: MakeVenue) -> None:
    class Dumb(StubNetwork):
        async def height(self) -> int:
            raise NetworkUnavailable

    venue = simulated(network=Dumb())
    quote = await venue.quote(SELL)
    with pytest.raises(VenueUnavailable):
        await venue.build(SELL, [Leg(venue.name, quote)], Bound(min_out=1))


async def test_a_venue_without_its_database_is_unavailable() -> None:
    simulation = Simulation(quote_latency=0)
    pools = SimulatedPools("host=/nonexistent dbname=none", simulation, {})
    with pytest.raises(VenueUnavailable):
        await SimulatedRaydium(simulation, StubNetwork(), pools).quote(SELL)


async def test_quotes_that_are_given_up_early_get_there_together(simulated: MakeVenue) -> None:
    """A slow database is read for all who ask, however short each one's patience."""
    venue = simulated()
    for _ in range(5_000):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.001):
                await venue.quote(SELL)
                return
    pytest.fail("each began anew")
