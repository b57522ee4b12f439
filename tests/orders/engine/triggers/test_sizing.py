"""A limit order is released when its whole amount can be had at its limit, and not before."""

import asyncio
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orders.engine.triggers.sizing import Copies
from orders.terms.terms import bound_of_limit
from routing.registry import registry
from routing.venue import Side, Swap
from tests.orders.engine.triggers.conftest import MakeEvaluator
from tests.orders.engine.triggers.support import PAIR, Desk, constant_product
from tests.support.venue_stubs import PoolVenue, StubVenue

SOL = 10**9


def market() -> Any:
    known = registry()
    return known.market_of_order(known.token("SOL"), known.token("USDC"))


def net_price(amount_in: int, amount_out: int, side: Side) -> Fraction:
    """Return what was paid for a whole SOL, in whole USDC."""
    base, quote = (amount_in, amount_out) if side is Side.SELL else (amount_out, amount_in)
    return Fraction(quote * 1000, base)


@given(
    side=st.sampled_from(Side),
    limit=st.decimals("70", "130", places=6),
    fee=st.integers(0, 50_000),
    amount=st.integers(10**4, 10**12),
    fixes_input=st.booleans(),
)
@example(side=Side.SELL, limit=Decimal("99.75"), fee=2_500, amount=10**9, fixes_input=True)
def test_a_limit_order_never_nets_worse_than_its_limit_fees_included(
    side: Side, limit: Decimal, fee: int, amount: int, fixes_input: bool
) -> None:
    """What the watcher would release, with any price, fee and amount, on both sides."""
    amounts = (amount, None) if fixes_input else (None, amount)
    bound = bound_of_limit(market(), side, limit, *amounts)
    venue = PoolVenue("raydium", {PAIR: constant_product(1_000, 100_000, fee)})
    copies = Copies([venue])
    decision = asyncio.run(copies.route(Swap(market(), side, *amounts), None))
    if decision is None:
        return
    quote = decision.quote
    net = net_price(quote.amount_in, quote.amount_out, side)
    is_better = net >= Fraction(limit) if side is Side.SELL else net <= Fraction(limit)
    assert bound.admits(quote.amount_in, quote.amount_out) == is_better
    # The worst fill that the bound allows is as good as the limit, and an atom more is not.
    if bound.min_out is not None:
        worst = net_price(amount, bound.min_out, side)
        beyond = net_price(amount, bound.min_out - 1, side) if bound.min_out > 1 else None
    else:
        worst = net_price(bound.max_in or 0, amount, side)
        beyond = net_price((bound.max_in or 0) + 1, amount, side)
    assert worst >= limit if side is Side.SELL else worst <= limit
    if beyond is not None:
        assert beyond < limit if side is Side.SELL else beyond > limit


async def test_a_limit_too_large_for_the_pool_rests_without_events_and_fills_when_depth_comes(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    venue = PoolVenue("raydium", {PAIR: constant_product(1_000, 100_000)})
    desk.evaluator = make_evaluator(venue)
    order = await desk.rest("limit", limit_price="99", amount_in=20 * SOL)
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.events(order) == ["open"]
    # 20 SOL net 97.8 each: the pair would have to show as much more as they are below their limit.
    assert Decimal("100.9") < await desk.watch(order, "wake_price") < Decimal("101")
    assert await desk.watch(order, "check_at > clock_timestamp()") is True
    venue.pools[PAIR] = constant_product(100_000, 10_000_000)
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.events(order) == ["open"]  # nobody looks again before its time
    await desk.change_watch(order, "check_at = clock_timestamp()")
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.events(order) == ["open", "released"]


async def test_a_limit_that_missed_wakes_when_the_pair_shows_enough(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    venue = PoolVenue("raydium", {PAIR: constant_product(1_000, 100_000)})
    desk.evaluator = make_evaluator(venue)
    sale = await desk.rest("limit", limit_price="99", amount_in=20 * SOL)
    purchase = await desk.rest("limit", side="buy", limit_price="101", amount_in=2_000_000_000)
    await desk.tick(bid="99.7", ask="100.3")
    wake = await desk.watch(sale, "wake_price")
    assert Decimal("99") < await desk.watch(purchase, "wake_price") < Decimal("100.3")
    venue.pools[PAIR] = constant_product(1_000, 101_500)
    await desk.tick(bid=wake - Decimal("0.001"), ask="102")
    assert await desk.status(sale) == "open"
    await desk.tick(bid=wake, ask="102")
    assert await desk.status(sale) == "pending"


async def test_a_limit_that_misses_is_looked_at_again_after_1_2_4_and_at_most_60_s(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    desk.evaluator = make_evaluator(PoolVenue("raydium", {PAIR: constant_product(1_000, 100_000)}))
    order = await desk.rest("limit", limit_price="99", amount_in=20 * SOL)
    waits = []
    for _ in range(8):
        await desk.tick(bid="99.7", ask="100.3")
        waits.append(await desk.watch(order, "round(extract(epoch FROM check_at - now()))"))
        await desk.change_watch(order, "check_at = clock_timestamp()")
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_ten_thousand_limits_at_one_price_on_a_small_pool(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    """As many are released as the pool can pay at their limits, in order of time."""
    pool = constant_product(1_000, 100_000)
    desk.evaluator = make_evaluator(PoolVenue("raydium", {PAIR: pool}))
    for _ in range(25):  # what one process takes at once
        await asyncio.gather(
            *(desk.rest("limit", limit_price="99", amount_in=SOL // 10) for _ in range(400))
        )
    await desk.tick(evaluates=False, bid="99.75", ask="100.3")
    while not await desk.is_evaluated():
        await desk.evaluate()
    rows = await desk.database.rows(
        "SELECT id::text FROM orders WHERE status = 'pending' ORDER BY next_check"
    )
    released = [row[0] for row in rows]
    by_time = await desk.database.rows(
        "SELECT id::text FROM orders ORDER BY created_at, id LIMIT %s", len(released)
    )
    assert released == [row[0] for row in by_time]
    fills = 0
    market_swap = Swap(market(), Side.SELL, SOL // 10)
    copies = Copies([PoolVenue("raydium", {PAIR: pool})])
    bound = bound_of_limit(market(), Side.SELL, Decimal(99), SOL // 10, None)
    while (decision := await copies.route(market_swap, None)) and bound.admits(
        decision.quote.amount_in, decision.quote.amount_out
    ):
        copies.apply(decision)
        fills += 1
    assert len(released) == fills > 10


async def test_an_order_goes_where_two_venues_share_it(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    venues = [
        PoolVenue(name, {PAIR: constant_product(1_000, 100_000)}) for name in ("raydium", "meteora")
    ]
    order = await desk.rest("limit", limit_price="98.8", amount_in=15 * SOL)
    desk.evaluator = make_evaluator(venues[0])
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.status(order) == "open"
    await desk.evaluator.close()
    desk.evaluator = make_evaluator(*venues)
    await desk.change_watch(order, "check_at = clock_timestamp()")
    while await desk.status(order) == "open":
        await desk.tick(bid="99.7", ask="100.3")


async def test_an_order_that_excludes_the_venue_with_depth_rests(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    deep, shallow = (
        PoolVenue(name, {PAIR: constant_product(size, 100 * size)})
        for name, size in (("raydium", 100_000), ("meteora", 100))
    )
    desk.evaluator = make_evaluator(deep, shallow)
    order = await desk.rest(
        "limit", limit_price="99", amount_in=20 * SOL, constraints={"excludeVenues": ["raydium"]}
    )
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.status(order) == "open"


async def test_a_hundred_misses_in_a_row_end_the_pass_for_this_tick(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    desk.evaluator = make_evaluator(PoolVenue("raydium", {PAIR: constant_product(1_000, 100_000)}))
    large = [await desk.rest("limit", limit_price="98", amount_in=30 * SOL) for _ in range(100)]
    small = await desk.rest("limit", limit_price="99", amount_in=SOL)
    await desk.tick(bid="99.7", ask="100.3")
    assert set(await desk.statuses(*large, small)) == {"open"}
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.status(small) == "pending"


async def test_venues_that_do_not_show_their_pools_get_twenty_a_pair_and_second(
    desk: Desk, make_evaluator: MakeEvaluator
) -> None:
    desk.evaluator = make_evaluator(StubVenue())
    orders = [await desk.rest("limit", limit_price="99") for _ in range(25)]
    await desk.tick(bid="99.7", ask="100.3")
    assert (await desk.statuses(*orders)).count("pending") == 20


async def test_an_order_that_was_amended_while_it_was_sized_is_not_released(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await desk.rest("limit", limit_price="99")
    route = Copies.route

    async def amended(copies: Copies, swap: Swap, asked: Any) -> Any:
        await desk.change_watch(order, f"from_tick = {desk.second + 1}")
        return await route(copies, swap, asked)

    monkeypatch.setattr(Copies, "route", amended)
    await desk.tick(bid="99.7", ask="100.3")
    assert await desk.status(order) == "open"
