"""What every kind of pool offers, the fill of a swap, and the reasons of a pool to refuse one.

A pool holds two tokens, x (Raydium's token 0) and y (token 1). All amounts are integer atoms.
Pools are frozen values and their methods are pure: a swap returns a new pool.
"""

from enum import Enum
from typing import ClassVar, NamedTuple, Protocol, Self

MAX_U64 = 2**64 - 1
MAX_U128 = 2**128 - 1


class Direction(Enum):
    X_TO_Y = "x_to_y"
    Y_TO_X = "y_to_x"


class Fill(NamedTuple):  # a dataclass would take longer to make than a quote
    """What a swap moves, in atoms: the trader pays `amount_in` and receives `amount_out`.

    `net_in` and `gross_out` are without fees: the price is theirs. The fees and `rounding` are the
    rest, namely parts of `amount_in - net_in` and of `gross_out - amount_out`, each in its token.
    """

    amount_in: int
    amount_out: int
    net_in: int
    gross_out: int
    lp_fee: int
    protocol_fee: int
    fund_fee: int = 0
    creator_fee: int = 0
    rounding: int = 0
    """Output that leaves a bin and is paid to no account."""


class Spot(NamedTuple):
    """The price of the next atom before fees: `atoms_out` for `atoms_in`."""

    atoms_out: int
    atoms_in: int


class NextAtom(NamedTuple):
    """The price of the next atom that a pool would trade, before its fee and with it."""

    spot: Spot
    net: Spot


class SwapRefused(Exception):
    """The program would refuse this swap and move nothing. Trying again with this state is vain."""

    code: ClassVar[str]
    words: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(self.words)


class ZeroOutput(SwapRefused):
    """The amount is too small to pay anything out. `fill` is the calculated part, if any."""

    code = "zero_output"
    words = "the amount is too small to pay anything out"

    def __init__(self, fill: Fill | None = None) -> None:
        super().__init__()
        self.fill = fill


class InsufficientBins(SwapRefused):
    """All bins on this side of the price together cannot fill the amount."""

    code = "insufficient_liquidity"
    words = "all its bins together cannot fill the amount"


class OutOfRange(SwapRefused):
    """A step of the calculation has no result, or none of 128 bits.

    This also happens when a swap asks for all of a reserve, or for more.
    """

    code = "math"
    words = "the amount is beyond its reserves"


class AmountTooLarge(SwapRefused):
    """An amount does not fit into the 64 bits of a token account."""

    code = "u64_overflow"
    words = "the amount is beyond what a token account holds"


class PoolDisabled(SwapRefused):
    """The pool is closed for swaps."""

    code = "pool_disabled"
    words = "its pool is closed for swaps"


class Pool(Protocol):
    """`now` is the unix time of the swap in seconds. A pool that does not need the time ignores it.

    Each method except `spot` may raise a `SwapRefused`.
    """

    @property
    def vault_x(self) -> int:
        """All of x that the pool holds, in atoms, with fees that are not paid out yet."""
        ...

    @property
    def vault_y(self) -> int: ...

    def spot(self, direction: Direction) -> Spot: ...

    def next_atom(self, direction: Direction, now: int) -> NextAtom: ...

    def quote_exact_in(self, amount_in: int, direction: Direction, now: int) -> Fill: ...

    def quote_exact_out(self, amount_out: int, direction: Direction, now: int) -> Fill: ...

    def swap_exact_in(
        self, amount_in: int, direction: Direction, now: int
    ) -> tuple[Fill, Self]: ...

    def swap_exact_out(
        self, amount_out: int, direction: Direction, now: int
    ) -> tuple[Fill, Self]: ...
