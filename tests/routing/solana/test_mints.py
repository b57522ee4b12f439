import pytest

from routing.pools.transfer_fees import FREE, PoolWithTransferFees
from routing.pools.transfer_fees import TransferFee as Taken
from routing.solana.mints import strange_extensions, with_transfer_fees
from routing.solana.token_accounts import Mint, TransferFee
from tests.routing.pools.samples import RAYDIUM

PLAIN = Mint(supply=0, decimals=6, is_initialized=True)


def taxed(older: TransferFee, newer: TransferFee) -> Mint:
    return Mint(0, 6, True, (1, 18), (older, newer))


def test_a_pool_of_mints_that_take_nothing_is_itself() -> None:
    free = taxed(TransferFee(0, 0, 50), TransferFee(9, 5, 0))

    assert with_transfer_fees(RAYDIUM, PLAIN, PLAIN, 5) is RAYDIUM
    assert with_transfer_fees(RAYDIUM, free, PLAIN, 10) is RAYDIUM


def test_the_fee_of_the_epoch_is_taken_on_its_own_side() -> None:
    mint = taxed(TransferFee(0, 1_000, 50), TransferFee(9, 2_000, 75))

    assert with_transfer_fees(RAYDIUM, mint, PLAIN, 8) == PoolWithTransferFees(
        RAYDIUM, Taken(50, 1_000), FREE
    )
    assert with_transfer_fees(RAYDIUM, PLAIN, mint, 9) == PoolWithTransferFees(
        RAYDIUM, FREE, Taken(75, 2_000)
    )


@pytest.mark.parametrize(
    ("extensions", "strange"),
    [
        ((), set()),
        ((1, 10, 18, 19, 25), set()),
        ((1, 14), {14}),
        ((12, 6, 18), {6, 12}),
        ((99,), {99}),
    ],
)
def test_extensions_that_do_more_than_a_fee_are_told(
    extensions: tuple[int, ...], strange: set[int]
) -> None:
    assert strange_extensions(Mint(0, 6, True, extensions)) == strange
