"""The accounts that hold a DLMM pair's bins, 70 in each, and the bits that say which exist."""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from solders.pubkey import Pubkey

from routing.solana.dlmm.lb_pair import BITMAP_BITS, BITMAP_ZERO
from routing.solana.layout import Layout, discriminator_of_account

BINS_IN_ARRAY = 70
BIN_ARRAY_SIZE = 10_136
BITMAP_EXTENSION_SIZE = 1_576
BIN_ARRAY_DISCRIMINATOR = discriminator_of_account("BinArray")
BITMAP_EXTENSION_DISCRIMINATOR = discriminator_of_account("BinArrayBitmapExtension")

_BINS_PLACE = 56
# Amounts, price and supply as two halves, 64 bytes of fees, then the limit orders.
_BIN = Struct("<QQ QQ QQ 64x QQQ I B 3x")
_POSITIVE_PLACE, _NEGATIVE_PLACE, _EXTENSION_BYTES = 40, 808, 768


class StoredBin(NamedTuple):
    """One bin, in atoms. Limit orders lie beside the providers' liquidity."""

    id: int
    amount_x: int
    amount_y: int
    price: int
    """64.64 fixed point; 0 until the bin is used."""
    supply: int
    open_orders: int
    """What younger limit orders still sell."""
    orders_in_process: int
    """What older limit orders sold and sell, together."""
    rest_in_process: int
    """What older limit orders still sell."""
    orders_sell_x: bool
    """Whether the limit orders sell x; else they sell y."""


@dataclass(frozen=True, slots=True)
class BinArray:
    index: int
    version: int
    pair: Pubkey
    bins: tuple[StoredBin, ...]
    """All 70, by their ids."""


@dataclass(frozen=True, slots=True)
class BitmapExtension:
    """One bit for each bin array beyond those that the pair itself has bits for."""

    pair: Pubkey
    positive: int
    """The first bit is index 512."""
    negative: int
    """The first bit is index -513; the next ones go down."""

    def has(self, index: int) -> bool:
        if index >= BITMAP_ZERO:
            return bool(self.positive >> (index - BITMAP_ZERO) & 1)
        return index < -BITMAP_ZERO and bool(self.negative >> (-BITMAP_ZERO - 1 - index) & 1)


def array_of_bin(bin_id: int) -> int:
    """Return the index of the array in which a bin stands."""
    return bin_id // BINS_IN_ARRAY


def read_bin_array(data: bytes) -> BinArray:
    """:raises UnreadableAccount: the bytes are no bin array."""
    layout = Layout(data, "a DLMM bin array", BIN_ARRAY_SIZE, BIN_ARRAY_DISCRIMINATOR)
    index = layout.i64(8)
    rows = _BIN.iter_unpack(data[_BINS_PLACE:BIN_ARRAY_SIZE])
    return BinArray(
        index=index,
        version=layout.u8(16),
        pair=layout.key(24),
        bins=tuple([_bin(bin_id, *row) for bin_id, row in enumerate(rows, index * BINS_IN_ARRAY)]),
    )


def read_bitmap_extension(data: bytes) -> BitmapExtension:
    """:raises UnreadableAccount: the bytes are no bitmap extension."""
    size, discriminator = BITMAP_EXTENSION_SIZE, BITMAP_EXTENSION_DISCRIMINATOR
    layout = Layout(data, "a DLMM bitmap extension", size, discriminator)
    return BitmapExtension(
        pair=layout.key(8),
        positive=layout.unsigned(_POSITIVE_PLACE, _EXTENSION_BYTES),
        negative=layout.unsigned(_NEGATIVE_PLACE, _EXTENSION_BYTES),
    )


def arrays_with_liquidity(bitmap: int, extension: BitmapExtension | None = None) -> list[int]:
    """Return the indexes of all arrays that have a bit, in rising order."""
    found = [bit - BITMAP_ZERO for bit in _bits(bitmap) if bit < BITMAP_BITS]
    if extension is None:
        return found
    below = [-BITMAP_ZERO - 1 - bit for bit in _bits(extension.negative)]
    above = [BITMAP_ZERO + bit for bit in _bits(extension.positive)]
    return [*reversed(below), *found, *above]


def arrays_ahead(
    active_id: int, bitmap: int, extension: BitmapExtension | None, *, to_y: bool, count: int
) -> list[int]:
    """Return the indexes of the next `count` arrays with liquidity, as a swap meets them.

    The array of the active bin is among them only if it has liquidity.
    """
    start = array_of_bin(active_id)
    found = arrays_with_liquidity(bitmap, extension)
    if to_y:
        return [index for index in reversed(found) if index <= start][:count]
    return [index for index in found if index >= start][:count]


def needs_extension(indexes: list[int]) -> bool:
    """Whether a swap through these arrays has to name the bitmap extension."""
    return any(not -BITMAP_ZERO <= index < BITMAP_ZERO for index in indexes)


def _bits(bitmap: int) -> Iterator[int]:
    while bitmap:
        lowest = bitmap & -bitmap
        yield lowest.bit_length() - 1
        bitmap ^= lowest


def _bin(
    bin_id: int,
    amount_x: int,
    amount_y: int,
    price: int,
    price_high: int,
    supply: int,
    supply_high: int,
    open_orders: int,
    in_process: int,
    rest: int,
    _age: int,
    ask_side: int,
) -> StoredBin:
    return StoredBin(
        bin_id,
        amount_x,
        amount_y,
        price_high << 64 | price,
        supply_high << 64 | supply,
        open_orders,
        in_process,
        rest,
        ask_side != 0,
    )
