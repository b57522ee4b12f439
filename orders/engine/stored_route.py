"""A routing decision as an order's log keeps it, and the route read back from there."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from orders.engine.moves import ClaimedOrder
from routing.decision import Decision
from routing.pricing import execution_price
from routing.registry import registry
from routing.steps import steps_for
from routing.venue import Bound, Leg, Quote, Side, Swap


def swap_of(order: ClaimedOrder) -> Swap:
    """:raises LookupError: what it trades is not in this process's copy of the registry."""
    known = registry()
    market = known.market_of_order(known.token(order.base), known.token(order.quote))
    return Swap(market, order.side, order.amount_in, order.amount_out)


def decision_data(swap: Swap, decision: Decision, bound: Bound) -> dict[str, Any]:
    """Return the data of a `building` event: all quotes, the choice, the bound, the steps."""
    data = decision.to_json() | {"steps": steps_for(swap, decision.legs, bound)}
    if bound.min_out is not None:
        price = execution_price(swap.market, swap.side, decision.quote.amount_in, bound.min_out)
        data["minAmountOut"] = swap.token_out.to_text(bound.min_out)
    else:
        most = bound.max_in or 0
        price = execution_price(swap.market, swap.side, most, decision.quote.amount_out)
        data["maxAmountIn"] = swap.token_in.to_text(most)
    # The worst price the bound accepts: the lowest of a sell, the highest of a buy.
    data["minAcceptablePrice"] = f"{price:f}"
    if swap.side is Side.BUY:
        data["maxAcceptablePrice"] = f"{price:f}"
    return data


def legs_of(swap: Swap, decision: dict[str, Any]) -> tuple[Leg, ...]:
    """Return the route that a stored decision chose. One of a single leg is its quote.

    :raises LookupError: a leg's market is not in this process's copy of the registry.
    """
    if "legs" not in decision:
        quote = _quote_of(swap, decision["quote"])
        return (Leg(quote.venue, quote),)
    return tuple(_leg_of(swap, leg) for leg in decision["legs"])


def _leg_of(swap: Swap, leg: dict[str, Any]) -> Leg:
    base, _, quote = leg["market"].partition("/")
    known = registry()
    market = known.market(known.token(base), known.token(quote))
    own = Swap(market, Side(leg["side"]))
    offer = _quote_of(own, leg)
    if swap.is_exact_in:
        own = replace(own, amount_in=offer.amount_in)
    else:
        own = replace(own, amount_out=offer.amount_out)
    return Leg(offer.venue, offer, own, leg.get("pool", ""))


def _quote_of(swap: Swap, stored: dict[str, Any]) -> Quote:
    impact = stored.get("priceImpactBps")
    return Quote(
        venue=stored["dex"],
        amount_in=swap.token_in.to_atoms(Decimal(stored["amountIn"])),
        amount_out=swap.token_out.to_atoms(Decimal(stored["amountOut"])),
        price=Decimal(stored["price"]),
        fee_bps=stored["feeBps"],
        price_impact_bps=None if impact is None else Decimal(impact),
    )
