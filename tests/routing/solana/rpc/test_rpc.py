"""Providers that are slow, full, wrong or away; and what is asked of which."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from solders.pubkey import Pubkey

from routing.solana.addresses import TOKEN_PROGRAM
from routing.solana.rpc.client import RpcClient
from routing.solana.rpc.provider import Provider, RpcError, RpcUnavailable
from routing.solana.wallet.money import AccountState
from tests.routing.solana.rpc.fake_node import FakeNode, answering, refusing, serving, with_http

KEY = "a-key-that-nobody-sees"


@pytest_asyncio.fixture
async def nodes() -> AsyncIterator[list[FakeNode]]:
    two = [FakeNode(), FakeNode()]
    async with serving(*two):
        yield two


@pytest_asyncio.fixture
async def client(nodes: list[FakeNode]) -> AsyncIterator[RpcClient]:
    made = RpcClient([Provider(node.url, seconds=5) for node in nodes])
    yield made
    await made.close()


async def never(_: web.Request, __: Any) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def of_another(_: web.Request, body: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": body["id"] + 1, "result": 5})


NO_ANSWERS = [
    with_http(500),
    with_http(500, '{"jsonrpc": "2.0", "id": 1, "result": 7}'),
    with_http(403, "forbidden"),
    with_http(302, location="http://127.0.0.1:1/"),
    with_http(200, "{"),
    with_http(200, "[]"),
    with_http(200, "{}"),
    with_http(200, '{"id": 1, "error": "?"}'),
    of_another,
    answering("many"),
    answering(-5),
    answering(True),
    answering(None),
    refusing(-32005, "Node is behind"),
    refusing(-32016, "Minimum context slot has not been reached"),
]


@pytest.mark.parametrize("fault", NO_ANSWERS)
async def test_another_provider_is_asked_if_one_does_not_answer(
    fault: Any, nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].always["*"] = fault

    assert await client.rent(165) == 1_650
    assert nodes[1].calls == {"getMinimumBalanceForRentExemption": 1}


@pytest.mark.parametrize("fault", NO_ANSWERS)
async def test_no_answer_of_any_is_told_without_the_key(
    fault: Any, nodes: list[FakeNode], client: RpcClient
) -> None:
    for node in nodes:
        node.always["*"] = fault

    with pytest.raises(RpcUnavailable) as raised:
        await client.rent(165)
    assert KEY not in f"{raised.value!r} {raised.value.__cause__!r}"


async def test_a_provider_that_does_not_answer_in_time_is_passed_over(
    nodes: list[FakeNode],
) -> None:
    nodes[0].always["*"] = never
    client = RpcClient([Provider(nodes[0].url, seconds=0.05), Provider(nodes[1].url)])

    assert await client.rent(165) == 1_650
    await client.close()


async def test_a_provider_that_is_away_is_passed_over(nodes: list[FakeNode]) -> None:
    client = RpcClient([Provider(f"http://127.0.0.1:1/{KEY}"), Provider(nodes[1].url)])

    assert await client.rent(165) == 1_650
    await client.close()


async def test_a_provider_that_has_had_enough_is_left_alone_as_long_as_it_asks(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].faults["getMinimumBalanceForRentExemption"].append(
        with_http(429, **{"retry-after": "30"})
    )

    for _ in range(5):
        assert await client.rent(165) == 1_650
    assert nodes[0].calls.total() == 1
    assert nodes[1].calls.total() == 5
    assert client.providers[0].is_resting
    nodes[1].always["*"] = with_http(500)
    with pytest.raises(RpcUnavailable, match="asked to be left alone"):
        await client.rent(165)
    assert nodes[0].calls.total() == 1


@pytest.mark.parametrize(("header", "rests"), [("0", False), ("1", True), ("soon", True)])
async def test_how_long_is_in_its_header_or_a_second(
    header: str, rests: bool, nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].faults["getMinimumBalanceForRentExemption"].append(
        with_http(429, **{"retry-after": header})
    )

    await client.rent(165)
    assert client.providers[0].is_resting is rests


async def test_however_long_it_asks_it_is_asked_again_after_half_a_minute(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].faults["getMinimumBalanceForRentExemption"].append(
        with_http(429, **{"retry-after": "9999999"})
    )
    await client.rent(165)
    loop, provider = asyncio.get_running_loop(), client.providers[0]

    assert provider._rests_until <= loop.time() + 30


async def test_a_request_that_a_node_refuses_is_told_as_that(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    for node in nodes:
        node.always["*"] = refusing(-32602, "Invalid params", {"x": 1})

    with pytest.raises(RpcError, match=r"Invalid params \(-32602\)") as raised:
        await client.rent(165)
    assert (raised.value.code, raised.value.data) == (-32602, {"x": 1})


async def test_an_answer_without_an_end_is_cut(
    nodes: list[FakeNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.solana.rpc.provider._MOST_BYTES", 1_000)
    nodes[0].always["*"] = with_http(200, " " * 5_000)
    client = RpcClient([Provider(nodes[0].url)])

    with pytest.raises(RpcUnavailable, match="without an end"):
        await client.rent(165)
    await client.close()


def test_only_the_host_of_a_provider_is_shown() -> None:
    provider = Provider(f"https://rpc.example/{KEY}")

    assert repr(provider) == "Provider(rpc.example)"
    with pytest.raises(ValueError, match="not one of http or https") as raised:
        Provider(f"rpc.example/{KEY}")
    assert KEY not in str(raised.value)
    with pytest.raises(ValueError, match="no provider"):
        RpcClient([])


def account(lamports: int, data: bytes) -> dict[str, Any]:
    content = base64.b64encode(data).decode()
    return {"lamports": lamports, "owner": str(TOKEN_PROGRAM), "data": [content, "base64"]}


async def test_accounts_are_all_of_one_slot(nodes: list[FakeNode], client: RpcClient) -> None:
    first, second = Pubkey.new_unique(), Pubkey.new_unique()
    nodes[0].accounts[str(first)] = account(7, b"data")

    found = await client.accounts([first, second])

    assert found == (1_000, (AccountState(7, TOKEN_PROGRAM, b"data"), None))
    with pytest.raises(ValueError, match="101 accounts"):
        await client.accounts([first] * 101)


async def test_accounts_of_a_node_that_is_behind_are_not_taken(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].answers_as_of = 999
    wanted = [Pubkey.new_unique()]

    assert (await client.accounts(wanted, least_slot=1_000)).slot == 1_000
    (_, (_, config)) = nodes[1].asked[-1]
    assert config["minContextSlot"] == 1_000
    nodes[1].answers_as_of = 998
    with pytest.raises(RpcUnavailable, match="before 1000"):
        await client.accounts(wanted, least_slot=1_000)


@pytest.mark.parametrize(
    "value",
    [[], [None, None], [{}], [account(1, b"") | {"data": ["", "base58"]}], [account(-1, b"")]],
)
async def test_accounts_in_another_form_are_no_answer(
    value: Any, nodes: list[FakeNode], client: RpcClient
) -> None:
    for node in nodes:
        node.always["*"] = answering({"context": {"slot": 1}, "value": value})

    with pytest.raises(RpcUnavailable, match="not of its form"):
        await client.accounts([Pubkey.new_unique()])


async def test_a_simulation_tells_units_and_the_accounts_afterwards(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].simulation = {
        "err": None,
        "unitsConsumed": 33_000,
        "accounts": [account(9, b"after")],
        "logs": ["one"],
    }
    wanted = Pubkey.new_unique()

    found = await client.simulate(b"bytes", [wanted])

    after = AccountState(9, TOKEN_PROGRAM, b"after")
    assert found == (nodes[0].slot, None, 33_000, (after,), ("one",), None)
    content, config = nodes[0].asked[-1][1]
    assert base64.b64decode(content) == b"bytes"
    assert config["accounts"]["addresses"] == [str(wanted)]
    nodes[0].simulation = {"err": "x", "accounts": None, "logs": None, "unitsConsumed": 5}
    assert (await client.simulate(b"bytes", [wanted])).error == "x"
    nodes[0].simulation = {"err": None, "accounts": None, "unitsConsumed": 5}
    nodes[1].always["*"] = AWAY
    with pytest.raises(RpcUnavailable, match="0 accounts instead of 1"):
        await client.simulate(b"bytes", [wanted])


async def test_fees_that_were_paid_are_told_without_zeros(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[0].fees = [0, 5, 0, 9]

    assert await client.priority_fees([Pubkey.new_unique()]) == (5, 9)


async def test_bytes_are_sent_to_all_and_to_those_that_only_send(nodes: list[FakeNode]) -> None:
    client = RpcClient([Provider(nodes[0].url)], [Provider(nodes[1].url)])
    await client.send(b"bytes")
    await client.rent(165)
    await client.close()

    assert [node.taken for node in nodes] == [[b"bytes"], [b"bytes"]]
    assert nodes[1].calls == {"sendTransaction": 1}


REFUSED = refusing(-32003, "Transaction signature verification failure")
AWAY = with_http(500)
KNOWN = refusing(
    -32002, "failed: This transaction has already been processed", {"err": "AlreadyProcessed"}
)


@pytest.mark.parametrize(
    ("faults", "raised"),
    [
        ((None, None), None),
        ((None, REFUSED), None),
        ((AWAY, None), None),
        ((KNOWN, REFUSED), None),
        ((KNOWN, AWAY), None),
        ((REFUSED, REFUSED), RpcError),
        ((REFUSED, AWAY), RpcUnavailable),
        ((AWAY, AWAY), RpcUnavailable),
    ],
)
async def test_bytes_are_taken_if_one_takes_them_and_refused_if_all_do(
    faults: Any, raised: Any, nodes: list[FakeNode], client: RpcClient
) -> None:
    for node, fault in zip(nodes, faults, strict=True):
        if fault is not None:
            node.always["*"] = fault
    if raised is None:
        await client.send(b"bytes")
    else:
        with pytest.raises(raised):
            await client.send(b"bytes")


async def test_a_record_is_taken_from_whichever_provider_has_it(
    nodes: list[FakeNode], client: RpcClient
) -> None:
    nodes[1].records["sig"] = {"transaction": ["AAAA", "base64"], "meta": {"err": None}}

    found = await client.stored("sig")
    assert found is not None
    assert found.payload == bytes(3)
    assert await client.stored("other") is None
    nodes[0].always["*"] = AWAY
    assert await client.stored("other") is None
    nodes[1].always["*"] = AWAY
    with pytest.raises(RpcUnavailable):
        await client.stored("sig")


@pytest.mark.parametrize(
    "answer",
    [
        {"transaction": ["AAAA", "base58"], "meta": {}},
        {"transaction": ["AAAA", "base64"], "meta": None},
        {"transaction": "AAAA", "meta": {}},
        {"transaction": ["?", "base64"], "meta": {}},
        5,
    ],
)
async def test_a_record_in_another_form_is_no_answer(
    answer: Any, nodes: list[FakeNode], client: RpcClient
) -> None:
    for node in nodes:
        node.records["sig"] = answer

    with pytest.raises(RpcUnavailable, match="not of its form"):
        await client.stored("sig")


async def test_a_fault_of_ours_is_not_taken_for_one_of_a_provider(
    client: RpcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(client.providers[1], "call", broken)
    with pytest.raises(KeyError, match="ours"):
        await client.send(b"bytes")
