"""Slots, heights, blockhashes that expire, blocks that become final or are taken back."""

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.solana.programs import compute_budget, system
from tests.support.local_cluster import Client, RpcFailed

SOL = 10**9


def stranger() -> Pubkey:
    return Keypair().pubkey()


async def test_slots_and_heights_grow_and_are_never_the_same_number(node: Client) -> None:
    before = await node.call("getEpochInfo")
    await node.advance(5)
    after = await node.call("getEpochInfo")

    assert after["absoluteSlot"] == before["absoluteSlot"] + 5
    assert after["blockHeight"] == before["blockHeight"] + 5
    assert after["absoluteSlot"] > after["blockHeight"]
    assert await node.call("getSlot") == after["absoluteSlot"]
    assert await node.call("getBlockHeight") == after["blockHeight"]


async def test_a_block_is_processed_at_once_and_final_one_slot_later(node: Client) -> None:
    receiver = stranger()
    signature = await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    assert await node.status(signature) is None

    await node.advance()
    assert (await node.status(signature))["confirmationStatus"] == "processed"
    assert (await node.status(signature))["confirmations"] == 0
    assert await node.lamports(receiver, "processed") == SOL
    assert await node.lamports(receiver, "finalized") == 0
    assert await node.told(signature) is None

    await node.advance()
    assert (await node.status(signature))["confirmationStatus"] == "finalized"
    assert (await node.status(signature))["confirmations"] is None
    assert await node.lamports(receiver, "finalized") == SOL
    assert (await node.told(signature))["meta"]["err"] is None


@pytest.mark.parametrize(("late", "lands"), [(149, True), (150, False)])
async def test_a_transaction_lands_up_to_its_last_valid_height_and_never_later(
    node: Client, late: int, lands: bool
) -> None:
    latest = (await node.call("getLatestBlockhash", {"commitment": "processed"}))["value"]
    height = await node.call("getBlockHeight", {"commitment": "processed"})
    assert latest["lastValidBlockHeight"] == height + 150
    transfer = system.transfer(node.owner, stranger(), SOL)
    signed = await node.signed(transfer, blockhash=latest["blockhash"])

    await node.advance(late)
    processed = {"commitment": "processed"}
    valid = await node.call("isBlockhashValid", latest["blockhash"], processed)
    assert valid["value"] is lands
    signature = await node.send(signed)
    await node.advance(2)

    assert (await node.status(signature) is not None) is lands
    if lands:
        at = (await node.status(signature))["slot"]
        assert (
            at - await node.call("getSlot") + await node.call("getBlockHeight")
            == (latest["lastValidBlockHeight"])
        )


async def test_a_preflight_does_not_know_an_expired_blockhash(node: Client) -> None:
    signed = await node.signed(system.transfer(node.owner, stranger(), SOL))
    await node.advance(151)

    with pytest.raises(RpcFailed, match="Blockhash not found") as refused:
        await node.send(signed, skipPreflight=False)
    assert (refused.value.code, refused.value.data["err"]) == (-32002, "BlockhashNotFound")


async def test_a_slot_that_is_taken_back_lands_again_in_the_next(node: Client) -> None:
    receiver = stranger()
    signature = await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    await node.advance()
    before = await node.call("getEpochInfo", {"commitment": "processed"})

    assert await node.call("cluster_reorganise") == [signature]
    assert await node.status(signature) is None
    assert await node.lamports(receiver) == 0

    await node.advance()
    after = await node.call("getEpochInfo", {"commitment": "processed"})
    assert (await node.status(signature))["slot"] == after["absoluteSlot"]
    assert after["absoluteSlot"] == before["absoluteSlot"] + 1
    assert after["blockHeight"] == before["blockHeight"]
    assert await node.lamports(receiver) == SOL


async def test_a_slot_that_is_taken_back_may_lose_its_transactions(node: Client) -> None:
    receiver, before = stranger(), await node.lamports(node.owner)
    signature = await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    await node.advance()

    await node.call("cluster_reorganise", {"landsAgain": False})
    await node.advance(5)

    assert await node.status(signature) is None
    assert (await node.lamports(receiver), await node.lamports(node.owner)) == (0, before)


async def test_the_blockhash_of_a_slot_that_was_taken_back_is_unknown(node: Client) -> None:
    latest = await node.blockhash("processed")
    await node.advance()
    gone = await node.blockhash("processed")
    await node.call("cluster_reorganise")
    assert await node.blockhash("processed") == latest
    await node.advance()

    signature = await node.send(
        await node.signed(system.transfer(node.owner, stranger(), SOL), blockhash=gone)
    )
    await node.advance(3)
    assert await node.status(signature) is None


async def test_a_block_that_is_final_is_never_taken_back(node: Client) -> None:
    receiver = stranger()
    signature = await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    await node.advance(2)

    for _ in range(3):
        await node.call("cluster_reorganise")

    assert (await node.status(signature))["confirmationStatus"] == "finalized"
    assert await node.lamports(receiver, "finalized") == SOL


async def test_what_is_read_at_a_commitment_is_of_one_slot(node: Client) -> None:
    receiver, owner = str(stranger()), str(node.owner)
    for _ in range(3):
        transfer = system.transfer(node.owner, Pubkey.from_string(receiver), SOL)
        await node.send(await node.signed(transfer))
        await node.advance()
    for commitment in ("processed", "confirmed", "finalized"):
        options = {"commitment": commitment, "encoding": "base64"}
        found = await node.call("getMultipleAccounts", [receiver, owner], options)
        theirs, own = (account["lamports"] for account in found["value"])
        count = theirs // SOL
        assert own == 10_000 * SOL - count * (SOL + 5_000)
        assert count == (3 if commitment == "processed" else 2)


async def test_old_statuses_are_found_in_the_history_alone(node: Client) -> None:
    signature = await node.send(await node.signed(system.transfer(node.owner, stranger(), SOL)))
    await node.advance(303)

    assert await node.status(signature, history=False) is None
    assert (await node.status(signature))["confirmationStatus"] == "finalized"


async def test_a_reader_may_ask_for_a_slot_that_is_not_there_yet(node: Client) -> None:
    slot = await node.call("getSlot")
    assert await node.call("getSlot", {"minContextSlot": slot}) == slot

    with pytest.raises(RpcFailed) as refused:
        await node.call("getSlot", {"minContextSlot": slot + 1})
    assert (refused.value.code, refused.value.data) == (-32016, {"contextSlot": slot})


async def test_priority_fees_that_were_paid_are_told_for_the_accounts_written(
    node: Client,
) -> None:
    receiver = stranger()
    await node.land(compute_budget.price(7_000), system.transfer(node.owner, receiver, SOL))

    async def paid(address: Pubkey) -> set[int]:
        found = await node.call("getRecentPrioritizationFees", [str(address)])
        return {one["prioritizationFee"] for one in found}

    assert await paid(receiver) == {0, 7_000}
    assert await paid(stranger()) == {0}


async def test_signatures_of_an_address_are_told_latest_first_and_in_pages(node: Client) -> None:
    receiver = stranger()
    sent = []
    for _ in range(4):
        transaction = await node.signed(system.transfer(node.owner, receiver, SOL))
        sent.append(await node.send(transaction))
        await node.advance()
    await node.advance()

    async def signatures(**options: object) -> list[str]:
        found = await node.call("getSignaturesForAddress", str(receiver), options)
        return [one["signature"] for one in found]

    assert await signatures() == sent[::-1]
    assert await signatures(limit=2) == [sent[3], sent[2]]
    assert await signatures(before=sent[2]) == [sent[1], sent[0]]
    assert await signatures(until=sent[1]) == [sent[3], sent[2]]
