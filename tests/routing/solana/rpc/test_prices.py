"""The price of a live market: feeds first, else the median of what at least two pools show."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from solders.pubkey import Pubkey

from routing.solana.addresses import CPMM_PROGRAM
from routing.solana.price_feeds import MAX_AGE, PRICE_DISCRIMINATOR, PRICE_PROGRAM
from routing.solana.reading.prices import Feeds, LivePrices
from routing.tokens import JUP, SOL, USDC, USDT, Market, Registry
from routing.venue import StalePools, UnsupportedToken
from tests.routing.solana.recorded import account
from tests.routing.solana.rpc.fake_node import with_http
from tests.routing.solana.rpc.made_pools import MadePools, accounts_calls, memory
from tests.routing.solana.rpc.test_reading import NOW, stored
from tests.routing.solana.test_token_accounts import number

SOL_USDC = Market(SOL, USDC, Decimal(1))
SOL_USDT = Market(SOL, USDT, Decimal(1))
USDT_USDC = Market(USDT, USDC, Decimal(1))
JUP_USDC = Market(JUP, USDC, Decimal(1))
REGISTRY = Registry([SOL, USDC, USDT, JUP], [SOL_USDC, SOL_USDT, USDT_USDC, JUP_USDC])
SOL_FEED, USDC_FEED = Pubkey.new_unique(), Pubkey.new_unique()


class Chain(MadePools):
    """Pools, and price feeds."""

    def feed(self, place: Pubkey, data: bytes, owner: Pubkey = PRICE_PROGRAM) -> None:
        self.node.accounts[str(place)] = stored(data, owner)

    async def price(self, market: Market, feeds: Feeds | None = None) -> Fraction | None:
        """Return what is known of the market's price, by a process that has just begun."""
        feeds = feeds or Feeds({})
        async with memory(self.node, pools=self.pools, beside=feeds.beside) as pools:
            return await LivePrices(pools, lambda: REGISTRY, feeds).of(market, NOW)


def price_account(
    price: int, exponent: int = -8, error: int = 0, age: int = 0, verified: int = 1
) -> bytes:
    body = bytes(32) + bytes([verified]) + bytes(32)
    signed = price.to_bytes(8, "little", signed=True)
    tail = exponent.to_bytes(4, "little", signed=True) + number(NOW - age)
    return PRICE_DISCRIMINATOR + body + signed + number(error) + tail + bytes(33)


def feeds_of(made: Chain, sol: bytes, **options: Any) -> Feeds:
    made.feed(SOL_FEED, sol, **options)
    made.feed(USDC_FEED, price_account(99_900_000))
    return Feeds({SOL.mint: SOL_FEED, USDC.mint: USDC_FEED})


async def test_it_is_the_median_of_the_markets_own_pools() -> None:
    made = Chain()
    for price in ("101", "150", "100"):
        made.pool(SOL_USDC, price)

    assert await made.price(SOL_USDC) == 101


async def test_one_pool_alone_proves_nothing() -> None:
    made = Chain()
    made.pool(SOL_USDC, "100")

    assert await made.price(SOL_USDC) is None


async def test_one_pool_and_a_way_through_a_third_token_are_two() -> None:
    made = Chain()
    for market, price in ((SOL_USDC, "100"), (SOL_USDT, "102"), (USDT_USDC, "1")):
        made.pool(market, price)

    assert await made.price(SOL_USDC) == 101
    assert await made.price(USDT_USDC) == Fraction(1 + Fraction(100, 102)) / 2
    assert await made.price(SOL_USDT) == 101


async def test_a_pool_that_is_closed_does_not_count() -> None:
    made = Chain()
    made.pool(SOL_USDC, "100")
    closed = made.node.accounts[str(made.pool(SOL_USDC, "100"))]
    assert await made.price(SOL_USDC) == 100
    data = bytearray(account("cpmm_pool"))
    data[329] |= 4
    closed.update(stored(bytes(data), CPMM_PROGRAM))

    assert await made.price(SOL_USDC) is None


async def test_a_market_in_two_hops_has_the_product_of_prices_that_were_checked() -> None:
    made, joined = Chain(), REGISTRY.market_of(JUP, SOL)
    for market, price in ((SOL_USDC, "100"), (JUP_USDC, "0.5")):
        made.pool(market, price)
        assert await made.price(joined) is None
        made.pool(market, price)

    assert (joined.base, joined.quote) == (JUP, SOL)
    assert await made.price(joined) == Fraction(5, 1000)


async def test_feeds_come_first_and_are_read_in_the_same_call() -> None:
    made = Chain()
    made.pool(SOL_USDC, "100")
    feeds = feeds_of(made, price_account(12_345_000_000))

    assert await made.price(SOL_USDC, feeds) == Fraction(12345, 100) / Fraction(999, 1000)
    assert accounts_calls(made.node) == 2


@pytest.mark.parametrize(
    "spoilt",
    [
        {"sol": price_account(20_000_000_000, age=MAX_AGE + 1)},
        {"sol": price_account(20_000_000_000, age=-MAX_AGE - 1)},
        {"sol": price_account(20_000_000_000, error=200_000_001)},
        {"sol": price_account(20_000_000_000, verified=0)},
        {"sol": price_account(-20_000_000_000)},
        {"sol": price_account(20_000_000_000, exponent=19)},
        {"sol": price_account(20_000_000_000)[:-10]},
        {"sol": bytes(8) + price_account(20_000_000_000)[8:]},
        {"sol": price_account(20_000_000_000), "owner": CPMM_PROGRAM},
    ],
)
async def test_a_feed_that_cannot_be_believed_gives_way_to_the_pools(
    spoilt: dict[str, Any],
) -> None:
    made = Chain()
    made.pool(SOL_USDC, "100")
    feeds = feeds_of(made, **spoilt)
    assert await made.price(SOL_USDC, feeds) is None
    made.pool(SOL_USDC, "102")

    assert await made.price(SOL_USDC, feeds) == 101
    assert await made.price(SOL_USDC, feeds_of(made, price_account(19_980_000_000))) == 200


async def test_a_token_without_a_feed_has_its_price_of_pools() -> None:
    made = Chain()
    made.pool(JUP_USDC, "0.5")
    made.pool(JUP_USDC, "0.6")

    price = await made.price(JUP_USDC, feeds_of(made, price_account(20_000_000_000)))
    assert price == Fraction(55, 100)


async def test_old_pools_give_no_price_and_no_pools_none_for_ever() -> None:
    made = Chain()
    made.pool(SOL_USDC, "100")
    with pytest.raises(UnsupportedToken):
        await made.price(replace(USDT_USDC))
    made.node.always["*"] = with_http(500)
    with pytest.raises(StalePools):
        await made.price(SOL_USDC)
