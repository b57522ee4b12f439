"""Raydium, simulated: CPMM pools at 0.3 %."""

from decimal import Decimal

from routing.simulation.pool import CONSTANT_PRODUCT
from routing.simulation.seeding import constant_product
from routing.venues.simulated import SimulatedVenue


class SimulatedRaydium(SimulatedVenue):
    name = "raydium"
    label = "Raydium"
    kind = CONSTANT_PRODUCT
    fee_bps = 30
    price_range = (Decimal("0.98"), Decimal("1.02"))
    new_pool = staticmethod(constant_product(trade=3_000))
