"""Each fault of a node, as its clients meet it."""

import aiohttp
import pytest
from solders.keypair import Keypair

from routing.cluster.rpc.faults import Fault, Faults, Kind
from routing.solana.programs import system
from tests.support.local_cluster import Client, RpcFailed, in_base64

SOL = 10**9


async def transfer(node: Client) -> str:
    """Send a transfer, and return its signature."""
    receiver = Keypair().pubkey()
    return await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))


async def test_a_dropped_transaction_is_answered_and_never_lands(node: Client) -> None:
    await node.set_faults({"kind": "drop", "times": 1})

    dropped, taken = await transfer(node), await transfer(node)
    await node.advance(160)

    assert await node.status(dropped) is None
    assert await node.status(taken) is not None
    assert await node.call("cluster_faults") == []


async def test_a_late_transaction_is_unknown_until_it_lands(node: Client) -> None:
    await node.set_faults({"kind": "late", "slots": 40, "times": 1})
    signature = await transfer(node)

    await node.advance(40)
    assert await node.status(signature) is None
    await node.advance(2)
    assert (await node.status(signature))["confirmationStatus"] == "finalized"


async def test_a_late_transaction_that_expires_never_lands(node: Client) -> None:
    await node.set_faults({"kind": "late", "slots": 149}, node="b")
    await node.set_faults({"kind": "late", "slots": 148}, node="c")
    signed = [
        await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL)) for _ in range(2)
    ]

    expired, last = await node.send(signed[0], "b"), await node.send(signed[1], "c")
    await node.advance(160)

    assert await node.status(expired) is None
    assert await node.status(last) is not None


async def test_a_late_transaction_that_is_sent_again_lands_at_once(node: Client) -> None:
    receiver = Keypair().pubkey()
    signed = await node.signed(system.transfer(node.owner, receiver, SOL))
    await node.set_faults({"kind": "late", "slots": 40, "times": 1})

    await node.send(signed)
    await node.send(signed)
    await node.advance(2)
    assert await node.lamports(receiver) == SOL
    await node.advance(50)
    assert await node.lamports(receiver) == SOL


@pytest.mark.parametrize(("kind", "lands"), [("fork", True), ("lost_slot", False)])
async def test_slots_are_taken_back_by_chance_and_final_ones_never(
    node: Client, kind: str, lands: bool
) -> None:
    await node.set_faults({"kind": kind, "times": 3})
    height = await node.call("getBlockHeight", {"commitment": "processed"})
    signature = await transfer(node)

    for _ in range(3):
        node.cluster.step()
        assert await node.status(signature) is None
    assert await node.call("getBlockHeight", {"commitment": "processed"}) == height
    for _ in range(2):
        node.cluster.step()

    assert (await node.status(signature) is not None) is lands
    assert await node.call("cluster_faults") == []


async def test_a_lost_reply_is_that_of_a_request_that_was_carried_out(node: Client) -> None:
    receiver = Keypair().pubkey()
    signed = await node.signed(system.transfer(node.owner, receiver, SOL))
    await node.set_faults({"kind": "lost_reply", "methods": ["sendTransaction"], "times": 1})

    with pytest.raises(aiohttp.ClientError):
        await node.call("sendTransaction", in_base64(signed), {"encoding": "base64"})
    await node.advance()

    assert await node.lamports(receiver) == SOL
    assert await node.status(str(signed.signatures[0])) is not None


async def test_too_many_requests_are_refused_with_a_time_to_wait(node: Client) -> None:
    fault = {"kind": "rate_limit", "methods": ["getSlot"], "seconds": 3, "times": 2}
    await node.set_faults(fault)

    for _ in range(2):
        refused = await node.post("getSlot")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "3")
        assert (await refused.json())["error"]["code"] == 429
        assert (await node.post("getBlockHeight")).status == 200
    assert (await node.post("getSlot")).status == 200


async def test_a_transaction_that_is_refused_with_429_was_not_taken(node: Client) -> None:
    signed = await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL))
    await node.set_faults({"kind": "rate_limit", "times": 1})

    refused = await node.post("sendTransaction", in_base64(signed), {"encoding": "base64"})
    await node.advance(2)

    assert refused.status == 429
    assert await node.status(str(signed.signatures[0])) is None


async def test_an_unavailable_node_answers_503(node: Client) -> None:
    await node.set_faults({"kind": "unavailable", "times": 1})

    assert (await node.post("getSlot")).status == 503
    assert (await node.post("getSlot")).status == 200


async def test_a_node_may_deny_what_has_landed(node: Client) -> None:
    signature = await transfer(node)
    await node.advance(2)
    await node.set_faults({"kind": "wrong_null", "times": 2})

    assert await node.status(signature) is None
    assert await node.told(signature) is None
    assert await node.status(signature) is not None
    assert await node.told(signature) is not None


async def test_a_slow_node_answers_as_late_as_it_was_told(node: Client) -> None:
    await node.set_faults({"kind": "slow", "seconds": 30, "methods": ["getSlot"]})

    timeout = aiohttp.ClientTimeout(total=0.2)
    request = {"jsonrpc": "2.0", "id": 1, "method": "getSlot"}

    with pytest.raises(TimeoutError):
        await node.http.post(node.url, json=request, timeout=timeout)
    assert await node.call("getBlockHeight") > 0


async def test_a_node_behind_says_so_and_knows_only_what_was(node: Client) -> None:
    await node.advance(10)
    signature, receiver = await transfer(node), Keypair().pubkey()
    await node.send(await node.signed(system.transfer(node.owner, receiver, SOL)))
    await node.advance(2)
    await node.set_faults({"kind": "behind", "slots": 8}, node="b")

    slot = await node.call("getSlot")
    assert await node.call("getSlot", node="b") == slot - 8
    assert await node.status(signature, node="b") is None
    balance = await node.call("getBalance", str(receiver), {"commitment": "processed"}, node="b")
    assert balance == {"context": balance["context"], "value": 0}
    with pytest.raises(RpcFailed) as unhealthy:
        await node.call("getHealth", node="b")
    assert (unhealthy.value.code, unhealthy.value.data) == (-32005, {"numSlotsBehind": 8})
    signed = await node.signed(system.transfer(node.owner, receiver, SOL))
    with pytest.raises(RpcFailed, match="Node is behind by 8 slots"):
        await node.send(signed, node="b", skipPreflight=False)
    assert await node.status(signature) is not None
    assert await node.call("getHealth") == "ok"


async def test_a_node_that_is_behind_may_say_that_it_is_not(node: Client) -> None:
    await node.advance(10)
    signature = await transfer(node)
    await node.advance(2)
    await node.set_faults({"kind": "silently_behind", "slots": 5}, node="b")

    assert await node.call("getHealth", node="b") == "ok"
    assert await node.status(signature, node="b") is None
    await node.advance(5)
    assert await node.status(signature, node="b") is not None


async def test_what_is_sent_to_a_node_behind_lands_all_the_same(node: Client) -> None:
    await node.advance(10)
    await node.set_faults({"kind": "silently_behind", "slots": 5}, node="b")
    signed = await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL))

    signature = await node.send(signed, node="b")
    await node.advance(2)

    assert await node.status(signature) is not None
    assert await node.status(signature, node="b") is None


async def test_a_node_that_keeps_no_history_says_how_far_it_reaches(node: Client) -> None:
    signature = await transfer(node)
    await node.advance(30)
    await node.set_faults({"kind": "short_history", "slots": 20}, node="b")

    first = await node.call("getFirstAvailableBlock", node="b")
    assert first == await node.call("getSlot", {"commitment": "processed"}) - 20
    assert await node.status(signature, node="b") is None
    landed = (await node.status(signature))["slot"]
    assert await node.call("getFirstAvailableBlock") < landed < first


async def test_each_node_has_faults_of_its_own(node: Client) -> None:
    await node.set_faults({"kind": "unavailable"}, node="b")

    assert (await node.post("getSlot", node="b")).status == 503
    assert (await node.post("getSlot", node="c")).status == 200
    assert (await node.post("getSlot")).status == 200
    await node.set_faults(node="b")
    assert (await node.post("getSlot", node="b")).status == 200


async def test_a_share_of_requests_is_hit_by_chance(node: Client) -> None:
    await node.set_faults({"kind": "unavailable", "share": 0.5})

    statuses = [(await node.post("getSlot")).status for _ in range(60)]

    assert 10 < statuses.count(503) < 50


def test_the_same_seed_hits_the_same_requests() -> None:
    hits = []
    for seed in ("b", "b", "c"):
        faults = Faults(seed)
        faults.replace([Fault(Kind.UNAVAILABLE, share=0.5)])
        hits.append([faults.hit("getSlot", Kind.UNAVAILABLE) is None for _ in range(60)])

    assert hits[0] == hits[1] != hits[2]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "nonsense"},
        {},
        "drop",
        {"kind": "drop", "when": 1},
        {"kind": "drop", "times": 0},
        {"kind": "drop", "times": "1"},
        {"kind": "drop", "share": 2},
        {"kind": "drop", "share": "x"},
        {"kind": "drop", "methods": 5},
        {"kind": "slow", "seconds": -1},
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_and_changes_none(
    node: Client, fault: object
) -> None:
    await node.set_faults({"kind": "mute"})

    with pytest.raises(RpcFailed) as refused:
        await node.call("cluster_setFaults", [fault])

    assert refused.value.code == -32602
    assert [one["kind"] for one in await node.call("cluster_faults")] == ["mute"]


async def test_the_clusters_own_methods_are_hit_by_no_fault(node: Client) -> None:
    await node.set_faults({"kind": "unavailable"}, {"kind": "lost_reply"}, {"kind": "slow"})

    assert len(await node.call("cluster_faults")) == 3
    await node.set_faults()
    assert await node.call("getHealth") == "ok"
