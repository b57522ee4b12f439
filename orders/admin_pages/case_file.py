"""One order as a case file: the request, the decisions, the steps, and how long each took."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orders.admin_pages.waiting import Waiting, rows_of_terms, waiting_of
from orders.admin_pages.wording import (
    FAILURE_MEANINGS,
    basis_points,
    duration,
    label_of,
    limits_text,
)
from orders.lifecycle import CANCELLABLE, FINAL, Status
from orders.models import Order, OrderEvent, OrderTransaction
from orders.representation import (
    decimal,
    executed_price,
    headline,
    request_as_json,
    terms_as_json,
    terms_of,
    tokens_of,
)
from routing.stored_decision import StoredDecision, StoredQuote


@dataclass(frozen=True, slots=True)
class Step:
    """One event: `since` the event before it, and `offset` from the first one."""

    event: OrderEvent
    since: str
    offset: str
    data: str


@dataclass(frozen=True, slots=True)
class QuoteLine:
    label: str
    won: bool
    price: str
    fee_bps: int
    amount_in: str
    amount_out: str
    behind_bps: str
    """How much worse the quote is than the winner's, net of fees; empty for the winner."""


@dataclass(frozen=True, slots=True)
class DecisionInWords:
    """A stored decision in words for people."""

    attempt: int
    at: datetime
    winner: str
    reason: str
    margin: str
    bound: str
    quotes: tuple[QuoteLine, ...]
    dropped: tuple[tuple[str, str, str], ...]
    """Venue, code and reason of each venue that took no part."""
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fill:
    """What was executed, compared with the bound and with the quote behind it."""

    text: str
    price: str
    bound: str
    better: str
    is_within: bool
    against_quote: str


@dataclass(frozen=True, slots=True)
class RelatedOrder:
    """Another order, and what it is to this one."""

    role: str
    order: Order
    headline: str


@dataclass(frozen=True, slots=True)
class CaseFile:
    headline: str
    summary: str
    """What an order with terms is taken for, as its client reads it; empty of a market order."""
    terms: tuple[tuple[str, str], ...]
    waiting: Waiting | None
    """What it waits for; None if it does not rest."""
    related: tuple[RelatedOrder, ...]
    more_children: bool
    """Whether it has more children than are shown."""
    asked: str
    limits: str
    """The limits that the order sets to its route; empty if it sets none."""
    bound: str
    venue: str
    took: str
    steps: tuple[Step, ...]
    decisions: tuple[DecisionInWords, ...]
    transactions: tuple[OrderTransaction, ...]
    fill: Fill | None
    failure_meaning: str
    is_final: bool
    is_cancellable: bool
    lost: int
    """How many leases in a row were lost, up to now."""


MOST_CHILDREN = 20


def case_file(order: Order) -> CaseFile:
    """Read the order's log and its transactions, and of one with terms what belongs to it."""
    related, more = related_orders(order)
    events = tuple(order.events.order_by("seq"))
    decided = [
        (event, StoredDecision(event.data, order.base, order.quote, order.side))
        for event in events
        if event.data.get("quotes") is not None
    ]
    status = Status(order.status)
    return CaseFile(
        headline=headline(order),
        summary=request_as_json(order)["summary"] if order.terms is not None else "",
        terms=_terms(order),
        waiting=waiting_of(order),
        related=related,
        more_children=more,
        asked=asked_amount(order),
        limits=limits_text(order),
        bound=bound_text(order),
        venue=label_of(order.venue) if order.venue else "",
        took=duration(order.finished_at - order.created_at) if order.finished_at else "",
        steps=_steps(events),
        decisions=tuple(_in_words(order, event, decision) for event, decision in decided),
        transactions=tuple(order.transactions.defer("payload").order_by("attempt")),
        fill=_fill(order, [decision.quote for _, decision in decided if decision.quote]),
        failure_meaning=FAILURE_MEANINGS.get(order.failure_code or "", ""),
        is_final=status in FINAL,
        is_cancellable=status in CANCELLABLE,
        lost=order.lost_leases,
    )


def _terms(order: Order) -> tuple[tuple[str, str], ...]:
    terms = terms_of(order)
    if terms is None:
        return ()
    return rows_of_terms(terms_as_json(order.type, terms, *tokens_of(order)))


def related_orders(order: Order) -> tuple[tuple[RelatedOrder, ...], bool]:
    """Return its group, parent and children, the newest slices first; and whether it has more.

    A market order has none of these, unless it was replaced or is an entry.
    """
    found: list[tuple[str, Order]] = []
    if order.parent_id is not None:
        found += [("parent", one) for one in Order.objects.filter(pk=order.parent_id)]
    if order.group_id is not None:
        group = Order.objects.filter(group_id=order.group_id).exclude(pk=order.pk)
        found += [("other order of its group", one) for one in group[:2]]
    named = {order.replaces: "replaced order", order.replaced_by: "its replacement"}
    if ids := [pk for pk in named if pk is not None]:
        found += [(named[one.pk], one) for one in Order.objects.filter(pk__in=ids)]
    children = Order.objects.filter(parent_id=order.pk).order_by("-slice", "id")
    shown = list(children[: MOST_CHILDREN + 1]) if order.terms is not None else []
    found += [(_role_of_child(one), one) for one in shown[:MOST_CHILDREN]]
    related = tuple(RelatedOrder(role, one, headline(one)) for role, one in found)
    return related, len(shown) > MOST_CHILDREN


def _role_of_child(order: Order) -> str:
    return "exit" if order.slice is None else f"slice {order.slice}"


def asked_amount(order: Order) -> str:
    token_in, token_out = tokens_of(order)
    if order.amount_in is not None:
        return f"{decimal(token_in, order.amount_in)} {token_in.symbol} in"
    return f"{decimal(token_out, order.amount_out)} {token_out.symbol} out"


def bound_text(order: Order) -> str:
    """Return the worst fill that the order accepts; empty before its first quote."""
    token_in, token_out = tokens_of(order)
    if order.min_out is not None:
        return f"at least {decimal(token_out, order.min_out)} {token_out.symbol}"
    if order.max_in is not None:
        return f"at most {decimal(token_in, order.max_in)} {token_in.symbol}"
    return ""


def _steps(events: tuple[OrderEvent, ...]) -> tuple[Step, ...]:
    steps, before = [], None
    for event in events:
        since = duration(event.at - before) if before else ""
        offset = duration(event.at - events[0].at) if before else ""
        data = json.dumps(event.data, indent=2, ensure_ascii=False) if event.data else ""
        steps.append(Step(event, since, offset, data))
        before = event.at
    return tuple(steps)


def _in_words(order: Order, event: OrderEvent, decision: StoredDecision) -> DecisionInWords:
    token_in, token_out = tokens_of(order)
    margin, runner_up = decision.margin_bps, decision.runner_up
    bound = ""
    if decision.least_out:
        bound = f"at least {decision.least_out} {token_out.symbol}"
    elif decision.most_in:
        bound = f"at most {decision.most_in} {token_in.symbol}"
    return DecisionInWords(
        attempt=event.attempt,
        at=event.at,
        winner=" and ".join(label_of(venue) for venue in decision.venues),
        reason=decision.reason,
        margin=f"{margin} bps better than {label_of(runner_up)}" if margin and runner_up else "",
        bound=bound,
        quotes=tuple(_quote_line(order, quote, decision.quote) for quote in decision.quotes),
        dropped=tuple((label_of(drop.venue), drop.code, drop.reason) for drop in decision.dropped),
        steps=tuple(_step_text(step) for step in decision.steps),
    )


def _quote_line(order: Order, quote: StoredQuote, best: StoredQuote | None) -> QuoteLine:
    token_in, token_out = tokens_of(order)
    through = f" through {quote.through}" if quote.through else ""
    return QuoteLine(
        label=f"{label_of(quote.venue)}{through}",
        won=quote == best,
        price=quote.price,
        fee_bps=quote.fee_bps,
        amount_in=f"{quote.amount_in} {token_in.symbol}",
        amount_out=f"{quote.amount_out} {token_out.symbol}",
        behind_bps="" if best is None or quote == best else _behind(order, quote, best),
    )


def _behind(order: Order, quote: StoredQuote, best: StoredQuote) -> str:
    """Return how much worse this quote is than the winner, in bps of the winner's amount."""
    best_amount = Decimal(_amount_compared(order, best))
    behind = abs(best_amount - Decimal(_amount_compared(order, quote))) / best_amount * 10_000
    return f"{behind:.2f}"


def _amount_compared(order: Order, quote: StoredQuote) -> str:
    """Return the amount by which the venues compete."""
    return quote.amount_out if order.amount_in is not None else quote.amount_in


def _step_text(step: dict[str, str]) -> str:
    match step.get("type"):
        case "wrap_sol":
            return f"wrap {step.get('amount')} SOL"
        case "unwrap_sol":
            return "unwrap SOL"
        case "swap":
            label = label_of(step.get("dex"))
            market = f" in {step['market']}" if "market" in step else ""
            return f"swap {step.get('amountIn')} for {step.get('amountOut')} at {label}{market}"
        case other:
            return str(other)


def _fill(order: Order, quotes: Sequence[StoredQuote]) -> Fill | None:
    if order.filled_in is None or order.filled_out is None:
        return None
    token_in, token_out = tokens_of(order)
    paid, received = decimal(token_in, order.filled_in), decimal(token_out, order.filled_out)
    is_within, better = _against_bound(order, order.filled_in, order.filled_out)
    return Fill(
        text=f"{paid} {token_in.symbol} → {received} {token_out.symbol}",
        price=f"{executed_price(order)} {order.quote} per {order.base}",
        bound=bound_text(order),
        better=better,
        is_within=is_within,
        against_quote=_against_quote(order, quotes[-1]) if quotes else "",
    )


def _against_bound(order: Order, paid: int, received: int) -> tuple[bool, str]:
    """Return whether the fill is within the bound, and by how much, in words."""
    token_in, token_out = tokens_of(order)
    if order.min_out:
        margin, whole, token, more = received - order.min_out, order.min_out, token_out, "more"
    elif order.max_in:
        margin, whole, token, more = order.max_in - paid, order.max_in, token_in, "less"
    else:
        return True, ""
    if margin < 0:
        return False, f"{-basis_points(margin, whole)} bps worse than the bound"
    share = basis_points(margin, whole)
    return True, f"{share} bps better: {decimal(token, margin)} {token.symbol} {more}"


def _against_quote(order: Order, quote: StoredQuote) -> str:
    """Return in words how the fill differs from the quote behind it."""
    token_in, token_out = tokens_of(order)
    if order.amount_in is not None:
        token, filled, gain = token_out, order.filled_out, 1
    else:
        token, filled, gain = token_in, order.filled_in, -1
    quoted = token.to_atoms(Decimal(_amount_compared(order, quote)))
    difference = gain * ((filled or 0) - quoted)
    if difference == 0:
        return "exactly as quoted"
    share = basis_points(abs(difference), quoted)
    return f"{share} bps {'better' if difference > 0 else 'worse'} than quoted"
