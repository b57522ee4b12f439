"""What a WebSocket is told: signatures, accounts, slots."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from solders.keypair import Keypair

from routing.solana.programs import system
from routing.solana.swap_amounts import exact_in
from tests.routing.cluster.swaps import in_cpmm, market
from tests.support.local_cluster import Client

SOL = 10**9
SOL_USDC = market("SOL/USDC")


class Socket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._told: list[Any] = []

    async def ask(self, method: str, *params: Any) -> Any:
        """Return the answer to a request; what was told before it is kept."""
        await self._socket.send_json(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )
        async with asyncio.timeout(10):
            while "id" not in (message := await self._socket.receive_json()):
                self._told.append(message)
        return message

    async def subscribe(self, method: str, *params: Any) -> int:
        return int((await self.ask(method, *params))["result"])

    async def told(self) -> list[Any]:
        """Return all that was told up to now."""
        await self.ask("slotUnsubscribe", 0)
        told, self._told = self._told, []
        return told

    async def send(self, text: str) -> Any:
        await self._socket.send_str(text)
        return await self._socket.receive_json()


@asynccontextmanager
async def socket_of(node: Client, name: str = "") -> AsyncIterator[Socket]:
    url = node.url_of(name).replace("http", "ws")
    async with node.http.ws_connect(url) as socket:
        yield Socket(socket)


@pytest.mark.parametrize(("commitment", "slots"), [("processed", 1), ("finalized", 2)])
async def test_a_signature_is_told_once_when_it_is_as_sure_as_asked(
    node: Client, commitment: str, slots: int
) -> None:
    signed = await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL))
    signature = str(signed.signatures[0])
    async with socket_of(node) as socket:
        number = await socket.subscribe("signatureSubscribe", signature, {"commitment": commitment})
        await node.send(signed)
        await node.advance(slots - 1)
        assert await socket.told() == []
        await node.advance(3)

        (told,) = await socket.told()
        assert told["method"] == "signatureNotification"
        assert told["params"]["subscription"] == number
        assert told["params"]["result"]["value"] == {"err": None}
        assert (await socket.ask("signatureUnsubscribe", number))["result"] is False


async def test_a_signature_that_landed_before_is_told_at_once(node: Client) -> None:
    signed = await node.signed(system.transfer(node.owner, Keypair().pubkey(), 2**60))
    await node.send(signed)
    await node.advance(2)
    async with socket_of(node) as socket:
        await socket.subscribe("signatureSubscribe", str(signed.signatures[0]))

        (told,) = await socket.told()
        error = told["params"]["result"]["value"]["err"]
        assert error == {"InstructionError": [0, {"Custom": 1}]}


async def test_an_account_is_told_when_it_changes_and_not_before(node: Client) -> None:
    options = {"encoding": "base64", "commitment": "processed"}
    async with socket_of(node) as socket:
        number = await socket.subscribe("accountSubscribe", str(SOL_USDC.cpmm), options)
        await node.advance(2)
        assert await socket.told() == []

        await node.send(
            await node.signed(await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))
        )
        slot = await node.advance()

        (told,) = await socket.told()
        result = told["params"]["result"]
        assert (told["method"], told["params"]["subscription"]) == ("accountNotification", number)
        assert result["context"]["slot"] == slot
        data = base64.b64decode(result["value"]["data"][0])
        assert data == await node.data(SOL_USDC.cpmm)

        assert (await socket.ask("accountUnsubscribe", number))["result"] is True
        await node.land(await in_cpmm(node, SOL_USDC, exact_in(SOL, 1), sells=True))
        assert await socket.told() == []


async def test_slots_are_told_one_by_one(node: Client) -> None:
    async with socket_of(node) as socket:
        await socket.subscribe("slotSubscribe")
        last = await node.advance(3)

        slots = [one["params"]["result"] for one in await socket.told()]
        assert [one["slot"] for one in slots] == [last - 2, last - 1, last]
        assert [one["parent"] for one in slots] == [last - 3, last - 2, last - 1]
        assert all(one["root"] == one["slot"] - 1 for one in slots)


async def test_a_mute_node_tells_nothing(node: Client) -> None:
    await node.set_faults({"kind": "mute"}, node="b")
    async with socket_of(node, "b") as socket:
        await socket.subscribe("slotSubscribe")
        await node.advance(3)
        assert await socket.told() == []


async def test_a_node_behind_tells_later(node: Client) -> None:
    await node.advance(10)
    signed = await node.signed(system.transfer(node.owner, Keypair().pubkey(), SOL))
    await node.set_faults({"kind": "silently_behind", "slots": 3}, node="b")
    async with socket_of(node, "b") as socket:
        options = {"commitment": "processed"}
        await socket.subscribe("signatureSubscribe", str(signed.signatures[0]), options)
        await node.send(signed)
        await node.advance(3)
        assert await socket.told() == []
        await node.advance()
        assert len(await socket.told()) == 1


async def test_what_is_no_subscription_is_refused(node: Client) -> None:
    async with socket_of(node) as socket:
        assert (await socket.ask("getSlot"))["error"]["code"] == -32601
        assert (await socket.ask("blockSubscribe"))["error"]["code"] == -32601
        assert (await socket.ask("accountSubscribe", "x"))["error"]["code"] == -32602
        assert (await socket.send("{"))["error"]["code"] == -32700
        assert (await socket.send("5"))["error"]["code"] == -32600
        assert await socket.subscribe("slotSubscribe") > 0
