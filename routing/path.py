"""Trades a market without pools of its own in two hops, through a third token."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import ROUND_UP, Decimal
from time import monotonic

from routing.decision import Candidate, Decision, DroppedQuote, decide_path
from routing.pricing import significant
from routing.quoting import Rules, check_impact, code_of, failure
from routing.tokens import Market, Path
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Quote,
    ShowsPools,
    Side,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)

Route = Callable[[Swap, Sequence[Venue], Rules], Awaitable[Decision]]


async def best_path(swap: Swap, venues: Sequence[Venue], rules: Rules, route: Route) -> Decision:
    """Compare all ways from one token to the other. `route` finds the best within one market.

    Both hops are legs of one transaction, so they take place at venues that show their pools.
    Another venue may know a way by itself: it is asked for a quote of the whole.

    :raises NoQuotes: no way was found, but there may be one later.
    :raises NotTraded: all ways are refused for good, none because of the amount.
    :raises NothingFits: all ways are refused for good.
    """
    showing = [venue for venue in venues if isinstance(venue, ShowsPools)]
    others = [venue for venue in venues if not isinstance(venue, ShowsPools)]
    paths = swap.market.paths if showing else ()
    ways = {f"through {path.through.symbol}": path for path in paths}
    asked = [_timed(_along(path, swap, showing, rules, route)) for path in ways.values()]
    names = list(ways)
    if others:
        asked.append(_timed(_in_one_hop(swap, others, rules, route)))
        names.append("in one hop")
    results = await asyncio.gather(*asked, return_exceptions=True)
    candidates, dropped, faults = [], [], []
    for name, result in zip(names, results, strict=True):
        if not isinstance(result, BaseException):
            candidate, found_at = result
            candidates.append(candidate.older_by(_milliseconds_since(found_at)))
            continue
        if not isinstance(result, VenueUnavailable | UnsupportedToken | InsufficientLiquidity):
            raise result
        faults.append(result)
        dropped.append(DroppedQuote(name, code_of(result), str(result)))
    if not candidates:
        raise failure(dropped, faults)
    labels = {venue.name: venue.label for venue in venues}
    return decide_path(swap, candidates, tuple(dropped), labels)


async def _timed(way: Awaitable[Candidate]) -> tuple[Candidate, float]:
    """Return the candidate and the time at which it was found: others may take longer."""
    return await way, monotonic()


def _milliseconds_since(moment: float) -> int:
    return int((monotonic() - moment) * 1000)


async def _in_one_hop(swap: Swap, venues: Sequence[Venue], rules: Rules, route: Route) -> Candidate:
    decision = await route(swap, venues, rules)
    return Candidate(decision.quote, decision.legs, age=max(decision.ages, default=0))


async def _along(
    path: Path, swap: Swap, venues: Sequence[Venue], rules: Rules, route: Route
) -> Candidate:
    """Route hop by hop from the fixed amount on: the output of one hop is the next one's input."""
    if rules.most_legs is not None:  # each of the hops has its share of them
        rules = rules._replace(most_legs=max(rules.most_legs // 2, 1))
    selling = swap.side is Side.SELL
    first, last = (path.of_base, path.of_quote) if selling else (path.of_quote, path.of_base)
    first_side = _side(first, sells=swap.token_in.mint)
    last_side = _side(last, sells=path.through.mint)
    if swap.is_exact_in:
        first_hop = await route(Swap(first, first_side, amount_in=swap.amount_in), venues, rules)
        found_at = monotonic()
        middle = first_hop.quote.amount_out
        last_hop = await route(Swap(last, last_side, amount_in=middle), venues, rules)
        first_hop = first_hop.older_by(_milliseconds_since(found_at))
    else:
        last_hop = await route(Swap(last, last_side, amount_out=swap.amount_out), venues, rules)
        found_at = monotonic()
        middle = last_hop.quote.amount_in
        first_hop = await route(Swap(first, first_side, amount_out=middle), venues, rules)
        last_hop = last_hop.older_by(_milliseconds_since(found_at))
    quote = _end_to_end(swap, first_hop, last_hop)
    check_impact(quote, rules)
    legs = tuple(
        leg._replace(swap=leg.swap or hop.swap) for hop in (first_hop, last_hop) for leg in hop.legs
    )
    oldest = max((*first_hop.ages, *last_hop.ages), default=0)
    return Candidate(quote, legs, (first_hop, last_hop), path.through, oldest)


def _side(market: Market, *, sells: str) -> Side:
    return Side.SELL if market.base.mint == sells else Side.BUY


def _end_to_end(swap: Swap, first_hop: Decision, last_hop: Decision) -> Quote:
    """Return both hops as one quote. Price, fees and impact are compounded."""
    rate = _rate(first_hop) * _rate(last_hop)
    remainder = (BPS - first_hop.quote.fee_bps) * (BPS - last_hop.quote.fee_bps)
    return Quote(
        first_hop.quote.venue,
        first_hop.quote.amount_in,
        last_hop.quote.amount_out,
        significant(rate if swap.side is Side.SELL else 1 / rate),
        BPS - remainder // BPS,
        (BPS * (1 - _unmoved(first_hop) * _unmoved(last_hop))).quantize(Decimal("0.01"), ROUND_UP),
    )


def _rate(hop: Decision) -> Decimal:
    """Return how many whole output tokens one whole input token buys, before fees."""
    return hop.quote.price if hop.swap.side is Side.SELL else 1 / hop.quote.price


def _unmoved(hop: Decision) -> Decimal:
    return 1 - (hop.quote.price_impact_bps or Decimal()) / BPS
