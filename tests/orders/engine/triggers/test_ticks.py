"""Ticks: one row a second and pair, made once, and none of a price that is old or missing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import pytest_asyncio
from django.conf import settings

from config.runtime.postgres import Link
from orders.engine.triggers.last_prices import LastPrices, last_tick
from orders.engine.triggers.ticks import (
    MAX_TICK_AGE,
    REMEMBERED_SECONDS,
    PriceSource,
    Tick,
    Ticker,
    prices_of,
)
from orders.processes.watcher import Watcher
from routing import registry
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.tokens import Market
from routing.venue import Side, Swap, VenueUnavailable
from routing.venues import Exchange, simulated_exchange
from tests.support.database import Database
from tests.support.stubs import ScriptedNetwork
from tests.support.venue_stubs import NOW as SHOWN_AT
from tests.support.venue_stubs import PoolVenue

AHEAD = 60
"""Seconds from now: a second that no other test makes, and not too old to be stored."""
WATCH = """
INSERT INTO watches (order_id, pair, line, kind, act, held, trail_bps, from_tick, armed_tick,
  queued_at, check_at, expires_at, wake_price)
VALUES (gen_random_uuid(), %s, 'b', %s, 'f', %s, 100, 0, 0, now(), now(), now() + interval '1 day',
  1)
"""


@pytest_asyncio.fixture
async def link(database_conninfo: str) -> AsyncIterator[Link]:
    link = Link(database_conninfo, "test")
    yield link
    await link.close()


@pytest_asyncio.fixture
async def exchange(database_conninfo: str) -> AsyncIterator[Exchange]:
    exchange = simulated_exchange(database_conninfo, settings.SIMULATION)
    yield exchange
    await exchange.close()


def at_price(bid: str | None, pairs: Sequence[str] = ("SOL/USDC",)) -> PriceSource:
    """Return a price function of the test's own."""

    async def prices(markets: Sequence[Market], now: int) -> list[Tick]:
        names = [market.pair for market in markets if market.pair in pairs]
        return [Tick.at(name, now, bid and Decimal(bid)) for name in names]

    return prices


async def second_of(link: Link) -> int:
    return int(await Ticker(link, at_price("1")).clock())


async def stored(database: Database) -> dict[str, Any]:
    rows = await database.rows("SELECT pair, bid FROM price_ticks ORDER BY tick")
    return dict(rows)


async def none_has_pools(market: Market) -> bool:
    return False


# Made once


async def test_whoever_makes_a_tick_first_makes_it_for_everybody(
    link: Link, database: Database
) -> None:
    second = await second_of(link)
    first = await Ticker(link, at_price("100")).make(second)
    late = await Ticker(link, at_price("200")).make(second)

    assert [tick.bid for tick in first] == [Decimal(100)]
    assert late == []
    assert await stored(database) == {"SOL/USDC": Decimal(100)}


async def test_many_schedulers_make_each_tick_once(
    database_conninfo: str, link: Link, database: Database
) -> None:
    second = await second_of(link)
    pairs = ("SOL/USDC", "JUP/USDC", "RAY/USDC", "SOL/USDT")
    links = [Link(database_conninfo, f"scheduler {number}") for number in range(4)]
    made = await asyncio.gather(
        *(
            Ticker(own, at_price(str(number + 1), pairs)).make(second + ahead)
            for number, own in enumerate(links)
            for ahead in range(10)
        )
    )
    for own in links:
        await own.close()

    keys = [(tick.pair, tick.tick) for ticks in made for tick in ticks]
    assert len(keys) == len(set(keys)) == 40
    assert len(await database.rows("SELECT 1 FROM price_ticks")) == 40


async def test_all_pairs_of_a_second_are_one_statement(link: Link, database: Database) -> None:
    second = await second_of(link)
    await Ticker(link, at_price("1", ("SOL/USDC", "JUP/USDC", "RAY/USDC"))).make(second)
    transactions = await database.rows("SELECT DISTINCT xmin::text FROM price_ticks")
    assert len(transactions) == 1


async def test_a_tick_keeps_all_its_prices(link: Link, database: Database) -> None:
    second = await second_of(link)
    numbers = [Decimal(f"{number}.00000000000000000001") for number in range(1, 10)]
    tick = Tick("SOL/USDC", second, *numbers, {"raydium": {"bid": "1", "ask": None}})

    async def prices(markets: Sequence[Market], now: int) -> list[Tick]:
        return [tick]

    assert await Ticker(link, prices).make(second) == [tick]
    ((*row,),) = await database.rows("SELECT * FROM price_ticks")
    assert Tick(*row) == tick
    assert await last_tick("SOL/USDC") == tick


async def test_a_tick_that_took_too_long_is_not_stored(link: Link, database: Database) -> None:
    second = await second_of(link)
    assert await Ticker(link, at_price("1")).make(second - MAX_TICK_AGE - 1) == []
    assert await stored(database) == {}


# Which pairs have ticks


async def test_a_pair_without_pools_has_ticks_while_an_order_watches_it(
    link: Link, database: Database
) -> None:
    second = await second_of(link) + AHEAD
    pairs = ("SOL/USDC", "JUP/RAY", "RAY/USDC", "BONK/RAY", "USDT/JUP")
    ticker = Ticker(link, at_price("1", pairs), none_has_pools)
    assert await ticker.make(second) == []

    for pair, kind, held in (
        ("JUP/RAY", "<", False),
        ("RAY/USDC", ">", False),
        ("BONK/RAY", "t", False),
        ("SOL/USDC", "<", True),
    ):
        await database.rows(WATCH, pair, kind, held)
    made = await ticker.make(second + 1)
    assert {tick.pair for tick in made} == {"JUP/RAY", "RAY/USDC", "BONK/RAY"}


@pytest.mark.parametrize(
    ("kind", "held", "has_ticks"),
    [
        ("t", True, True),  # it trails while the other order of its group is latched
        ("c", False, True),  # its slices compare with the tick, or it is latched
        ("c", True, False),  # it is on its way
        (">", True, False),
    ],
)
async def test_a_pair_has_ticks_for_as_long_as_a_held_stop_trails_or_slices_are_made(
    link: Link, database: Database, kind: str, held: bool, has_ticks: bool
) -> None:
    ticker = Ticker(link, at_price("1", ("JUP/RAY",)), none_has_pools)
    await database.rows(WATCH, "JUP/RAY", kind, held)
    second = await second_of(link) + AHEAD

    for later in (0, REMEMBERED_SECONDS + 1):
        made = await ticker.make(second + later)
        assert [tick.pair for tick in made] == ["JUP/RAY"] * has_ticks


async def test_a_pair_keeps_its_ticks_while_its_order_is_on_its_way(
    link: Link, database: Database
) -> None:
    second = await second_of(link) + AHEAD
    ticker = Ticker(link, at_price("1", ("JUP/RAY",)), none_has_pools)
    await database.rows(WATCH, "JUP/RAY", "<", False)
    assert await ticker.make(second)
    await database.rows("DELETE FROM watches")

    assert await ticker.make(second + 599)
    assert await ticker.make(second + 600) == []


async def test_ticks_make_no_pools(link: Link, exchange: Exchange, database: Database) -> None:
    ticker = Ticker.of(exchange, link)
    assert await ticker.make(int(await ticker.clock())) == []
    assert await database.rows("SELECT 1 FROM simulated_pools") == []


async def test_a_market_that_a_resting_order_watches_gets_its_pools(
    link: Link, exchange: Exchange, database: Database
) -> None:
    await database.rows(WATCH, "JUP/RAY", "<", False)
    ticker = Ticker.of(exchange, link)
    (tick,) = await ticker.make(int(await ticker.clock()))
    assert tick.pair == "JUP/RAY"
    assert tick.bid
    assert tick.ask


# The simulation's prices


async def test_ticks_hold_the_best_prices_of_the_venues_and_the_reference(
    link: Link, exchange: Exchange, database: Database
) -> None:
    sol = exchange.venues[0]._pools.registry().markets[0]  # type: ignore[attr-defined]
    for venue in exchange.venues:
        await venue.quote(Swap(sol, Side.SELL, amount_in=10**9))
    ticker = Ticker.of(exchange, link)
    (tick,) = await ticker.make(int(await ticker.clock()))

    assert tick.reference == 100  # the tests' tokens do not move
    assert tick.venues is not None
    bids = [Decimal(str(venue["bid"])) for venue in tick.venues.values()]
    asks = [Decimal(str(venue["ask"])) for venue in tick.venues.values()]
    assert (tick.bid, tick.ask) == (max(bids), min(asks))
    assert set(tick.venues) == {"raydium", "meteora"}
    assert tick.bid_low == tick.bid == tick.bid_high


async def test_prices_that_no_venue_makes_leave_bid_and_ask_empty(database: Database) -> None:
    class Walk:
        async def of(self, market: Market, now: int) -> Fraction:
            return Fraction(200, 3)

    class Silent:
        async def of(self, market: Market, now: int) -> Fraction:
            raise VenueUnavailable("no feed")

    for references, reference in ((Walk(), Decimal("66.6666666666666667")), (Silent(), None)):
        exchange = Exchange((), ScriptedNetwork(), references)
        sol = simulated_exchange("", settings.SIMULATION).venues[0]._pools.registry().markets[0]  # type: ignore[attr-defined]
        (tick,) = await prices_of(exchange)([sol], 5)
        assert tick == Tick.at("SOL/USDC", 5, reference=reference, venues={})


class At:
    """References at one price, or at none."""

    def __init__(self, price: int | None) -> None:
        self.price = price

    async def of(self, market: Market, now: int) -> Fraction | None:
        return None if self.price is None else Fraction(self.price)


@pytest.mark.parametrize(
    ("references", "is_held", "shows"),
    [
        (At(250), True, True),
        (At(None), True, False),
        (At(200), True, False),
        (At(250), False, False),
    ],
)
async def test_live_ticks_are_held_to_the_price_of_this_moment(
    database: Database, references: At, is_held: bool, shows: bool
) -> None:
    pool = ConstantProductPool(10**15, 25 * 10**13, FeeRates(trade=3_000, protocol=0, fund=0))
    venue = PoolVenue("raydium", {"SOL/USDC": pool})
    held = Exchange((venue,), ScriptedNetwork(), references, holds_to_references=is_held)
    (tick,) = await prices_of(held)([registry.registry().markets[0]], SHOWN_AT)

    assert (tick.bid is not None, tick.ask is not None) == (shows, shows)
    assert tick.reference == references.price


async def test_a_stopped_venue_makes_no_prices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = ConstantProductPool(10**15, 10**14, FeeRates(trade=3_000, protocol=0, fund=0))
    exchange = Exchange((PoolVenue("raydium", {"SOL/USDC": pool}),), ScriptedNetwork())
    prices, market = prices_of(exchange), registry.registry().markets[0]
    assert (await prices([market], SHOWN_AT))[0].bid is not None
    monkeypatch.setattr(registry, "_copy", registry._copy._replace(stopped={"raydium": "why"}))
    assert (await prices([market], SHOWN_AT))[0].bid is None


# The last tick, for processes that make none


async def test_the_last_tick_is_none_when_it_is_older_than_three_seconds(
    link: Link, database: Database
) -> None:
    second = await second_of(link)
    store = "INSERT INTO price_ticks (pair, tick, bid) VALUES (%s, %s, 1)"
    await database.rows(store, "JUP/USDC", second - MAX_TICK_AGE - 1)
    await database.rows(store, "SOL/USDC", second - 1)
    await database.rows(store, "SOL/USDC", second)

    last = await last_tick("SOL/USDC")
    assert last is not None
    assert last.tick == second
    assert await last_tick("JUP/USDC") is None
    assert await last_tick("RAY/USDC") is None


async def test_a_tick_that_was_read_is_forgotten_when_it_is_old(
    link: Link, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Ticker(link, at_price("1")).make(await second_of(link))
    prices = LastPrices()
    assert await prices.of("SOL/USDC")

    monkeypatch.setattr("orders.engine.triggers.last_prices.FRESH_SECONDS", 1_000)
    prices._epoch += MAX_TICK_AGE + 1
    assert await prices.of("SOL/USDC") is None
    await prices.close()


async def test_all_who_ask_in_one_second_share_one_query(
    link: Link, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Ticker(link, at_price("1")).make(await second_of(link))
    asked = 0
    fetch = Link.fetch

    async def counted(self: Link, *args: Any) -> Any:
        nonlocal asked
        asked += 1
        return await fetch(self, *args)

    monkeypatch.setattr(Link, "fetch", counted)
    prices = LastPrices()
    pairs = ["SOL/USDC", "JUP/USDC"] * 50
    found = await asyncio.gather(*(prices.of(pair) for pair in pairs))
    await prices.of("RAY/USDC")
    await prices.close()

    assert asked == 1
    assert [tick is not None for tick in found] == [True, False] * 50


# The watcher


async def test_a_turn_of_the_watcher_makes_the_ticks_of_this_second(
    link: Link, exchange: Exchange, database: Database
) -> None:
    await database.rows(WATCH, "SOL/USDC", "<", False)
    watcher = Watcher(exchange, link)
    before = int(await watcher.ticker.clock())
    pause = await watcher.turn()
    after = int(await watcher.ticker.clock())
    await watcher.close()

    ((tick,),) = await database.rows("SELECT tick FROM price_ticks")
    assert before <= tick <= after
    assert 0 <= pause <= 1.1
