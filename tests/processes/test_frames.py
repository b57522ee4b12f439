"""Real frames of a running engine are those of the AsyncAPI document, on every channel."""

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import websockets

from orders.api.schema.asyncapi import asyncapi
from tests.support.engine import PATIENCE, Engine, Web, whole_engine
from tests.support.shapes import assert_shape, assert_taken, assert_told

PERSON = {"DJANGO_SUPERUSER_PASSWORD": "of-nobody-9", "DJANGO_SUPERUSER_EMAIL": "f@example.com"}
SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
REST = SELL | {"type": "limit", "limitPrice": "500", "tags": {"desk": "a"}}
OCO = SELL | {
    **{"type": "oco", "takeProfit": {"limitPrice": "500"}},
    "stopLoss": {"triggerPrice": "20", "slippageBps": 500},
}
QUOTE = "tokenIn=SOL&tokenOut=USDC&amountIn=1.5"
Message = dict[str, Any]


@dataclass
class Talk:
    """One socket, and all that was told and sent on it."""

    socket: Any
    web: Web
    key: str
    told: list[Message] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    async def send(self, **frame: Any) -> None:
        self.sent.append(frame)
        await self.socket.send(json.dumps(frame))

    async def hear(self, is_last: Callable[[Message], bool]) -> Message:
        """Return the first message that is such."""
        while True:
            self.told.append(json.loads(await self.socket.recv()))
            if is_last(self.told[-1]):
                return self.told[-1]

    async def ask(self, action: str, **members: Any) -> Message:
        """Send a frame with an id, and return its answer."""
        name = f"{action}-{len(self.sent)}"
        await self.send(action=action, requestId=name, **members)
        return await self.hear(lambda message: message.get("requestId") == name)

    async def post(self, order: Message) -> str:
        path, sends = "/api/orders/execute", self.web.request
        answer = await asyncio.to_thread(sends, path, order, authorization=f"Bearer {self.key}")
        assert answer.status == 201, answer
        return str(answer.body["orderId"])


def has(**members: Any) -> Callable[[Message], bool]:
    return lambda message: members.items() <= message.items()


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with whole_engine(process_database, tmp_path_factory.mktemp("frames")) as found:
        yield found


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    return running.web()


@pytest.fixture(scope="module")
def key(running: Engine) -> Iterator[str]:
    running.command("createsuperuser", "--noinput", "--username", "frances", **PERSON)
    yield running.command("create_api_key", "frances").stdout.strip()
    running.empty()
    running.query("DELETE FROM auth_user WHERE username = 'frances'")


async def follow_one(talk: Talk) -> None:
    await talk.send(type="ping")
    await talk.send(action="dance")
    await talk.hear(has(status="confirmed"))


async def enter_orders(talk: Talk) -> None:
    await talk.send(**SELL)
    await talk.hear(has(status="confirmed"))
    await talk.send(action="execute", order=SELL | {"amountIn": "-1"})
    await talk.hear(has(type="error"))
    await talk.send(type="ping")
    await talk.hear(has(type="pong"))
    await ask_for_everything(talk)


async def ask_for_everything(talk: Talk) -> None:
    """Send a frame of each action, and have each answered."""
    first = (await talk.ask("execute", order=REST))["body"]
    await talk.ask("preview", order=SELL)
    amended = await talk.ask(
        "amend", orderId=first["orderId"], seq=first["seq"], changes={"limitPrice": "501"}
    )
    assert amended["body"]["seq"] == first["seq"] + 1
    second = (await talk.ask("replace", orderId=first["orderId"], order=REST))["body"]
    batch = (await talk.ask("batch", orders=[REST, SELL, {"side": "up"}]))["body"]
    assert [one["status"] for one in batch] == [201, 201, 400]
    await talk.ask("cancel", orderId=second["orderId"])
    await talk.ask("cancel", orderIds=[batch[0]["order"]["orderId"], first["orderId"]])
    await talk.ask("execute", order=OCO, idempotencyKey=f"oco-{len(talk.told)}")
    await talk.ask("cancelAll", scope="all", market="SOL/USDC")
    refused = await talk.ask("amend", orderId=first["orderId"], seq=1, changes={"limitPrice": "9"})
    assert (refused["httpStatus"], refused["orderStatus"]) == (409, "cancelled")
    assert (await talk.ask("dance"))["error"] == "unknown_action"
    acked = [one["requestId"].partition("-")[0] for one in talk.told if one.get("type") == "ack"]
    assert set(acked) == {one["action"] for one in talk.sent if "requestId" in one} - {"dance"}


async def subscribe(talk: Talk) -> None:
    await talk.send(type="subscribe", orderId=await talk.post(SELL))
    await talk.hear(has(status="confirmed"))
    await talk.send(type="subscribe", orderId="1")
    await talk.hear(has(type="error"))


async def hear_prices(talk: Talk) -> None:
    await talk.hear(lambda message: message.get("bid") is not None)
    await talk.send(type="ping")
    await talk.hear(has(type="pong"))


async def hear_quotes(talk: Talk) -> None:
    await talk.hear(has(type="quote"))
    await talk.send(type="ping")
    await talk.hear(has(type="pong"))
    await talk.send(type="quote")
    await talk.hear(has(type="error"))


async def watch_engine(talk: Talk) -> None:
    await talk.hear(has(type="engine"))
    await talk.send(type="ping")
    await talk.hear(has(type="pong"))


async def follow_account(talk: Talk) -> None:
    resting = [
        one["orderId"] for one in (await talk.hear(has(type="snapshot", more=False)))["orders"]
    ]
    assert resting
    order_id = await talk.post(SELL)
    await talk.hear(has(orderId=order_id, status="confirmed"))
    await talk.hear(has(type="checkpoint"))
    await talk.send(type="ping")
    await talk.hear(has(type="pong"))
    await ask_for_everything(talk)


TALKS: dict[str, tuple[str, Callable[[Talk], Awaitable[None]]]] = {
    "orderStream": ("/ws/orders/{orderId}", follow_one),
    "orderStreamAliases": ("/ws/{orderId}", follow_one),
    "orderEntry": ("/api/orders/execute", enter_orders),
    "subscriptions": ("/ws", subscribe),
    "prices": ("/ws/prices?market=SOL/USDC", hear_prices),
    "quoteStream": (f"/ws/quotes?{QUOTE}", hear_quotes),
    "engine": ("/ws/engine", watch_engine),
    "accountStream": ("/ws/orders?snapshot=open&market=SOL/USDC", follow_account),
}


def test_each_socket_of_the_document_is_talked_on() -> None:
    channels = asyncapi()["channels"]
    assert set(channels) - set(TALKS) == {"accountEvents", "eventFeed"}
    assert set(TALKS) == {name for name, one in channels.items() if "ws" in one.get("bindings", ())}
    for name, (path, _) in TALKS.items():
        assert path.partition("?")[0] == channels[name]["address"]


@pytest.mark.parametrize("channel", TALKS)
async def test_what_a_socket_tells_and_takes_is_what_the_document_says(
    channel: str, web: Web, key: str
) -> None:
    talk = Talk(None, web, key)
    path, converse = TALKS[channel]
    await talk.post(REST)
    place = path.replace("{orderId}", await talk.post(SELL))
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        asyncio.timeout(PATIENCE),
        websockets.connect(f"ws://{web.address}{place}", additional_headers=headers) as socket,
    ):
        talk.socket = socket
        try:
            await converse(talk)
        except websockets.ConnectionClosed:
            pytest.fail(f"it closed with {socket.close_code} after {talk.told}")

    assert_told(talk.told, channel)
    assert_taken([one for one in talk.sent if not is_wrong(one)], channel)


@pytest.mark.parametrize("path", ["/api/orders/stream?snapshot=open", "/api/events?wait=20"])
def test_what_http_tells_of_an_account_is_what_the_document_says(
    path: str, web: Web, key: str
) -> None:
    name = {"/api/orders/stream": "accountEvents", "/api/events": "eventFeed"}
    told = told_by_pages if path.startswith("/api/events") else told_by_events
    assert_told(told(web, key, path), name[path.partition("?")[0]])


def told_by_events(web: Web, key: str, path: str) -> list[Message]:
    """Return what server-sent events tell, from the hello on."""
    bearer = {"Authorization": f"Bearer {key}"}
    asked = urllib.request.Request(f"http://{web.address}{path}", headers=bearer)
    told: list[Message] = []
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                told.append(json.loads(line.removeprefix(b"data: ")))
                if told[-1]["type"] == "hello":
                    sent = web.request("/api/orders/execute", SELL, authorization=f"Bearer {key}")
                if told[-1].get("status") == "confirmed":
                    break
    assert told[-1]["orderId"] == sent.body["orderId"]
    assert {"hello", "snapshot", "status_update"} <= {one["type"] for one in told}
    return told


def told_by_pages(web: Web, key: str, path: str) -> list[Message]:
    """Return what pages tell of an order from its acceptance on."""
    bearer = {"authorization": f"Bearer {key}"}
    cursor = web.request(path, **bearer).body["cursor"]
    web.request("/api/orders/execute", SELL, **bearer)
    told: list[Message] = []
    while not told or told[-1]["status"] != "confirmed":
        page = web.request(f"{path}&cursor={cursor}", **bearer).body
        assert_shape(page, "EventPage")
        cursor, told = page["cursor"], told + page["events"]
    return told


def is_wrong(frame: Message) -> bool:
    """Whether a frame was sent to be refused."""
    return (
        frame.get("action") == "dance"
        or frame.get("type") == "quote"
        or frame.get("orderId") == "1"
        or frame.get("order", {}).get("amountIn") == "-1"
    )
