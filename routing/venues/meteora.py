"""Meteora, simulated."""

from decimal import Decimal

from routing.venues.simulated import SimulatedVenue


class SimulatedMeteora(SimulatedVenue):
    name = "meteora"
    label = "Meteora"
    fee_bps = 20
    price_range = (Decimal("0.97"), Decimal("1.02"))
