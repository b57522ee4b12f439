"""The lists of operators, each in a file of its own. Django imports them from here."""

from routing.admin.ledger import NetworkTransactionAdmin
from routing.admin.live import LivePoolAdmin, VenueStopAdmin
from routing.admin.pools import SimulatedPoolAdmin
from routing.admin.price_paths import SimulatedPricePathAdmin
from routing.admin.read_only import InIndexOrder, ReadOnlyAdmin
from routing.admin.tokens import MarketAdmin, TokenAdmin

__all__ = (
    "InIndexOrder",
    "LivePoolAdmin",
    "MarketAdmin",
    "NetworkTransactionAdmin",
    "ReadOnlyAdmin",
    "SimulatedPoolAdmin",
    "SimulatedPricePathAdmin",
    "TokenAdmin",
    "VenueStopAdmin",
)
