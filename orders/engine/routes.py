"""The best route by this engine's settings: of an order, of a limit that rests, of a quote."""

from collections.abc import Sequence

from django.conf import settings

from routing.constraints import Constraints
from routing.decision import Decision
from routing.quoting import VenueStopped
from routing.registry import stopped_venues
from routing.router import best_route
from routing.venue import Leg, ReferencePrices, Swap, Venue


def refuse_stopped(legs: Sequence[Leg]) -> None:
    """Return if every venue of a route still goes on.

    :raises VenueStopped: one was stopped since the route was chosen.
    """
    stopped = stopped_venues()
    for leg in legs:
        if reason := stopped.get(leg.venue):
            raise VenueStopped(f"{leg.venue} was stopped: {reason}")


async def route_of(
    swap: Swap,
    venues: Sequence[Venue],
    constraints: Constraints,
    references: ReferencePrices | None,
) -> Decision:
    """Return the choice among these venues. `references` are their exchange's `held_to`.

    :raises NoRoute: none of them can fill the swap within the constraints.
    """
    return await best_route(
        swap,
        venues,
        quote_timeout=settings.QUOTE_TIMEOUT,
        max_deviation_bps=settings.MAX_QUOTE_DEVIATION_BPS,
        max_price_impact_bps=settings.MAX_PRICE_IMPACT_BPS,
        split_min_gain_bps=settings.SPLIT_MIN_GAIN_BPS,
        constraints=constraints,
        references=references,
        stopped=stopped_venues(),
    )
