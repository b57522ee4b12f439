"""The pools that an operator has us trade in, and what each of them has to be on chain."""

from collections.abc import Mapping
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.pools.pool import Direction
from routing.solana.reading.seen_pools import SeenCpmm, SeenDlmm, SeenPool
from routing.tokens import Market
from routing.venue import Side

RAYDIUM, METEORA = "raydium", "meteora"
KINDS: Mapping[str, type[SeenPool]] = {RAYDIUM: SeenCpmm, METEORA: SeenDlmm}
"""By venue: what its pools are."""

Pair = frozenset[str]
"""The mints of a market's two tokens, whichever is its base."""


class LivePool(NamedTuple):
    """A venue's pool of a market. It may have several."""

    venue: str
    base: str
    quote: str
    """Mints of the market's tokens, that of wrapped SOL for SOL."""
    address: str

    @property
    def pair(self) -> Pair:
        return frozenset((self.base, self.quote))

    @property
    def key(self) -> Pubkey:
        return Pubkey.from_string(self.address)


def pair_of(market: Market) -> Pair:
    return frozenset((market.base.mint, market.quote.mint))


def venue_of(seen: SeenPool) -> str:
    """Return the venue whose pool this is."""
    (venue,) = [name for name, kind in KINDS.items() if isinstance(seen, kind)]
    return venue


def why_another(pool: LivePool, seen: SeenPool) -> str:
    """Return why what stands at the address is not this pool; empty if it is."""
    kind = KINDS.get(pool.venue)
    if kind is None or not isinstance(seen, kind):
        return f"it is no pool of {pool.venue}"
    if {str(seen.mint_x), str(seen.mint_y)} != pool.pair:
        return "it trades other tokens"
    return ""


def direction_of(seen: SeenPool, market: Market, side: Side) -> Direction:
    """Return which way a swap on this side goes through a pool of the market."""
    sold = market.base.mint if side is Side.SELL else market.quote.mint
    return Direction.X_TO_Y if str(seen.mint_x) == sold else Direction.Y_TO_X
