"""The venues that the engine trades on.

To add a venue, write `routing/venues/<name>.py` with a class that keeps the promises of
`routing.venue.Venue`. For a simulated venue these are a few lines beside `SimulatedVenue`. Add the
class to `SIMULATED_VENUES` here, and the name to `Venue` in `orders/api/schema/asyncapi.yaml`. Then
run `tests/routing`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from routing.simulation.arbitrage import PriceRanges
from routing.simulation.batch import NETWORK_FEE
from routing.simulation.network import SimulatedNetwork
from routing.simulation.pools import SimulatedPools
from routing.simulation.price import MILLION
from routing.simulation.reference import SimulatedReferencePrices
from routing.simulation.settings import Simulation
from routing.tokens import REGISTRY, Registry
from routing.venue import Network, ReferencePrices, Venue
from routing.venues.meteora import SimulatedMeteora
from routing.venues.raydium import SimulatedRaydium
from routing.venues.simulated import SimulatedVenue

__all__ = ["NETWORK_FEE"]

SIMULATED_VENUES: tuple[type[SimulatedVenue], ...] = (SimulatedRaydium, SimulatedMeteora)
LABELS = {venue.name: venue.label for venue in SIMULATED_VENUES}
"""The venues that are set up, simulated or live, by their names for people.

The order of a venue that is no longer set up shows the venue's name.
"""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The venues that quote and build, and the network that executes. For one asyncio loop."""

    venues: tuple[Venue, ...]
    network: Network
    references: ReferencePrices | None = None
    """None: no reference prices are known."""
    holds_to_references: bool = False
    """Whether quotes and ticks are held to them, and not to the markets' own reference prices."""

    @property
    def held_to(self) -> ReferencePrices | None:
        """What quotes and ticks are held to; None: to the markets' own reference prices."""
        return self.references if self.holds_to_references else None

    async def close(self) -> None:
        await self.network.close()


def simulated_exchange(
    conninfo: str, simulation: Simulation, registry: Callable[[], Registry] = lambda: REGISTRY
) -> Exchange:
    """Return all simulated venues on a simulated network that lives in the database `conninfo`.

    They trade the markets of the registry that `registry` returns at the time.

    :raises ValueError: the simulation names a venue that does not exist.
    """
    names = [venue.name for venue in SIMULATED_VENUES]
    simulation.faults.check_venues(names)
    for name in simulation.price_ranges:
        if name not in names:
            raise ValueError(f"price range for {name!r}: known venues are {', '.join(names)}")
    pools = SimulatedPools(conninfo, simulation, price_ranges(simulation), registry)
    network = SimulatedNetwork(conninfo, simulation, pools)
    venues = tuple(venue(simulation, network, pools) for venue in SIMULATED_VENUES)
    return Exchange(venues, network, SimulatedReferencePrices(pools))


def price_ranges(simulation: Simulation) -> PriceRanges:
    """Return how far each venue's price may be from the market's price, in millionths."""
    return {
        venue.name: _millionths(*simulation.price_ranges.get(venue.name, venue.price_range))
        for venue in SIMULATED_VENUES
    }


def _millionths(least: Decimal, most: Decimal) -> tuple[int, int]:
    return int(least * MILLION), int(most * MILLION)
