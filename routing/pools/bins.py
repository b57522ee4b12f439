"""One bin of a DLMM pool: its price, and what a swap moves in it at that price."""

from functools import lru_cache
from typing import NamedTuple

from routing.pools.pool import MAX_U64, MAX_U128, OutOfRange

ONE = 2**64
"""The price 1 in 64.64 fixed point."""

BPS = 10_000
BILLION = 10**9
EXPONENT_LIMIT = 2**19


class Bin(NamedTuple):
    id: int
    amount_x: int
    amount_y: int


class BinFill(NamedTuple):
    """A swap's part in one bin. The fee is a part of the input or of the gross output."""

    amount_in: int
    amount_out: int
    net_in: int
    gross_out: int
    fee: int


@lru_cache(maxsize=65_536)
def price_of_bin(bin_step: int, bin_id: int) -> int:
    """Return (1 + bin_step / 10000) ** bin_id in 64.64 fixed point: atoms of y for an atom of x.

    :raises OutOfRange: the price does not fit.
    """
    if bin_id == 0:
        return ONE
    exponent = abs(bin_id)
    if exponent >= EXPONENT_LIMIT:
        raise OutOfRange
    # Powers of a number below one need no more than 128 bits. One above is taken as its inverse.
    factor = MAX_U128 // (ONE + bin_step * ONE // BPS)
    price = ONE
    while exponent:
        if exponent & 1:
            price = price * factor >> 64
        factor = factor * factor >> 64
        exponent >>= 1
    if price == 0:
        raise OutOfRange
    return MAX_U128 // price if bin_id > 0 else price


def fill_exact_in(
    amount_in: int, liquidity: int, price: int, rate: int, to_y: bool, fee_on_input: bool
) -> BinFill:
    """Sell `amount_in`, or the part of it that `liquidity` pays for; `rate` in billionths.

    :raises OutOfRange: the bin is worth more than the program can count.
    """
    net_in = amount_in + (-amount_in * rate // BILLION if fee_on_input else 0)
    most_in = input_for(liquidity, price, to_y)
    if net_in < most_in:
        gross_out = net_in * price >> 64 if to_y else (net_in << 64) // price
    else:
        gross_out = liquidity
        if net_in > most_in:
            net_in = most_in
            amount_in = -(-net_in * BILLION // (BILLION - rate)) if fee_on_input else net_in
    if fee_on_input:
        return BinFill(amount_in, gross_out, net_in, gross_out, amount_in - net_in)
    fee = -(-gross_out * rate // BILLION)
    return BinFill(amount_in, gross_out - fee, net_in, gross_out, fee)


def fill_exact_out(
    amount_out: int, liquidity: int, price: int, rate: int, to_y: bool, fee_on_input: bool
) -> BinFill:
    """Buy `amount_out`, or the part of it that is in `liquidity`; `rate` in billionths.

    One input atom may buy several output atoms. The trader gets only those asked for; the bin loses
    all of them.

    :raises OutOfRange: the bin is worth more than the program can count.
    """
    gross_out = amount_out if fee_on_input else -(-amount_out * BILLION // (BILLION - rate))
    if gross_out >= liquidity:
        return fill_exact_in(MAX_U64, liquidity, price, rate, to_y, fee_on_input)
    net_in = input_for(gross_out, price, to_y)
    amount_in = net_in
    if fee_on_input:
        amount_in -= -net_in * rate // (BILLION - rate)
    fill = fill_exact_in(amount_in, liquidity, price, rate, to_y, fee_on_input)
    return fill._replace(amount_out=amount_out)


def input_for(gross_out: int, price: int, to_y: bool) -> int:
    """Return the fewest atoms that pay for `gross_out`, without fees.

    :raises OutOfRange: they are more than the program can count.
    """
    atoms = -((-gross_out << 64) // price) if to_y else -(-gross_out * price >> 64)
    if atoms > MAX_U64:
        raise OutOfRange
    return atoms
