"""Transactions: what they hold, how large they are, and that no two are alike."""

import base64
from dataclasses import replace

import pytest
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from routing.solana.addresses import (
    CPMM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
    seeded,
)
from routing.solana.layout import UnreadableAccount
from routing.solana.programs import compute_budget, memo, system, token
from routing.solana.transactions.address_tables import read_address_table
from routing.solana.transactions.assembly import accounts_of, new_nonce, temporary_account
from routing.solana.transactions.legs import NATIVE_SOL
from routing.solana.transactions.message import (
    MOST_BYTES,
    TransactionTooLarge,
    UnreadableTransaction,
    bytes_to_sign,
    instructions_of,
    message_of,
    read_transaction,
    signed_size,
)
from routing.solana.wallet.signer import SignerUnavailable, WrongSignature, sign_transaction
from tests.routing.solana.recorded import RECORDED, USDC_MINT, USER, USER_SOL, USER_USDC
from tests.routing.solana.signers import KeyInMemory
from tests.routing.solana.trades import (
    BLOCK,
    OTHER,
    RENT,
    SELL_ON_CPMM,
    SHAPES,
    SOL,
    Shape,
)

GIVEN = RECORDED["transaction"]


def make_mint(svm: LiteSVM, mint: Pubkey, decimals: int) -> None:
    data = bytes(44) + bytes([decimals, 1]) + bytes(36)
    svm.set_account(mint, Account(1_461_600, data, TOKEN_PROGRAM))


async def test_a_signed_transaction_is_byte_for_byte_the_recorded_one() -> None:
    swap = SELL_ON_CPMM.instruction(USER, {WRAPPED_SOL: USER_SOL, USDC_MINT: USER_USDC})
    instructions = [compute_budget.limit(200_000), compute_budget.price(1_000), swap]
    signer = KeyInMemory(Keypair.from_seed(bytes.fromhex(GIVEN["seed"])))
    blockhash = Hash.from_string(GIVEN["blockhash"])
    message = message_of(signer.wallet, instructions, blockhash)

    signed = await sign_transaction(message, signer, BLOCK._replace(hash=blockhash))

    assert base64.b64encode(bytes_to_sign(message)).decode() == GIVEN["message"]
    assert base64.b64encode(signed.payload).decode() == GIVEN["wire"]
    assert signed.signature == GIVEN["signature"]
    assert signed.expires_at_height == BLOCK.expires_at_height
    assert signed_size(message) == len(signed.payload)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_of_order_fits_into_one_packet_without_tables(name: str) -> None:
    message = message_of(USER, SHAPES[name].instructions(USER), BLOCK.hash)

    assert signed_size(message) <= MOST_BYTES
    assert message.header.num_required_signatures == 1


@pytest.mark.parametrize("name", SHAPES)
def test_a_message_is_read_as_the_instructions_that_it_was_made_of(name: str) -> None:
    instructions = SHAPES[name].instructions(USER)
    message = message_of(USER, instructions, BLOCK.hash)

    read = instructions_of(message)

    assert [(one.program_id, one.data) for one in read] == [
        (one.program_id, one.data) for one in instructions
    ]
    assert [[account.pubkey for account in one.accounts] for one in read] == [
        [account.pubkey for account in one.accounts] for one in instructions
    ]


def three_legs() -> Shape:
    both = SHAPES["sell on both"]
    return Shape(NATIVE_SOL, OTHER, [*both.legs, *SHAPES["two hops"].legs[1:]])


def test_what_does_not_fit_is_refused_and_fits_with_a_table() -> None:
    instructions = three_legs().instructions(USER)

    with pytest.raises(TransactionTooLarge, match=r"and at most 1232 can be sent"):
        message_of(USER, instructions, BLOCK.hash)

    named = {one.pubkey for part in instructions for one in part.accounts} - {USER}
    table = AddressLookupTableAccount(Pubkey.new_unique(), sorted(named, key=bytes))
    message = message_of(USER, instructions, BLOCK.hash, [table])
    read = instructions_of(message, [table])
    assert signed_size(message) < 800
    assert [[account.pubkey for account in one.accounts] for one in read] == [
        [account.pubkey for account in one.accounts] for one in instructions
    ]
    with pytest.raises(UnreadableTransaction, match="unknown table"):
        instructions_of(message)
    shorter = AddressLookupTableAccount(table.key, table.addresses[:1])
    with pytest.raises(UnreadableTransaction, match="has no entry"):
        instructions_of(message, [shorter])


def test_an_instruction_that_names_no_account_of_the_message_is_refused() -> None:
    whole = message_of(USER, [memo.memo("x")], BLOCK.hash)
    wrong = CompiledInstruction(1, b"", bytes([7]))
    message = MessageV0(whole.header, whole.account_keys, BLOCK.hash, [wrong], [])

    with pytest.raises(UnreadableTransaction, match="an account that is not there"):
        instructions_of(message)


def table_account(*addresses: Pubkey, closing_at: int = 2**64 - 1, kind: int = 1) -> bytes:
    head = kind.to_bytes(4, "little") + closing_at.to_bytes(8, "little")
    return head.ljust(56, b"\0") + b"".join(bytes(one) for one in addresses)


def test_an_address_table_is_read() -> None:
    table = read_address_table(USER, table_account(USER_SOL, USER_USDC))

    assert (table.key, list(table.addresses)) == (USER, [USER_SOL, USER_USDC])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        table_account(USER_SOL)[:-1],
        table_account(USER_SOL, kind=0),
        table_account(USER_SOL, closing_at=5),
    ],
)
def test_an_account_that_is_no_table_or_will_be_none_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableAccount):
        read_address_table(USER, data)


def legacy() -> bytes:
    key = Keypair()
    move = transfer(TransferParams(from_pubkey=key.pubkey(), to_pubkey=USER, lamports=1))
    message = Message.new_with_blockhash([move], key.pubkey(), BLOCK.hash)
    return bytes(Transaction([key], message, BLOCK.hash))


@pytest.mark.parametrize(
    "payload",
    [b"", b"abc", bytes(100), legacy(), base64.b64decode(GIVEN["wire"]) + b"\0"],
)
def test_bytes_that_are_no_transaction_of_version_0_are_refused(payload: bytes) -> None:
    with pytest.raises(UnreadableTransaction):
        read_transaction(payload)


def test_no_two_nonces_are_alike_and_each_is_a_seed() -> None:
    nonces = {new_nonce() for _ in range(1_000)}

    assert len(nonces) == 1_000
    assert {len(nonce) for nonce in nonces} == {16}


@pytest.mark.parametrize("name", SHAPES)
async def test_the_same_order_twice_on_one_block_is_two_transactions(name: str) -> None:
    signer = KeyInMemory()
    signed = [
        await sign_transaction(
            message_of(
                signer.wallet, SHAPES[name].instructions(signer.wallet, new_nonce()), BLOCK.hash
            ),
            signer,
            BLOCK,
        )
        for _ in range(2)
    ]

    assert signed[0].signature != signed[1].signature


def test_native_sol_goes_through_an_account_that_the_same_transaction_closes() -> None:
    shape = SHAPES["sell on CPMM"]
    parts = shape.instructions(USER, "nonce")
    own = seeded(USER, "nonce", TOKEN_PROGRAM)

    assert temporary_account(USER, "nonce") == own
    assert parts[2] == system.create_with_seed(
        USER, "nonce", RENT + 3 * SOL // 2, 165, TOKEN_PROGRAM
    )
    assert parts[3] == token.initialize_account(own, WRAPPED_SOL, USER)
    assert parts[4] == token.create_associated_account(USER, USER, USDC_MINT)
    assert parts[5].accounts[4].pubkey == own
    assert parts[-1] == token.close_account(own, USER, USER)


def test_an_order_that_names_wrapped_sol_moves_the_wallets_own() -> None:
    shape = SHAPES["sell wrapped"]
    parts = shape.instructions(USER, "nonce")

    assert accounts_of(shape.trade(USER), shape.legs, "nonce")[WRAPPED_SOL] == USER_SOL
    assert parts[2] == memo.memo("nonce")
    assert all(part.program_id != TOKEN_PROGRAM for part in parts)


def test_accounts_that_exist_are_not_made() -> None:
    shape = SHAPES["sell on CPMM"]
    made = token.create_associated_account(USER, USER, USDC_MINT)

    assert made in shape.instructions(USER)
    assert made not in replace(shape, has_accounts=True).instructions(USER)


@pytest.mark.parametrize("gives_sol", [True, False])
async def test_everything_around_the_swaps_runs_on_solanas_own_programs(gives_sol: bool) -> None:
    """LiteSVM has the token programs and no swaps: what is wrapped comes back, less the fees."""
    svm, signer = LiteSVM(), KeyInMemory()
    svm.airdrop(signer.wallet, 10 * SOL)
    make_mint(svm, USDC_MINT, 6)
    make_mint(svm, WRAPPED_SOL, 9)
    rent = svm.minimum_balance_for_rent_exemption(165)
    shape = replace(SHAPES["sell on CPMM" if gives_sol else "buy on CPMM"], tip=None)
    block = BLOCK._replace(hash=svm.latest_blockhash())
    for turn in range(2):
        before = svm.get_balance(signer.wallet) or 0
        parts = shape.instructions(signer.wallet, new_nonce(), rent=rent)
        parts = [part for part in parts if part.program_id != CPMM_PROGRAM]
        message = message_of(signer.wallet, parts, block.hash)
        signed = await sign_transaction(message, signer, block)

        landed = svm.send_transaction(VersionedTransaction.from_bytes(signed.payload))

        assert isinstance(landed, TransactionMetadata), landed
        made = rent if gives_sol and turn == 0 else 0  # the account of USDC is made once
        assert svm.get_balance(signer.wallet) == before - 5_000 - 200 - made
    usdc = associated_token_account(signer.wallet, USDC_MINT)
    assert (svm.get_account(usdc) is not None) is gives_sol


async def test_a_signature_that_is_not_the_wallets_is_never_sent() -> None:
    signer = KeyInMemory()
    message = message_of(
        signer.wallet, SHAPES["sell on CPMM"].instructions(signer.wallet), BLOCK.hash
    )
    signer.answers = [bytes(64), b"short", bytes(Keypair().sign_message(bytes_to_sign(message)))]

    for _ in range(3):
        with pytest.raises(WrongSignature, match="not this wallet's"):
            await sign_transaction(message, signer, BLOCK)
    assert (await sign_transaction(message, signer, BLOCK)).payload


async def test_a_message_of_another_wallet_or_block_is_not_signed() -> None:
    signer = KeyInMemory()
    others = message_of(USER, SHAPES["sell on CPMM"].instructions(USER), BLOCK.hash)
    own = message_of(signer.wallet, [memo.memo("x")], Hash.new_unique())

    with pytest.raises(WrongSignature, match="this wallet's signature alone"):
        await sign_transaction(others, signer, BLOCK)
    with pytest.raises(WrongSignature, match="another block"):
        await sign_transaction(own, signer, BLOCK)
    assert signer.asked == 0


async def test_a_signer_that_is_away_is_told() -> None:
    signer = KeyInMemory(is_away=True)
    message = message_of(signer.wallet, [memo.memo("x")], BLOCK.hash)

    with pytest.raises(SignerUnavailable):
        await sign_transaction(message, signer, BLOCK)
