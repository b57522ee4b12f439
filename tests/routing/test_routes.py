"""Splits, paths of two hops and an order's own constraints, on frozen pools."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from routing.constraints import UNCONSTRAINED, Constraints
from routing.decision import Decision
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pools.pool import Pool
from routing.pricing import execution_price
from routing.quoting import PriceImpactTooHigh
from routing.router import NoQuotes, best_route
from routing.stored_decision import decision_to_json
from routing.tokens import BONK, JUP, RAY, REGISTRY, SOL, USDC, USDT, Token
from routing.venue import (
    BPS,
    InsufficientLiquidity,
    Quote,
    Side,
    Swap,
    UnsupportedToken,
    Venue,
    VenueUnavailable,
)
from tests.support.venue_stubs import PoolVenue, StubVenue

MARKET = REGISTRY.market(SOL, USDC)
ATOMS = 10**9


def pool(base: Token, quote: Token, price: str, depth: int, fee: int = 2_500) -> Pool:
    """A constant product with `depth` whole base tokens, at this price."""
    worth = Decimal(price) * depth
    rates = FeeRates(fee, 120_000, 40_000)
    return ConstantProductPool(base.to_atoms(Decimal(depth)), quote.to_atoms(worth), rates)


def sol_usdc(price: str, depth: int, fee: int = 2_500) -> dict[str, Pool]:
    return {"SOL/USDC": pool(SOL, USDC, price, depth, fee)}


RAYDIUM = PoolVenue("raydium", sol_usdc("100", 66_667))
METEORA = PoolVenue("meteora", sol_usdc("100.3", 20_000, 2_000))


def sell(size: int) -> Swap:
    return Swap(MARKET, Side.SELL, amount_in=size * ATOMS)


async def route(
    swap: Swap,
    *venues: Venue,
    constraints: Constraints = UNCONSTRAINED,
    least: Decimal | str = "1",
    most: int = 2_000,
) -> Decision:
    return await best_route(
        swap,
        venues,
        quote_timeout=1,
        max_price_impact_bps=most,
        split_min_gain_bps=Decimal(least),
        constraints=constraints,
    )


async def test_a_large_order_is_split_and_says_why() -> None:
    decision = await route(sell(1_000), RAYDIUM, METEORA)

    assert [leg.venue for leg in decision.legs] == ["raydium", "meteora"]  # the largest first
    assert sum(leg.quote.amount_in for leg in decision.legs) == 1_000 * ATOMS
    assert sum(leg.quote.amount_out for leg in decision.legs) == decision.quote.amount_out
    best = max(quote.amount_out for quote in decision.quotes)
    assert decision.margin_bps == Decimal((decision.quote.amount_out - best) * 10**6 // best) / 100
    assert decision.margin_bps > 40
    stored = decision_to_json(decision)
    assert stored["selectedDex"] == stored["runnerUp"] == stored["bestSingle"]["dex"] == "raydium"
    assert stored["splitGainBps"] == stored["marginBps"]
    assert [leg["dex"] for leg in stored["legs"]] == ["raydium", "meteora"]
    assert stored["reason"].startswith("Raydium 74.2 % and Meteora 25.8 % together net 98")
    assert stored["reason"].endswith("more than Raydium alone")


async def test_a_split_of_a_fixed_output_pays_less_than_any_venue_alone() -> None:
    swap = Swap(MARKET, Side.SELL, amount_out=100_000 * 10**6)
    decision = await route(swap, RAYDIUM, METEORA)

    assert len(decision.legs) == 2
    assert decision.quote.amount_out == 100_000 * 10**6
    assert decision.quote.amount_in < min(quote.amount_in for quote in decision.quotes)
    assert decision.reason.endswith("less than Raydium alone")


async def test_a_small_order_looks_at_no_pools() -> None:
    venues = [PoolVenue(venue.name, venue.pools) for venue in (RAYDIUM, METEORA)]
    decision = await route(sell(1), *venues)
    assert len(decision.legs) == 1
    assert [venue.shown for venue in venues] == [0, 0]


@pytest.mark.parametrize("least", ["43", "10000"])
async def test_a_split_that_gains_too_little_is_not_made(least: str) -> None:
    venues = PoolVenue("one", sol_usdc("100", 50_000)), PoolVenue("two", sol_usdc("100.1", 50_000))
    split = await route(sell(300), *venues)

    assert len(split.legs) == 2
    assert split.margin_bps is not None
    assert split.margin_bps < 43
    assert len((await route(sell(300), *venues, least=least)).legs) == 1


async def test_venues_that_show_no_pools_compete_with_the_split() -> None:
    better = StubVenue("orca", "101", 0)
    decision = await route(sell(1_000), RAYDIUM, METEORA, better)

    assert [leg.venue for leg in decision.legs] == ["orca"]
    worse = StubVenue("orca", "98.1", 0)
    decision = await route(sell(1_000), RAYDIUM, METEORA, worse)
    assert {leg.venue for leg in decision.legs} == {"raydium", "meteora"}
    assert len(decision.quotes) == 3


async def test_a_venue_too_small_for_the_whole_takes_a_part() -> None:
    class Small(PoolVenue):
        async def quote(self, swap: Swap) -> Quote:
            raise InsufficientLiquidity("too much")

    decision = await route(sell(1_000), RAYDIUM, Small("meteora", METEORA.pools))
    assert {leg.venue for leg in decision.legs} == {"raydium", "meteora"}
    assert [one.code for one in decision.dropped] == ["insufficient_liquidity"]


@pytest.mark.parametrize("most", [1, 2])
async def test_no_route_has_more_legs_than_fit_into_one_transaction(most: int) -> None:
    class Narrow(PoolVenue):
        most_legs = most

    venues = Narrow("raydium", RAYDIUM.pools), PoolVenue("meteora", METEORA.pools)

    assert len((await route(sell(1_000), *venues)).legs) == most


async def test_a_venue_that_hides_its_pools_spoils_nothing() -> None:
    decision = await route(sell(1_000), RAYDIUM, PoolVenue("meteora", METEORA.pools, hides=True))
    assert [leg.venue for leg in decision.legs] == ["raydium"]


async def test_prices_that_moved_since_the_quotes_are_no_gain_of_the_split() -> None:
    class Moving(PoolVenue):
        async def quote(self, swap: Swap) -> Quote:
            quote = await super().quote(swap)
            self.pools = sol_usdc("105", 66_667)
            return quote

    decision = await route(
        sell(20), Moving("one", sol_usdc("100", 66_667)), PoolVenue("two", sol_usdc("90", 66_667))
    )
    assert [leg.venue for leg in decision.legs] == ["one"]


async def test_quotes_tell_their_price_impact_and_their_age() -> None:
    decision = await route(sell(100), RAYDIUM, StubVenue("orca", "99"))
    quotes = decision_to_json(decision)["quotes"]

    assert quotes[0]["priceImpactBps"] == "14.95"  # 100 less its fee, of 66,667 and that
    assert "priceImpactBps" not in quotes[1]  # it does not tell
    slow = await route(sell(1), StubVenue("early"), StubVenue("late", latency=0.05))
    early, late = (quote["ageMs"] for quote in decision_to_json(slow)["quotes"])
    assert early >= 40
    assert late <= early


async def test_quotes_with_too_much_impact_are_dropped() -> None:
    wish = Constraints(max_price_impact_bps=20)
    decision = await route(sell(100), RAYDIUM, METEORA, constraints=wish)

    assert [(one.venue, one.code) for one in decision.dropped] == [
        ("meteora", "price_impact_too_high")
    ]
    assert decision.dropped[0].reason == "the price impact of 49.66 bps is above 20 bps"


async def test_an_order_too_large_for_each_venue_may_be_small_enough_for_both() -> None:
    wish = Constraints(max_price_impact_bps=130)
    decision = await route(sell(1_000), RAYDIUM, METEORA, constraints=wish)

    assert len(decision.legs) == 2
    assert decision.quotes == ()
    assert decision.margin_bps is None
    assert decision.reason.endswith("which no venue alone may fill")
    for leg in decision.legs:
        assert leg.quote.price_impact_bps is not None
        assert leg.quote.price_impact_bps <= 130


async def test_too_much_impact_everywhere_fails_for_good() -> None:
    wish = Constraints(max_price_impact_bps=1)
    with pytest.raises(InsufficientLiquidity, match=r"price impact of 14\.95 bps is above 1 bps"):
        await route(sell(100), RAYDIUM, METEORA, constraints=wish)


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        (Swap(MARKET, Side.SELL, amount_in=1), "the amount is too small to pay anything out"),
        (Swap(MARKET, Side.BUY, amount_out=10**15), "the amount is beyond its reserves"),
    ],
)
async def test_why_a_pool_refuses_is_said_in_words(swap: Swap, words: str) -> None:
    with pytest.raises(InsufficientLiquidity) as refused:
        await route(swap, RAYDIUM)
    assert str(refused.value) == f"raydium: {words}"


@pytest.mark.parametrize("side", list(Side))
async def test_an_order_may_allow_more_price_impact_than_quotes_may_be_off(side: Side) -> None:
    """Half the reserve more of the one token leaves the other's price a third off."""
    amount = 33_333 * ATOMS if side is Side.SELL else 3_333_300 * 10**6
    swap = Swap(MARKET, side, amount_in=amount)
    with pytest.raises(InsufficientLiquidity, match="above 2000 bps"):
        await route(swap, RAYDIUM)
    decision = await route(swap, RAYDIUM, constraints=Constraints(max_price_impact_bps=4_000))

    assert decision.quote.price_impact_bps is not None
    assert 3_300 < decision.quote.price_impact_bps < 3_400


@pytest.mark.parametrize(
    "swap",
    [
        Swap(MARKET, Side.SELL, amount_in=9_000 * ATOMS),
        Swap(MARKET, Side.BUY, amount_in=900_000 * 10**6),
        Swap(MARKET, Side.SELL, amount_out=750_000 * 10**6),
        Swap(MARKET, Side.BUY, amount_out=7_500 * ATOMS),
    ],
)
async def test_an_order_that_names_no_price_impact_moves_the_price_no_further_than_all_may(
    swap: Swap,
) -> None:
    with pytest.raises(PriceImpactTooHigh, match="above 500 bps"):
        await route(swap, RAYDIUM, METEORA, most=500)
    for wish, most in ((UNCONSTRAINED, 2_000), (Constraints(max_price_impact_bps=2_000), 500)):
        decision = await route(swap, RAYDIUM, METEORA, most=most, constraints=wish)
        assert decision.quote.price_impact_bps is not None
        assert decision.quote.price_impact_bps > 500


async def test_each_leg_of_a_split_moves_its_price_no_further_than_all_may() -> None:
    decision = await route(sell(1_000), RAYDIUM, METEORA, most=130)
    assert len(decision.legs) == 2
    assert all((leg.quote.price_impact_bps or 0) <= 130 for leg in decision.legs)
    with pytest.raises(PriceImpactTooHigh):
        await route(sell(1_000), RAYDIUM, METEORA, most=100)


async def test_too_much_impact_at_one_venue_is_not_final_while_another_may_answer_later() -> None:
    away = StubVenue("meteora", fault=VenueUnavailable("away"))
    with pytest.raises(NoQuotes):
        await route(sell(9_000), RAYDIUM, away, most=500)


async def test_a_price_that_only_its_impact_takes_too_far_is_refused_for_good() -> None:
    """1.5 % and 19.7 % are both allowed; together they are too far from the reference."""
    venue = PoolVenue("raydium", sol_usdc("98.5", 66_667))
    with pytest.raises(InsufficientLiquidity, match="by its price impact"):
        await route(sell(16_400), venue)


async def test_no_price_impact_explains_an_absurd_price() -> None:
    venue = PoolVenue("raydium", sol_usdc("70", 66_667))
    with pytest.raises(NoQuotes, match="from the reference price"):
        await route(sell(1_000), venue, constraints=Constraints(max_price_impact_bps=10_000))


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Constraints(venues=("raydium",)), "the order is for raydium only"),
        (Constraints(exclude_venues=("meteora",)), "the order excludes it"),
    ],
)
async def test_an_order_chooses_its_venues(wish: Constraints, reason: str) -> None:
    decision = await route(sell(1_000), RAYDIUM, METEORA, constraints=wish)
    assert [leg.venue for leg in decision.legs] == ["raydium"]
    assert [(one.venue, one.code, one.reason) for one in decision.dropped] == [
        ("meteora", "excluded", reason)
    ]


async def test_an_order_without_any_venue_left_fails_for_good() -> None:
    with pytest.raises(UnsupportedToken, match="the order is for orca only"):
        await route(sell(1), RAYDIUM, METEORA, constraints=Constraints(venues=("orca",)))


def test_constraints_survive_being_stored() -> None:
    wish = Constraints(("raydium",), ("meteora", "orca"), 0)
    assert Constraints.from_json(wish.to_json()) == wish
    assert UNCONSTRAINED.to_json() == {}
    assert Constraints.from_json({}) == UNCONSTRAINED


STABLE = {"USDT/USDC": pool(USDT, USDC, "1", 10_000_000, 100)}
HOPS = [
    PoolVenue(
        "raydium",
        {"JUP/USDC": pool(JUP, USDC, "0.5", 1_000_000), "JUP/SOL": pool(JUP, SOL, "0.005", 10_000)}
        | STABLE
        | {"SOL/USDT": pool(SOL, USDT, "100", 1_000)},
    ),
    PoolVenue("meteora", {"JUP/USDC": pool(JUP, USDC, "0.51", 1_000_000)} | STABLE),
]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("exact_in", [True, False])
async def test_a_market_without_pools_is_traded_in_two_hops(side: Side, exact_in: bool) -> None:
    market = REGISTRY.market(JUP, USDT)
    amount = 100 * 10**6
    swap = Swap(market, side, amount) if exact_in else Swap(market, side, amount_out=amount)
    decision = await route(swap, *HOPS)
    first, last = decision.legs

    assert decision.quote.amount_in == first.quote.amount_in
    assert decision.quote.amount_out == last.quote.amount_out
    assert first.quote.amount_out == last.quote.amount_in  # nothing is lost on the way
    assert (decision.quote.amount_in if exact_in else decision.quote.amount_out) == amount
    assert first.swap is not None
    assert last.swap is not None
    assert first.swap.token_in == swap.token_in
    assert first.swap.token_out == last.swap.token_in == USDC
    assert last.swap.token_out == swap.token_out
    net = execution_price(market, side, decision.quote.amount_in, decision.quote.amount_out)
    kept = 1 - Decimal(decision.quote.fee_bps) / BPS
    before = net / kept if side is Side.SELL else net * kept
    assert abs(before / decision.quote.price - 1) < Decimal("0.0003")  # fees are whole bps


async def test_the_better_way_through_wins_and_the_other_is_kept() -> None:
    decision = await route(Swap(REGISTRY.market(JUP, USDT), Side.SELL, 100 * 10**6), *HOPS)
    stored = decision_to_json(decision)

    assert {quote["through"] for quote in stored["quotes"]} == {"USDC", "SOL"}
    assert stored["quote"]["through"] == "USDC"
    assert stored["reason"].startswith("through USDC (Meteora, then Raydium) nets 50.8")
    assert stored["reason"].endswith("more than through SOL (Raydium, then Raydium)")
    assert [hop["market"] for hop in stored["hops"]] == ["JUP/USDC", "USDT/USDC"]
    assert [hop["side"] for hop in stored["hops"]] == ["sell", "buy"]
    assert [leg["market"] for leg in stored["legs"]] == ["JUP/USDC", "USDT/USDC"]


@pytest.mark.parametrize("exact_in", [True, False])
async def test_quotes_of_a_hop_are_as_old_as_the_last_decision_finds_them(exact_in: bool) -> None:
    class Slow(PoolVenue):
        async def quote(self, swap: Swap) -> Quote:
            await asyncio.sleep(0.02)
            return await super().quote(swap)

    market, amount = REGISTRY.market(JUP, USDT), 10**8
    swap = Swap(market, Side.SELL, amount) if exact_in else Swap(market, Side.SELL, None, amount)
    stored = decision_to_json(await route(swap, Slow("raydium", HOPS[0].pools)))
    ages = [hop["quotes"][0]["ageMs"] for hop in stored["hops"]]
    assert (ages if exact_in else ages[::-1])[0] >= 20
    assert stored["quote"]["ageMs"] == max(ages)


async def test_a_way_that_cannot_be_taken_is_named() -> None:
    meteora = HOPS[1]
    decision = await route(Swap(REGISTRY.market(JUP, USDT), Side.SELL, 10**8), meteora)

    assert [(one.venue, one.code) for one in decision.dropped] == [
        ("through SOL", "unsupported_token")
    ]
    with pytest.raises(UnsupportedToken, match="Meteora does not trade BONK"):
        await route(Swap(REGISTRY.market(BONK, RAY), Side.SELL, 10**8), meteora)


async def test_a_venue_that_shows_no_pools_is_asked_for_the_whole_alone() -> None:
    market = REGISTRY.market(JUP, USDT)
    decision = await route(Swap(market, Side.SELL, 10**8), StubVenue("raydium", "0.5"))
    assert decision.reason == "Raydium nets 49.850000 USDT, the only usable way"
    assert decision.dropped == ()


async def test_a_way_that_may_open_again_is_a_passing_fault() -> None:
    class Busy(PoolVenue):
        async def quote(self, swap: Swap) -> Quote:
            await asyncio.sleep(3600)
            raise AssertionError

    swap = Swap(REGISTRY.market(JUP, USDT), Side.SELL, 10**8)
    with pytest.raises(NoQuotes, match=r"no answer within 0\.01 s"):
        await best_route(swap, [Busy("raydium", {})], quote_timeout=0.01)


async def test_the_hops_of_a_large_order_are_split() -> None:
    swap = Swap(REGISTRY.market(JUP, USDT), Side.SELL, 50_000 * 10**6)
    decision = await route(swap, *HOPS)
    hops = [leg.swap.market.name for leg in decision.legs if leg.swap]

    assert hops.count("JUP/USDC") == 2
    into = [leg for leg in decision.legs if leg.swap and leg.swap.market.name == "JUP/USDC"]
    out_of = [leg for leg in decision.legs if leg.swap and leg.swap.market.name == "USDT/USDC"]
    assert sum(leg.quote.amount_in for leg in into) == 50_000 * 10**6
    assert sum(leg.quote.amount_out for leg in into) == sum(leg.quote.amount_in for leg in out_of)


async def test_the_impact_of_both_hops_counts_together() -> None:
    pools = {"JUP/USDC": pool(JUP, USDC, "0.5", 10_000), "USDT/USDC": pool(USDT, USDC, "1", 10_000)}
    swap, venue = Swap(REGISTRY.market(JUP, USDT), Side.SELL, 100 * 10**6), PoolVenue("one", pools)
    free = await route(swap, venue)
    one, other = (hop.quote.price_impact_bps for hop in free.hops)
    together = free.quote.price_impact_bps

    assert one is not None
    assert other is not None
    assert together is not None
    assert max(one, other) < 100 < together < one + other
    wish = Constraints(max_price_impact_bps=100)
    for limit in ({"constraints": wish}, {"most": 100}):
        with pytest.raises(PriceImpactTooHigh, match="above 100 bps"):
            await route(swap, venue, **limit)  # type: ignore[arg-type]


async def test_a_venue_that_knows_a_way_by_itself_is_asked_for_the_whole() -> None:
    swap = Swap(REGISTRY.market(JUP, USDT), Side.SELL, 100 * 10**6)
    decision = await route(swap, *HOPS, StubVenue("jupiter", "0.52", 10))

    assert [leg.venue for leg in decision.legs] == ["jupiter"]
    assert decision.legs[0].swap is None
    assert decision.runner_up == "meteora"
    assert "through" not in decision_to_json(decision)["quote"]


async def test_a_bug_on_the_way_is_not_hidden() -> None:
    class Broken(PoolVenue):
        async def liquidity(self, swap: Swap) -> Sequence[Any]:
            raise KeyError("oops")

    venues = [Broken("raydium", RAYDIUM.pools), METEORA]
    with pytest.raises(KeyError):
        await route(sell(1_000), *venues)
