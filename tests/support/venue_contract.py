"""The promises of `routing.venue` as tests, for every implementation, simulated or live.

A test module inherits from these classes and gives the fixtures they name.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

import pytest

from routing.pricing import MAX_ATOMS, bound_for
from routing.tokens import BONK, JUP, REGISTRY, SOL, USDC, USDT, Market
from routing.venue import (
    Absent,
    InsufficientLiquidity,
    Landed,
    Leg,
    Network,
    Side,
    SignedTransaction,
    Swap,
    TransactionRefused,
    TransactionStatus,
    UnsupportedToken,
    Venue,
)

PATIENCE = 60.0
UNKNOWN = SignedTransaction("1" * 64, b"", 2**62)
"""One that was never sent."""
BASE58 = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")

SELL = Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_in=1_500_000_000)
SWAPS = [
    SELL,
    Swap(REGISTRY.market(SOL, USDC), Side.SELL, amount_out=150_000_000),
    Swap(REGISTRY.market(BONK, SOL), Side.BUY, amount_in=2_000_000_000),
    Swap(REGISTRY.market(JUP, USDC), Side.BUY, amount_out=7_123_456),
]


async def until(
    look: Callable[[], Awaitable[TransactionStatus]],
    is_awaited: Callable[[TransactionStatus], bool],
) -> TransactionStatus:
    """Look again and again until the status is the awaited one."""
    async with asyncio.timeout(PATIENCE):
        while not is_awaited(status := await look()):
            await asyncio.sleep(0.002)
    return status


class VenueContract:
    """Needs a fixture `venue`."""

    @pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: f"{swap.side}-{swap.market.name}")
    async def test_a_quote_keeps_the_fixed_amount_and_is_positive(
        self, venue: Venue, swap: Swap
    ) -> None:
        quote = await venue.quote(swap)
        fixed = quote.amount_in if swap.is_exact_in else quote.amount_out
        assert fixed == (swap.amount_in if swap.is_exact_in else swap.amount_out)
        assert quote.amount_in > 0
        assert quote.amount_out > 0
        assert quote.price.is_finite()
        assert quote.price > 0
        assert 0 <= quote.fee_bps < 10_000

    async def test_a_venue_signs_its_quotes_with_its_name(self, venue: Venue) -> None:
        assert venue.name == venue.name.lower()
        assert venue.label.lower() == venue.name
        assert (await venue.quote(SELL)).venue == venue.name

    async def test_a_market_that_is_not_traded_is_refused_for_good(self, venue: Venue) -> None:
        market = Market(USDT, BONK, SELL.market.reference_price)
        with pytest.raises(UnsupportedToken):
            await venue.quote(Swap(market, Side.SELL, amount_in=1_000_000))

    @pytest.mark.parametrize(
        "swap",
        [
            Swap(SELL.market, Side.SELL, amount_in=1),
            Swap(SELL.market, Side.SELL, amount_in=MAX_ATOMS + 1),
            Swap(SELL.market, Side.BUY, amount_in=MAX_ATOMS),
            Swap(SELL.market, Side.SELL, amount_out=MAX_ATOMS),
        ],
        ids=["dust", "too-large", "output-too-large", "input-too-large"],
    )
    async def test_an_amount_that_cannot_be_filled_is_refused_for_good(
        self, venue: Venue, swap: Swap
    ) -> None:
        with pytest.raises(InsufficientLiquidity):
            await venue.quote(swap)

    async def test_every_build_has_a_signature_of_its_own(self, venue: Venue) -> None:
        quote = await venue.quote(SELL)
        legs, bound = [Leg(venue.name, quote)], bound_for(SELL, quote, 100)
        built = [await venue.build(SELL, legs, bound) for _ in range(20)]
        assert len({transaction.signature for transaction in built}) == 20
        for transaction in built:
            assert 64 <= len(transaction.signature) <= 88
            assert set(transaction.signature) <= BASE58
            assert transaction.expires_at_height > 0


class NetworkContract(ABC):
    """Needs a fixture `network`, and `other_network`: the same one, seen by another process."""

    @abstractmethod
    async def transaction(self, network: Network, blocks: int = 10_000) -> SignedTransaction:
        """Return a new transaction that swaps, and expires after this many blocks."""

    async def test_an_unknown_signature_is_absent_at_the_present_height(
        self, network: Network
    ) -> None:
        before = await network.height()
        status = await network.status(UNKNOWN)
        assert isinstance(status, Absent)
        assert status.height >= before

    async def test_the_height_grows(self, network: Network) -> None:
        first = await network.height()
        async with asyncio.timeout(PATIENCE):
            while await network.height() <= first:
                await asyncio.sleep(0.002)

    async def test_a_sent_transaction_lands_with_its_fill(self, network: Network) -> None:
        sent = await self.transaction(network)
        await network.send(sent)
        status = await landed(network, sent)
        assert status.amount_in > 0
        assert status.amount_out > 0

    async def test_sending_the_same_bytes_again_never_changes_the_fill(
        self, network: Network, other_network: Network
    ) -> None:
        sent = await self.transaction(network)
        await network.send(sent)
        first = await landed(network, sent)
        assert await other_network.send(sent) == first
        assert await network.send(sent) == first
        assert await other_network.status(sent) == first

    async def test_senders_of_the_same_bytes_at_once_see_one_fill(
        self, network: Network, other_network: Network
    ) -> None:
        sent = [await self.transaction(network) for _ in range(20)]
        await asyncio.gather(
            *(network.send(one) for one in sent),
            *(other_network.send(one) for one in reversed(sent)),
            *(network.send(one) for one in sent),
        )
        for one in sent:
            assert await landed(network, one) == await landed(other_network, one)

    async def test_expired_bytes_are_refused_and_stay_absent(self, network: Network) -> None:
        late = await self.transaction(network, blocks=1)
        proof = await expired(network, late)
        with pytest.raises(TransactionRefused):
            await network.send(late)
        assert proof.height > late.expires_at_height
        assert isinstance(await network.status(late), Absent)

    async def test_what_landed_is_known_after_its_expiry(self, network: Network) -> None:
        sent = await self.transaction(network, blocks=100)
        await network.send(sent)
        fill = await landed(network, sent)
        async with asyncio.timeout(PATIENCE):
            while await network.height() <= sent.expires_at_height:
                await asyncio.sleep(0.01)
        assert await network.status(sent) == fill
        assert await network.send(sent) == fill

    async def test_bytes_that_are_no_transaction_are_refused(self, network: Network) -> None:
        junk = SignedTransaction("1" * 64, b"\xff{}", await network.height() + 100)
        with pytest.raises(TransactionRefused):
            await network.send(junk)

    async def test_a_closed_network_opens_again(self, network: Network) -> None:
        await network.close()
        assert isinstance(await network.status(UNKNOWN), Absent)


async def landed(network: Network, transaction: SignedTransaction) -> Landed:
    status = await until(
        lambda: network.status(transaction), lambda status: isinstance(status, Landed)
    )
    assert isinstance(status, Landed)
    return status


async def expired(network: Network, transaction: SignedTransaction) -> Absent:
    """Wait for the proof that the transaction can never land."""
    status = await until(
        lambda: network.status(transaction),
        lambda status: isinstance(status, Absent) and status.height > transaction.expires_at_height,
    )
    assert isinstance(status, Absent)
    return status
