"""The best net prices of a market: what the next atom of base pays and costs, fees included.

An order of a vanishing amount would get them. They are compared over all venues that show their
pools. Prices are exact fractions, whole quote tokens for a whole base token.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple, Protocol

from routing.pools.pool import Spot, SwapRefused
from routing.tokens import Market, Path, Token
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Liquidity,
    MakesPools,
    ReferencePrices,
    ShowsPools,
    Side,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

logger = logging.getLogger(__name__)

SIGNIFICANT_DIGITS = 18
MOST_DECIMALS = 20


class ShowingVenue(Venue, ShowsPools, Protocol):
    """A venue that shows its pools. Others take no part in prices, only in execution."""


class BidAsk(NamedTuple):
    """What base tokens can be sold and bought for; None: not at all."""

    bid: Fraction | None = None
    ask: Fraction | None = None


class BestPrices(NamedTuple):
    best: BidAsk
    venues: Mapping[str, BidAsk]
    """By the venue's name, those that take part."""


class PriceRules(NamedTuple):
    """Which pools take part."""

    max_deviation_bps: int
    """How far from the market's reference price a pool may be."""
    max_age: int
    """How old the state of a pool may be, in seconds."""
    timeout: float
    """Seconds that a venue has for each market."""


NONE_AT_ALL = BestPrices(BidAsk(), {})


async def best_prices(
    markets: Iterable[Market], venues: Sequence[Venue], now: int, rules: PriceRules
) -> dict[str, BestPrices]:
    """Return the prices of these markets in the unix second `now`, by `Market.pair`.

    Of a market in which no venue has a pool yet, the pools are made, as by a quote. A market in
    two hops has the product of the best ways.
    """
    wanted = list(markets)
    direct = {market.pair: market for each in wanted for market in _markets_in(each)}
    found = await asyncio.gather(
        *(_direct_prices(market, venues, now, rules) for market in direct.values())
    )
    prices = dict(zip(direct, found, strict=True))
    return {
        market.pair: _joined(market, prices) if market.paths else prices[market.pair]
        for market in wanted
    }


async def fresh_market(
    market: Market, references: ReferencePrices, seconds: float
) -> Market | None:
    """Return the market with its price of this moment as reference price; None if there is none.

    Of a market in two hops only the ways are left that have such prices. A market without any
    pool is returned as it is: its venues say that they do not trade it. It takes at most `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _fresh(market, references, int(time.time()))
    except TimeoutError:
        logger.info("no price of %s within %g s", market.name, seconds)
        return None


async def has_pools(market: Market, venues: Iterable[Venue]) -> bool:
    """Return whether a venue has a pool of this market, or might have one and cannot tell.

    :raises VenueUnavailable: a passing fault.
    """
    return bool(await _with_a_pool(market, _showing(venues)))


def net_price(market: Market, side: Side, liquidity: Liquidity, max_deviation_bps: int) -> Fraction:
    """Return what the next atom of base gets (sell) or costs (buy) in this pool.

    :raises SwapRefused: the pool trades nothing on this side.
    :raises VenueUnavailable: its price is too far from the market's reference price.
    """
    spot, net = liquidity.pool.next_atom(liquidity.direction, liquidity.now)
    reference = Fraction(market.reference_price)
    if abs(_price(market, side, spot) - reference) * BPS > reference * max_deviation_bps:
        raise VenueUnavailable(f"{liquidity.pool_id} is too far from the reference price")
    return _price(market, side, net)


def rounded_down(price: Fraction | None) -> Decimal | None:
    """Return a bid as a Decimal, not above it; None if nothing is left of it."""
    return None if price is None else _as_decimal(floor(price * 10 ** _decimals(price)), price)


def rounded_up(price: Fraction | None) -> Decimal | None:
    """Return an ask as a Decimal, not below it."""
    return None if price is None else _as_decimal(ceil(price * 10 ** _decimals(price)), price)


def rounded(price: Fraction | None) -> Decimal | None:
    """Return a price as a Decimal, to the nearest."""
    return None if price is None else _as_decimal(round(price * 10 ** _decimals(price)), price)


async def _fresh(market: Market, references: ReferencePrices, now: int) -> Market | None:
    if market.paths:
        ways = await asyncio.gather(*(_fresh_path(path, references, now) for path in market.paths))
        paths = tuple(way for way in ways if way is not None)
        return replace(market, paths=paths) if paths else None
    try:
        price = rounded(await references.of(market, now))
    except UnsupportedToken:
        return market
    except VenueUnavailable as fault:
        logger.info("no price of %s: %s", market.name, fault)
        return None
    return None if price is None else replace(market, reference_price=price)


async def _fresh_path(path: Path, references: ReferencePrices, now: int) -> Path | None:
    first, last = await asyncio.gather(
        _fresh(path.of_base, references, now), _fresh(path.of_quote, references, now)
    )
    return None if first is None or last is None else Path(path.through, first, last)


def _decimals(price: Fraction) -> int:
    """Return with how many decimals a price has about 18 significant digits."""
    whole_digits = len(str(price.numerator)) - len(str(price.denominator))
    return max(0, min(MOST_DECIMALS, SIGNIFICANT_DIGITS - whole_digits))


def _as_decimal(number: int, price: Fraction) -> Decimal | None:
    # From the digits: `scaleb` would round a long number to the precision of the context.
    digits = tuple(map(int, str(number)))
    return Decimal((0, digits, -_decimals(price))) if number > 0 else None


def _markets_in(market: Market) -> Iterator[Market]:
    """Yield the markets with pools of their own that this one is traded in."""
    if not market.paths:
        yield market
    for path in market.paths:
        yield path.of_base
        yield path.of_quote


async def _direct_prices(
    market: Market, venues: Sequence[Venue], now: int, rules: PriceRules
) -> BestPrices:
    showing = _showing(venues)
    try:
        asked = await _with_a_pool(market, showing) or showing
    except VenueUnavailable as fault:
        logger.info("no prices of %s: %s", market.name, fault)
        return NONE_AT_ALL
    answers = await asyncio.gather(*(_of_venue(venue, market, now, rules) for venue in asked))
    named = {
        venue.name: prices
        for venue, prices in zip(asked, answers, strict=True)
        if prices != BidAsk()
    }
    return BestPrices(_best(named.values()), named)


def _showing(venues: Iterable[Venue]) -> list[ShowingVenue]:
    return [venue for venue in venues if isinstance(venue, ShowsPools)]


async def _with_a_pool(market: Market, venues: Sequence[ShowingVenue]) -> list[ShowingVenue]:
    return [
        venue
        for venue in venues
        if not isinstance(venue, MakesPools) or await venue.has_pool(market)
    ]


async def _of_venue(venue: ShowingVenue, market: Market, now: int, rules: PriceRules) -> BidAsk:
    """Return the best prices of one venue's pools; none if it does not answer in time."""
    try:
        async with asyncio.timeout(rules.timeout):
            sales = await venue.liquidity(Swap(market, Side.SELL))
            purchases = await venue.liquidity(Swap(market, Side.BUY))
    except (VenueUnavailable, UnsupportedToken, InsufficientLiquidity, TimeoutError) as fault:
        logger.info("no prices of %s: %s", market.name, fault)
        return BidAsk()
    return BidAsk(
        max(_prices(market, Side.SELL, sales, now, rules), default=None),
        min(_prices(market, Side.BUY, purchases, now, rules), default=None),
    )


def _prices(
    market: Market, side: Side, pools: Iterable[Liquidity], now: int, rules: PriceRules
) -> Iterator[Fraction]:
    """Yield the net prices of the pools that take part."""
    for liquidity in pools:
        if now - liquidity.now > rules.max_age:
            continue
        try:
            yield net_price(market, side, liquidity, rules.max_deviation_bps)
        except (SwapRefused, VenueUnavailable) as fault:
            logger.debug("no price of %s: %s", liquidity.pool_id, fault)


def _price(market: Market, side: Side, spot: Spot) -> Fraction:
    """Return the price in whole tokens of a swap on this side."""
    base, quote = spot.atoms_in, spot.atoms_out
    if side is Side.BUY:
        base, quote = quote, base
    return Fraction(quote * 10**market.base.decimals, base * 10**market.quote.decimals)


def _best(prices: Iterable[BidAsk]) -> BidAsk:
    found = list(prices)
    return BidAsk(
        max((bid for bid, _ in found if bid is not None), default=None),
        min((ask for _, ask in found if ask is not None), default=None),
    )


def _joined(market: Market, direct: Mapping[str, BestPrices]) -> BestPrices:
    """Return the prices in two hops. A venue's own are those of ways that it trades alone."""
    ways = [(path, direct[path.of_base.pair], direct[path.of_quote.pair]) for path in market.paths]
    best = _best(_along(market, path, first.best, last.best) for path, first, last in ways)
    names = sorted({name for _, first, last in ways for name in first.venues.keys() & last.venues})
    alone = {
        name: _best(
            _along(market, path, first.venues[name], last.venues[name])
            for path, first, last in ways
            if name in first.venues and name in last.venues
        )
        for name in names
    }
    return BestPrices(best, {name: prices for name, prices in alone.items() if prices != BidAsk()})


def _along(market: Market, path: Path, first: BidAsk, last: BidAsk) -> BidAsk:
    sold = _product(
        _paid_for(market.base, path.of_base, first), _paid_for(path.through, path.of_quote, last)
    )
    bought = _product(
        _paid_for(market.quote, path.of_quote, last), _paid_for(path.through, path.of_base, first)
    )
    return BidAsk(sold, None if bought is None else 1 / bought)


def _paid_for(token: Token, market: Market, prices: BidAsk) -> Fraction | None:
    """Return how much of the market's other token one whole `token` buys."""
    if market.base.same_asset_as(token):
        return prices.bid
    return None if prices.ask is None else 1 / prices.ask


def _product(first: Fraction | None, second: Fraction | None) -> Fraction | None:
    return None if first is None or second is None else first * second
