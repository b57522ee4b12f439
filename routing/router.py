"""Choose the best execution: one venue, a split over several, or two hops."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType

from routing.best_prices import fresh_market
from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision, DroppedQuote, decide, decide_split, margin_bps, sum_of
from routing.path import best_path
from routing.pricing import pool_quote
from routing.quoting import (
    CODES,
    Answers,
    NoFreshPrice,
    NoQuotes,
    NoRoute,
    Rules,
    UnusableQuote,
    ask_all,
    check,
    failure,
)
from routing.split import best_split
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Leg,
    Liquidity,
    Quote,
    ReferencePrices,
    ShowsPools,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

__all__ = ["NoQuotes", "NoRoute", "best_route"]

logger = logging.getLogger(__name__)

MAX_DEVIATION_BPS = 2_000
SPLIT_MIN_GAIN_BPS = Decimal(1)

ShownPool = tuple[Venue, Liquidity]


async def best_route(
    swap: Swap,
    venues: Sequence[Venue],
    *,
    quote_timeout: float,
    max_deviation_bps: int = MAX_DEVIATION_BPS,
    max_price_impact_bps: int = MAX_DEVIATION_BPS,
    split_min_gain_bps: Decimal = SPLIT_MIN_GAIN_BPS,
    constraints: Constraints = UNCONSTRAINED,
    references: ReferencePrices | None = None,
    stopped: Mapping[str, str] = MappingProxyType({}),
) -> Decision:
    """Compare what all venues offer net of fees, and return the choice with its reasons.

    A venue is left out and named in `dropped` if it is slow (`quote_timeout`, in seconds) or
    broken, if it is more than `max_deviation_bps` away from the market's reference price, or if
    the order excludes it (`constraints`). It is also left out if it moves the price by more than
    `max_price_impact_bps`, unless the order has a limit of its own. Venues that show their pools
    share the amount if that is better by `split_min_gain_bps` than one venue alone. A market
    without pools of its own is traded in two hops. `references` take the place of the markets' own
    reference prices: what has no fresh one is not traded. `stopped` says of venues why they take
    no part for now.

    :raises NoQuotes: no venue gave a usable quote; a passing fault.
    :raises NotTraded: all venues refuse the swap for good, none because of its amount.
    :raises MovesPriceTooFar: all venues refuse the swap for good, one because of its price impact.
    :raises NothingFits: all venues refuse the swap for good.
    """
    rules = Rules(
        quote_timeout=quote_timeout,
        max_deviation_bps=max_deviation_bps,
        split_min_gain_bps=split_min_gain_bps,
        constraints=constraints,
        max_price_impact_bps=max_price_impact_bps,
        stopped=stopped,
        most_legs=_most_legs(venues),
    )
    if references is not None:
        swap = await _with_fresh_price(swap, venues, references, quote_timeout)
    if swap.market.paths:
        return await best_path(swap, venues, rules, _direct_route)
    return await _direct_route(swap, venues, rules)


async def _with_fresh_price(
    swap: Swap, venues: Sequence[Venue], references: ReferencePrices, seconds: float
) -> Swap:
    """Return the swap in a market whose reference price is that of this moment.

    :raises NoQuotes: there is none within so many seconds.
    """
    market = await fresh_market(swap.market, references, seconds)
    if market is not None:
        return swap._replace(market=market)
    reason = f"there is no fresh price of {swap.market.name} to hold it to"
    code = CODES[NoFreshPrice]
    raise NoQuotes([DroppedQuote(venue.name, code, reason) for venue in venues])


def _most_legs(venues: Sequence[Venue]) -> int | None:
    """Return how many legs fit into one transaction of all these venues."""
    limits = (getattr(venue, "most_legs", None) for venue in venues)
    return min((limit for limit in limits if limit is not None), default=None)


async def _direct_route(swap: Swap, venues: Sequence[Venue], rules: Rules) -> Decision:
    answers = await ask_all(swap, venues, rules)
    dropped = answers.dropped()
    labels = {venue.name: venue.label for venue in venues}
    if _may_gain(answers, rules):
        split = await _split(swap, venues, answers, rules)
        if split is not None:
            legs, single = split
            return decide_split(swap, legs, single, answers.quotes, dropped, labels, answers.ages())
    if not answers.quotes:
        raise failure(dropped, [fault for _, fault in answers.faults])
    return decide(swap, answers.quotes, dropped, labels, answers.ages())


def _may_gain(answers: Answers, rules: Rules) -> bool:
    """Whether several legs could beat the best quote by enough. This has to be cheap.

    A venue's price falls with the amount, so a split saves at most the price impact.
    """
    least = rules.split_min_gain_bps
    if least >= BPS:
        return False
    for quote in answers.quotes:
        if quote.price_impact_bps is not None and quote.price_impact_bps > least:
            return True
    if not answers.faults:
        return False
    return any(isinstance(fault, InsufficientLiquidity) for _, fault in answers.faults)


async def _split(
    swap: Swap, venues: Sequence[Venue], answers: Answers, rules: Rules
) -> tuple[tuple[Leg, ...], Quote | None] | None:
    """Return the best split's legs and the best single quote; None if the gain is too small."""
    pools = await _shown_pools(swap, venues, answers, rules)
    if len(pools) < 2:
        return None
    split = best_split(
        [liquidity for _, liquidity in pools],
        swap.amount_in or swap.amount_out or 0,
        exact_in=swap.is_exact_in,
        min_gain_bps=rules.split_min_gain_bps,
    )
    if split is None or not split.is_divided:
        return None
    try:
        legs = _legs(swap, pools, split.amounts, rules)
    except (InsufficientLiquidity, UnusableQuote):
        return None
    if rules.most_legs is not None and len(legs) > rules.most_legs:
        return None
    single = _best_single(swap, pools, answers.quotes, rules)
    if single and margin_bps(swap, sum_of(legs), single) < rules.split_min_gain_bps:
        return None
    return legs, single


async def _shown_pools(
    swap: Swap, venues: Sequence[Venue], answers: Answers, rules: Rules
) -> list[ShownPool]:
    """Return the pools of all venues that gave a quote, or refused only because of the amount."""
    faults = {venue.name: fault for venue, fault in answers.faults}
    showing = [
        venue
        for venue in venues
        if isinstance(venue, ShowsPools)
        and isinstance(faults.get(venue.name), InsufficientLiquidity | None)
    ]
    answered = await asyncio.gather(*(_pools_of(venue, swap, rules) for venue in showing))
    return [
        (venue, liquidity)
        for venue, pools in zip(showing, answered, strict=True)
        for liquidity in pools
    ]


async def _pools_of(venue: ShowsPools, swap: Swap, rules: Rules) -> Sequence[Liquidity]:
    """Return the venue's pools; none if it does not answer, so the split goes without it."""
    try:
        async with asyncio.timeout(rules.quote_timeout):
            return await venue.liquidity(swap)
    except (VenueUnavailable, UnsupportedToken, InsufficientLiquidity, TimeoutError) as fault:
        logger.info("no pools for a split: %s", fault)
        return ()


def _legs(
    swap: Swap, pools: Sequence[ShownPool], amounts: Sequence[int], rules: Rules
) -> tuple[Leg, ...]:
    """Return a leg for each pool that takes part, the largest first.

    :raises InsufficientLiquidity: a leg moves its price further than the order allows.
    :raises UnusableQuote: a leg is too far from the market's reference price.
    """
    legs = []
    for (venue, liquidity), amount in zip(pools, amounts, strict=True):
        if not amount:
            continue
        own = _part_of(swap, amount)
        quote = pool_quote(venue.name, own, liquidity)
        check(venue, own, quote, rules)
        legs.append(Leg(venue.name, quote, own, liquidity.pool_id))
    return tuple(sorted(legs, key=_size, reverse=True))


def _best_single(
    swap: Swap, pools: Sequence[ShownPool], quotes: Sequence[Quote], rules: Rules
) -> Quote | None:
    """Return the best quote of one venue alone.

    It is calculated with the same pools as the split. Prices may have moved since the venues'
    quotes, and such a move is no gain of the split.
    """
    alternatives = list(quotes)
    for venue, liquidity in pools:
        try:
            quote = pool_quote(venue.name, swap, liquidity)
            check(venue, swap, quote, rules)
        except (InsufficientLiquidity, UnusableQuote):
            continue
        alternatives.append(quote)
    if swap.is_exact_in:
        return max(alternatives, key=_output, default=None)
    return min(alternatives, key=_input, default=None)


def _part_of(swap: Swap, amount: int) -> Swap:
    if swap.is_exact_in:
        return Swap(swap.market, swap.side, amount_in=amount)
    return Swap(swap.market, swap.side, amount_out=amount)


def _size(leg: Leg) -> int:
    return leg.quote.amount_in


def _output(quote: Quote) -> int:
    return quote.amount_out


def _input(quote: Quote) -> int:
    return quote.amount_in
