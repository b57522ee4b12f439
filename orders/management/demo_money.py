"""The demo's last line: what was bought and sold, and what it cost."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

from orders.management.demo_client import SentOrder


def money_line(orders: Sequence[SentOrder]) -> str:
    """Return as a sentence what these orders traded; only those that filled count."""
    filled = [order for order in orders if order.status == "confirmed"]
    sides = [f"{verb} {_traded(filled, side)}" for side, verb in _VERBS if _traded(filled, side)]
    text = "; ".join(sides) or "nothing was traded"
    return f"{text[0].upper()}{text[1:]}. Network fees: {_fees(orders):f} SOL."


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
        f"{base_amount.normalize():f} {base} for {quote_amount.normalize():f} {quote}"
        for (base, quote), (base_amount, quote_amount) in sums.items()
    )


def _fees(orders: Sequence[SentOrder]) -> Decimal:
    """Return what the network took in all, for attempts that failed too."""
    fees = [event.data.get("networkFee", Decimal()) for order in orders for event in order.events]
    return sum(fees, Decimal()).normalize()
