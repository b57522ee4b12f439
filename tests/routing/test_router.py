import asyncio
import logging
from decimal import Decimal
from typing import Any, cast

import pytest

from routing.decision import Decision
from routing.router import NoQuotes, best_route
from routing.stored_decision import decision_to_json
from routing.tokens import REGISTRY, SOL, USDC
from routing.venue import (
    InsufficientLiquidity,
    Quote,
    Side,
    Swap,
    UnsupportedToken,
    VenueUnavailable,
)
from tests.support.venue_stubs import StubVenue

MARKET = REGISTRY.market(SOL, USDC)
SELL = Swap(MARKET, Side.SELL, amount_in=1_500_000_000)
BUY_EXACTLY = Swap(MARKET, Side.BUY, amount_out=1_000_000_000)
RAYDIUM = StubVenue("raydium", "100.20", 30)
METEORA = StubVenue("meteora", "100.15", 20)


async def route(*venues: StubVenue, swap: Swap = SELL, timeout: float = 5) -> Decision:
    return await best_route(swap, venues, quote_timeout=timeout)


async def test_the_worked_example_holds_exactly() -> None:
    decision = await route(RAYDIUM, METEORA)
    stored = decision_to_json(decision)

    assert [quote.pop("ageMs") >= 0 for quote in stored["quotes"]] == [True, True]
    assert stored == {
        "selectedDex": "meteora",
        "runnerUp": "raydium",
        "marginBps": "5.03",
        "reason": "Meteora nets 149.924550 USDC, 0.075450 more than Raydium",
        "quote": stored["quotes"][1],
        "quotes": [
            {
                "dex": "raydium",
                "price": "100.2",
                "feeBps": 30,
                "amountIn": "1.5",
                "amountOut": "149.8491",
            },
            {
                "dex": "meteora",
                "price": "100.15",
                "feeBps": 20,
                "amountIn": "1.5",
                "amountOut": "149.92455",
            },
        ],
        "dropped": [],
        "legs": [
            {
                "market": "SOL/USDC",
                "side": "sell",
                "dex": "meteora",
                "price": "100.15",
                "feeBps": 20,
                "amountIn": "1.5",
                "amountOut": "149.92455",
            }
        ],
    }


async def test_a_stopped_venue_takes_no_part() -> None:
    stopped = {"meteora": "it paid less"}
    decision = await best_route(SELL, (RAYDIUM, METEORA), quote_timeout=5, stopped=stopped)

    assert decision.quote.venue == "raydium"
    (dropped,) = decision.dropped
    assert (dropped.venue, dropped.code) == ("meteora", "venue_stopped")
    assert "it paid less" in dropped.reason
    with pytest.raises(NoQuotes):
        await best_route(SELL, (METEORA,), quote_timeout=5, stopped=stopped)


async def test_a_fixed_output_goes_where_it_costs_least_in_total() -> None:
    decision = await route(
        StubVenue("raydium", "99.95", 30), StubVenue("meteora", "100", 20), swap=BUY_EXACTLY
    )

    assert decision.legs[0].venue == "meteora"
    assert decision.quote.amount_in == 100_200_401  # ceil(100 / 0.998)
    assert decision.reason == "Meteora takes 100.200401 USDC, 0.050352 less than Raydium"
    assert decision.margin_bps == Decimal("5.02")


async def test_of_equal_quotes_the_first_venue_wins() -> None:
    one, other = StubVenue("one"), StubVenue("other")

    assert (await route(one, other)).legs[0].venue == "one"
    decision = await route(other, one)
    assert decision.legs[0].venue == "other"
    assert decision.margin_bps == 0
    assert decision.reason.endswith("the same as One")


async def test_venues_are_asked_at_once() -> None:
    started: list[str] = []
    all_started = asyncio.Event()

    class Waiting(StubVenue):
        async def quote(self, swap: Swap) -> Quote:
            started.append(self.name)
            if len(started) == 2:
                all_started.set()
            await all_started.wait()
            return await super().quote(swap)

    assert len((await route(Waiting("one"), Waiting("other"))).quotes) == 2


class AtOnce(StubVenue):
    """Knows its quote, or its fault, without waiting."""

    def quote_now(self, swap: Swap) -> Quote | None:
        return self._answer(swap)

    async def quote(self, swap: Swap) -> Quote:
        raise AssertionError


def test_venues_that_know_their_quotes_cost_no_turn_of_the_loop() -> None:
    routing = best_route(SELL, [AtOnce("raydium"), AtOnce("meteora")], quote_timeout=5)
    with pytest.raises(StopIteration) as ended:
        routing.send(None)

    assert [quote.venue for quote in ended.value.value.quotes] == ["raydium", "meteora"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (VenueUnavailable("busy"), "venue_unavailable"),
        (UnsupportedToken("never heard of it"), "unsupported_token"),
        (InsufficientLiquidity("too much"), "insufficient_liquidity"),
        (KeyError("oops"), "internal_error"),
    ],
)
async def test_a_fault_that_is_known_at_once_is_told_as_any_other(
    fault: Exception, code: str
) -> None:
    venues = [AtOnce("raydium", fault=fault), AtOnce("meteora", "150"), METEORA]
    decision = await route(*venues)

    assert [(one.venue, one.code) for one in decision.dropped] == [
        ("raydium", code),
        ("meteora", "unusable_quote"),
    ]
    assert decision.quote.amount_out == 149_924_550


async def test_a_venue_that_has_to_ask_first_is_waited_for_beside_those_that_know() -> None:
    class Asks(StubVenue):
        def quote_now(self, swap: Swap) -> Quote | None:
            return None

    decision = await route(Asks("one", latency=0.01), AtOnce("two"), Asks("three", "101"))
    assert [quote.venue for quote in decision.quotes] == ["one", "two", "three"]
    assert decision.ages[1] >= 9


async def test_a_slow_venue_is_left_out_and_let_go() -> None:
    slow = StubVenue("raydium", "100.20", 0, latency=3600)
    decision = await route(slow, METEORA, timeout=0.02)

    assert decision.legs[0].venue == "meteora"
    assert decision.runner_up is None
    assert decision.margin_bps is None
    assert decision_to_json(decision)["dropped"] == [
        {"dex": "raydium", "code": "quote_timeout", "reason": "no answer within 0.02 s"}
    ]
    await asyncio.sleep(0)
    assert slow.was_cancelled


async def test_a_late_but_timely_venue_still_counts() -> None:
    decision = await route(RAYDIUM, StubVenue("meteora", "100.15", 20, latency=0.01))
    assert decision.legs[0].venue == "meteora"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (VenueUnavailable("busy"), "venue_unavailable"),
        (UnsupportedToken("never heard of it"), "unsupported_token"),
        (InsufficientLiquidity("too much"), "insufficient_liquidity"),
    ],
)
async def test_a_broken_venue_never_fails_the_others(fault: Exception, code: str) -> None:
    decision = await route(StubVenue("raydium", fault=fault), METEORA)
    assert [(one.venue, one.code, one.reason) for one in decision.dropped] == [
        ("raydium", code, str(fault))
    ]


async def test_a_bug_in_a_venue_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, logger="routing.quoting"):
        decision = await route(StubVenue("raydium", fault=KeyError("oops")), METEORA)
    assert decision.dropped[0].code == "internal_error"
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda quote: quote._replace(price=Decimal("NaN")),
        lambda quote: quote._replace(price=Decimal("Infinity")),
        lambda quote: quote._replace(price=Decimal(0)),
        lambda quote: quote._replace(price=Decimal(-100)),
        lambda quote: quote._replace(price=Decimal("120.01")),
        lambda quote: quote._replace(price=Decimal("79.99")),
        lambda quote: quote._replace(amount_out=-quote.amount_out),
        lambda quote: quote._replace(amount_out=0),
        lambda quote: quote._replace(amount_in=quote.amount_in + 1),
        lambda quote: quote._replace(amount_out=quote.amount_out * 10),
        lambda quote: quote._replace(amount_out=quote.amount_out // 2),
        lambda quote: quote._replace(amount_out=cast(Any, float("nan"))),
        lambda quote: quote._replace(venue="somebody-else"),
    ],
)
async def test_an_absurd_quote_is_dropped(change: Any) -> None:
    decision = await route(StubVenue("raydium", "101", change=change), METEORA)
    assert decision.legs[0].venue == "meteora"
    assert [one.code for one in decision.dropped] == ["unusable_quote"]


@pytest.mark.parametrize("swap", [SELL, BUY_EXACTLY, SELL._replace(side=Side.BUY)])
@pytest.mark.parametrize("price", ["80", "120"])
async def test_a_price_just_within_the_deviation_is_usable(swap: Swap, price: str) -> None:
    assert (await route(StubVenue("raydium", price), swap=swap)).dropped == ()


async def test_rounding_of_dust_is_not_absurd() -> None:
    swap = Swap(MARKET, Side.SELL, amount_in=19)  # 1.9 millionths of a dollar, paid as 1
    assert (await route(RAYDIUM, swap=swap)).quote.amount_out == 1


async def test_no_venue_quoting_is_a_passing_fault_that_names_every_venue() -> None:
    with pytest.raises(NoQuotes, match="raydium: busy; meteora: too much") as raised:
        await route(
            StubVenue("raydium", fault=VenueUnavailable("busy")),
            StubVenue("meteora", fault=InsufficientLiquidity("too much")),
        )

    assert isinstance(raised.value, VenueUnavailable)
    assert [one.venue for one in raised.value.dropped] == ["raydium", "meteora"]


@pytest.mark.parametrize(
    ("faults", "final"),
    [
        ([UnsupportedToken("no"), UnsupportedToken("no")], UnsupportedToken),
        ([InsufficientLiquidity("no"), InsufficientLiquidity("no")], InsufficientLiquidity),
        ([UnsupportedToken("no"), InsufficientLiquidity("no")], InsufficientLiquidity),
    ],
)
async def test_only_final_faults_make_a_final_fault(
    faults: list[Exception], final: type[Exception]
) -> None:
    with pytest.raises(final):
        await route(*(StubVenue(f"v{i}", fault=fault) for i, fault in enumerate(faults)))


async def test_no_venue_at_all_is_no_quote() -> None:
    with pytest.raises(NoQuotes, match="no venue is set up"):
        await route()


async def test_a_cancelled_routing_lets_go_of_the_venues() -> None:
    slow = StubVenue(latency=3600)
    routing = asyncio.create_task(route(slow))
    for _ in range(3):
        await asyncio.sleep(0)
    routing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await routing
    await asyncio.sleep(0)

    assert slow.was_cancelled
