"""What all simulated venues have in common."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar

from routing.pricing import MAX_ATOMS, net_output, required_input
from routing.simulated_transaction import sign_swap
from routing.simulation import PriceRange, Simulation
from routing.tokens import MARKETS
from routing.venue import (
    Bound,
    InsufficientLiquidity,
    Leg,
    Network,
    NetworkUnavailable,
    Quote,
    SignedTransaction,
    Swap,
    UnsupportedToken,
    VenueUnavailable,
)

_MILLION = 1_000_000
_NEVER = 3600.0


class SimulatedVenue:
    """Quotes the reference price times a random number within `price_range`, less `fee_bps`."""

    name: ClassVar[str]
    label: ClassVar[str]
    fee_bps: ClassVar[int]
    price_range: ClassVar[PriceRange]
    traded: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        (market.base.mint, market.quote.mint) for market in MARKETS
    )

    def __init__(self, simulation: Simulation, network: Network) -> None:
        least, most = simulation.price_ranges.get(self.name, self.price_range)
        self._least = int(least * _MILLION)
        self._width = int(most * _MILLION) - self._least + 1
        self._latency = simulation.quote_latency
        self._expiry_blocks = simulation.expiry_blocks
        self._network = network
        seed = None if simulation.seed is None else f"{simulation.seed}:{self.name}"
        self._random = random.Random(seed)
        faults = simulation.faults
        self._timeout_rate = faults.rate("quote_timeout", self.name)
        self._refusal_rate = faults.rate("quote_refused", self.name)
        self._absurd_rate = faults.rate("absurd_quote", self.name)

    async def quote(self, swap: Swap) -> Quote:
        """See `Venue.quote`."""
        if self._latency:
            await asyncio.sleep(self._latency)
        if self._happens(self._timeout_rate):
            await asyncio.sleep(_NEVER)
        if self._happens(self._refusal_rate):
            raise VenueUnavailable(f"{self.label} refuses to quote for now")
        quote = self._offer(swap)
        return self._absurd(quote) if self._happens(self._absurd_rate) else quote

    async def build(self, swap: Swap, legs: Sequence[Leg], bound: Bound) -> SignedTransaction:
        """See `Venue.build`."""
        try:
            height = await self._network.height()
        except NetworkUnavailable as error:
            raise VenueUnavailable(f"{self.label} cannot learn the block height") from error
        return sign_swap(swap, legs, bound, height=height, expiry_blocks=self._expiry_blocks)

    def _happens(self, rate: float) -> bool:
        return rate > 0 and self._random.random() < rate

    def _offer(self, swap: Swap) -> Quote:
        market = swap.market
        if (market.base.mint, market.quote.mint) not in self.traded:
            raise UnsupportedToken(f"{self.label} does not trade {market.name}")
        price = market.reference_price * self._variance()
        if swap.amount_in is not None:
            amount_in = swap.amount_in
            amount_out = net_output(swap, price, self.fee_bps, amount_in)
        else:
            amount_out = swap.amount_out or 0
            amount_in = required_input(swap, price, self.fee_bps, amount_out)
        if not (0 < amount_in <= MAX_ATOMS and 0 < amount_out <= MAX_ATOMS):
            raise InsufficientLiquidity(f"{self.label} cannot fill this amount")
        return Quote(self.name, amount_in, amount_out, price, self.fee_bps)

    def _variance(self) -> Decimal:
        millionths = self._least + int(self._random.random() * self._width)
        return Decimal(millionths).scaleb(-6)

    def _absurd(self, quote: Quote) -> Quote:
        match self._random.randrange(3):
            case 0:
                return replace(quote, price=Decimal("NaN"))
            case 1:
                return replace(quote, price=-quote.price, amount_out=-quote.amount_out)
            case _:
                return replace(quote, price=quote.price * 10, amount_out=quote.amount_out * 10)
