"""The two amounts that a swap's instruction names: what is exact, and the bound of the other."""

from typing import NamedTuple

from routing.pools.pool import MAX_U64
from routing.venue import Bound


class SwapAmounts(NamedTuple):
    """In atoms: a fixed input and the least output, or the most input and a fixed output."""

    is_exact_in: bool
    amount_in: int
    """All of it, or the most of it."""
    amount_out: int
    """The least of it, or all of it."""

    @property
    def bound(self) -> Bound:
        if self.is_exact_in:
            return Bound(min_out=self.amount_out)
        return Bound(max_in=self.amount_in)

    def as_bytes(self) -> bytes:
        """Return both as the programs take them, in the order in which they stand here.

        :raises ValueError: one of them does not fit into 64 bits.
        """
        if not 0 <= self.amount_in <= MAX_U64 or not 0 <= self.amount_out <= MAX_U64:
            raise ValueError(f"{self} has an amount beyond 64 bits")
        return self.amount_in.to_bytes(8, "little") + self.amount_out.to_bytes(8, "little")


def exact_in(amount_in: int, min_out: int) -> SwapAmounts:
    return SwapAmounts(True, amount_in, min_out)


def exact_out(amount_out: int, max_in: int) -> SwapAmounts:
    return SwapAmounts(False, max_in, amount_out)


def read_amounts(data: bytes, *, is_exact_in: bool) -> SwapAmounts:
    """Return the amounts in an instruction's data, behind its first eight bytes.

    :raises ValueError: the data is too short.
    """
    if len(data) < 24:
        raise ValueError("the instruction's data is too short for two amounts")
    first, second = (int.from_bytes(data[place : place + 8], "little") for place in (8, 16))
    return SwapAmounts(is_exact_in, first, second)
