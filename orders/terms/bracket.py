"""The exits of a bracket: what protects a position from the moment in which it is there."""

from decimal import Decimal
from typing import Any, NamedTuple

from orders.terms import minimum
from orders.terms.terms import Terms, bound_of_limit
from orders.terms.watch import Watch, first_watch
from routing.tokens import Market
from routing.venue import Bound, Side

STOP_SLIPPAGE_BPS = 500
TARGET_SLIPPAGE_BPS = 100
EXITS = ("takeProfit", "stopLoss")


class Exit(NamedTuple):
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
) -> tuple[list[Exit], list[dict[str, str]]]:
    """Return the exits that a bracket's entry asks for, and those that are refused, with why.

    They are on `side` and put in `amount_in`: all that the entry paid out.
    """
    exits: list[Exit] = []
    refused: list[dict[str, str]] = []
    for name in EXITS:
        if name not in asked:
            continue
        try:
            exits.append(_exit(name, asked[name], market, side, amount_in))
        except ExitRefused as error:
            refused.append({"exit": name, "reason": str(error)})
    return exits, refused


def _exit(name: str, asked: dict[str, Any], market: Market, side: Side, amount_in: int) -> Exit:
    least = minimum.minimum_in(market, side)
    if amount_in < least:
        token = market.base if side is Side.SELL else market.quote
        raise ExitRefused(f"less than the market's minimum of {token.to_text(least)}")
    terms = Terms(
        time_in_force="gtc",
        limit_price=_price(asked, "limitPrice"),
        trigger_price=_price(asked, "triggerPrice"),
        trail_bps=asked.get("trailBps"),
        activation_price=_price(asked, "activationPrice"),
    )
    kind = type_of_exit(name, terms)
    if kind != "limit":
        terms = terms._replace(trigger_by="executable")
    if terms.limit_price is not None:
        terms = terms._replace(bound=_bound(market, side, terms.limit_price, amount_in))
    slippage = slippage_of_exit(kind, terms, asked.get("slippageBps"))
    watch = first_watch(kind, side, terms)
    return Exit(name, kind, side, amount_in, slippage, terms, watch, asked.get("clientOrderId"))


def type_of_exit(name: str, terms: Terms) -> str:
    """Return the type of an order that is an exit with these terms."""
    if name == "takeProfit":
        return "limit" if terms.trigger_price is None else "takeProfit"
    if terms.trail_bps is not None:
        return "trailingStop"
    return "stop" if terms.limit_price is None else "stopLimit"


def slippage_of_exit(kind: str, terms: Terms, asked: int | None) -> int | None:
    """Return how far its fill may be from its quote; None: its limit price is its bound."""
    if terms.limit_price is not None:
        return None
    if asked is not None:
        return asked
    return TARGET_SLIPPAGE_BPS if kind == "takeProfit" else STOP_SLIPPAGE_BPS


def _price(asked: dict[str, Any], name: str) -> Decimal | None:
    return Decimal(asked[name]) if asked.get(name) is not None else None


def _bound(market: Market, side: Side, price: Decimal, amount_in: int) -> Bound:
    try:
        return bound_of_limit(market, side, price, amount_in, None)
    except ValueError as error:
        raise ExitRefused(f"at its limit price, {error}") from error
