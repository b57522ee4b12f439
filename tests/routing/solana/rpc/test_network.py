"""What became of a transaction: known as soon as one provider has it, dead only by proof of all."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from routing.solana.addresses import WRAPPED_SOL, associated_token_account
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.network import SolanaNetwork
from routing.solana.rpc.provider import Provider, RpcUnavailable
from routing.solana.rpc.sightings import Final, NotFinal, Sightings, Unknown
from routing.solana.transactions.assembly import new_nonce
from routing.solana.transactions.message import Blockhash, message_of, read_message
from routing.solana.wallet.signer import sign_transaction
from routing.venue import (
    Absent,
    Landed,
    NetworkUnavailable,
    Rejected,
    SignedTransaction,
    TransactionRefused,
)
from tests.routing.solana.recorded import USDC_MINT
from tests.routing.solana.rpc.fake_node import (
    FakeNode,
    answering,
    refusing,
    serving,
    status,
    with_http,
)
from tests.routing.solana.signers import KeyInMemory
from tests.routing.solana.trades import BLOCK, SHAPES, SOL, TIP, USDC
from tests.support.venue_contract import UNKNOWN

EXPIRY = BLOCK.expires_at_height
AWAY = with_http(503)
FEE = 5_200
SIGNER = KeyInMemory(Keypair.from_seed(bytes(range(32))))


@asynccontextmanager
async def network_of(*nodes: FakeNode, **settings: Any) -> AsyncIterator[SolanaNetwork]:
    async with serving(*nodes):
        client = RpcClient([Provider(node.url) for node in nodes])
        made = SolanaNetwork(client, tip_receivers=[TIP.receiver], interval=0, **settings)
        try:
            yield made
        finally:
            await made.close()


def node(height: int = EXPIRY, **settings: Any) -> FakeNode:
    return FakeNode(height=height, slot=height + 1_000, **settings)


async def sold(block: Blockhash = BLOCK) -> SignedTransaction:
    parts = SHAPES["sell on CPMM"].instructions(SIGNER.wallet, new_nonce())
    return await sign_transaction(message_of(SIGNER.wallet, parts, block.hash), SIGNER, block)


def record(
    sent: SignedTransaction, *, error: Any = None, usdc: int = 150 * USDC, fee: int = FEE
) -> dict[str, Any]:
    """What a node stores of the sale: 1.5 SOL went out, and so much came in."""
    keys = list(read_message(sent.payload).account_keys)
    before, after = [10 * SOL] * len(keys), [10 * SOL] * len(keys)
    gone = fee if error else 3 * SOL // 2 + fee + TIP.lamports
    after[0] -= gone
    place = keys.index(associated_token_account(SIGNER.wallet, USDC_MINT))
    held = {
        "accountIndex": place,
        "mint": str(USDC_MINT),
        "owner": str(SIGNER.wallet),
        "uiTokenAmount": {"amount": "0"},
    }
    gained = held | {"uiTokenAmount": {"amount": "0" if error else str(usdc)}}
    meta = {
        "err": error,
        "fee": fee,
        "preBalances": before,
        "postBalances": after,
        "preTokenBalances": [held],
        "postTokenBalances": [gained],
    }
    content = base64.b64encode(sent.payload).decode()
    return {"slot": 5, "transaction": [content, "base64"], "meta": meta}


def land(sent: SignedTransaction, *nodes: FakeNode, **kwargs: Any) -> None:
    for one in nodes:
        one.statuses[sent.signature] = status(error=kwargs.get("error"))
        one.records[sent.signature] = record(sent, **kwargs)


FILL = Landed(3 * SOL // 2, 150 * USDC, FEE + TIP.lamports, tip=TIP.lamports)


async def test_a_fill_is_told_by_its_record() -> None:
    one, sent = node(), await sold()
    async with network_of(one) as network:
        assert await network.send(sent) == Absent(EXPIRY)
        assert one.taken == [sent.payload]
        land(sent, one)
        assert await network.status(sent) == FILL
        assert await network.send(sent) == FILL  # a resend tells it, too


@pytest.mark.parametrize(
    ("error", "code", "fee"),
    [
        ({"InstructionError": [5, {"Custom": 6005}]}, "slippage_exceeded", FEE),
        ({"InstructionError": [5, {"Custom": 1}]}, "insufficient_funds", FEE),
        ("InsufficientFundsForFee", "insufficient_funds", 0),
    ],
)
async def test_a_failure_in_a_final_block_is_a_rejection(error: Any, code: str, fee: int) -> None:
    one, sent = node(), await sold()
    land(sent, one, error=error, fee=fee)
    async with network_of(one) as network:
        outcome = await network.status(sent)

    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.network_fee) == (code, fee)


async def test_a_block_that_may_be_skipped_proves_nothing() -> None:
    one, sent = node(EXPIRY + 1), await sold()
    one.statuses[sent.signature] = status("processed")
    one.records[sent.signature] = record(sent)
    async with network_of(one) as network:
        assert await network.status(sent) == Absent(0)


async def test_a_transaction_is_dead_above_its_expiry_by_two_answers_in_their_order() -> None:
    one, sent = node(EXPIRY), await sold()
    async with network_of(one) as network:
        assert await network.send(sent) == Absent(EXPIRY)
    async with network_of(one) as network:
        one.height += 1
        one.slot += 1
        one.asked.clear()
        assert await network.status(sent) == Absent(EXPIRY + 1)

    asked = [method for method, _ in one.asked]
    assert asked == ["getEpochInfo", "getSignatureStatuses", "getFirstAvailableBlock"]


async def test_a_node_whose_answer_is_older_than_its_height_proves_nothing() -> None:
    one, sent = node(EXPIRY + 1), await sold()
    one.answers_as_of = one.slot - 1
    async with network_of(one) as network:
        with pytest.raises(NetworkUnavailable, match=r"as of slot 1150, before its own 1151"):
            await network.status(sent)


async def test_a_node_that_is_behind_keeps_the_transaction_alive() -> None:
    ahead, behind, sent = node(EXPIRY + 5), node(EXPIRY - 3), await sold()
    async with network_of(ahead, behind) as network:
        assert await network.status(sent) == Absent(EXPIRY - 3)
        assert await network.height() == EXPIRY - 3


async def test_a_node_that_says_absent_wrongly_is_outvoted_by_one_that_has_it() -> None:
    wrong, right, sent = node(EXPIRY + 5), node(EXPIRY + 5), await sold()
    land(sent, right)
    async with network_of(wrong, right) as network:
        assert await network.status(sent) == FILL
    async with network_of(right, wrong) as network:
        assert await network.status(sent) == FILL


async def test_a_fill_counts_though_the_other_provider_is_away() -> None:
    away, right, sent = node(), node(), await sold()
    land(sent, right)
    away.always["*"] = AWAY
    async with network_of(away, right) as network:
        assert await network.status(sent) == FILL


async def test_absence_at_one_provider_proves_nothing_while_the_other_is_away() -> None:
    away, absent, sent = node(EXPIRY + 5), node(EXPIRY + 5), await sold()
    away.always["*"] = AWAY
    async with network_of(away, absent) as network:
        with pytest.raises(NetworkUnavailable, match="HTTP 503"):
            await network.status(sent)
        assert await network.height() == EXPIRY + 5


async def test_history_that_was_thrown_away_proves_nothing() -> None:
    one, sent = node(EXPIRY), await sold()
    async with network_of(one) as network:
        await network.send(sent)
    one.height += 10
    one.slot += 10
    one.first_slot = one.slot - 100
    async with network_of(one) as network:
        for look in (network.send, network.status):
            with pytest.raises(NetworkUnavailable, match="keeps no history back to height 0"):
                await look(sent)
        one.first_slot = 0
        with pytest.raises(TransactionRefused, match="expired"):
            await network.send(sent)
        assert await network.status(sent) == Absent(EXPIRY + 10)
        one.always["getFirstAvailableBlock"] = AWAY
        with pytest.raises(NetworkUnavailable):
            await network.status(sent)


async def test_expired_bytes_are_not_sent() -> None:
    one, sent = node(EXPIRY + 1), await sold()
    async with network_of(one) as network:
        with pytest.raises(TransactionRefused, match="the transaction has expired"):
            await network.send(sent)
        assert one.taken == []
        land(sent, one)
        assert await network.send(sent) == FILL


async def test_a_send_that_all_refuse_is_refused_and_one_that_is_lost_is_not() -> None:
    one, sent = node(), await sold()
    async with network_of(one) as network:
        one.always["sendTransaction"] = refusing(-32602, "too large")
        with pytest.raises(TransactionRefused, match="too large"):
            await network.send(sent)
        one.always["sendTransaction"] = AWAY
        with pytest.raises(NetworkUnavailable, match="no provider is known to have taken it"):
            await network.send(sent)
        land(sent, one)
        assert await network.send(sent) == FILL
        del one.statuses[sent.signature]
        one.always = {"getSignatureStatuses": AWAY}
        assert await network.send(sent) == Absent(EXPIRY)  # taken, and nothing is known of it


@pytest.mark.parametrize(
    "spoil",
    [
        lambda sent: None,
        lambda sent: record(sent) | {"transaction": ["AAAA", "base64"]},
        lambda sent: record(sent) | {"meta": record(sent)["meta"] | {"preBalances": [1]}},
        lambda sent: record(sent, usdc=0),
        lambda sent: record(sent) | {"meta": None},
        lambda sent: record(sent) | {"transaction": ["AAAA", "base58"]},
    ],
)
async def test_a_record_that_cannot_be_this_ones_is_no_outcome(
    spoil: Callable[[SignedTransaction], Any], caplog: pytest.LogCaptureFixture
) -> None:
    one, sent = node(), await sold()
    land(sent, one)
    one.records[sent.signature] = spoil(sent)
    async with network_of(one) as network:
        with pytest.raises(NetworkUnavailable):
            await network.status(sent)


async def test_the_record_of_another_transaction_is_no_outcome() -> None:
    one, sent, other = node(), await sold(), await sold()
    land(sent, one)
    one.records[sent.signature] = record(other)
    async with network_of(one) as network:
        with pytest.raises(NetworkUnavailable, match="it is another transaction's"):
            await network.status(sent)
        forged = bytearray(other.payload)
        forged[1:65] = sent.payload[1:65]  # the right signature over other content
        other = other._replace(payload=bytes(forged))
        one.records[sent.signature] = record(other)
        with pytest.raises(NetworkUnavailable, match="it is another transaction's"):
            await network.status(sent)


async def test_two_hops_are_told_without_what_lies_between() -> None:
    one = node()
    parts = SHAPES["two hops"].instructions(SIGNER.wallet)
    message = message_of(SIGNER.wallet, parts, BLOCK.hash)
    sent = await sign_transaction(message, SIGNER, BLOCK)
    keys = list(message.account_keys)
    after = [0] * len(keys)
    after[0] = -3 * SOL // 2 - FEE + 10 * SOL
    other = SHAPES["two hops"].takes.mint

    def gained(mint: Pubkey, atoms: int) -> dict[str, Any]:
        place = keys.index(associated_token_account(SIGNER.wallet, mint))
        amount = {"amount": str(atoms)}
        owner = str(SIGNER.wallet)
        return {"accountIndex": place, "mint": str(mint), "owner": owner, "uiTokenAmount": amount}

    meta = {
        "err": None,
        "fee": FEE,
        "preBalances": [10 * SOL] + [0] * (len(keys) - 1),
        "postBalances": after,
        "preTokenBalances": [],
        "postTokenBalances": [gained(other, 5), gained(USDC_MINT, 700)],
    }
    one.statuses[sent.signature] = status()
    content = base64.b64encode(sent.payload).decode()
    one.records[sent.signature] = {"transaction": [content, "base64"], "meta": meta}
    async with network_of(one) as network:
        assert await network.status(sent) == Landed(3 * SOL // 2, 5, FEE)
    assert WRAPPED_SOL not in keys or keys[0] == SIGNER.wallet


async def test_fifty_orders_in_flight_share_one_call() -> None:
    one = node()
    gate = asyncio.Event()

    async def wait(_: web.Request, body: Any) -> web.Response:
        await gate.wait()
        return await answering({"absoluteSlot": one.slot, "blockHeight": one.height})(_, body)

    one.faults["getEpochInfo"].append(wait)
    async with network_of(one) as network:
        unknown = [UNKNOWN._replace(signature=f"signature {number}") for number in range(650)]
        looks = [asyncio.create_task(network.status(each)) for each in unknown[:50]]
        await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*looks) == [Absent(EXPIRY)] * 50
        assert one.calls == {"getEpochInfo": 1, "getSignatureStatuses": 1}
        many = [network.status(each) for each in unknown[50:]]
        assert set(await asyncio.gather(*many)) == {Absent(EXPIRY)}

    assert one.calls == {"getEpochInfo": 1, "getSignatureStatuses": 4}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([None], Unknown(EXPIRY)),
        ([status()], Final(None)),
        ([status("confirmed")], NotFinal()),
        ([status(error="x")], Final("x")),
    ],
)
async def test_a_sighting_is_what_the_node_says(value: Any, expected: Any) -> None:
    one = node()
    async with serving(one):
        one.always["getSignatureStatuses"] = answering(
            {"context": {"slot": one.slot}, "value": value}
        )
        provider = Provider(one.url)
        sightings = Sightings(provider, interval=0)
        assert await sightings.look("sig") == expected
        await sightings.close()
        await provider.close()


@pytest.mark.parametrize(
    "answer",
    [
        {"context": {"slot": 5_000}, "value": []},
        {"context": {"slot": 5_000}, "value": [None, None]},
        {"context": {}, "value": [None]},
        {"context": {"slot": 5_000}, "value": [{}]},
        {"value": [None]},
        None,
    ],
)
async def test_statuses_in_another_form_are_no_answer(answer: Any) -> None:
    one = node()
    async with serving(one):
        one.always["getSignatureStatuses"] = answering(answer)
        provider = Provider(one.url)
        sightings = Sightings(provider, interval=0)
        with pytest.raises(RpcUnavailable):
            await sightings.look("sig")
        await sightings.close()
        await provider.close()


async def test_who_looks_while_it_closes_is_told() -> None:
    one = node()
    started = asyncio.Event()

    async def hang(_: web.Request, body: Any) -> web.Response:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    one.always["getSignatureStatuses"] = hang
    async with network_of(one) as network:
        look = asyncio.create_task(network.status(UNKNOWN))
        await started.wait()
        await network.close()
        with pytest.raises(NetworkUnavailable, match="was closed"):
            await look
        one.always.clear()
        assert await network.status(UNKNOWN) == Absent(EXPIRY)  # it opens new connections


async def test_a_blockhash_never_expires_before_the_chain_would_forget_it() -> None:
    low, other = node(1_000), node(1_010)
    low.blockhash_expires = 1_020  # it would have us give up what can still land
    async with network_of(low, other) as network:
        recent = await network.blockhash()
    assert (recent.hash, recent.expires_at_height) == (low.blockhash, 1_010 + 150)

    honest = node(1_000, blockhash_expires=1_150)
    async with network_of(honest) as network:
        assert (await network.blockhash()).expires_at_height == 1_150


async def test_fifty_orders_that_are_built_and_sent_at_once_share_blockhash_and_height() -> None:
    one = node()
    one.blockhash_expires = EXPIRY + 150
    async with network_of(one) as network:
        blocks = await asyncio.gather(*(network.blockhash() for _ in range(50)))
        orders = [await sold(block) for block in blocks]
        assert len({order.signature for order in orders}) == 50
        sent = await asyncio.gather(*(network.send(order) for order in orders))

    assert set(sent) == {Absent(EXPIRY)}
    assert len(one.taken) == 50
    assert one.calls.pop("sendTransaction") == 50
    assert one.calls["getLatestBlockhash"] == one.calls["getEpochInfo"] == 1
    assert one.calls["getSignatureStatuses"] <= 3


async def test_a_failure_is_asked_for_once_by_all_who_wait() -> None:
    one = node()
    one.always["*"] = AWAY
    async with network_of(one) as network:
        found = await asyncio.gather(*(network.height() for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in found} == {NetworkUnavailable}
        assert one.calls == {"getEpochInfo": 1}
        one.always.clear()
        assert await network.height() == EXPIRY  # a failure is not kept


async def test_a_blockhash_that_would_hang_an_order_for_ever_is_not_taken() -> None:
    one = node(1_000, blockhash_expires=10**9)
    async with network_of(one) as network:
        with pytest.raises(NetworkUnavailable, match="expires later than it can"):
            await network.blockhash()
        one.always["*"] = AWAY
        with pytest.raises(NetworkUnavailable, match="no blockhash"):
            await network.blockhash()


async def test_the_height_of_nobody_is_no_height() -> None:
    one = node()
    one.always["*"] = AWAY
    async with network_of(one) as network:
        with pytest.raises(NetworkUnavailable):
            await network.height()
