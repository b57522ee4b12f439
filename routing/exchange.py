"""The exchange that the settings ask for, and what people are told of its venues."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from config.database.conninfo import conninfo
from routing.operations.venue_stops import stop_soon
from routing.registry import live_pools, registry
from routing.tokens import SOL
from routing.venues import LABELS, SIMULATED_VENUES, Exchange, simulated_exchange

if TYPE_CHECKING:
    from routing.solana.wallet.allowance import Allowance
    from routing.solana.wallet.signer import Signer
    from routing.venues.live.exchange import Purse


LEAST_UNIT_PRICE = 1_000
"""Micro-lamports for a compute unit, where others paid less or nothing is known of them."""


class VenueFacts(NamedTuple):
    """What people are told of a venue."""

    name: str
    label: str
    fee: str
    prices: str
    """Where its prices come from."""


def make_exchange(allowance: "Allowance | None" = None) -> Exchange:
    """Return the venues and the network that the settings ask for, for one asyncio loop.

    What real transactions need is imported only if they are asked for. Without an allowance, which
    a worker alone has, such an exchange quotes and looks up, and builds nothing.

    :raises UnusableKey: the wallet's key cannot be used.
    """
    if settings.VENUES == "simulated":
        return simulated_exchange(conninfo(), settings.SIMULATION, registry)
    from routing.venues.live.exchange import LiveSettings, live_exchange

    known = registry()
    feeds = {known.token(name).mint: at for name, at in settings.SOLANA_PRICE_FEEDS.items()}
    chosen = LiveSettings(settings.SOLANA_RPC_URLS, feeds, settings.SOLANA_SEND_URLS)
    purse = _purse(allowance) if allowance is not None else None
    return live_exchange(chosen, live_pools, registry, purse, time.time, stop_soon)


def _purse(allowance: "Allowance") -> "Purse":
    from routing.solana.transactions.assembly import Tip
    from routing.solana.transactions.costs import FeePolicy
    from routing.solana.wallet.opening import address_of
    from routing.solana.wallet.wallet import Terms
    from routing.venues.live.exchange import Purse

    fees = FeePolicy(
        LEAST_UNIT_PRICE, settings.SOLANA_MAX_PRIORITY_FEE, settings.SOLANA_FEE_PERCENTILE
    )
    receiver = settings.SOLANA_TIP_RECEIVER
    tip = Tip(address_of(receiver), settings.SOLANA_TIP) if receiver else None
    terms = Terms(fees, tip, SOL.to_atoms(settings.SOLANA_FEE_RESERVE))
    limits = (settings.SOLANA_MAX_ORDER_VALUE, settings.SOLANA_MAX_DAY_VALUE)
    return Purse(signer(), allowance, terms, any(limits), settings.SOLANA_LIVE)


def signer() -> "Signer":
    """Return what signs, as the settings say. Only a worker may ask.

    :raises UnusableKey: there is no key, or one that cannot be used.
    """
    from routing.solana.wallet.opening import RemoteKey, open_signer

    path, url, wallet = (
        *(settings.SOLANA_KEY_FILE, settings.SOLANA_SIGNER_URL),
        settings.SOLANA_WALLET,
    )
    remote = RemoteKey(url, wallet, settings.SOLANA_SIGNER_TOKEN) if url else None
    return open_signer(Path(path) if path else None, remote, wallet)


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
