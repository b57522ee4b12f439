"""Meteora's DLMM: its four plain swaps, with the checks and the codes of the program."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from solders.account import Account
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from routing.cluster.messages import Reads
from routing.cluster.programs import program as anchor
from routing.cluster.programs.program import Effect, Refused, require
from routing.pools.limit_orders import BinOrders, BinPoolWithOrders
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.pools.pool import (
    Direction,
    Fill,
    InsufficientBins,
    PoolDisabled,
    SwapRefused,
    ZeroOutput,
)
from routing.solana.addresses import DLMM_PROGRAM, TOKEN_PROGRAM
from routing.solana.dlmm import addresses
from routing.solana.dlmm.bin_arrays import (
    BIN_ARRAY_DISCRIMINATOR,
    BINS_IN_ARRAY,
    BinArray,
    arrays_ahead,
    read_bin_array,
    read_bitmap_extension,
)
from routing.solana.dlmm.instructions import SWAP, SWAP_EXACT_OUT
from routing.solana.dlmm.lb_pair import BITMAP_BITS, LbPair, read_lb_pair
from routing.solana.dlmm.pools import AnyBinPool, pool_of_bins
from routing.solana.layout import UnreadableAccount, discriminator_of_instruction
from routing.solana.programs.token import transfer_checked
from routing.solana.swap_amounts import SwapAmounts, read_amounts
from routing.solana.token_accounts import Clock, read_mint, read_token_account

TOO_LITTLE_OUT = Refused(6003, "ExceededAmountSlippageTolerance")
TOO_MUCH_IN = Refused(6104, "ExceededMaxAmountIn")
NOTHING_OUT = Refused(6039, "InsufficientOutAmount")
NO_MORE_BINS = Refused(6036, "CannotFindNonZeroLiquidityBinArrayId")
CLOSED = Refused(6042, "PairDisabled")
BEYOND_NUMBERS = Refused(None, "the amounts do not fit into the program's numbers")
NOT_EMULATED = Refused(None, "the cluster emulates pairs of the Token program alone")

_OLD_SWAP = discriminator_of_instruction("swap")
_OLD_SWAP_EXACT_OUT = discriminator_of_instruction("swap_exact_out")
_NAMES = {
    SWAP: "Swap2",
    SWAP_EXACT_OUT: "SwapExactOut2",
    _OLD_SWAP: "Swap",
    _OLD_SWAP_EXACT_OUT: "SwapExactOut",
}
_EXACT_IN = (SWAP, _OLD_SWAP)
_WITH_MEMO = (SWAP, SWAP_EXACT_OUT)

_UNITS, _UNITS_A_BIN = 40_400, 5_800
_BINS_PLACE, _BIN_SIZE = 56, 144
_OPEN, _REST = 112, 128
"""In a bin: what younger limit orders still sell, and what older ones do."""


class _Keys(NamedTuple):
    """The accounts of a swap, in the program's order, without the memo of the newer ones."""

    pair: Pubkey
    extension: Pubkey
    reserve_x: Pubkey
    reserve_y: Pubkey
    user_in: Pubkey
    user_out: Pubkey
    mint_x: Pubkey
    mint_y: Pubkey
    oracle: Pubkey
    host_fee: Pubkey
    user: Pubkey
    program_x: Pubkey
    program_y: Pubkey
    event_authority: Pubkey
    program: Pubkey
    rest: tuple[Pubkey, ...]
    """The bin arrays."""


class Dlmm:
    """See `SwapProgram`."""

    def effect(self, instruction: Instruction, accounts: Reads, clock: Clock) -> Effect:
        kind = bytes(instruction.data[:8])
        if kind not in _NAMES:
            raise anchor.UNKNOWN_INSTRUCTION
        amounts = _amounts(instruction, kind)
        keys = _keys(instruction, kind)
        pair = _pair(accounts(keys.pair))
        _check(keys, pair)
        require(instruction.accounts[10].is_signer, anchor.NOT_A_SIGNER)
        to_y = _mint_of(accounts, keys.user_in) == pair.mint_x
        arrays = _arrays(accounts, keys, pair, to_y)
        bins = (one for array in arrays.given for one in array.bins)
        pool = pool_of_bins(pair, bins, slot=clock.slot, now=clock.unix_time)
        fill, after = _swap(pool, amounts, to_y, clock.unix_time, arrays.are_all)
        pair_after = after.pool if isinstance(after, BinPoolWithOrders) else after
        vault_x, vault_y = (
            read_token_account(_data(accounts(key))).amount
            for key in (keys.reserve_x, keys.reserve_y)
        )
        moved_x, moved_y = (
            (fill.amount_in, -fill.amount_out) if to_y else (-fill.amount_out, fill.amount_in)
        )
        changed = {
            addresses.bin_array(keys.pair, array.index): array_bytes_after(data, array, after)
            for array, data in zip(arrays.given, arrays.data, strict=True)
        }
        return Effect(
            _NAMES[kind],
            _transfers(accounts, keys, pair, fill, to_y),
            {keys.pair: pair_bytes_after(_data(accounts(keys.pair)), pair_after), **changed},
            {keys.reserve_x: vault_x + moved_x, keys.reserve_y: vault_y + moved_y},
            _UNITS + _UNITS_A_BIN * abs(pair_after.active_id - pair.active_id),
        )

    def user_accounts(self, instruction: Instruction) -> tuple[Pubkey, ...]:
        return tuple(meta.pubkey for meta in instruction.accounts[4:6])


class _Arrays(NamedTuple):
    """The bin arrays that a swap can use, in the order in which it meets them."""

    given: tuple[BinArray, ...]
    data: tuple[bytes, ...]
    are_all: bool
    """Whether there is no liquidity beyond them."""


def pair_bytes_after(data: bytes, pool: LiquidityBinPool) -> bytes:
    """Return the pair's account with its price, the price's movement, and what it owes in fees."""
    written = bytearray(data)
    state = pool.volatility
    written[40:48] = state.accumulator.to_bytes(4, "little") + state.reference.to_bytes(4, "little")
    written[48:52] = state.index_reference.to_bytes(4, "little", signed=True)
    written[56:64] = state.last_update.to_bytes(8, "little", signed=True)
    written[76:80] = pool.active_id.to_bytes(4, "little", signed=True)
    written[216:232] = _u64(pool.protocol_fees_x) + _u64(pool.protocol_fees_y)
    return bytes(written)


def array_bytes_after(data: bytes, array: BinArray, pool: AnyBinPool) -> bytes:
    """Return a bin array's account with the pool's amounts in its bins."""
    written = bytearray(data)
    orders: Mapping[int, BinOrders] = {}
    if isinstance(pool, BinPoolWithOrders):
        pool, orders = pool
    first = array.index * BINS_IN_ARRAY
    for bin_id, amount_x, amount_y in pool.bins:
        if first <= bin_id < first + BINS_IN_ARRAY:
            place = _BINS_PLACE + (bin_id - first) * _BIN_SIZE
            written[place : place + 16] = _u64(amount_x) + _u64(amount_y)
            if bin_id in orders:
                left = orders[bin_id]
                written[place + _OPEN : place + _OPEN + 8] = _u64(left.open)
                written[place + _REST : place + _REST + 8] = _u64(left.in_process)
    return bytes(written)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _amounts(instruction: Instruction, kind: bytes) -> SwapAmounts:
    try:
        return read_amounts(instruction.data, is_exact_in=kind in _EXACT_IN)
    except ValueError:
        raise anchor.UNREADABLE_DATA from None


def _keys(instruction: Instruction, kind: bytes) -> _Keys:
    keys = [meta.pubkey for meta in instruction.accounts]
    hooks = 0
    if kind in _WITH_MEMO:
        hooks = _accounts_of_hooks(instruction.data[24:])
        keys = keys[:13] + keys[14:]
    require(len(keys) >= 15 + hooks, anchor.NOT_ENOUGH_KEYS)
    return _Keys._make([*keys[:15], tuple(keys[15 + hooks :])])


def _accounts_of_hooks(slices: bytes) -> int:
    """Return how many accounts stand before the bin arrays, for transfer hooks."""
    count = int.from_bytes(slices[:4], "little")
    require(len(slices) >= 4 + 2 * count, anchor.UNREADABLE_DATA)
    return sum(slices[5 : 4 + 2 * count : 2])


def _data(account: Account | None) -> bytes:
    if account is None:
        raise anchor.ACCOUNT_NOT_INITIALIZED
    return account.data


def _pair(account: Account | None) -> LbPair:
    data = _data(account)
    require(account is not None and account.owner == DLMM_PROGRAM, anchor.WRONG_OWNER)
    try:
        return read_lb_pair(data)
    except UnreadableAccount:
        raise anchor.WRONG_KIND from None


def _check(keys: _Keys, pair: LbPair) -> None:
    named = (keys.reserve_x, keys.reserve_y, keys.mint_x, keys.mint_y, keys.oracle)
    own = (pair.reserve_x, pair.reserve_y, pair.mint_x, pair.mint_y, pair.oracle)
    require(named == own, anchor.WRONG_RELATION)
    require(keys.event_authority == addresses.event_authority(), anchor.WRONG_SEEDS)
    programs = {pair.token_program_x, pair.token_program_y, keys.program_x, keys.program_y}
    require(programs == {TOKEN_PROGRAM}, NOT_EMULATED)


def _mint_of(accounts: Reads, address: Pubkey) -> Pubkey:
    try:
        return read_token_account(_data(accounts(address))).mint
    except UnreadableAccount:
        raise anchor.ACCOUNT_NOT_INITIALIZED from None


def _arrays(accounts: Reads, keys: _Keys, pair: LbPair, to_y: bool) -> _Arrays:
    extension = None
    if keys.extension != DLMM_PROGRAM:
        extension = read_bitmap_extension(_data(accounts(keys.extension)))
    ahead = arrays_ahead(pair.active_id, pair.bitmap, extension, to_y=to_y, count=BITMAP_BITS)
    usable = list(
        takewhile(lambda index: addresses.bin_array(keys.pair, index) in keys.rest, ahead)
    )
    data = [_array_data(accounts(addresses.bin_array(keys.pair, index))) for index in usable]
    return _Arrays(tuple(map(read_bin_array, data)), tuple(data), len(usable) == len(ahead))


def _array_data(account: Account | None) -> bytes:
    data = _data(account)
    require(account is not None and account.owner == DLMM_PROGRAM, anchor.WRONG_OWNER)
    require(data.startswith(BIN_ARRAY_DISCRIMINATOR), anchor.WRONG_KIND)
    return data


def _swap(
    pool: AnyBinPool, amounts: SwapAmounts, to_y: bool, now: int, all_bins: bool
) -> tuple[Fill, AnyBinPool]:
    way = Direction.X_TO_Y if to_y else Direction.Y_TO_X
    fill: Fill
    after: AnyBinPool
    try:
        if amounts.is_exact_in:
            fill, after = pool.swap_exact_in(amounts.amount_in, way, now)
        else:
            fill, after = pool.swap_exact_out(amounts.amount_out, way, now)
    except PoolDisabled:
        raise CLOSED from None
    except ZeroOutput:
        raise NOTHING_OUT from None
    except InsufficientBins:
        raise (NO_MORE_BINS if all_bins else anchor.NOT_ENOUGH_KEYS) from None
    except SwapRefused:
        raise BEYOND_NUMBERS from None
    broken = TOO_LITTLE_OUT if amounts.is_exact_in else TOO_MUCH_IN
    require(amounts.bound.admits(fill.amount_in, fill.amount_out), broken)
    return fill, after


def _transfers(
    accounts: Reads, keys: _Keys, pair: LbPair, fill: Fill, to_y: bool
) -> tuple[Instruction, Instruction]:
    sides: Sequence[tuple[Pubkey, Pubkey]] = [
        (keys.mint_x, keys.reserve_x),
        (keys.mint_y, keys.reserve_y),
    ]
    (mint_in, vault_in), (mint_out, vault_out) = sides if to_y else reversed(sides)
    decimals = {mint: read_mint(_data(accounts(mint))).decimals for mint, _ in sides}
    return (
        transfer_checked(
            keys.user_in, mint_in, vault_in, keys.user, fill.amount_in, decimals[mint_in]
        ),
        transfer_checked(
            vault_out, mint_out, keys.user_out, keys.pair, fill.amount_out, decimals[mint_out]
        ),
    )
