"""What an order needs from outside: venues that quote and build, and a network that executes.

Simulated and live implementations keep the same promises. `tests/support/venue_contract.py` tests
them. All amounts are integer atoms (the smallest unit of a token). All prices are quote per base in
whole tokens. All methods that may have to wait are
coroutines.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple, Protocol, runtime_checkable

from routing.pools.pool import Direction, Pool
from routing.tokens import Market, Token

BPS = 10_000


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Swap(NamedTuple):
    """A trade that is wanted: exactly one amount is given, in atoms of its own token."""

    market: Market
    side: Side
    amount_in: int | None = None
    amount_out: int | None = None

    @property
    def token_in(self) -> Token:
        return self.market.base if self.side is Side.SELL else self.market.quote

    @property
    def token_out(self) -> Token:
        return self.market.quote if self.side is Side.SELL else self.market.base

    @property
    def is_exact_in(self) -> bool:
        return self.amount_in is not None


class Quote(NamedTuple):
    """A venue's offer for a swap: both amounts in atoms, with all fees included."""

    venue: str
    amount_in: int
    amount_out: int
    price: Decimal
    """The price before fees, quote per base."""
    fee_bps: int
    price_impact_bps: Decimal | None = None
    """How far the swap moves off the price, without fees; None if the venue does not say."""
    pool: str = ""
    """The venue's id of the pool, if it has to build in the one that it quoted."""


class Leg(NamedTuple):
    """One venue's part of a route: a share of the whole amount, or of one hop of a path.

    Legs are in the order of their hops, with the legs of one market together. The output of all
    legs of a hop is the input of the next hop's legs.
    """

    venue: str
    quote: Quote
    swap: Swap | None = None
    """This leg's own trade; None if it is the whole of the order's swap."""
    pool: str = ""
    """The venue's id of the pool; empty if the venue has but one of this market."""


class Liquidity(NamedTuple):
    """A pool's state for one swap. `now` is the unix time of that state, in seconds."""

    pool_id: str
    pool: Pool
    direction: Direction
    now: int


class Bound(NamedTuple):
    """The worst fill that the order accepts, in atoms: the least output or the most input."""

    min_out: int | None = None
    max_in: int | None = None

    def admits(self, amount_in: int, amount_out: int) -> bool:
        if self.min_out is not None and amount_out < self.min_out:
            return False
        return self.max_in is None or amount_in <= self.max_in


class SignedTransaction(NamedTuple):
    """A transaction whose signature is known before it is sent.

    Sending the same bytes again is harmless: a signature lands at most once, and never at a
    height above `expires_at_height` (in blocks).
    """

    signature: str
    payload: bytes
    expires_at_height: int
    costs: Mapping[str, int] | None = None
    """What it pays for its place in a block, as its log tells it; None: it was read again."""


class Absent(NamedTuple):
    """The network had no record of the signature when it stood at `height`.

    Only `height > expires_at_height` proves that the transaction can never land.
    """

    height: int


class Landed(NamedTuple):
    """Executed, once and for ever. The amounts are those that moved, in atoms."""

    amount_in: int
    amount_out: int
    network_fee: int | None = None
    """Lamports paid for it, if the network says, a tip among them."""
    tip: int = 0
    """Lamports of the network fee that went to who brought it into a block."""
    rent: int = 0
    """Lamports that were put into new accounts of the wallet, beside the amounts. They stay its
    own."""


class Rejected(NamedTuple):
    """Landed with an error. Nothing was swapped, and this signature will never swap anything."""

    code: str
    """`slippage_exceeded` if the bound was broken at the landing, else the network's own code."""
    reason: str
    network_fee: int | None = None
    """Lamports paid in spite of the error, if the network says."""


TransactionStatus = Absent | Landed | Rejected


class VenueUnavailable(Exception):
    """The venue did not answer, or refused for now. Trying again may help."""


class StalePools(VenueUnavailable):
    """What is known of the pools is too old to trade on. Trying again may help."""


class UnsupportedToken(Exception):
    """The venue does not trade this market. Trying again does not help."""


class InsufficientLiquidity(Exception):
    """The venue cannot fill this amount (too large, or too small to pay anything out). Final."""


class SlippageExceeded(Exception):
    """The price is beyond the bound already, as the venue saw when it tried. Nothing was sent.

    Trying again may help.
    """


class InsufficientFunds(Exception):
    """The wallet lacks the input, or the lamports for the fees. Nothing was sent. Final."""


class WalletRefused(Exception):
    """The wallet does not sign this: it is beyond a limit, or not what the order asked. Final."""


class SigningHalted(VenueUnavailable):
    """Trading is halted, so the wallet signs nothing. Trying again helps once it goes on."""


class NetworkUnavailable(Exception):
    """The network's answer was lost or never came. The request may have been done.

    This is never a reason to build another transaction: look the signature up, or send the same
    bytes.
    """


class TransactionRefused(Exception):
    """The network refused the bytes in this call, before it executed anything.

    This proves nothing about earlier sends of the same bytes: look the signature up.
    """


class Venue(Protocol):
    @property
    def name(self) -> str:
        """The name in settings and in the database, in lower case, such as `raydium`."""
        ...

    @property
    def label(self) -> str:
        """The name as people write it, such as `Raydium`."""
        ...

    async def quote(self, swap: Swap) -> Quote:
        """Return what this venue offers for `swap`.

        :raises VenueUnavailable: a passing fault.
        :raises UnsupportedToken: the market is not traded here.
        :raises InsufficientLiquidity: the amount cannot be filled here.
        """
        ...

    async def build(
        self, swap: Swap, legs: Sequence[Leg], bound: Bound, attempt: int = 1
    ) -> SignedTransaction:
        """Return a signed transaction that executes `legs` within `bound`, or nothing at all.

        All legs succeed or fail together. `bound` is for their sum. A venue that shows its pools
        also builds the legs of other such venues. Every call returns a new signature, so two equal
        orders at one moment have two transactions. Of a quote only the legs are kept, so the venue
        may have to quote again in another process. Whatever it raises, nothing was sent. `attempt`
        counts from 1: a further one of an order may pay more for its place in a block.

        :raises VenueUnavailable: a passing fault.
        :raises UnsupportedToken: its offer is gone. This costs an attempt, and no more.
        :raises InsufficientLiquidity: the same.
        :raises SlippageExceeded: the same.
        :raises InsufficientFunds: the wallet cannot pay for it.
        :raises WalletRefused: the wallet does not sign it.
        """
        ...


class QuotesAtOnce(Protocol):
    """A venue that may know what it offers without waiting for anybody."""

    def quote_now(self, swap: Swap) -> Quote | None:
        """Return or raise what `Venue.quote` would; None if that has to be awaited."""
        ...


@runtime_checkable
class ShowsPools(Protocol):
    """A venue whose pools others can calculate with, so that it can be one of several legs.

    If its transactions hold only so many legs, it has an attribute `most_legs`.
    """

    async def liquidity(self, swap: Swap) -> Sequence[Liquidity]:
        """Return the pools in which this venue would trade `swap`, as its quotes see them.

        :raises VenueUnavailable: a passing fault.
        :raises UnsupportedToken: the market is not traded here.
        """
        ...


@runtime_checkable
class MakesPools(Protocol):
    """A venue whose first quote of a market makes the pool, and which can tell whether it did."""

    async def has_pool(self, market: Market) -> bool:
        """Return whether there is a pool of this market. It makes none.

        :raises VenueUnavailable: a passing fault.
        """
        ...


class PoolFacts(NamedTuple):
    """What is known of a pool that can be traded in now."""

    venue: str
    liquidity: int
    """What it holds of the swap's input token, in atoms."""
    age: float | None
    """Seconds since it could be traded in first; None: it is not known when that was."""
    follows: str | None
    """The venue that its liquidity came from; None: it took over from no other pool."""


@runtime_checkable
class TellsOfPools(Protocol):
    """A venue that tells of its pools, as those who wait for one want to know."""

    async def open_pools(self, swap: Swap) -> Sequence[PoolFacts]:
        """Return the pools of the swap's market that can be traded in now. It makes none.

        :raises VenueUnavailable: a passing fault.
        """
        ...


class ReferencePrices(Protocol):
    """The prices of the markets, which no venue makes."""

    async def of(self, market: Market, now: int) -> Fraction | None:
        """Return the market's price at `now` (unix seconds); None if it is not known.

        :raises VenueUnavailable: a passing fault.
        """
        ...


class Network(Protocol):
    """The caller sets no time limit for these calls or `Venue.build`: each must end by itself."""

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        """Hand the bytes over and return what is known of the signature right after.

        `Absent` is the usual answer and means "taken". It promises nothing. Sending the same
        bytes again, from any process, never executes twice. `Absent` from here is never above the
        expiry height: only `status` proves that nothing landed.

        :raises NetworkUnavailable: the answer was lost. The bytes may have been taken.
        :raises TransactionRefused: this call did not take the bytes.
        """
        ...

    async def status(self, transaction: SignedTransaction) -> TransactionStatus:
        """Look the transaction's signature up in the network's whole history.

        :raises NetworkUnavailable: no answer.
        """
        ...

    async def height(self) -> int:
        """Return the current block height.

        :raises NetworkUnavailable: no answer.
        """
        ...

    async def close(self) -> None:
        """Close all connections. Using the network again opens new ones."""
        ...
