import pytest

from routing.solana.addresses import NONE, WRAPPED_SOL
from routing.solana.cpmm.addresses import authority
from routing.solana.layout import UnreadableAccount
from routing.solana.token_accounts import (
    Clock,
    TransferFee,
    read_clock,
    read_mint,
    read_token_account,
)
from tests.routing.solana.recorded import RECORDED, account

VAULT = account("token_account")


def number(value: int, size: int = 8) -> bytes:
    return value.to_bytes(size, "little")


def mint(*extensions: tuple[int, bytes]) -> bytes:
    plain = bytes(36) + number(5_000) + bytes([6, 1]) + bytes(36)
    if not extensions:
        return plain
    entries = b"".join(number(kind, 2) + number(len(data), 2) + data for kind, data in extensions)
    return plain.ljust(165, b"\0") + b"\x01" + entries


def transfer_fee_config(older: TransferFee, newer: TransferFee) -> bytes:
    parts = [number(fee.epoch) + number(fee.most) + number(fee.bps, 2) for fee in (older, newer)]
    return bytes(72) + b"".join(parts)


def test_a_token_account_is_read() -> None:
    read = read_token_account(VAULT)

    assert read.mint == WRAPPED_SOL
    assert read.owner == authority()
    assert str(read.amount) == RECORDED["accounts"]["token_account"]["amount"]
    assert read.is_initialized
    assert not read.is_frozen
    assert read.rent_if_native == 2_039_280


def test_a_frozen_token_account_is_told_from_others() -> None:
    frozen = VAULT[:108] + b"\x02" + VAULT[109:]

    assert read_token_account(frozen).is_frozen


@pytest.mark.parametrize(
    "data",
    [
        b"",
        VAULT[:-1],
        VAULT + b"\x01",  # a mint of Token-2022, by its type
        VAULT[:108] + b"\x03" + VAULT[109:],
    ],
)
def test_bytes_that_are_no_token_account_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableAccount):
        read_token_account(data)


def test_a_mint_of_the_token_program_is_read() -> None:
    read = read_mint(mint())

    assert (read.supply, read.decimals, read.is_initialized) == (5_000, 6, True)
    assert read.extensions == ()
    assert read.transfer_fee_at(3) is None


def test_the_transfer_fee_of_a_mint_counts_from_its_epoch_on() -> None:
    older, newer = TransferFee(2, 1_000, 50), TransferFee(9, 2_000, 75)
    read = read_mint(mint((18, bytes(64)), (1, transfer_fee_config(older, newer))))

    assert read.extensions == (18, 1)
    assert read.transfer_fee_at(8) == older
    assert read.transfer_fee_at(9) == newer


def test_what_follows_the_extensions_is_none() -> None:
    padded = mint((18, bytes(64))) + bytes(20)

    assert read_mint(padded).extensions == (18,)


@pytest.mark.parametrize("free", [TransferFee(0, 0, 75), TransferFee(0, 1_000, 0)])
def test_a_transfer_fee_of_nothing_is_none(free: TransferFee) -> None:
    assert read_mint(mint((1, transfer_fee_config(free, free)))).transfer_fee_at(1) is None


@pytest.mark.parametrize(
    "data",
    [
        mint()[:-1],
        mint() + bytes(40),
        VAULT,
        mint((1, bytes(50))),
        mint((18, bytes(64)))[:-1],
    ],
)
def test_bytes_that_are_no_mint_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableAccount):
        read_mint(data)


def test_the_clock_is_read() -> None:
    data = number(77) + bytes(8) + number(5) + bytes(8) + number(1_790_000_000)

    assert read_clock(data) == Clock(slot=77, epoch=5, unix_time=1_790_000_000)
    assert NONE.default() == NONE
