"""A launched pool is traded in from its opening on, and from there on where it moved."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command

from routing.models import SimulatedPool
from routing.operations.launches import CannotLaunch, Launch, launch_pool, migrate_pool
from routing.registry import registry
from routing.simulation.settings import Simulation
from routing.venue import Quote, Side, Swap, TellsOfPools, UnsupportedToken, VenueUnavailable
from routing.venues import Exchange, simulated_exchange

pytestmark = pytest.mark.usefixtures("own_registry")

STILL: dict[str, Any] = {
    "volatility_bps": Decimal(0),
    "price_ranges": {"raydium": (Decimal(1), Decimal(1)), "meteora": (Decimal(1), Decimal(1))},
    "block_seconds": 0.01,
}
NEW = Launch("NEW", "SOL", "raydium", Decimal(50), price=Decimal("0.001"))

launched = sync_to_async(launch_pool)
migrated = sync_to_async(migrate_pool)


@pytest_asyncio.fixture
async def exchange(database_conninfo: str) -> AsyncIterator[Exchange]:
    simulation = Simulation(quote_latency=0, seed=1, **STILL)
    made = simulated_exchange(database_conninfo, simulation, registry)
    yield made
    await made.close()


def purchase() -> Swap:
    known = registry()
    market = known.market_of(known.token("SOL"), known.token("NEW"))
    return Swap(market, Side.BUY, amount_in=10**9)


async def quotes(exchange: Exchange) -> dict[str, Quote | type[Exception]]:
    found: dict[str, Quote | type[Exception]] = {}
    for venue in exchange.venues:
        try:
            found[venue.name] = await venue.quote(purchase())
        except (UnsupportedToken, VenueUnavailable) as refusal:
            found[venue.name] = type(refusal)
    return found


async def facts(exchange: Exchange) -> list[Any]:
    tellers = [venue for venue in exchange.venues if isinstance(venue, TellsOfPools)]
    return [fact for venue in tellers for fact in await venue.open_pools(purchase())]


async def test_a_launch_adds_the_token_and_the_market_and_only_its_venue_quotes(
    exchange: Exchange,
) -> None:
    await launched(NEW)

    found = await quotes(exchange)
    assert isinstance(found["raydium"], Quote)
    assert found["meteora"] is UnsupportedToken
    assert await SimulatedPool.objects.filter(venue="meteora").acount() == 0
    assert registry().token("NEW").decimals == 6


async def test_a_pool_that_opens_later_takes_no_part_until_then(exchange: Exchange) -> None:
    made = await launched(NEW._replace(opens_in=3600))

    assert await quotes(exchange) == {"raydium": VenueUnavailable, "meteora": UnsupportedToken}
    assert await facts(exchange) == []

    await SimulatedPool.objects.filter(pk=made.pk).aupdate(opens_at=made.made_at)
    await reread(exchange)
    assert isinstance((await quotes(exchange))["raydium"], Quote)
    (fact,) = await facts(exchange)
    assert (fact.venue, fact.follows) == ("raydium", None)
    assert abs(fact.liquidity - 50 * 10**9) <= 10**7
    assert fact.age is not None


async def test_a_pool_that_moved_is_traded_in_where_it_is_and_tells_from_where(
    exchange: Exchange,
) -> None:
    await launched(NEW)
    await migrated("NEW", "SOL", "raydium", "meteora")
    await reread(exchange)

    found = await quotes(exchange)
    assert found["raydium"] is UnsupportedToken
    assert isinstance(found["meteora"], Quote)
    (fact,) = await facts(exchange)
    assert (fact.venue, fact.follows) == ("meteora", "raydium")


async def test_a_market_of_old_has_pools_of_an_unknown_age(exchange: Exchange) -> None:
    known = registry()
    swap = Swap(known.market(known.token("SOL"), known.token("USDC")), Side.BUY, 10**6)
    raydium = next(venue for venue in exchange.venues if venue.name == "raydium")
    assert isinstance(raydium, TellsOfPools)

    assert await raydium.open_pools(swap) == []
    await raydium.quote(swap)
    (fact,) = await raydium.open_pools(swap)
    assert fact.age is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"price": None}, "Give its price"),
        ({"quote": "NOTHING"}, "not known"),
        ({"venue": "nowhere"}, "The venues are"),
        ({"liquidity": Decimal("0.00000001")}, "only"),
        ({"base": "not a symbol"}, "A-Z"),
    ],
)
def test_what_cannot_be_launched_is_refused_and_nothing_is_left(
    change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(CannotLaunch, match=reason):
        launch_pool(NEW._replace(**change))

    assert SimulatedPool.objects.count() == 0
    assert all(token.symbol != "NEW" for token in registry().tokens)


def test_the_commands_launch_and_move_a_pool(capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--venue", "raydium", "--liquidity", "50", "--price", "0.001"]
    call_command("launch_pool", "new/sol", *where)
    with pytest.raises(CommandError, match="has a pool"):
        call_command("launch_pool", "NEW/SOL", *where)
    call_command("migrate_pool", "NEW/SOL", "--source", "raydium", "--target", "meteora")
    with pytest.raises(CommandError, match="has no pool"):
        call_command("migrate_pool", "NEW/SOL", "--source", "raydium", "--target", "meteora")

    assert "opens at" in capsys.readouterr().out
    assert SimulatedPool.objects.get().follows == "raydium"


async def reread(exchange: Exchange) -> None:
    """Let the copy of the pools grow old."""
    for venue in exchange.venues:
        venue._pools._read_at = float("-inf")  # type: ignore[attr-defined]  # its own
