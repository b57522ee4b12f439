"""The exits of a bracket: what protects a position from the moment in which it is there."""

from typing import Any, NamedTuple

from orders.terms import minimum
from orders.terms.exits import STOP, TARGET, Exit, default_slippage_bps
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import Watch, first_watch
from orders.words import TimeInForce, TriggerBy
from routing.tokens import Market
from routing.venue import Side

USUAL_SLIPPAGE_BPS = 100


class BracketOrder(NamedTuple):
    """An order that comes into being when its entry fills."""

    name: str
    """`takeProfit` or `stopLoss`, as in the entry's terms."""
    type: str
    side: Side
    amount_in: int
    slippage_bps: int | None
    terms: Terms
    watch: Watch
    client_order_id: str | None


class ExitRefused(Exception):
    """This exit is not made."""


def exits_of(
    asked: dict[str, Any], market: Market, side: Side, amount_in: int
) -> tuple[list[BracketOrder], list[dict[str, str]]]:
    """Return the exits that a bracket's entry asks for, and those that are refused, with why.

    They are on `side` and put in `amount_in`: all that the entry paid out.
    """
    made: list[BracketOrder] = []
    refused: list[dict[str, str]] = []
    for name in (TARGET, STOP):
        if name not in asked:
            continue
        try:
            made.append(_exit(name, asked[name], market, side, amount_in))
        except ExitRefused as error:
            refused.append({"exit": name, "reason": str(error)})
    return made, refused


def _exit(
    name: str, asked: dict[str, Any], market: Market, side: Side, amount_in: int
) -> BracketOrder:
    least = minimum.minimum_in(market, side)
    if amount_in < least:
        token = market.base if side is Side.SELL else market.quote
        raise ExitRefused(f"less than the market's minimum of {token.to_text(least)}")
    wanted = Exit.of_json(name, asked)
    kind = wanted.type
    terms = Terms(
        time_in_force=TimeInForce.GTC,
        limit_price=wanted.limit_price,
        trigger_price=wanted.trigger_price,
        trigger_by=None if kind == "limit" else TriggerBy.EXECUTABLE,
        trail_bps=wanted.trail_bps,
        activation_price=wanted.activation_price,
    )
    if wanted.limit_price is not None:
        try:
            bound = bound_of_limit(market, side, wanted.limit_price, amount_in, None)
        except ValueError as error:
            raise ExitRefused(f"at its limit price, {error}") from error
        terms = terms._replace(bound=bound)
    slippage = wanted.slippage_bps
    if slippage is None:
        slippage = default_slippage_bps(kind, wanted.limit_price, USUAL_SLIPPAGE_BPS)
    watch = first_watch(kind, side, terms)
    return BracketOrder(
        name, kind, side, amount_in, slippage, terms, watch, asked.get("clientOrderId")
    )
