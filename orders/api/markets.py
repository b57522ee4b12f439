"""What can be traded and at which prices, as clients see it."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson
from django.core.exceptions import ValidationError as InvalidValue
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from orders.access.read_limits import LIST_COST
from orders.api import filters
from orders.api.base_views import ProblemAPIView
from orders.api.reading.fields import refuse, whole_number
from orders.api.schema import openapi
from orders.engine.triggers.price_history import MINUTE, MINUTES_KEPT, Point, Span, read_points
from orders.events import timestamp
from orders.terms.minimum import minimum_in
from routing.pricing import significant
from routing.registry import look_up_if_due, read_again, registry
from routing.tokens import Market, Registry
from routing.venue import Side
from routing.venues import LABELS

MOST_POINTS = 1_000
DEFAULT_POINTS = 300
DAY = 86_400
ROWS_A_UNIT = 1_000
"""How many minutes are read for a unit of READ_RATE_LIMIT."""
MANY_DIGITS = 4
"""From 10,000 on a price has enough digits before its point."""
PARAMETERS = {"market", "from", "to", "step"}


@lru_cache(maxsize=1)
def markets_as_json(known: Registry) -> dict[str, Any]:
    """Return all tokens and all pairs, pairs with pools first. The result is shared."""
    return {
        "tokens": [
            {"symbol": token.symbol, "mint": token.mint, "decimals": token.decimals}
            for token in known.tokens
        ],
        "markets": [_market_as_json(market) for market in (*known.markets, *known.joined())],
    }


@lru_cache(maxsize=1)
def etag_of(known: Registry) -> str:
    """Return a tag that is the same in all processes, as long as the list is the same."""
    content = orjson.dumps(markets_as_json(known))
    return f'"{blake2b(content, digest_size=12).hexdigest()}"'


def _market_as_json(market: Market) -> dict[str, Any]:
    return {
        "market": market.name,
        "baseToken": market.base.symbol,
        "quoteToken": market.quote.symbol,
        "referencePrice": f"{significant(market.reference_price).normalize():f}",
        "priceDecimals": price_decimals(market),
        "amountDecimals": amount_decimals(market),
        "minAmountIn": {
            "sell": market.base.to_text(minimum_in(market, Side.SELL)),
            "buy": market.quote.to_text(minimum_in(market, Side.BUY)),
        },
        "takesOrders": market.is_open,
        "through": [path.through.symbol for path in market.paths],
        "venues": list(LABELS),
    }


def price_decimals(market: Market) -> int:
    """Return with how many decimals people read its prices: at least four digits that count."""
    size = market.reference_price.adjusted()
    return 2 if size >= MANY_DIGITS else min(max(4, 3 - size), 12)


def amount_decimals(market: Market) -> dict[str, int]:
    """Return with how many decimals people read its amounts: about a cent of the quote token."""
    size = market.reference_price.adjusted()
    return {
        "base": min(market.base.decimals, 8, max(2, 2 + size)),
        "quote": min(market.quote.decimals, 4),
    }


class Wanted(NamedTuple):
    """What a chart asks for; times are unix seconds."""

    market: Market
    start: int
    end: int
    step: int


class PricesView(ProblemAPIView):
    """The best prices of a market: a point for each second, or for so many minutes."""

    authentication_classes = permission_classes = ()  # they are the same for everybody
    about = "orders/api/prices.html"

    def cost_of(self, request: Request) -> int:
        try:
            wanted = read_query(request)
        except ValidationError:
            return LIST_COST
        return LIST_COST + min(wanted.end - wanted.start, MINUTES_KEPT) // MINUTE // ROWS_A_UNIT

    @openapi.PRICES
    def get(self, request: Request) -> Response:
        filters.check_names(request, PARAMETERS)
        wanted = read_query(request)
        points = read_points(wanted.market.pair, wanted.start, wanted.end, wanted.step)
        return Response(
            {
                "market": wanted.market.pair,
                "from": _time(wanted.start),
                "to": _time(wanted.end),
                "step": wanted.step,
                "points": [_as_json(point) for point in points],
            }
        )


def read_query(request: Request) -> Wanted:
    """Return what is asked for. Without times: the newest points.

    :raises ValidationError: a parameter means nothing, or there would be too many points.
    """
    query = request.query_params
    market = read_market(query.get("market"))
    step = read_step(query.get("step", str(MINUTE)))
    end = _read_time(query, "to")
    if end is None:
        end = int(datetime.now(UTC).timestamp()) + 1
    start = _read_time(query, "from")
    if start is None:
        start = end - DEFAULT_POINTS * step
    start -= start % step
    if not start < end:
        raise refuse("from", "invalid_time", "It has to be before `to`.")
    if end - start > MOST_POINTS * step:
        text = f"At most {MOST_POINTS} points: ask for less time, or a longer step."
        raise refuse("from", "too_many_points", text)
    return Wanted(market, start, end, step)


def read_market(text: str | None, look_up: Callable[..., Market] = look_up_if_due) -> Market:
    """:raises ValidationError: no market is named, or there is none of this name."""
    if text is None:
        raise refuse("market", "required", "Say which, such as SOL/USDC.")
    try:
        return filters.market_named(text, look_up)
    except InvalidValue as unknown:
        raise refuse("market", "unknown_market", str(unknown.message)) from None


async def market_named(name: str | None) -> Market:
    """Return a market, also one that was added a moment ago.

    :raises ValidationError: no market is named, or there is none of this name.
    :raises django.db.Error: the database does not answer, and may know it.
    """

    def as_known(look: Callable[[Registry], Market]) -> Market:
        return look(registry())

    try:
        return read_market(name, as_known)
    except ValidationError:
        await read_again()
        return read_market(name, as_known)


def read_step(text: str) -> int:
    """:raises ValidationError: it is neither a second nor whole minutes of a day at most."""
    step = whole_number(text, "step")
    if step != 1 and (step % MINUTE or not MINUTE <= step <= DAY):
        raise refuse("step", "invalid_number", "1, or whole minutes in seconds, at most a day.")
    return step


def _read_time(query: Any, name: str) -> int | None:
    if name not in query:
        return None
    try:
        time = filters.TimeField().to_python(query[name])
    except InvalidValue as wrong:
        raise refuse(name, "invalid_time", str(wrong.message)) from None
    return None if time is None else int(time.timestamp())


def _as_json(point: Point) -> dict[str, Any]:
    told: dict[str, Any] = {
        "at": timestamp(point.at),
        "bid": _span(point.bid),
        "ask": _span(point.ask),
        "reference": _span(point.reference),
    }
    return told if point.venues is None else told | {"venues": point.venues}


def _span(span: Span | None) -> dict[str, str] | None:
    return span and {name: as_text(price) for name, price in span._asdict().items()}


def as_text(price: Decimal) -> str:
    return f"{price.normalize():f}"


def _time(second: int) -> str:
    return timestamp(datetime.fromtimestamp(second, UTC))
