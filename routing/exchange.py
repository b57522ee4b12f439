"""The exchange that the settings ask for, and what people are told of its venues."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from config.database.conninfo import conninfo
from routing.operations.venue_stops import stop_soon
from routing.registry import live_pools, registry
from routing.venues import LABELS, SIMULATED_VENUES, Exchange, simulated_exchange

if TYPE_CHECKING:
    from routing.venues.live.exchange import Purse


class VenueFacts(NamedTuple):
    """What people are told of a venue."""

    name: str
    label: str
    fee: str
    prices: str
    """Where its prices come from."""


def make_exchange(*, signs: bool = False) -> Exchange:
    """Return the venues and the network that the settings ask for, for one asyncio loop.

    What real transactions need is imported only if they are asked for. Unless it `signs`, such an
    exchange quotes and looks up, and builds nothing.

    :raises UnusableKey: the wallet's key cannot be used.
    """
    if settings.VENUES == "simulated":
        return simulated_exchange(conninfo(), settings.SIMULATION, registry)
    from routing.venues.live.exchange import LiveSettings, live_exchange

    known = registry()
    feeds = {known.token(name).mint: at for name, at in settings.SOLANA_PRICE_FEEDS.items()}
    chosen = LiveSettings(settings.SOLANA_RPC_URLS, feeds)
    purse = _purse() if signs else None
    return live_exchange(chosen, live_pools, registry, purse, time.time, stop_soon)


def _purse() -> "Purse":
    from routing.solana.wallet.opening import open_signer
    from routing.venues.live.exchange import OnClusterAlone, Purse

    path = settings.SOLANA_KEY_FILE
    signer = open_signer(Path(path) if path else None, None)
    return Purse(signer, OnClusterAlone())


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


def _live() -> tuple[VenueFacts, ...]:
    return tuple(
        VenueFacts(name, label, "of each pool", "of its pools on chain")
        for name, label in LABELS.items()
    )


VENUES = _simulated() if settings.VENUES == "simulated" else _live()
"""Those that are set up, in the order in which they are asked."""
