"""The demo's last lines: what was traded, what it cost, and what asking both venues gained."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from order_engine_client import Order
from orders.management.demo_client import SentOrder
from orders.management.gains import Gain, gain_of, grouped, total


def money_line(orders: Sequence[SentOrder]) -> str:
    """Return as a sentence what these orders traded; only those that filled count."""
    filled = [order for order in orders if order.status == "confirmed"]
    sides = [f"{verb} {_traded(filled, side)}" for side, verb in _VERBS if _traded(filled, side)]
    text = "; ".join(sides) or "nothing was traded"
    return f"{text[0].upper()}{text[1:]}. Network fees: {_fees(orders):f} SOL."


def sum_line(orders: Sequence[SentOrder]) -> str:
    """Return how many were confirmed, in which time, and by how much that beat the other venue."""
    filled = [order for order in orders if order.status == "confirmed"]
    seconds = max((order.seconds for order in filled), default=0.0)
    gained = [
        (
            order.order.quote_token,
            gain.in_quote(order.order.side, order.events[-1].executed_price or Decimal()),
        )
        for order in filled
        if (gain := gain_of_order(order)) is not None
    ]
    more = total(gained)
    text = f"{len(filled)} confirmed in {seconds:.1f} s"
    return f"{text}, {more} than the other venue." if more else f"{text}."


def gain_of_order(order: SentOrder) -> Gain | None:
    """Return what a filled order gained; None if no other venue offered anything."""
    decisions = [event.data for event in order.events if event.data.get("quotes")]
    return gain_of(decisions[-1], order.events[-1].data) if decisions else None


def token_of(gain: Gain, order: Order) -> str:
    return order.token_out if gain.in_output else order.token_in


_VERBS = (("buy", "bought"), ("sell", "sold"))


def _traded(orders: Sequence[SentOrder], side: str) -> str:
    """Return the amounts of one side, summed for each pair: "12.5 SOL for 1233.1 USDC"."""
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(), Decimal()])
    for order in orders:
        told, fill = order.order, order.events[-1].data
        if told.side != side:
            continue
        amounts = fill["amountIn"], fill["amountOut"]
        base, quote = amounts if side == "sell" else reversed(amounts)
        pair = sums[told.base_token, told.quote_token]
        pair[0] += base
        pair[1] += quote
    return ", ".join(
        f"{grouped(base_amount.normalize())} {base} for {grouped(quote_amount.normalize())} {quote}"
        for (base, quote), (base_amount, quote_amount) in sums.items()
    )


def _fees(orders: Sequence[SentOrder]) -> Decimal:
    """Return what the network took in all, for attempts that failed too."""
    fees = [event.data.get("networkFee", Decimal()) for order in orders for event in order.events]
    return sum(fees, Decimal()).normalize()
