"""Hand-written venues and a network for tests that need neither chance nor a database."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from routing.pools.pool import Direction, Pool
from routing.pricing import atoms_ratio, pool_quote
from routing.simulation.transaction import sign_swap
from routing.venue import (
    BPS,
    Absent,
    Bound,
    Leg,
    Liquidity,
    Quote,
    Side,
    SignedTransaction,
    Swap,
    TransactionStatus,
    UnsupportedToken,
    VenueUnavailable,
)

NOW = 1_760_000_000


class StubNetwork:
    """Stands still at height 1000 and has never heard of any signature."""

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        return Absent(1000)

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        return Absent(1000)

    async def height(self) -> int:
        return 1000

    async def close(self) -> None:
        return


class StubVenue:
    """Quotes one price, or raises one fault, after `latency` seconds."""

    def __init__(
        self,
        name: str = "raydium",
        price: str = "100",
        fee_bps: int = 30,
        *,
        latency: float = 0,
        fault: Exception | None = None,
        change: Callable[[Quote], Quote] = Quote._replace,
    ) -> None:
        self.name = name
        self.label = name.capitalize()
        self._price = Decimal(price)
        self._fee_bps = fee_bps
        self._latency = latency
        self._fault = fault
        self._change = change
        self.was_cancelled = False

    async def quote(self, swap: Swap) -> Quote:
        try:
            await asyncio.sleep(self._latency)
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return self._answer(swap)

    def _answer(self, swap: Swap) -> Quote:
        if self._fault:
            raise self._fault
        return self._change(Quote(self.name, *self._amounts(swap), self._price, self._fee_bps))

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        return sign_swap(swap, legs, bound, height=1000, expiry_blocks=150)

    def _amounts(self, swap: Swap) -> tuple[int, int]:
        """Return the atoms in and out, rounded against the order."""
        quote, base = atoms_ratio(swap.market, self._price)
        atoms_out, atoms_in = (quote, base) if swap.side is Side.SELL else (base, quote)
        paid, taken = atoms_out * (BPS - self._fee_bps), atoms_in * BPS
        if swap.amount_in is not None:
            return swap.amount_in, swap.amount_in * paid // taken
        out = swap.amount_out or 0
        return -(-out * taken // paid), out


class PoolVenue:
    """Quotes from one frozen pool for each market (by name), and shows it."""

    def __init__(self, name: str, pools: Mapping[str, Pool], *, hides: bool = False) -> None:
        self.name = name
        self.label = name.capitalize()
        self.pools = dict(pools)
        self._hides = hides
        self.shown = 0

    async def quote(self, swap: Swap) -> Quote:
        return pool_quote(self.name, swap, self._pool(swap))

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        if self._hides:
            raise VenueUnavailable("not now")
        self.shown += 1
        return [self._pool(swap)]

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        return sign_swap(swap, legs, bound, height=1000, expiry_blocks=150)

    def _pool(self, swap: Swap) -> Liquidity:
        if swap.market.name not in self.pools:
            raise UnsupportedToken(f"{self.label} does not trade {swap.market.name}")
        direction = Direction.X_TO_Y if swap.side is Side.SELL else Direction.Y_TO_X
        pool = self.pools[swap.market.name]
        return Liquidity(f"{self.name}:{swap.market.name}", pool, direction, NOW)
