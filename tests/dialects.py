"""Replays what clients of other systems send, open and read, and counts by element what is served.

    .venv/bin/python -m tests.dialects 127.0.0.1:8000

The requests are written anew from what those systems' documents say; docs/dialects.md has the
counts of the last replay, and tests/orders/api/test_replay.py repeats it.
"""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any, NamedTuple
from urllib.error import HTTPError

import websockets

PATIENCE = 120.0  # seconds for any one try
STEPS = ["pending", "routing", "building", "submitted", "confirmed"]
ENTRIES = ("/api/orders/execute", "/api/orders", "/orders/execute", "/orders", "/execute")
STREAMS = (
    *("/ws/{}", "/ws/orders/{}/status", "/order/{}", "/orders/{}/ws"),
    *(f"/api/orders/{{}}/{word}" for word in ("ws", "status", "stream")),
    *(f"/api/orders/{word}/{{}}" for word in ("ws", "status", "stream", "updates", "execute")),
)
QUERIES = (
    "/ws?orderId={}",
    "/api/orders/ws?orderId={}",
    "/ws/orders?orderId={}",
    "/orders/ws?id={}",
)
SUBSCRIBED = ("/ws", "/api/orders/ws", "/api/orders/status")
SUBSCRIPTIONS: tuple[dict[str, Any], ...] = (
    {"type": "subscribe", "orderId": "{}"},
    {"action": "subscribe", "orderId": "{}"},
    {"orderId": "{}"},
    {"type": "subscribe", "payload": {"orderId": "{}"}},
)
SELL: dict[str, Any] = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5"}
Body = dict[str, Any]


class Count(NamedTuple):
    """How often an element was replayed, and how often it was served."""

    element: str
    replayed: int
    served: int
    faults: list[str]


class Site:
    """An engine, as a client sees it."""

    def __init__(self, address: str) -> None:
        self.address = address

    async def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """GET, or POST the body: a JSON value, or text as it is."""
        return await asyncio.to_thread(self._ask, path, body, headers)

    def _ask(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        sent = {"content-type": "application/json"} | headers
        url, data = f"http://{self.address}{path}", text.encode() if text else None
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, data, sent), timeout=PATIENCE
            ) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    async def order(self, path: str = "/api/orders/execute", body: Any = None) -> Body:
        status, answer = await self.ask(path, SELL if body is None else body)
        assert status == 201, answer
        found: Body = answer
        return found

    async def told(
        self, path: str, *frames: Any, until: str = "confirmed", closes: bool = True
    ) -> list[Body]:
        """Return what a socket tells up to this status, and to its end if it closes then."""
        found: list[Body] = []
        url = f"ws://{self.address}{path}"
        async with asyncio.timeout(PATIENCE), websockets.connect(url) as socket:
            for frame in frames:
                await socket.send(json.dumps(frame))
            async for text in socket:
                found.append(json.loads(text))
                if found[-1].get("status") == until and not closes:
                    break
        return found


class Recorder(Site):
    """A site that notes what it tells."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.told_so_far: list[Any] = []

    async def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        status, answer = await super().ask(path, body, **headers)
        self.told_so_far.append([status, answer])
        return status, answer

    async def told(
        self, path: str, *frames: Any, until: str = "confirmed", closes: bool = True
    ) -> list[Body]:
        found = await super().told(path, *frames, until=until, closes=closes)
        self.told_so_far += found
        return found


Try = Callable[[Site], Awaitable[None]]


def assert_whole(messages: list[Body]) -> None:
    assert [one["status"] for one in messages] == STEPS, messages


def streams(paths: tuple[str, ...]) -> list[Try]:
    async def follow(site: Site, path: str) -> None:
        order_id = (await site.order())["orderId"]
        messages = await site.told(path.format(order_id))
        assert_whole(messages)
        assert isinstance(messages[-1]["executedPrice"], float)

    return [lambda site, path=path: follow(site, path) for path in paths]  # type: ignore[misc]


def bodies(changes: Body, *without: str, **expected: Any) -> list[Try]:
    """Return a try on each entry path, of an order with other names for some of its fields."""
    body = {name: value for name, value in SELL.items() if name not in without} | changes

    async def send(site: Site, path: str) -> None:
        answer = await site.order(path, body)
        meant = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "0.5"} | expected
        assert meant.items() <= answer.items(), answer
        first, *_ = await site.told(path, body, until="pending", closes=False)
        asked = first["data"]["order"] | {"ignored": first.get("ignored")}
        assert meant.items() <= asked.items(), first

    return [lambda site, path=path: send(site, path) for path in ENTRIES]  # type: ignore[misc]


def names(one: str, other: str) -> list[Try]:
    return bodies({one: "SOL", other: "USDC"}, "tokenIn", "tokenOut")


def numbers(text: str, meant: str) -> list[Try]:
    """Return a try on each entry path, of an amount that a computation left with noise."""
    body = f'{{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": {text}}}'

    async def send(site: Site, path: str) -> None:
        assert (await site.order(path, body))["amountIn"] == meant

    return [lambda site, path=path: send(site, path) for path in ENTRIES]  # type: ignore[misc]


def answers(read: Callable[[Body], bool]) -> list[Try]:
    """Return tries of what is read in the answer to each POST, and of the order when fetched."""

    async def post(site: Site, path: str) -> None:
        answer = await site.order(path)
        assert read(answer), answer

    async def fetch(site: Site) -> None:
        _, answer = await site.ask(f"/api/orders/{(await site.order())['orderId']}")
        assert read(answer), answer

    return [*(lambda site, path=path: post(site, path) for path in ENTRIES), fetch]  # type: ignore[misc]


def subscriptions() -> list[Try]:
    async def subscribe(site: Site, path: str, frame: Body) -> None:
        order_id = (await site.order())["orderId"]
        named = json.loads(json.dumps(frame).replace("{}", order_id))
        assert_whole(await site.told(path, named, closes=False))

    return [
        lambda site, path=path, frame=frame: subscribe(site, path, frame)  # type: ignore[misc]
        for path, frame in product(SUBSCRIBED, SUBSCRIPTIONS)
    ]


def messages() -> list[Try]:
    async def follow(site: Site, path: str) -> None:
        order_id = (await site.order())["orderId"]
        told = await site.told(path.format(order_id))
        events = [one for one in told if "seq" in one]
        assert_whole(events)
        assert {one["type"] for one in events} == {"status_update"}

    canonical = ("/ws/orders/{}", *(f"{path}?orderId={{}}" for path in ENTRIES))
    return [
        lambda site, path=path: follow(site, path)  # type: ignore[misc]
        for path in (*canonical, *STREAMS, *QUERIES)
    ]


def pings() -> list[Try]:
    async def ping(site: Site, path: str, frame: Body) -> None:
        url = f"ws://{site.address}{path}"
        async with asyncio.timeout(PATIENCE), websockets.connect(url) as socket:
            await socket.send(json.dumps(frame))
            assert json.loads(await socket.recv()) == {"type": "pong"}

    return [
        lambda site, path=path, frame=frame: ping(site, path, frame)  # type: ignore[misc]
        for path in (*SUBSCRIBED, *ENTRIES)
        for frame in ({"type": "ping"}, {"action": "ping"})
    ]


async def read_list(site: Site) -> None:
    _, page = await site.ask("/api/orders?limit=10&offset=0")
    assert isinstance(page["orders"], list)
    assert page["orders"] == page["results"]


async def ask_for_health(site: Site) -> None:
    status, report = await site.ask("/api/health")
    assert (status, report["database"]) == (200, "ok")


async def read_refusal(site: Site) -> None:
    _, refused = await site.ask("/api/orders/execute", {"tokenIn": "SOL"})
    assert refused["message"] == refused["detail"]


async def system_a(site: Site) -> None:
    order = await site.order("/orders", {"type": "market", "side": "buy", "amount": 1})
    told = await site.told(f"/ws/orders/{order['orderId']}")
    assert_whole(told)
    assert order["message"]
    assert [one["status"].upper() for one in told if one["route"] in ("Raydium", "Meteora")]
    assert told[-1]["txHash"]
    await fetched(site, order, told)


async def system_b(site: Site) -> None:
    body = {"baseToken": "SOL", "quoteToken": "USDC", "side": "sell", "amountIn": 0.5}
    order = await site.order("/api/orders/execute", body | {"slippageBps": 50})
    assert order["status"] == "pending"
    told = await site.told(order["wsUrl"])
    assert_whole(told)
    built = told[2]["data"]
    assert built["selectedDex"] in ("raydium", "meteora")
    assert float(built["quote"]["price"]) > 0
    assert float(built["minAcceptablePrice"]) > 0
    assert told[-1]["data"]["txHash"]
    assert float(told[-1]["data"]["executedPrice"]) > 0
    await fetched(site, order, told)
    assert (await site.ask("/health"))[0] == 200


async def system_c(site: Site) -> None:
    body = {"inputToken": "SOL", "outputToken": "USDC", "amount": 0.5}
    order = await site.order("/api/orders/execute", body)
    frame = {"type": "subscribe", "orderId": order["orderId"]}
    told = await site.told("/ws", frame, closes=False)
    assert_whole(told)
    assert f"{told[-1]['executedPrice']:.4f}"
    await fetched(site, order, told)


async def system_d(site: Site) -> None:
    body = {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.5, "slippage": 0.01}
    order = await site.order("/orders/execute", body)
    told = await site.told(f"/orders/execute?orderId={order['orderId']}")
    assert_whole(told[1:])
    assert told[-1]["routedDex"] in ("raydium", "meteora")
    assert {"orderId", "status", "txHash", "error", "executedPrice", "timestamp"} <= set(told[-1])
    await fetched(site, order, told)
    framed = await site.told("/orders/execute", body)
    assert_whole(framed)


async def system_e(site: Site) -> None:
    order = await site.order("/execute", {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 0.5})
    told = await site.told(f"/execute?orderId={order['orderId']}")
    assert told[0] == {"orderId": order["orderId"], "status": "connected"}
    assert_whole(told[1:])
    await fetched(site, order, told)


async def fetched(site: Site, order: Body, told: list[Body]) -> None:
    _, found = await site.ask(f"/api/orders/{order['orderId']}")
    assert (found["status"], found["txHash"]) == ("confirmed", told[-1]["txHash"])


def names_of_whom(name: str) -> list[Try]:
    return bodies({name: "somebody"}, ignored=[name])


def snake_case() -> Body:
    return {
        **{"token_in": "SOL", "token_out": "USDC", "amount_in": "0.5"},
        **{"order_type": "market", "slippage_bps": 50},
    }


SYSTEMS: dict[str, Try] = {
    "A": system_a,
    "B": system_b,
    "C": system_c,
    "D": system_d,
    "E": system_e,
}
ELEMENTS: dict[str, list[Try]] = {
    "stream, id in the path": streams(STREAMS),
    "stream, id in the query": streams(QUERIES),
    "`userId`": names_of_whom("userId"),
    "`userWallet`": names_of_whom("userWallet"),
    "`walletAddress`": names_of_whom("walletAddress"),
    "`inputToken`, `outputToken`": names("inputToken", "outputToken"),
    "`fromToken`, `toToken`": names("fromToken", "toToken"),
    "`inputMint`, `outputMint`": names("inputMint", "outputMint"),
    "`baseMint`, `quoteMint`": bodies(
        {"baseMint": "SOL", "quoteMint": "USDC", "side": "sell"}, "tokenIn", "tokenOut"
    ),
    "snake case": bodies(snake_case(), *SELL, slippageBps=50),
    "`pair`, `direction`": bodies({"pair": "SOL-USDC", "direction": "sell"}, "tokenIn", "tokenOut"),
    "`maxSlippageBps`": bodies({"maxSlippageBps": 50}, slippageBps=50),
    "`websocketUrl`, `id`": answers(
        lambda answer: (
            answer["websocketUrl"] == answer["wsUrl"] and answer["id"] == answer["orderId"]
        )
    ),
    "`success`": answers(lambda answer: answer["success"] is True),
    "`order`, `data`": answers(
        lambda answer: answer["order"]["id"] == answer["data"]["orderId"] == answer["orderId"]
    ),
    "subscribe by message": subscriptions(),
    "`ping` by message": pings(),
    "`type: status_update`": messages(),
    "`message` in errors": [read_refusal],
    "`orders`, `offset=0` in lists": [read_list],
    "`/api/health`": [ask_for_health],
    "numbers with noise": [
        *numbers("1.7000000000000002", "1.7"),
        *numbers("3.2718281828459045", "3.271828183"),
    ],
    **{f"system {name}, whole": [whole] for name, whole in SYSTEMS.items()},
}


async def replay(address: str) -> list[Count]:
    """Try every element, a few at a time."""
    site, slots = Site(address), asyncio.Semaphore(8)

    async def tried(one: Try) -> str | None:
        async with slots:
            try:
                await one(site)
            except (AssertionError, LookupError, TypeError, OSError, TimeoutError) as error:
                return f"{type(error).__name__}: {error}"
            return None

    found = []
    for element, tries in ELEMENTS.items():
        ends = await asyncio.gather(*(tried(one) for one in tries))
        faults = [end for end in ends if end is not None]
        found.append(Count(element, len(tries), len(tries) - len(faults), faults))
    return found


async def recorded(address: str) -> dict[str, list[Any]]:
    """Return what the clients of each of the five systems are told, as shapes."""
    found = {}
    for name, whole in SYSTEMS.items():
        site = Recorder(address)
        await whole(site)
        found[name] = [shape_of(one) for one in site.told_so_far]
    return found


SAME = frozenset(
    (
        *("type", "event", "status", "side", "baseToken", "quoteToken", "tokenIn", "tokenOut"),
        *("slippageBps", "success", "seq", "attempt", "database", "orderType"),
    )
)
"""Members that are told with the same value each time, where the same is asked."""


def shape_of(value: Any, name: str = "") -> Any:
    """Return what stays the same of an answer from run to run: names, kinds, and some values."""
    if isinstance(value, dict):
        return {name: shape_of(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [shape_of(one, name) for one in value[:1]]
    if name in SAME or value is None or isinstance(value, bool):
        return value
    return "text" if isinstance(value, str) else "number"


def lost(then: Any, now: Any, place: str = "") -> list[str]:
    """Return where a shape lacks something that another one has. Null may be anything."""
    if then is None or now is None:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        gone = [f"{place}.{name}" for name in then if name not in now]
        both = [name for name in then if name in now]
        return gone + [
            one for name in both for one in lost(then[name], now[name], f"{place}.{name}")
        ]
    if isinstance(then, list) and isinstance(now, list):
        pairs = zip(then, now, strict=False)
        return [one for before, after in pairs for one in lost(before, after, f"{place}[]")]
    return [] if then == now else [f"{place}: {then} became {now}"]


def as_table(counts: list[Count]) -> str:
    rows = [f"| {one.element} | {one.replayed} | {one.served} |" for one in counts]
    return "\n".join(["| element | replayed | served |", "|---|---|---|", *rows])


if __name__ == "__main__":
    counts = asyncio.run(replay(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"))
    print(as_table(counts))
    for one in counts:
        for fault in one.faults:
            print(f"{one.element}: {fault[:300]}", file=sys.stderr)
    sys.exit(any(one.faults for one in counts))
