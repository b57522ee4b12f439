"""One order as a case file: the request, the decisions, the steps, and how long each took."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal

from orders.admin_pages.waiting import Waiting, rows_of_terms, waiting_of
from orders.admin_pages.wording import (
    FAILURE_MEANINGS,
    aligned,
    basis_points,
    duration,
    grouped,
    label_of,
    limits_text,
)
from orders.lifecycle import CANCELLABLE, FINAL, Status
from orders.models import Order, OrderEvent, OrderTransaction
from orders.representation import (
    executed_price,
    headline,
    request_as_json,
    terms_as_json,
    terms_of,
    tokens_of,
)
from routing.stored_decision import StoredDecision, StoredQuote
from routing.tokens import Token


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
    gain_bps: str
    """How much better the choice is, net of fees, in bps of what this venue alone would have given;
    empty for what was chosen."""


@dataclass(frozen=True, slots=True)
class DecisionInWords:
    """A stored decision in words for people, or that no venue could be chosen."""

    attempt: int
    at: datetime
    winner: str
    """Empty if no venue could be chosen."""
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
        if event.data.get("quotes") is not None or event.data.get("dropped")
    ]
    decisions = tuple(_in_words(order, event, decision) for event, decision in decided)
    winners = [decision.winner for decision in decisions if decision.winner]
    status = Status(order.status)
    return CaseFile(
        headline=grouped(headline(order)),
        summary=request_as_json(order)["summary"] if order.terms is not None else "",
        terms=_terms(order),
        waiting=waiting_of(order),
        related=related,
        more_children=more,
        asked=asked_amount(order),
        limits=limits_text(order),
        bound=bound_text(order) or ("none: no venue quoted it" if status in FINAL else ""),
        venue=_venue(order, winners),
        took=duration(order.finished_at - order.created_at) if order.finished_at else "",
        steps=_steps(events),
        decisions=decisions,
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
    related = tuple(RelatedOrder(role, one, grouped(headline(one))) for role, one in found)
    return related, len(shown) > MOST_CHILDREN


def _role_of_child(order: Order) -> str:
    return "exit" if order.slice is None else f"slice {order.slice}"


def _venue(order: Order, winners: Sequence[str]) -> str:
    """Return the venues of the last choice. The column names only the first of them."""
    if order.venue is None:
        return "none" if order.finished_at else "none chosen yet"
    return winners[-1] if winners else label_of(order.venue)


def asked_amount(order: Order) -> str:
    token_in, token_out = tokens_of(order)
    if order.amount_in is not None:
        return f"{amount_text(token_in, order.amount_in)} in"
    return f"{amount_text(token_out, order.amount_out or 0)} out"


def amount_text(token: Token, atoms: int) -> str:
    return f"{grouped(token.to_text(atoms))} {token.symbol}"


def bound_text(order: Order) -> str:
    """Return the worst fill that the order accepts; empty before its first quote."""
    token_in, token_out = tokens_of(order)
    if order.min_out is not None:
        return f"at least {amount_text(token_out, order.min_out)}"
    if order.max_in is not None:
        return f"at most {amount_text(token_in, order.max_in)}"
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
        bound = f"at least {grouped(decision.least_out)} {token_out.symbol}"
    elif decision.most_in:
        bound = f"at most {grouped(decision.most_in)} {token_in.symbol}"
    return DecisionInWords(
        attempt=event.attempt,
        at=event.at,
        winner=" and ".join(label_of(venue) for venue in decision.venues),
        reason=grouped(decision.reason),
        margin=f"{margin} bps better than {label_of(runner_up)}" if margin and runner_up else "",
        bound=bound,
        quotes=_quote_lines(order, decision),
        dropped=tuple((label_of(drop.venue), drop.code, drop.reason) for drop in decision.dropped),
        steps=tuple(_step_text(step) for step in decision.steps),
    )


def _quote_lines(order: Order, decision: StoredDecision) -> tuple[QuoteLine, ...]:
    """Return what was chosen and what each venue alone would have given.

    The quote of a split is nobody's: it stands first, and each venue alone below it.
    """
    best, quotes = decision.quote, decision.quotes
    names = [_name(quote) for quote in quotes]
    if best is not None and best not in quotes and len(decision.venues) > 1:
        quotes = [best, *quotes]
        names = [" and ".join(map(label_of, decision.venues)), *(f"{name} alone" for name in names)]
    token_in, token_out = tokens_of(order)
    prices = aligned([quote.price for quote in quotes])
    paid = aligned([quote.amount_in for quote in quotes])
    got = aligned([quote.amount_out for quote in quotes])
    return tuple(
        QuoteLine(
            label=name,
            won=quote == best,
            price=price,
            fee_bps=quote.fee_bps,
            amount_in=f"{amount_in} {token_in.symbol}",
            amount_out=f"{amount_out} {token_out.symbol}",
            gain_bps="" if best is None or quote == best else _gain(order, quote, best),
        )
        for quote, name, price, amount_in, amount_out in zip(
            quotes, names, prices, paid, got, strict=True
        )
    )


def _name(quote: StoredQuote) -> str:
    return f"{label_of(quote.venue)}{f' through {quote.through}' if quote.through else ''}"


def _gain(order: Order, quote: StoredQuote, best: StoredQuote) -> str:
    """Return how much better the choice is than `quote`, in bps of what `quote` would have given.

    This is the base of the margin in the log (`routing.decision.margin_bps`), rounded as it is.
    """
    compared = Decimal(_amount_compared(order, quote))
    gain = Decimal(_amount_compared(order, best)) - compared
    if order.amount_in is None:
        gain = -gain
    return f"{(gain * 10_000 / compared).quantize(Decimal('0.01'), ROUND_FLOOR)}"


def _amount_compared(order: Order, quote: StoredQuote) -> str:
    """Return the amount by which the venues compete."""
    return quote.amount_out if order.amount_in is not None else quote.amount_in


def _step_text(step: dict[str, str]) -> str:
    match step.get("type"):
        case "wrap_sol":
            return f"wrap {grouped(step.get('amount', ''))} SOL"
        case "unwrap_sol":
            return "unwrap SOL"
        case "swap":
            label = label_of(step.get("dex"))
            market = f" in {step['market']}" if "market" in step else ""
            amounts = grouped(f"{step.get('amountIn')} for {step.get('amountOut')}")
            return f"swap {amounts} at {label}{market}"
        case other:
            return str(other)


def _fill(order: Order, quotes: Sequence[StoredQuote]) -> Fill | None:
    if order.filled_in is None or order.filled_out is None:
        return None
    token_in, token_out = tokens_of(order)
    is_within, better = _against_bound(order, order.filled_in, order.filled_out)
    paid = amount_text(token_in, order.filled_in)
    return Fill(
        text=f"{paid} → {amount_text(token_out, order.filled_out)}",
        price=f"{grouped(executed_price(order) or '')} {order.quote} per {order.base}",
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
    return True, f"{share} bps better: {amount_text(token, margin)} {more}"


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
