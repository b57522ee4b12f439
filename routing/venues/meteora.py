"""Meteora, simulated: DLMM pools of bins 0.2 % apart, at 0.2 % and more when the price moves."""

from decimal import Decimal

from routing.simulation.pool import LIQUIDITY_BINS
from routing.simulation.seeding import STEP_20, liquidity_bins
from routing.venues.simulated import SimulatedVenue


class SimulatedMeteora(SimulatedVenue):
    name = "meteora"
    label = "Meteora"
    kind = LIQUIDITY_BINS
    fee_bps = 20
    price_range = (Decimal("0.97"), Decimal("1.02"))
    new_pool = staticmethod(liquidity_bins(STEP_20, each_way=100))
