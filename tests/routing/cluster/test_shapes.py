"""The answers are such that Solana's own types read them."""

import base64
from typing import Any

import orjson
import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.rpc import responses
from solders.transaction_status import TransactionConfirmationStatus

from routing.solana.addresses import CPMM_PROGRAM, DLMM_PROGRAM, TOKEN_PROGRAM
from routing.solana.programs import compute_budget, system
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import in_cpmm, in_dlmm, market, own_accounts
from tests.support.local_cluster import Client, RpcFailed, in_base64

SOL_USDC = market("SOL/USDC")
SOL = 10**9


async def read(node: Client, kind: Any, method: str, *params: Any) -> Any:
    """Return an answer as the type of Solana's clients has it."""
    return kind.from_json(await (await node.post(method, *params)).text())


async def test_blocks_are_told_in_solanas_shapes(node: Client) -> None:
    blockhash = await read(node, responses.GetLatestBlockhashResp, "getLatestBlockhash")
    assert blockhash.value.last_valid_block_height > 0
    epoch = await read(node, responses.GetEpochInfoResp, "getEpochInfo")
    assert epoch.value.absolute_slot == blockhash.context.slot
    assert (await read(node, responses.GetSlotResp, "getSlot")).value == blockhash.context.slot
    height = await read(node, responses.GetBlockHeightResp, "getBlockHeight")
    assert height.value == epoch.value.block_height
    assert (await read(node, responses.GetHealthResp, "getHealth")).value == "ok"
    assert (await read(node, responses.GetVersionResp, "getVersion")).value.solana_core
    time = await read(node, responses.GetBlockTimeResp, "getBlockTime", epoch.value.absolute_slot)
    assert time.value == node.time.now


async def test_accounts_are_told_in_solanas_shapes(node: Client) -> None:
    options = {"encoding": "base64"}
    nowhere, own = str(Keypair().pubkey()), own_accounts(node, SOL_USDC)
    addresses = [str(SOL_USDC.cpmm), nowhere, str(own.quote)]

    several = await read(
        node, responses.GetMultipleAccountsResp, "getMultipleAccounts", addresses, options
    )
    assert [one and one.owner for one in several.value] == [CPMM_PROGRAM, None, TOKEN_PROGRAM]
    one = await read(node, responses.GetAccountInfoResp, "getAccountInfo", addresses[0], options)
    assert one.value == several.value[0]
    none = await read(node, responses.GetAccountInfoMaybeJsonParsedResp, "getAccountInfo", nowhere)
    assert none.value is None
    balance = await read(
        node, responses.GetTokenAccountBalanceResp, "getTokenAccountBalance", str(own.quote)
    )
    assert (balance.value.amount, balance.value.ui_amount_string) == ("1000000000000", "1000000")
    supply = await read(
        node, responses.GetTokenSupplyResp, "getTokenSupply", SOL_USDC.market.quote.mint
    )
    assert int(supply.value.amount) > 10**12
    owned = await read(
        node,
        responses.GetTokenAccountsByOwnerResp,
        "getTokenAccountsByOwner",
        str(node.owner),
        {"mint": SOL_USDC.market.quote.mint},
        options,
    )
    assert [one.pubkey for one in owned.value] == [own.quote]


async def test_pools_are_found_by_their_size_and_their_mints(node: Client) -> None:
    mints = SOL_USDC.market.base.mint, SOL_USDC.market.quote.mint
    for program, size, places, expected in (
        (CPMM_PROGRAM, 637, (168, 200), SOL_USDC.cpmm),
        (DLMM_PROGRAM, 904, (88, 120), SOL_USDC.pair),
    ):
        filters: list[Any] = [{"dataSize": size}]
        filters += [
            {"memcmp": {"offset": place, "bytes": mint}}
            for place, mint in zip(places, mints, strict=True)
        ]
        found = await read(
            node,
            responses.GetProgramAccountsResp,
            "getProgramAccounts",
            str(program),
            {"encoding": "base64", "filters": filters},
        )
        assert [one.pubkey for one in found.value] == [expected]


async def test_a_part_of_the_data_may_be_asked_for(node: Client) -> None:
    options = {"encoding": "base64", "dataSlice": {"offset": 64, "length": 8}}
    own = own_accounts(node, SOL_USDC)

    found = await read(
        node, responses.GetAccountInfoResp, "getAccountInfo", str(own.quote), options
    )

    assert int.from_bytes(found.value.data, "little") == 10**12


@pytest.mark.parametrize("swap", [in_cpmm, in_dlmm])
@pytest.mark.parametrize("least", [1, 2**60])
async def test_a_swap_is_told_in_solanas_shapes(node: Client, swap: Any, least: int) -> None:
    instruction = await swap(node, SOL_USDC, exact_in(SOL, least), sells=True)
    signed = await node.signed(system.transfer(node.owner, SOL_USDC.cpmm, 10**6), instruction)
    sent = await read(
        node,
        responses.SendTransactionResp,
        "sendTransaction",
        in_base64(signed),
        {"encoding": "base64", "skipPreflight": True},
    )
    await node.advance(2)
    statuses = await read(
        node,
        responses.GetSignatureStatusesResp,
        "getSignatureStatuses",
        [str(sent.value), "1" * 64],
    )
    for encoding in ("base64", "json"):
        options = {"encoding": encoding, "maxSupportedTransactionVersion": 0}
        told = await read(
            node, responses.GetTransactionResp, "getTransaction", str(sent.value), options
        )
        meta = told.value.transaction.meta
        assert (meta.err is None) is (least == 1)
        assert meta.fee == 5_000
        assert len(meta.pre_balances) == len(meta.post_balances)
        assert len(meta.pre_token_balances) == 4
    assert sent.value == signed.signatures[0]
    assert statuses.value[0].confirmation_status == TransactionConfirmationStatus.Finalized
    assert statuses.value[0].err == meta.err
    assert statuses.value[1] is None
    mentioned = await read(
        node, responses.GetSignaturesForAddressResp, "getSignaturesForAddress", str(SOL_USDC.cpmm)
    )
    assert mentioned.value[0].signature == sent.value


@pytest.mark.parametrize("least", [1, 2**60])
async def test_a_simulation_is_told_in_solanas_shapes(node: Client, least: int) -> None:
    signed = await node.signed(await in_cpmm(node, SOL_USDC, exact_in(SOL, least), sells=True))
    options = {
        "encoding": "base64",
        "innerInstructions": True,
        "accounts": {"encoding": "base64", "addresses": [str(SOL_USDC.cpmm)]},
    }

    told = await read(
        node,
        responses.SimulateTransactionResp,
        "simulateTransaction",
        in_base64(signed),
        options,
    )

    assert (told.value.err is None) is (least == 1)
    assert told.value.units_consumed > 0
    assert told.value.accounts[0].owner == CPMM_PROGRAM


async def test_a_blockhash_is_either_signed_or_replaced(node: Client) -> None:
    signed = await node.signed(system.transfer(node.owner, SOL_USDC.cpmm, 10**6))

    with pytest.raises(RpcFailed, match="sigVerify may not be used with replaceRecent"):
        await node.simulated(signed, sigVerify=True, replaceRecentBlockhash=True)
    assert (await node.simulated(signed, sigVerify=True))["err"] is None


async def test_a_preflight_failure_is_told_in_solanas_shape(node: Client) -> None:
    signed = await node.signed(await in_cpmm(node, SOL_USDC, exact_in(SOL, 2**60), sells=True))

    answer = await node.post("sendTransaction", in_base64(signed), {"encoding": "base64"})
    told = responses.SendTransactionResp.from_json(await answer.text())

    assert isinstance(told, responses.SendTransactionPreflightFailureMessage)
    assert told.data.err is not None
    assert "0x1775" in told.message


@pytest.mark.parametrize(
    ("limit", "swaps", "units"),
    [
        ([compute_budget.limit(77_777)], True, 77_777),
        ([], True, 406_000),
        ([], False, 206_000),
        ([compute_budget.limit(2_000_000)], True, 1_400_000),
    ],
)
async def test_fees_of_a_message_are_what_it_will_cost(
    node: Client, limit: list[Instruction], swaps: bool, units: int
) -> None:
    swap = await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True)
    transfer = system.transfer(node.owner, SOL_USDC.cpmm, 10**6)
    before = await node.lamports(node.owner)
    signed = await node.signed(
        *limit, compute_budget.price(12_345), transfer, *([swap] if swaps else [])
    )
    message = base64.b64encode(bytes(signed.message)).decode()
    fee = await node.call("getFeeForMessage", message)
    await node.send(signed)
    await node.advance(2)

    told = await node.told(str(signed.signatures[0]))
    assert told["meta"]["err"] is None
    assert fee["value"] == told["meta"]["fee"] == 5_000 + -(-units * 12_345 // 10**6)
    assert await node.lamports(node.owner) == before - 10**6 - fee["value"]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nothing", [], -32601),
        ("getBalance", [], -32602),
        ("getBalance", ["0OIl"], -32602),
        ("getBalance", ["1111"], -32602),
        ("getBalance", [5], -32602),
        ("getBalance", {"address": "1"}, -32602),
        ("getMultipleAccounts", [["11111111111111111111111111111111"] * 101], -32602),
        ("getSignatureStatuses", [["1" * 64] * 257], -32602),
        ("getSignatureStatuses", [["1" * 64], []], -32602),
        ("getSlot", [{"commitment": "soon"}], -32602),
        ("getSlot", [{"minContextSlot": -1}], -32602),
        ("getAccountInfo", ["1" * 32, {"encoding": "base64+zstd"}], -32602),
        ("getAccountInfo", ["1" * 32, {"encoding": 5}], -32602),
        ("getTokenAccountBalance", ["1" * 32], -32602),
        ("getProgramAccounts", ["1" * 32, {"filters": [{"dataSize": "x"}]}], -32602),
        ("getTransaction", ["1" * 64, {"commitment": "processed"}], -32602),
        ("simulateTransaction", ["", {"encoding": "base64"}], -32602),
        ("getMinimumBalanceForRentExemption", ["x"], -32602),
        ("getBlockTime", [None], -32602),
        ("cluster_advance", [10**9], -32602),
    ],
)
async def test_a_bad_request_is_told_and_the_node_lives_on(
    node: Client, method: str, params: Any, code: int
) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await (await node.http.post(node.url, json=request)).json()

    assert answer["error"]["code"] == code
    assert await node.call("getHealth") == "ok"


@pytest.mark.parametrize(
    ("body", "code"), [(b"{", -32700), (b"[]", -32600), (b"5", -32600), (b'{"id":1}', -32600)]
)
async def test_a_body_that_is_no_request_is_told(node: Client, body: bytes, code: int) -> None:
    answer = await (await node.http.post(node.url, data=body)).json()

    assert answer["error"]["code"] == code


async def test_a_body_that_is_too_large_is_refused(node: Client) -> None:
    answer = await node.http.post(node.url, data=b"[" + b" " * 60_000 + b"]")

    assert answer.status == 413


async def test_several_requests_in_one_have_an_answer_each(node: Client) -> None:
    requests = [{"id": n, "method": name} for n, name in enumerate(("getSlot", "no", "getHealth"))]

    answers = await (await node.http.post(node.url, data=orjson.dumps(requests))).json()

    assert [one["id"] for one in answers] == [0, 1, 2]
    assert [("result" in one) for one in answers] == [True, False, True]


async def test_an_error_has_no_result(node: Client) -> None:
    with pytest.raises(RpcFailed, match="Method not found"):
        await node.call("getBlockProduction")
