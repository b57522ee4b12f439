"""Price impact, defined once for all venues: how far a fill is off the price, without fees."""

from decimal import Decimal

from routing.pools.pool import Spot

HUNDREDTHS = 1_000_000


def price_impact_bps(spot: Spot, net_in: int, gross_out: int) -> Decimal:
    """Return (spot - gross_out / net_in) / spot in bps, rounded up to hundredths of one.

    `spot` is the pool's price before the swap; `net_in` and `gross_out` are the fill's. Fees are no
    impact: they are in `amount_out / amount_in`.
    """
    at_spot = net_in * spot.atoms_out
    lost = at_spot - gross_out * spot.atoms_in
    return Decimal(-(-lost * HUNDREDTHS // at_spot)).scaleb(-2)
