"""Random orders on a local cluster fill as the simulation's mathematics says, to the atom.

`SOLANA_ORDERS=2000` asks more of them, and `SOLANA_ORDERS_SEED` others.
"""

import os
import random
from collections import Counter
from collections.abc import Sequence

from solders.pubkey import Pubkey

from routing.pools.pool import Fill
from routing.pricing import bound_for
from routing.router import NoRoute, best_route
from routing.simulation.seeding import dollar_price
from routing.solana.reading.known import direction_of
from routing.solana.transactions.leg_amounts import leg_amounts
from routing.tokens import MARKETS, REGISTRY
from routing.venue import Bound, InsufficientFunds, Landed, Leg, Side, Swap
from tests.routing.live.on_cluster import Desk, desk

ORDERS = int(os.environ.get("SOLANA_ORDERS", "60"))
SEED = int(os.environ.get("SOLANA_ORDERS_SEED", "1"))
ALL = [*MARKETS, *REGISTRY.joined()]


async def test_random_orders_fill_to_the_atom_as_they_were_calculated() -> None:
    draw = random.Random(SEED)
    kinds: Counter[str] = Counter()
    async with desk(depth=300_000) as one:  # as large orders are worth splitting there
        assert one.exchange.pools is not None
        one.exchange.pools._age = 0.0  # each order is quoted after the fill of the last one
        for sightings in one.exchange.network._sightings:
            sightings._interval = 0.0
        for _ in range(ORDERS):
            kinds[await filled(one, drawn(draw))] += 1

    print(dict(kinds))
    assert kinds["one pool"] > ORDERS // 4
    assert kinds["split"] > ORDERS // 20
    assert kinds["two hops"] > ORDERS // 10


def drawn(draw: random.Random) -> Swap:
    """Return a swap of 0.1 to 20,000 dollars, about, of either side and kind."""
    market, side = draw.choice(ALL), draw.choice(list(Side))
    dollars = 10 ** draw.uniform(-1, 4.3)
    amounts = {}
    for token in (market.base, market.quote):
        amounts[token] = max(1, int(dollars / dollar_price(token, MARKETS) * 10**token.decimals))
    swap = Swap(market, side)
    if draw.random() < 0.5:
        return swap._replace(amount_in=amounts[swap.token_in])
    return swap._replace(amount_out=amounts[swap.token_out])


async def filled(one: Desk, swap: Swap) -> str:
    """Trade it, hold the fill to the mathematics, and return what kind of route it took."""
    try:
        decision = await best_route(swap, one.exchange.venues, quote_timeout=5)
    except NoRoute:
        return "no route"
    bound = bound_for(swap, decision.quote, 100)
    expected = await calculated(one, swap, decision.legs, bound)
    try:
        sent = await one.venue(decision.legs[0].venue).build(swap, decision.legs, bound)
    except InsufficientFunds:
        return "no funds"
    await one.exchange.network.send(sent)
    await one.node.advance(3)
    fill = await one.exchange.network.status(sent)
    assert isinstance(fill, Landed), (swap, decision.legs, fill)
    assert (fill.amount_in, fill.amount_out) == expected, (swap, decision.legs)
    if decision.hops:
        return "two hops"
    return "split" if decision.is_split else "one pool"


async def calculated(one: Desk, swap: Swap, legs: Sequence[Leg], bound: Bound) -> tuple[int, int]:
    """Return what the legs give and take, by the mathematics of their pools as they are now."""
    assert one.exchange.pools is not None
    given: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for leg, amounts in zip(legs, leg_amounts(swap, legs, bound), strict=True):
        own = leg.swap or swap
        place = Pubkey.from_string(leg.pool)
        seen = (await one.exchange.pools.usable([place]))[place]
        way, now = direction_of(seen, own.market, own.side), seen.clock.unix_time
        fill: Fill
        if amounts.is_exact_in:
            fill = seen.pool.quote_exact_in(amounts.amount_in, way, now)
        else:
            fill = seen.pool.quote_exact_out(amounts.amount_out, way, now)
        given[own.token_in.mint] += fill.amount_in
        taken[own.token_out.mint] += fill.amount_out
    return given[swap.token_in.mint], taken[swap.token_out.mint]
