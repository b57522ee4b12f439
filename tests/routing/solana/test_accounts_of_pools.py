"""The accounts of CPMM and DLMM are read as their programs wrote them."""

from collections.abc import Callable
from typing import Any

import pytest

from routing.solana.addresses import NONE, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from routing.solana.cpmm.accounts import read_config, read_observation, read_pool
from routing.solana.dlmm.bin_arrays import (
    BITMAP_EXTENSION_DISCRIMINATOR,
    BitmapExtension,
    array_of_bin,
    arrays_ahead,
    arrays_with_liquidity,
    needs_extension,
    read_bin_array,
    read_bitmap_extension,
)
from routing.solana.dlmm.lb_pair import read_lb_pair
from routing.solana.layout import UnreadableAccount
from tests.routing.solana.recorded import PAIR, POOL, RECORDED, account

ACCOUNTS = RECORDED["accounts"]


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little", signed=True)


def changed(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def test_a_pool_of_cpmm_is_read() -> None:
    fields = ACCOUNTS["cpmm_pool"]["fields"]

    assert str(POOL.account.mint_1) == fields["token_1_mint"]
    assert str(POOL.account.observation) == fields["observation_key"]
    assert str(POOL.account.lp_supply) == fields["lp_supply"]
    assert str(POOL.account.open_time) == fields["open_time"]
    assert POOL.account.takes_swaps


@pytest.mark.parametrize(("status", "open_"), [(0, True), (3, True), (4, False), (7, False)])
def test_one_bit_of_the_status_closes_a_pool_of_cpmm(status: int, open_: bool) -> None:
    data = changed(account("cpmm_pool"), 329, bytes([status]))

    assert read_pool(data).takes_swaps is open_


def test_fees_of_a_creator_are_read() -> None:
    data = changed(account("cpmm_pool"), 389, b"\x02\x01")
    read = read_pool(changed(data, 397, number(7) + number(9)))

    assert (read.creator_fee_on, read.pays_creator) == (2, True)
    assert (read.creator_fees_0, read.creator_fees_1) == (7, 9)


def test_the_rates_of_cpmm_are_read() -> None:
    data = changed(account("cpmm_config"), 108, number(500))
    read = read_config(data)

    assert (read.trade_rate, read.protocol_rate, read.fund_rate) == (2_500, 120_000, 40_000)
    assert read.creator_rate == 500


def test_an_observation_of_cpmm_is_read() -> None:
    head = bytes.fromhex("7aaec5358109a584") + b"\x01" + number(3, 2) + bytes(POOL.address)
    entry = number(1_790_000_000) + number(5, 16) + number(6, 16)
    read = read_observation((head + entry).ljust(4_075, b"\0"))

    assert (read.is_initialized, read.last_index, read.pool) == (True, 3, POOL.address)
    assert read.observations[0] == (1_790_000_000, 5, 6)
    assert len(read.observations) == 100


def test_a_pair_of_dlmm_is_read() -> None:
    fields = ACCOUNTS["lb_pair"]["fields"]
    pair = PAIR.account

    assert str(pair.active_id) == fields["active_id"]
    assert str(pair.oracle) == fields["oracle"]
    assert str(pair.creator) == fields["creator"]
    assert str(pair.bitmap) == fields["bitmap"]
    assert arrays_with_liquidity(pair.bitmap) == ACCOUNTS["lb_pair"]["bin_arrays_with_liquidity"]
    assert (pair.token_program_x, pair.token_program_y) == (TOKEN_PROGRAM, TOKEN_PROGRAM)


def test_a_mint_of_token_2022_is_told_by_its_flag() -> None:
    pair = read_lb_pair(changed(account("lb_pair"), 880, b"\x00\x01"))

    assert (pair.token_program_x, pair.token_program_y) == (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)


@pytest.mark.parametrize(
    ("function_type", "farms", "expected"),
    [(2, True, True), (2, False, True), (0, False, True), (0, True, False), (1, False, False)],
)
def test_a_pair_has_limit_orders_by_its_function_and_its_farms(
    function_type: int, farms: bool, expected: bool
) -> None:
    data = changed(account("lb_pair"), 35, bytes([function_type]))
    data = changed(data, 408, bytes(POOL.address if farms else NONE))

    assert read_lb_pair(data).has_limit_orders is expected


@pytest.mark.parametrize(
    ("pair_type", "activation_type", "expected"),
    [(0, 0, True), (3, 0, True), (1, 0, False), (2, 1, True), (1, 1, True)],
)
def test_some_pairs_open_at_a_slot_or_a_time(
    pair_type: int, activation_type: int, expected: bool
) -> None:
    data = changed(account("lb_pair"), 75, bytes([pair_type]))
    data = changed(data, 86, bytes([activation_type]))
    pair = read_lb_pair(changed(data, 816, number(1_000)))

    assert pair.takes_swaps(slot=999, now=1_000) is expected


def test_a_pair_that_is_disabled_takes_no_swaps() -> None:
    pair = read_lb_pair(changed(account("lb_pair"), 82, b"\x01"))

    assert not pair.takes_swaps(slot=1, now=1)


def test_a_bin_array_is_read() -> None:
    recorded = ACCOUNTS["bin_array"]
    array = read_bin_array(account("bin_array"))

    assert (array.index, array.version) == (recorded["index"], recorded["version"])
    assert array.pair == PAIR.address
    assert [
        [one.id, str(one.amount_x), str(one.amount_y), str(one.price)] for one in array.bins
    ] == recorded["bins"]


def test_limit_orders_in_a_bin_are_read() -> None:
    orders = number(5) + number(11) + number(3) + number(2, 4) + b"\x01"
    array = read_bin_array(changed(account("bin_array"), 56 + 144 + 112, orders))
    first, second = array.bins[:2]

    assert (second.open_orders, second.orders_in_process, second.rest_in_process) == (5, 11, 3)
    assert second.orders_sell_x
    assert not first.open_orders
    assert not first.orders_sell_x


@pytest.mark.parametrize(
    ("bin_id", "index"), [(0, 0), (69, 0), (70, 1), (-1, -1), (-70, -1), (-71, -2)]
)
def test_seventy_bins_stand_in_an_array(bin_id: int, index: int) -> None:
    assert array_of_bin(bin_id) == index


def extension(*indexes: int) -> BitmapExtension:
    """Return an extension as an account that has the bits of these arrays would be read."""
    positive = negative = 0
    for index in indexes:
        if index >= 512:
            positive |= 1 << (index - 512)
        else:
            negative |= 1 << (-513 - index)
    data = BITMAP_EXTENSION_DISCRIMINATOR + bytes(PAIR.address)
    data += positive.to_bytes(768, "little") + negative.to_bytes(768, "little")
    return read_bitmap_extension(data)


def test_arrays_far_from_the_middle_have_their_bits_in_the_extension() -> None:
    far = extension(512, 1_023, 1_024, 6_655, -513, -1_024, -1_025, -6_656)
    near = 1 << 512 | 1 << 0 | 1 << 1_023

    found = arrays_with_liquidity(near, far)
    assert found == [-6_656, -1_025, -1_024, -513, -512, 0, 511, 512, 1_023, 1_024, 6_655]
    assert [index for index in range(-6_656, 6_656) if far.has(index)] == [
        *found[:4],
        *found[7:],
    ]


@pytest.mark.parametrize(
    ("active", "to_y", "count", "expected"),
    [
        (-1_152, True, 5, [-17, -18]),
        (-1_152, False, 5, [-17, -16]),
        (-1_152, True, 1, [-17]),
        (-1_300, True, 5, []),
        (-1_000, True, 5, [-16, -17, -18]),
        (-1_300, False, 2, [-18, -17]),
    ],
)
def test_a_swap_meets_the_arrays_from_the_active_bin_on(
    active: int, to_y: bool, count: int, expected: list[int]
) -> None:
    bitmap = PAIR.account.bitmap

    assert arrays_ahead(active, bitmap, None, to_y=to_y, count=count) == expected


@pytest.mark.parametrize(
    ("indexes", "needed"), [([-512, 511], False), ([0, 512], True), ([-513], True), ([], False)]
)
def test_only_arrays_beyond_the_pairs_bits_need_the_extension(
    indexes: list[int], needed: bool
) -> None:
    assert needs_extension(indexes) is needed


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (read_pool, "cpmm_pool"),
        (read_config, "cpmm_config"),
        (read_lb_pair, "lb_pair"),
        (read_bin_array, "bin_array"),
    ],
)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: account("token_account").ljust(len(data), b"\0"),
    ],
)
def test_bytes_of_another_kind_are_refused(
    read: Callable[[bytes], Any], name: str, spoil: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(UnreadableAccount):
        read(spoil(account(name)))
