"""Real transactions through HTTP, executed by the real system and token programs."""

import base64
from typing import Any

import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from routing.cluster.genesis.accounts import mint_of
from routing.cluster.messages import ADDRESS_TABLES
from routing.solana.addresses import (
    SYSTEM_PROGRAM,
    TOKEN_PROGRAM,
    WRAPPED_SOL,
    associated_token_account,
    seeded,
)
from routing.solana.programs import compute_budget, system, token
from routing.tokens import USDC
from tests.support.local_cluster import Client, RpcFailed

SOL = 10**9
MINT = mint_of(USDC)


def stranger() -> Pubkey:
    return Keypair().pubkey()


async def test_a_transfer_moves_lamports_and_costs_the_signature_fee(node: Client) -> None:
    receiver, before = stranger(), await node.lamports(node.owner)

    told = await node.land(system.transfer(node.owner, receiver, SOL))

    assert told["meta"]["err"] is None
    assert told["meta"]["fee"] == 5_000
    assert await node.lamports(receiver) == SOL
    assert await node.lamports(node.owner) == before - SOL - 5_000


async def test_the_priority_fee_is_paid_for_the_limit_and_not_for_the_use(node: Client) -> None:
    budget = [compute_budget.limit(100_001), compute_budget.price(15_000)]
    told = await node.land(*budget, system.transfer(node.owner, stranger(), SOL))

    assert told["meta"]["fee"] == 5_000 + 1_501
    assert told["meta"]["computeUnitsConsumed"] < 10_000


async def test_a_failure_in_a_block_pays_its_fee_and_moves_nothing_else(node: Client) -> None:
    receiver, before = stranger(), await node.lamports(node.owner)

    told = await node.land(
        system.transfer(node.owner, receiver, SOL), system.transfer(node.owner, receiver, 2**60)
    )

    assert told["meta"]["err"] == {"InstructionError": [1, {"Custom": 1}]}
    assert await node.lamports(receiver) == 0
    assert await node.lamports(node.owner) == before - 5_000


async def test_the_token_programs_make_accounts_and_move_tokens(node: Client) -> None:
    receiver = stranger()
    source, target = (
        associated_token_account(node.owner, MINT),
        associated_token_account(receiver, MINT),
    )
    before = await node.tokens(source)

    told = await node.land(
        token.create_associated_account(node.owner, receiver, MINT),
        token.transfer_checked(source, MINT, target, node.owner, 1_234_567, USDC.decimals),
    )

    assert told["meta"]["err"] is None
    assert await node.tokens(source) == before - 1_234_567
    assert await node.tokens(target) == 1_234_567
    rent = await node.call("getMinimumBalanceForRentExemption", 165)
    assert await node.lamports(target) == rent == 1_488_440
    assert len(told["meta"]["innerInstructions"][0]["instructions"]) >= 3


async def test_native_sol_is_wrapped_and_unwrapped_in_an_account_for_a_moment(
    node: Client,
) -> None:
    temporary = seeded(node.owner, "a moment", TOKEN_PROGRAM)
    rent = await node.call("getMinimumBalanceForRentExemption", 165)
    before = await node.lamports(node.owner)

    told = await node.land(
        system.create_with_seed(node.owner, "a moment", rent + SOL, 165, TOKEN_PROGRAM),
        token.initialize_account(temporary, WRAPPED_SOL, node.owner),
        token.sync_native(temporary),
        token.close_account(temporary, node.owner, node.owner),
    )

    assert told["meta"]["err"] is None
    assert await node.lamports(node.owner) == before - 5_000
    assert (await node.call("getAccountInfo", str(temporary)))["value"] is None


async def test_a_stranger_cannot_move_the_tokens_of_the_wallet(node: Client) -> None:
    thief = Keypair()
    await node.land(
        system.transfer(node.owner, thief.pubkey(), SOL),
        token.create_associated_account(node.owner, thief.pubkey(), MINT),
    )
    stolen = token.transfer_checked(
        associated_token_account(node.owner, MINT),
        MINT,
        associated_token_account(thief.pubkey(), MINT),
        thief.pubkey(),
        1,
        USDC.decimals,
    )

    told = await node.land(stolen, payer=thief)

    assert told["meta"]["err"] == {"InstructionError": [0, {"Custom": 4}]}


async def test_a_signature_that_is_not_the_signers_is_refused(node: Client) -> None:
    signed = await node.signed(system.transfer(node.owner, stranger(), SOL))
    forged = VersionedTransaction.populate(signed.message, [Signature.new_unique()])

    with pytest.raises(RpcFailed) as refused:
        await node.send(forged)
    assert refused.value.code == -32003
    assert refused.value.message == "Transaction signature verification failure"


async def test_a_signature_that_is_missing_is_refused(node: Client) -> None:
    other = Keypair()
    transfer = system.transfer(other.pubkey(), node.owner, 1)
    signed = await node.signed(transfer, signers=[other])
    signatures = [signed.signatures[0], Signature.default()]

    with pytest.raises(RpcFailed) as refused:
        await node.send(VersionedTransaction.populate(signed.message, signatures))
    assert refused.value.code == -32003


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ("!!", "invalid base64 encoding"),
        ("AAAA", "failed to deserialize"),
        ("A" * 1_648, "too large: 1236 bytes"),
    ],
)
async def test_bytes_that_are_no_transaction_are_refused(
    node: Client, wire: str, words: str
) -> None:
    with pytest.raises(RpcFailed, match=words) as refused:
        await node.call("sendTransaction", wire, {"encoding": "base64"})
    assert refused.value.code == -32602


async def test_a_preflight_refuses_what_would_fail_and_takes_nothing(node: Client) -> None:
    before = await node.lamports(node.owner)
    signed = await node.signed(system.transfer(node.owner, stranger(), 2**60))

    with pytest.raises(RpcFailed) as refused:
        await node.send(signed, skipPreflight=False)
    await node.advance(3)

    assert refused.value.code == -32002
    assert refused.value.data["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert "insufficient lamports" in " ".join(refused.value.data["logs"])
    assert await node.lamports(node.owner) == before


async def test_a_simulation_tells_the_accounts_afterwards_and_changes_nothing(
    node: Client,
) -> None:
    receiver, before = stranger(), await node.lamports(node.owner)
    signed = await node.signed(system.transfer(node.owner, receiver, SOL))
    unsigned = VersionedTransaction.populate(signed.message, [Signature.default()])
    named = [str(receiver), str(node.owner), str(MINT), str(stranger())]
    accounts = {"encoding": "base64", "addresses": named}

    value = await node.simulated(unsigned, replaceRecentBlockhash=True, accounts=accounts)

    assert value["err"] is None
    *told, unnamed, nowhere = value["accounts"]
    assert [account["lamports"] for account in told] == [SOL, before - SOL - 5_000]
    assert (unnamed["owner"], nowhere) == (str(TOKEN_PROGRAM), None)
    assert value["replacementBlockhash"]["blockhash"] == await node.blockhash()
    assert await node.lamports(node.owner) == before


async def test_a_payer_without_money_never_lands(node: Client) -> None:
    poor = Keypair()
    signed = await node.signed(system.transfer(poor.pubkey(), node.owner, 1), payer=poor)

    signature = await node.send(signed)
    await node.advance(3)

    assert await node.status(signature) is None
    with pytest.raises(RpcFailed) as refused:
        await node.send(signed, skipPreflight=False)
    assert refused.value.data["err"] == "AccountNotFound"


async def test_the_same_bytes_land_once_however_often_they_are_sent(node: Client) -> None:
    receiver = stranger()
    signed = await node.signed(system.transfer(node.owner, receiver, SOL))

    for _ in range(3):
        await node.send(signed)
    await node.advance()
    await node.send(signed)
    await node.advance(2)

    assert await node.lamports(receiver) == SOL
    with pytest.raises(RpcFailed) as refused:
        await node.send(signed, skipPreflight=False)
    assert refused.value.data["err"] == "AlreadyProcessed"


async def test_a_v0_transaction_finds_its_accounts_in_an_address_table(node: Client) -> None:
    receivers = [stranger() for _ in range(3)]
    table = await table_of(node, receivers)
    transfers = [system.transfer(node.owner, one, SOL) for one in receivers]

    with_table = await node.signed(*transfers, tables=[table])
    assert len(bytes(with_table)) < len(bytes(await node.signed(*transfers)))
    signature = await node.send(with_table)
    await node.advance(2)

    told = await node.told(signature)
    assert told["meta"]["err"] is None
    assert told["version"] == 0
    loaded = told["meta"]["loadedAddresses"]["writable"]
    assert sorted(loaded) == sorted(str(one) for one in receivers)
    assert [await node.lamports(one) for one in receivers] == [SOL] * 3


async def test_a_transaction_of_an_unknown_address_table_is_told_so(node: Client) -> None:
    receiver = stranger()
    unknown = AddressLookupTableAccount(stranger(), [receiver])
    signed = await node.signed(system.transfer(node.owner, receiver, SOL), tables=[unknown])

    with pytest.raises(RpcFailed) as refused:
        await node.send(signed, skipPreflight=False)
    assert refused.value.data["err"] == "AddressLookupTableNotFound"


async def test_a_reader_that_knows_no_v0_is_told_so(node: Client) -> None:
    told = await node.land(system.transfer(node.owner, stranger(), SOL))
    signature = str(VersionedTransaction.from_bytes(wire_of(told)).signatures[0])

    with pytest.raises(RpcFailed) as refused:
        await node.call("getTransaction", signature)
    assert refused.value.code == -32015


async def test_a_message_with_its_own_limit_may_not_use_more(node: Client) -> None:
    receiver = stranger()
    told = await node.land(
        compute_budget.limit(1_000), token.create_associated_account(node.owner, receiver, MINT)
    )

    number, reason = told["meta"]["err"]["InstructionError"]
    assert number == 1
    assert reason in ("ComputationalBudgetExceeded", "ProgramFailedToComplete")


async def test_an_airdrop_is_a_transaction_of_the_bank(node: Client) -> None:
    receiver = stranger()

    first = await node.call("requestAirdrop", str(receiver), SOL)
    second = await node.call("requestAirdrop", str(receiver), SOL)
    await node.advance(2)

    assert first != second
    assert await node.lamports(receiver) == 2 * SOL
    assert (await node.status(first))["confirmationStatus"] == "finalized"
    found = await node.call("getSignaturesForAddress", str(receiver))
    assert {one["signature"] for one in found} == {first, second}


def wire_of(told: dict[str, Any]) -> bytes:
    return base64.b64decode(told["transaction"][0])


async def table_of(node: Client, addresses: list[Pubkey]) -> AddressLookupTableAccount:
    """Make an address table, as wallets do."""
    slot = await node.call("getSlot")
    key, bump = Pubkey.find_program_address(
        [bytes(node.owner), slot.to_bytes(8, "little")], ADDRESS_TABLES
    )
    metas = [
        AccountMeta(key, False, True),
        AccountMeta(node.owner, True, False),
        AccountMeta(node.owner, True, True),
        AccountMeta(SYSTEM_PROGRAM, False, False),
    ]
    create = b"\0\0\0\0" + slot.to_bytes(8, "little") + bytes([bump])
    extend = b"\2\0\0\0" + len(addresses).to_bytes(8, "little") + b"".join(map(bytes, addresses))
    told = await node.land(
        Instruction(ADDRESS_TABLES, create, metas), Instruction(ADDRESS_TABLES, extend, metas)
    )
    assert told["meta"]["err"] is None
    return AddressLookupTableAccount(key, addresses)
