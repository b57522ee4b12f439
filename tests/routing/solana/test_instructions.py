"""Our instructions are, byte for byte, those that the programs executed."""

import pytest
from solders.instruction import Instruction

from routing.solana.addresses import DLMM_PROGRAM, TOKEN_PROGRAM, seeded
from routing.solana.cpmm.instructions import swap as cpmm_swap
from routing.solana.dlmm import addresses
from routing.solana.dlmm.instructions import swap as dlmm_swap
from routing.solana.programs import compute_budget, memo, system, token
from routing.solana.swap_amounts import exact_in, exact_out
from tests.routing.solana.recorded import (
    PAIR,
    POOL,
    SOL_MINT,
    USDC_MINT,
    USER,
    USER_SOL,
    USER_USDC,
    as_recorded,
    instruction,
)

SELL = exact_in(1_500_000_000, 149_000_000)
BUY = exact_out(1_000_000_000, 150_000_000)
SELLING = {"user": USER, "user_in": USER_SOL, "user_out": USER_USDC}
BUYING = {"user": USER, "user_in": USER_USDC, "user_out": USER_SOL}


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("cpmm swap_base_input", cpmm_swap(POOL, SELL, from_0=True, **SELLING)),
        ("cpmm swap_base_output", cpmm_swap(POOL, BUY, from_0=False, **BUYING)),
        ("dlmm swap2", dlmm_swap(PAIR, SELL, [-17, -18], to_y=True, **SELLING)),
        ("dlmm swap_exact_out2", dlmm_swap(PAIR, BUY, [-17, -16], to_y=False, **BUYING)),
        ("create ata", token.create_associated_account(USER, USER, USDC_MINT)),
        ("sync native", token.sync_native(USER_SOL)),
        ("close account", token.close_account(USER_SOL, USER, USER)),
        ("initialize account", token.initialize_account(USER_SOL, SOL_MINT, USER)),
        ("compute unit limit", compute_budget.limit(200_000)),
        ("compute unit price", compute_budget.price(1_000)),
    ],
)
def test_an_instruction_is_the_one_that_was_executed(name: str, made: Instruction) -> None:
    assert as_recorded(made) == instruction(name)


def test_arrays_beyond_the_pairs_bits_bring_the_extension() -> None:
    made = dlmm_swap(PAIR, SELL, [-512, -513], to_y=True, **SELLING)

    assert made.accounts[1].pubkey == addresses.bitmap_extension(PAIR.address)
    assert made.accounts[1].is_writable
    assert made.program_id == DLMM_PROGRAM


def test_an_amount_beyond_64_bits_is_no_instruction() -> None:
    with pytest.raises(ValueError, match="beyond 64 bits"):
        cpmm_swap(POOL, exact_in(2**64, 1), from_0=True, **SELLING)


def test_the_priority_fee_is_of_the_limit_and_rounded_up() -> None:
    assert compute_budget.priority_fee(200_000, 1_000) == 200
    assert compute_budget.priority_fee(200_001, 1_000) == 201
    assert compute_budget.priority_fee(200_000, compute_budget.price_within(777, 200_000)) <= 777


def test_the_rest_are_as_solana_documents_them() -> None:
    moved = token.transfer_checked(USER_SOL, SOL_MINT, USER_USDC, USER, 5, 9)
    made = system.create_with_seed(USER, "seed", 2_000, 165, TOKEN_PROGRAM)
    paid = system.transfer(USER, USER_SOL, 7)

    assert bytes(moved.data).hex() == "0c050000000000000009"
    assert [one.pubkey for one in made.accounts][:2] == [USER, seeded(USER, "seed", TOKEN_PROGRAM)]
    assert bytes(paid.data).hex() == "020000000700000000000000"
    assert bytes(memo.memo("one order").data) == b"one order"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(12),
        bytes(system.transfer(USER, USER_SOL, 7).data) + b"\0",
        bytes(system.create_with_seed(USER, "seed", 2_000, 165, TOKEN_PROGRAM).data)[:-1],
        b"\x03\0\0\0" + bytes(32) + b"\xff" * 8 + bytes(60),
    ],
)
def test_other_bytes_are_neither_a_transfer_nor_a_creation(data: bytes) -> None:
    with pytest.raises(ValueError, match="it is no transfer"):
        system.read_transfer(data)
    with pytest.raises(ValueError, match="it makes no account"):
        system.read_creation(data)
