"""What an order tells of how well it was executed, beside its own fields."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from orders.lifecycle import FINAL
from orders.models import ExecutionQuality, Order
from orders.quality.parts import Chain, gain, parts_of
from orders.representation import decimal
from orders.terms.terms import price_text
from routing.registry import look_up
from routing.tokens import Token
from routing.venue import Side, Swap


def qualities_of(orders: Sequence[Order]) -> dict[UUID, dict[str, Any]]:
    """Return by id what was measured of those that ended: one statement for all of them."""
    ended = {order.id: order for order in orders if order.status in FINAL}
    if not ended:
        return {}
    rows: Iterable[ExecutionQuality] = ExecutionQuality.objects.filter(pk__in=ended)
    return {row.order_id: as_json(ended[row.order_id], row) for row in rows}


def as_json(order: Order, row: ExecutionQuality) -> dict[str, Any]:
    """Return the quality of an order; null where there is nothing to compare with."""
    swap = swap_of(order)
    token = swap.token_out if swap.is_exact_in else swap.token_in
    filled = order.filled_out if swap.is_exact_in else order.filled_in
    against_other = None if row.other is None or filled is None else gain(swap, row.other, filled)
    return {
        "quotedAmount": decimal(token, row.quoted),
        "vsQuoteBps": bps_text(row.vs_quote_bps),
        "otherVenue": row.other_venue,
        "vsOtherBps": bps_text(row.vs_other_bps),
        "vsOtherAmount": signed(token, against_other),
        "arrivalPrice": price_text(row.arrival_price),
        "executionParts": _parts(swap, row, token, filled),
    }


def _parts(
    swap: Swap, row: ExecutionQuality, token: Token, filled: int | None
) -> dict[str, Any] | None:
    steps = (row.arrival, row.at_spot, row.at_price, row.quoted)
    amounts = [step for step in steps if step is not None]
    if filled is None or len(amounts) < len(steps):
        return None
    chain = Chain._make(amounts)
    parts = parts_of(swap, chain, filled)._asdict()
    told = {name: signed(token, atoms) for name, atoms in parts.items()}
    return {"token": token.symbol, "arrivalAmount": decimal(token, chain.arrival), **told}


def swap_of(order: Order) -> Swap:
    market = look_up(
        lambda known: known.market_of_order(known.token(order.base), known.token(order.quote))
    )
    return Swap(market, Side(order.side), order.amount_in, order.amount_out)


def signed(token: Token, atoms: int | None) -> str | None:
    """Return a gain, or a loss, in whole tokens."""
    if atoms is None:
        return None
    return f"-{token.to_text(-atoms)}" if atoms < 0 else token.to_text(atoms)


def bps_text(bps: Decimal | None) -> str | None:
    return None if bps is None else f"{bps:f}"
