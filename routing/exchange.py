"""The exchange that the settings ask for, and what people are told of its venues."""

from typing import NamedTuple

from django.conf import settings

from config.database.conninfo import conninfo
from routing.registry import registry
from routing.venues import SIMULATED_VENUES, Exchange, simulated_exchange


class VenueFacts(NamedTuple):
    """What people are told of a venue."""

    name: str
    label: str
    fee: str
    prices: str
    """Where its prices come from."""


def make_exchange() -> Exchange:
    """Return the venues and the network that the settings ask for, for one asyncio loop."""
    return simulated_exchange(conninfo(), settings.SIMULATION, registry)


def _simulated() -> tuple[VenueFacts, ...]:
    return tuple(
        VenueFacts(
            venue.name,
            venue.label,
            f"{venue.fee_bps} bps",
            "{} to {} of the market's price".format(*venue.price_range),
        )
        for venue in SIMULATED_VENUES
    )


VENUES = _simulated()
"""Those that are set up, in the order in which they are asked."""
