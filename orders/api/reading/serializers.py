"""The one tolerant serializer of orders: it reads five dialects and returns one canonical form."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import orjson
import psycopg
from django.conf import settings
from rest_framework.exceptions import ErrorDetail, ValidationError

from config.runtime.session import remaining
from orders.api.reading import dialects
from orders.api.reading.dialects import Canonical, NotTaken
from orders.api.reading.fields import (
    MAX_TEXT,
    ClientOrderIdField,
    Computed,
    NumberField,
    WordField,
    WordsField,
    all_of,
    optional,
    refuse,
    try_read,
)
from orders.api.reading.present_price import at_present
from orders.api.reading.slice_and_pool_fields import check_pool, check_slices
from orders.api.reading.slippage import MAX_SLIPPAGE_FRACTION, number_text, read_slippage
from orders.api.reading.term_fields import (
    NAMES as TERM_NAMES,
)
from orders.api.reading.term_fields import (
    READERS,
    REJECT,
    Draft,
    TermFields,
    check_prices,
    complete,
    is_plain,
    read_draft,
    refuse_unused,
)
from orders.engine.moves import AlreadyAccepted
from orders.engine.submission import OrderRequest, conflict_with
from orders.models import MAX_SLIPPAGE_BPS
from orders.terms.exits import STOP, TARGET, default_slippage_bps
from orders.terms.terms import Terms
from orders.terms.type_rules import POOL, SLICES, type_named
from orders.words import OrderType, TriggerBy
from routing.constraints import Constraints
from routing.pricing import MAX_ATOMS
from routing.registry import is_read, read_again, registry
from routing.tokens import USDC, Market, Token, UnknownMarket, UnknownToken
from routing.venue import BPS, Side, Swap
from routing.venues import LABELS

DEFAULT_SLIPPAGE_BPS = 100
EXAMPLE = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5", "slippageBps": "100"}
"""The values in the form. They can be sent as they are."""
TOKEN_FIELDS = ("baseToken", "quoteToken", "tokenIn", "tokenOut")
AMOUNT_FIELDS = ("amountIn", "amount", "amountOut")
TokenNames = tuple[str, str]
"""The base and the quote of a market."""
HINTS: dict[tuple[str, ...], str] = {
    ("slippage", "tolerance"): "Give slippageBps: 100 is 1 %.",
    ("impact",): "Give maxPriceImpactBps: 100 is 1 %.",
    ("amount", "quantity", "lamports", "size"): (
        "Give amountIn, what leaves the wallet, or amountOut, what must arrive; in whole tokens."
    ),
    ("idempot",): "Give the header Idempotency-Key, or the field clientOrderId.",
}
"""By a part of an unknown field's name: the field that may be meant, and its unit."""


class InvalidOrder(ValidationError):
    """The request is not an order. `detail` has the errors by field. Send another request."""

    def __init__(self, detail: Any, fields_seen: list[str]) -> None:
        super().__init__()
        self.detail = detail  # as it is: DRF's own copy would forget the members of a refusal
        self.fields_seen = fields_seen

    @property
    def codes(self) -> set[str]:
        """The codes of all errors."""
        errors = cast("dict[str, list[ErrorDetail]]", self.detail)
        return {str(error.code) for reasons in errors.values() for error in reasons}


class OrderRequestSerializer(TermFields):
    """An order as clients send it; `read` returns what they mean."""

    filled_in: dict[str, Any] = EXAMPLE
    """The values that a form for people shows."""

    tokenIn = optional(WordField, "What you give: a symbol or a mint address.")
    tokenOut = optional(WordField, "What you get. With tokenIn, the side follows.")
    baseToken = optional(WordField, "Or: the token you trade, with quoteToken and side.")
    quoteToken = optional(WordField, "The token its price is in.")
    side = optional(WordField, "buy or sell; tokenIn and tokenOut say it, too.")
    amountIn = optional(NumberField, "What leaves the wallet, in the input token.")
    amount = optional(
        NumberField,
        "The same as amountIn. Beside a side alone: in the base token, so that a buy gets it.",
    )
    amountOut = optional(NumberField, "Or: what must arrive, in the output token.")
    slippageBps = optional(
        NumberField, f"0 to {MAX_SLIPPAGE_BPS}; {DEFAULT_SLIPPAGE_BPS} if left out, which is 1 %."
    )
    slippage = optional(
        NumberField, f"Or as a fraction, 0 to {MAX_SLIPPAGE_FRACTION}: 0.01 is 100 bps, or 1 %."
    )
    type = optional(WordField, f"One of {', '.join(READERS)}; market if left out.")
    orderType = optional(WordField, "The same as type.")
    clientOrderId = optional(
        ClientOrderIdField, "Your own id: sent again, it finds the same order. Needs an account."
    )
    maxPriceImpactBps = optional(
        NumberField,
        f"0 to {BPS:,}, 100 is 1 %: quotes that move the price further are dropped. Left out:"
        " what the engine allows, usually 500.",
    )
    venues = optional(WordsField, "Trade at these only, such as raydium; commas between several.")
    excludeVenues = optional(WordsField, "Trade at none of these.")

    def get_fields(self) -> dict[str, Any]:
        """Label each field with the name that clients write."""
        fields = super().get_fields()
        for name, field in fields.items():
            field.label = name
        # What all types take comes first, also in the form.
        rank = dict.fromkeys(TERM_NAMES, 1) | dict.fromkeys(SLICES | POOL, 2)
        return dict(sorted(fields.items(), key=lambda field: rank.get(field[0], 0)))

    def get_initial(self) -> dict[str, Any]:
        """Return what a form shows: several words have commas between them, as the form takes."""
        return {name: as_typed(value) for name, value in self.filled_in.items()}

    def read(self, data: Any, default_market: TokenNames | None = None) -> OrderRequest:
        """Return the order that is meant. `default_market` is for an order that names no token.

        :raises InvalidOrder: with an error for every field that is wrong.
        """
        if not isinstance(data, dict):
            raise InvalidOrder(
                refuse("order", "not_an_object", "An order is a JSON object.").detail, []
            )
        # Null and, from a form, an empty field both mean "not given".
        given = {name: value for name, value in data.items() if value is not None}
        names = sorted(given)[:50]
        unknown = [name for name in names if name not in self.fields]
        if unknown:
            raise unknown_fields(unknown, given)
        try:
            return self._read(self._values(given), default_market or named_default_market())
        except ValidationError as error:
            raise InvalidOrder(error.detail, names) from None

    def _values(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the values of the given fields: like `run_validation`, but only of these.

        :raises ValidationError: with an error for every field that cannot be read.
        """
        values, errors = {}, {}
        for name, value in given.items():
            try:
                values[name] = self.fields[name].run_validation(value)
            except ValidationError as error:
                errors[name] = error.detail
        if errors:
            raise ValidationError(errors)
        return values

    def _read(self, given: dict[str, Any], default_market: TokenNames) -> OrderRequest:
        """Read each part separately, so that one wrong field does not hide another.

        :raises ValidationError: with the errors of all parts.
        """
        errors: dict[str, Any] = {}
        order_type = try_read(errors, self._type, given)
        slippage_bps = try_read(errors, self._slippage_bps, given, order_type)
        market_and_side = try_read(errors, self._market_and_side, given, default_market, order_type)
        amounts = try_read(errors, self._amounts, given, market_and_side)
        constraints = try_read(errors, read_constraints, given)
        draft = None
        if not is_plain(order_type, given):
            try_read(errors, refuse_unused, order_type, given)
            draft = try_read(errors, read_draft, order_type, given, DEFAULT_SLIPPAGE_BPS)
        if draft is not None and market_and_side:
            try_read(errors, check_prices, order_type, draft, market_and_side[1])
        if errors or not (order_type and market_and_side and amounts):
            raise all_of(errors)
        request = OrderRequest(
            *(order_type, *market_and_side, *amounts, slippage_bps),
            given.get("clientOrderId"),
            constraints,
        )
        return request if draft is None else with_terms(request, draft)

    def _type(self, given: dict[str, Any]) -> str:
        field, value = one_of(given, "type", "orderType")
        found = "market" if value is None else type_named(value)
        if found is None:
            raise refuse(field, "unsupported_type", f"Known types: {', '.join(READERS)}.")
        return found

    def _market_and_side(
        self, given: dict[str, Any], default_market: TokenNames, order_type: str | None
    ) -> tuple[Market, Side]:
        may_be_new = order_type == OrderType.SNIPER
        by_base = "baseToken" in given or "quoteToken" in given
        by_flow = "tokenIn" in given or "tokenOut" in given
        if by_base and by_flow:
            raise refuse(
                "tokenIn", "conflict", "Give tokenIn and tokenOut, or baseToken and quoteToken."
            )
        side = self._side(given)
        if by_flow:
            return self._market_of_flow(given, side, may_be_new=may_be_new)
        if by_base:
            base, quote = token(given, "baseToken"), token(given, "quoteToken")
            find = market_to_come if may_be_new else registry().market
            market = self._market("baseToken", base, quote, find)
        else:
            market = self._default_market(default_market)
        if side is None:
            raise refuse("side", "required", f"Is {market.name} to be bought or sold?")
        return market, side

    def _default_market(self, names: TokenNames) -> Market:
        try:
            base, quote = map(registry().token, names)
        except UnknownToken:
            raise refuse("baseToken", "required", "Name the tokens: no market is set up.") from None
        return self._market("baseToken", base, quote, registry().market)

    def _market_of_flow(
        self, given: dict[str, Any], side: Side | None, *, may_be_new: bool
    ) -> tuple[Market, Side]:
        token_in, token_out = token(given, "tokenIn"), token(given, "tokenOut")
        find = market_to_buy if may_be_new else registry().market_of
        market = self._market("tokenIn", token_in, token_out, find)
        implied = Side.SELL if market.base == token_in else Side.BUY
        if side not in (None, implied):
            raise refuse(
                "side", "conflict", f"{token_in.symbol} to {token_out.symbol} is a {implied}."
            )
        return market, implied

    def _market(
        self, field: str, first: Token, second: Token, find: Callable[[Token, Token], Market]
    ) -> Market:
        if first.same_asset_as(second):
            raise refuse(
                field, "same_asset", f"{first.symbol} and {second.symbol} are the same asset."
            )
        try:
            market = find(first, second)
        except UnknownMarket:
            known = ", ".join(market.name for market in registry().markets)
            raise refuse(
                field,
                "unknown_market",
                f"{first.symbol}/{second.symbol} is not traded here. Markets: {known}; other pairs"
                " of their tokens in two hops.",
            ) from None
        return market

    def _side(self, given: dict[str, Any]) -> Side | None:
        if "side" not in given:
            return None
        try:
            return Side(given["side"].lower())
        except ValueError:
            raise refuse("side", "invalid_side", "The side is buy or sell.") from None

    def _amounts(
        self, given: dict[str, Any], market_and_side: tuple[Market, Side] | None
    ) -> tuple[int | None, int | None]:
        field, amount = one_of(given, "amountIn", "amount")
        if amount is None and "amountOut" not in given:
            raise refuse("amountIn", "required", "Give amountIn or amountOut.")
        if amount is not None and "amountOut" in given:
            raise refuse("amountOut", "conflict", f"Give {field} or amountOut, not both.")
        if field == "amount" and is_purchase(given):
            if "baseToken" in given or "quoteToken" in given:
                raise refuse("amount", "ambiguous", amount_of_purchase(market_and_side))
            if not any(name in given for name in TOKEN_FIELDS):
                return None, read_atoms(field, amount, token_of(market_and_side, Side.BUY))
        if amount is not None:
            return read_atoms(field, amount, token_of(market_and_side, Side.SELL)), None
        return None, read_atoms(
            "amountOut", given["amountOut"], token_of(market_and_side, Side.BUY)
        )

    def _slippage_bps(self, given: dict[str, Any], order_type: str | None) -> int | None:
        """Return the tolerance; None: a limit price is the bound, or another field is wrong."""
        bps = read_slippage(given)
        if bps is not None or order_type is None:
            return bps
        limit = given.get("limitPrice")
        return default_slippage_bps(order_type, limit, DEFAULT_SLIPPAGE_BPS)


def as_typed(value: Any) -> Any:
    """Return a value as a person types it into the form."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return orjson.dumps(value, default=str).decode() if isinstance(value, dict) else value


def market_to_buy(token_in: Token, token_out: Token) -> Market:
    """Return the market of these tokens. If there is none, a launch may make it."""
    try:
        return registry().market_of(token_in, token_out)
    except UnknownMarket:
        return market_to_come(token_out, token_in)


def market_to_come(base: Token, quote: Token) -> Market:
    """Return the market of these tokens in this direction, which may not exist yet.

    :raises UnknownMarket: they are traded in the other direction.
    """
    try:
        return registry().market(base, quote)
    except UnknownMarket:
        if any({base.mint, quote.mint} == {m.base.mint, m.quote.mint} for m in registry().markets):
            raise
    return Market(base, quote, Decimal(1))


def check_more(request: OrderRequest, terms: Terms) -> None:
    """:raises ValidationError: what only some types ask does not fit the order's amount."""
    asked = request.market, request.side, request.amount_in, terms
    if request.type == OrderType.TWAP:
        check_slices(*asked)
    elif request.type == OrderType.SNIPER:
        check_pool(*asked)


def with_terms(request: OrderRequest, draft: Draft) -> OrderRequest:
    """Return the order with its terms, and of an OCO with its two orders.

    :raises ValidationError: a price allows no bound for this amount.
    """
    if request.type == "oco":
        return _with_legs(request, draft)
    amounts = request.amount_in, request.amount_out
    terms = complete(draft, request.market, request.side, *amounts)
    bracket = {role: found.as_json() for role, found in draft.exits.items()}
    terms = terms._replace(more=terms.more | bracket)
    check_more(request, terms)
    return replace(request, terms=terms, if_crossed=draft.if_crossed)


def _with_legs(request: OrderRequest, draft: Draft) -> OrderRequest:
    if request.amount_in is None:  # it was given as `amount`, of what is bought
        raise refuse("amount", "not_for_this_type", "An oco has an amountIn.")
    errors: dict[str, Any] = {}
    legs = [try_read(errors, _leg, role, request, draft) for role in (TARGET, STOP)]
    if errors:
        raise all_of(errors)
    return replace(request, terms=draft.terms, legs=tuple(leg for leg in legs if leg))


def _leg(role: str, request: OrderRequest, draft: Draft) -> OrderRequest:
    leg = draft.exits[role]
    terms = draft.terms._replace(
        limit_price=leg.limit_price,
        trigger_price=leg.trigger_price,
        trigger_by=None if leg.type == "limit" else TriggerBy.EXECUTABLE.value,
        trail_bps=leg.trail_bps,
        activation_price=leg.activation_price,
    )
    try:
        terms = complete(
            Draft(terms), request.market, request.side, request.amount_in, request.amount_out
        )
    except ValidationError as error:
        detail = cast("dict[str, Any]", error.detail)
        raise all_of({f"{role}.{name}": found for name, found in detail.items()}) from None
    return replace(
        request,
        type=leg.type,
        slippage_bps=leg.slippage_bps,
        client_order_id=draft.names.get(role),
        terms=terms,
        if_crossed=REJECT,
    )


ORDER_REQUEST = OrderRequestSerializer()
"""Shared: reading keeps no state in it, and making one costs more than reading an order."""


LEARN_SECONDS = 2.0
OUTDATED = {"unknown_token", "unknown_market", "market_closed", "value_unknown"}
"""Codes with which an older copy of the registry refuses an order that a newer one may take."""
CHANGEABLE = OUTDATED | {
    *("unknown_venue", "conflict", "out_of_range", "too_precise", "ambiguous", "too_large"),
    *("expires_too_soon", "expires_too_late"),
}
"""Codes with which an order is refused now that may have been taken before."""


async def read_order(data: Any) -> OrderRequest:
    """Return the order that is meant, by tokens and markets that are no older than the order.

    :raises InvalidOrder: with an error for every field that is wrong, or if its trigger has been
        crossed.
    :raises PricesUnavailable: no price tells whether its trigger has been crossed: no venue quotes.
    :raises psycopg.OperationalError, django.db.Error: it may name a new token or market, and the
        database does not answer.
    """
    request = await _read_order(data, read_new_order)
    if request.terms is None:
        return request
    try:
        return await at_present(request)
    except ValidationError as refused:
        raise InvalidOrder(refused.detail, names_in(data)) from None


async def read_repeated_order(data: Any, before: AlreadyAccepted) -> OrderRequest:
    """Return the meaning of an order whose key belongs to a stored order, but in other words.

    Its market may be closed by now. Older releases kept no fingerprint, so one of their orders may
    have meant the default market.

    :raises InvalidOrder, psycopg.OperationalError, django.db.Error: as `read_order`.
    :raises IdempotencyKeyReused, ClientOrderIdTaken: it is no order now, but may have been one.
    """
    stored = before.event.data
    is_old = "fingerprint" not in stored
    market = (stored["order"]["baseToken"], stored["order"]["quoteToken"]) if is_old else None
    try:
        return await _read_order(data, lambda sent: ORDER_REQUEST.read(sent, market))
    except InvalidOrder as refused:
        if is_old or not refused.codes <= CHANGEABLE:
            raise
        raise conflict_with(before) from None


def read_new_order(data: Any) -> OrderRequest:
    """:raises InvalidOrder: also for a market that takes no orders, and for too large an amount."""
    request = ORDER_REQUEST.read(data)
    if not request.market.is_open:
        field = "tokenIn" if data.get("tokenIn") else "baseToken"
        text = f"{request.market.name} takes no new orders for now."
        refused = refuse(field, "market_closed", text)
        raise InvalidOrder(refused.detail, sorted(data)[:50])
    try:
        check_value(data, request)
    except ValidationError as refused:
        raise InvalidOrder(refused.detail, sorted(data)[:50]) from None
    return request


def check_value(data: dict[str, Any], request: OrderRequest) -> None:
    """:raises ValidationError: it is worth more than MAX_ORDER_VALUE, or its worth is unknown."""
    most = settings.MAX_ORDER_VALUE
    if most is None:
        return
    field = next(name for name in AMOUNT_FIELDS if data.get(name) is not None)
    swap = Swap(request.market, request.side, request.amount_in, request.amount_out)
    token, amount = (
        (swap.token_out, swap.amount_out or 0)
        if swap.amount_in is None
        else (swap.token_in, swap.amount_in)
    )
    try:
        value = registry().value_of(token, amount, registry().token(USDC.symbol))
    except (UnknownToken, UnknownMarket):
        text = f"What {token.symbol} is worth in USDC is not known, and orders have a limit here."
        raise refuse(field, "value_unknown", text) from None
    if value > most:
        worth, limit = number_text(value), number_text(most)
        text = f"It is worth {worth} USDC by the reference price, more than the {limit}"
        raise refuse(field, "too_large", f"{text} USDC that an order may be worth here.")


async def _read_order(data: Any, read: Callable[[Any], OrderRequest]) -> OrderRequest:
    if not is_read():
        await _learn_what_is_traded()
    try:
        return read(data)
    except InvalidOrder as refused:
        if not refused.codes <= OUTDATED:
            raise
    await _learn_what_is_traded()
    return read(data)


async def _learn_what_is_traded() -> None:
    try:
        async with asyncio.timeout(remaining(LEARN_SECONDS)):
            await read_again()
    except TimeoutError:
        raise psycopg.OperationalError("what is traded could not be read in time") from None


CONSTRAINTS = ("maxPriceImpactBps", "venues", "excludeVenues")


def read_constraints(given: dict[str, Any]) -> dict[str, Any] | None:
    """Return the route limits of an order in the form that is stored; None if it has none.

    :raises ValidationError: with the errors of all three fields.
    """
    if not any(name in given for name in CONSTRAINTS):
        return None
    errors: dict[str, Any] = {}
    impact = try_read(errors, _price_impact, given)
    only = try_read(errors, _venues, given, "venues")
    excluded = try_read(errors, _venues, given, "excludeVenues")
    if not errors and not set(only or LABELS).difference(excluded or ()):
        text = "That leaves no venue to trade at."
        raise refuse("excludeVenues", "conflict", text)
    if errors:
        raise ValidationError(errors)
    return Constraints(only or (), excluded or (), impact).to_json()


def _price_impact(given: dict[str, Any]) -> int | None:
    bps: Decimal | None = given.get("maxPriceImpactBps")
    if bps is None:
        return None
    if not 0 <= bps <= BPS:
        raise refuse("maxPriceImpactBps", "out_of_range", f"From 0 to {BPS} bps: 100 is 1 %.")
    if bps != int(bps):
        raise refuse("maxPriceImpactBps", "too_precise", "A whole number of bps: 100 is 1 %.")
    return int(bps)


def _venues(given: dict[str, Any], field: str) -> tuple[str, ...]:
    names = dict.fromkeys(word.lower() for word in given.get(field, ()))
    unknown = [name for name in names if name not in LABELS]
    if unknown:
        text = f"No venue {', '.join(unknown)}. Known: {', '.join(LABELS)}."
        raise refuse(field, "unknown_venue", text)
    return tuple(names)


def named_default_market() -> TokenNames:
    base, _, quote = settings.DEFAULT_MARKET.partition("/")
    return base, quote


def unknown_fields(names: Iterable[str], given: Iterable[str]) -> InvalidOrder:
    """Return the refusal of the given fields that do not exist."""
    errors = {
        name[:MAX_TEXT]: [ErrorDetail(no_such_field(name), "unknown_field")]
        for name in sorted(names)[:50]
    }
    return InvalidOrder(errors, sorted(given)[:50])


def no_such_field(name: str) -> str:
    """Return why a field is refused, with the field and the unit that may have been meant."""
    hints = [hint for words, hint in HINTS.items() if any(word in name.lower() for word in words)]
    return " ".join(["There is no such field.", *hints[:1]])


def is_purchase(given: dict[str, Any]) -> bool:
    return str(given.get("side", "")).lower() == Side.BUY


def amount_of_purchase(market_and_side: tuple[Market, Side] | None) -> str:
    """Return why a purchase's amount is refused when it could be of either token."""
    if market_and_side is None:
        return "Of which token? Give amountIn, what you pay, or amountOut, what you get."
    market, _ = market_and_side
    return (
        f"Of which token? Give amountIn, the {market.quote.symbol} that you pay, or amountOut, the"
        f" {market.base.symbol} that you get."
    )


def one_of(given: dict[str, Any], name: str, alias: str) -> tuple[str, Any]:
    """Return the given field's name and its value; the value is None if neither was given."""
    if name in given and alias in given:
        raise refuse(alias, "conflict", f"Give {name} or {alias}, not both.")
    field = alias if alias in given else name
    return field, given.get(field)


def token(given: dict[str, Any], field: str) -> Token:
    if field not in given:
        raise refuse(field, "required", "Both tokens are needed.")
    try:
        return registry().token(given[field])
    except UnknownToken:
        known = ", ".join(token.symbol for token in registry().tokens)
        raise refuse(field, "unknown_token", f"Not a known token. Known: {known}.") from None


def token_of(market_and_side: tuple[Market, Side] | None, base_side: Side) -> Token | None:
    """Return the token of an amount: the base token on `base_side`, the quote token on the other.

    Return None if the market could not be read. That is an error of its own.
    """
    if market_and_side is None:
        return None
    market, side = market_and_side
    return market.base if side is base_side else market.quote


def read_atoms(field: str, amount: Decimal, of: Token | None) -> int:
    """:raises ValidationError: it is not positive, or this token cannot have such an amount."""
    if amount <= 0:
        raise refuse(field, "out_of_range", "The amount must be above zero.")
    if of is None:
        return 0
    try:
        in_atoms = of.to_atoms(nearest(amount, of) if isinstance(amount, Computed) else amount)
    except ValueError:
        raise refuse(
            field, "too_precise", f"{of.symbol} has at most {of.decimals} decimals."
        ) from None
    if in_atoms > MAX_ATOMS:
        raise refuse(field, "out_of_range", f"No one has that much {of.symbol}.")
    return in_atoms


def nearest(amount: Computed, of: Token) -> Decimal:
    """Return the amount without digits below half an atom, if these may be noise."""
    if of.decimals + int(amount.as_tuple().exponent) >= 0:
        return amount
    rounded = amount.quantize(Decimal(1).scaleb(-of.decimals))
    return rounded if abs(rounded - amount) <= dialects.NOISE * amount else amount


def translate(sent: Any) -> Canonical:
    """Return a request in our names.

    :raises InvalidOrder: it says one thing in two spellings, or asks for what we cannot do.
    """
    try:
        return dialects.canonical(sent)
    except NotTaken as refused:
        detail = refuse(refused.field, refused.code, str(refused)).detail
        raise InvalidOrder(detail, names_in(sent)) from None


def as_written(refused: InvalidOrder, sent: Any, meant: Canonical) -> InvalidOrder:
    """Return the refusal with the field names that the client used."""
    if meant.body is sent:
        return refused
    detail: dict[str, Any] = {}
    for name, reasons in cast("dict[str, Any]", refused.detail).items():
        detail.setdefault(meant.spelled.get(name, name), []).extend(reasons)
    return InvalidOrder(detail, names_in(sent))


def names_in(sent: dict[str, Any]) -> list[str]:
    return sorted(name for name, value in sent.items() if value is not None)[:50]
