"""A routing decision as an order's log keeps it, and the route read back from there."""

from decimal import Decimal
from typing import Any

from orders.moves import ClaimedOrder
from routing.decision import Decision
from routing.pricing import execution_price
from routing.steps import steps_for
from routing.tokens import REGISTRY
from routing.venue import Bound, Leg, Quote, Side, Swap


def swap_of(order: ClaimedOrder) -> Swap:
    market = REGISTRY.market(REGISTRY.token(order.base), REGISTRY.token(order.quote))
    return Swap(market, order.side, order.amount_in, order.amount_out)


def decision_data(swap: Swap, decision: Decision, bound: Bound) -> dict[str, Any]:
    """Return the data of a `building` event: all quotes, the choice, the bound, the steps."""
    chosen = decision.to_json()
    quote = next(q for q in chosen["quotes"] if q["dex"] == chosen["selectedDex"])
    data = {**chosen, "quote": quote, "steps": steps_for(swap, decision.legs, bound)}
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
    """Return the route that a stored decision chose."""
    chosen = decision["quote"]
    quote = Quote(
        venue=chosen["dex"],
        amount_in=swap.token_in.to_atoms(Decimal(chosen["amountIn"])),
        amount_out=swap.token_out.to_atoms(Decimal(chosen["amountOut"])),
        price=Decimal(chosen["price"]),
        fee_bps=chosen["feeBps"],
    )
    return (Leg(quote.venue, quote),)
