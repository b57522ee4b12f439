"""Raydium, simulated."""

from decimal import Decimal

from routing.venues.simulated import SimulatedVenue


class SimulatedRaydium(SimulatedVenue):
    name = "raydium"
    label = "Raydium"
    fee_bps = 30
    price_range = (Decimal("0.98"), Decimal("1.02"))
