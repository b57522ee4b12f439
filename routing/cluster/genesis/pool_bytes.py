"""The bytes of new pools: a CPMM pool and its config, a DLMM pair and its bin arrays."""

from collections.abc import Iterable, Iterator

from solders.pubkey import Pubkey

from routing.pools.bins import price_of_bin
from routing.pools.constant_product import FeeRates
from routing.pools.liquidity_bins import LiquidityBinPool
from routing.solana.cpmm.accounts import (
    CONFIG_DISCRIMINATOR,
    CONFIG_SIZE,
    OBSERVATION_DISCRIMINATOR,
    OBSERVATION_SIZE,
    POOL_DISCRIMINATOR,
    POOL_SIZE,
)
from routing.solana.dlmm.bin_arrays import (
    BIN_ARRAY_DISCRIMINATOR,
    BIN_ARRAY_SIZE,
    BINS_IN_ARRAY,
    array_of_bin,
)
from routing.solana.dlmm.lb_pair import BITMAP_PLACE, BITMAP_ZERO, PAIR_DISCRIMINATOR, PAIR_SIZE
from routing.solana.layout import discriminator_of_account

LP_DECIMALS = 9
BIN_ARRAY_VERSION = 2

_PERMISSIONLESS_V2 = 3
_WITH_LIMIT_ORDERS = 2
_PAIR_VERSION = 1
_ORACLE_DISCRIMINATOR = discriminator_of_account("Oracle")
_ORACLE_LENGTH, _ORACLE_ENTRY = 100, 32


class Written:
    """Bytes that are written at fixed places, little-endian."""

    def __init__(self, size: int, discriminator: bytes) -> None:
        self._data = bytearray(discriminator.ljust(size, b"\0"))

    def number(self, place: int, size: int, number: int) -> None:
        self._data[place : place + size] = number.to_bytes(size, "little", signed=number < 0)

    def numbers(self, place: int, size: int, numbers: Iterable[int]) -> None:
        for offset, number in enumerate(numbers):
            self.number(place + offset * size, size, number)

    def keys(self, place: int, *keys: Pubkey) -> None:
        data = b"".join(map(bytes, keys))
        self._data[place : place + len(data)] = data

    def __bytes__(self) -> bytes:
        return bytes(self._data)


def cpmm_config(bump: int, index: int, rates: FeeRates, owner: Pubkey) -> bytes:
    written = Written(CONFIG_SIZE, CONFIG_DISCRIMINATOR)
    written.number(8, 1, bump)
    written.number(10, 2, index)
    written.numbers(12, 8, (rates.trade, rates.protocol, rates.fund))
    written.keys(44, owner, owner)
    return bytes(written)


def cpmm_pool(
    keys: tuple[Pubkey, ...],
    observation: Pubkey,
    bump: int,
    decimals: tuple[int, int],
    lp_supply: int,
    open_time: int,
) -> bytes:
    """Return a pool that takes swaps from `open_time` (unix seconds) on, and owes no fees.

    `keys`: config, creator, vaults 0 and 1, LP mint, mints 0 and 1, their token programs.
    """
    written = Written(POOL_SIZE, POOL_DISCRIMINATOR)
    written.keys(8, *keys)
    written.keys(296, observation)
    written.numbers(328, 1, (bump, 0, LP_DECIMALS, *decimals))
    written.number(333, 8, lp_supply)
    written.number(373, 8, open_time)
    return bytes(written)


def cpmm_observation(pool: Pubkey) -> bytes:
    written = Written(OBSERVATION_SIZE, OBSERVATION_DISCRIMINATOR)
    written.keys(11, pool)
    return bytes(written)


def lb_pair(
    pool: LiquidityBinPool,
    mints: tuple[Pubkey, Pubkey],
    reserves: tuple[Pubkey, Pubkey],
    oracle: Pubkey,
    preset: Pubkey,
    creator: Pubkey,
    bump: int,
    last_bin: int,
) -> bytes:
    """Return a pair of an open preset. Its bins reach from -`last_bin` to `last_bin`."""
    written = Written(PAIR_SIZE, PAIR_DISCRIMINATOR)
    parameters, state = pool.parameters, pool.volatility
    written.numbers(
        8,
        2,
        (
            parameters.base_factor,
            parameters.filter_period,
            parameters.decay_period,
            parameters.reduction_factor,
        ),
    )
    written.number(16, 4, parameters.variable_fee_control)
    written.number(20, 4, parameters.max_volatility_accumulator)
    written.numbers(24, 4, (-last_bin, last_bin))
    written.number(32, 2, parameters.protocol_share)
    written.number(34, 1, parameters.base_fee_power_factor)
    written.numbers(35, 1, (_WITH_LIMIT_ORDERS, parameters.collect_fee_mode))
    written.numbers(40, 4, (state.accumulator, state.reference, state.index_reference))
    written.number(56, 8, state.last_update)
    written.number(72, 1, bump)
    written.number(73, 2, parameters.bin_step)
    written.number(75, 1, _PERMISSIONLESS_V2)
    written.number(76, 4, pool.active_id)
    written.number(80, 2, parameters.bin_step)
    written.number(84, 2, parameters.base_factor)
    written.keys(88, *mints, *reserves)
    written.keys(552, oracle)
    bits = {array_of_bin(one.id) + BITMAP_ZERO for one in pool.bins}
    written.number(BITMAP_PLACE, 128, sum(1 << bit for bit in bits))
    written.keys(784, preset)
    written.keys(848, creator)
    written.number(882, 1, _PAIR_VERSION)
    return bytes(written)


def bin_arrays(pool: LiquidityBinPool, pair: Pubkey) -> Iterator[tuple[int, bytes]]:
    """Yield the index and the bytes of each array that has a bin of the pool."""
    bins = {one.id: one for one in pool.bins}
    step = pool.parameters.bin_step
    for index in sorted({array_of_bin(bin_id) for bin_id in bins}):
        written = Written(BIN_ARRAY_SIZE, BIN_ARRAY_DISCRIMINATOR)
        written.number(8, 8, index)
        written.number(16, 1, BIN_ARRAY_VERSION)
        written.keys(24, pair)
        for number in range(BINS_IN_ARRAY):
            found = bins.get(index * BINS_IN_ARRAY + number)
            if found is None:
                continue
            price, place = price_of_bin(step, found.id), 56 + 144 * number
            supply = found.amount_x * price + (found.amount_y << 64)
            written.numbers(place, 8, (found.amount_x, found.amount_y))
            written.numbers(place + 16, 16, (price, supply))
        yield index, bytes(written)


def dlmm_oracle() -> bytes:
    size = 32 + _ORACLE_LENGTH * _ORACLE_ENTRY
    written = Written(size, _ORACLE_DISCRIMINATOR)
    written.number(24, 8, _ORACLE_LENGTH)
    return bytes(written)
