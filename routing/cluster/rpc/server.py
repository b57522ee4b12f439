"""The ASGI application: HTTP and WebSocket on the same paths."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import orjson

from routing.cluster.chain import Chain, Told
from routing.cluster.rpc.errors import INVALID_REQUEST, PARSE_ERROR, RpcError
from routing.cluster.rpc.faults import Fault, Kind
from routing.cluster.rpc.methods import answer, failure, name_of
from routing.cluster.rpc.node import Node
from routing.cluster.rpc.subscriptions import Subscriptions

Message = MutableMapping[str, Any]
Nodes = Callable[[str], Node]

MOST_BYTES = 50 * 1_024
MOST_REQUESTS = 1_000
MOST_UNREAD = 10_000
OWN_METHODS = "cluster_"

_TOO_MANY = {"code": 429, "message": "Too many requests for a specific RPC call"}


class Server:
    """Answers for all nodes. `node_of` returns a node by its name; the first has none."""

    def __init__(self, chain: Chain, node_of: Nodes) -> None:
        self._node_of = node_of
        self._connections: set[Subscriptions] = set()
        chain.listen(self._hear)

    def _hear(self, told: Told) -> None:
        for connection in list(self._connections):
            connection.hear(told)

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Message, receive: Any, send: Any) -> None:
        node = self._node_of(node_name(scope["path"]))
        if scope["method"] != "POST":
            is_health = scope["method"] == "GET" and scope["path"].endswith("/health")
            healthy = b"behind" if node.faults.admits_that_it_is_behind else b"ok"
            await (_text(send, 200, healthy) if is_health else _text(send, 405, b"Use POST"))
            return
        body = await _body(receive)
        if body is None:
            await _text(send, 413, b"Too large")
            return
        try:
            requests = orjson.loads(body)
        except orjson.JSONDecodeError:
            error = RpcError(PARSE_ERROR, "Parse error")
            await _json(send, 200, failure(None, error))
            return
        await self._answer(node, requests, send)

    async def _answer(self, node: Node, requests: Any, send: Any) -> None:
        several = isinstance(requests, list)
        all_of_them = requests if several else [requests]
        if several and not 0 < len(all_of_them) <= MOST_REQUESTS:
            error = RpcError(INVALID_REQUEST, "Invalid request")
            await _json(send, 200, failure(None, error))
            return
        answers = []
        for request in all_of_them:
            if delay := _hit(node, request, Kind.SLOW):
                await asyncio.sleep(delay.seconds)
            if refusal := _hit(node, request, Kind.RATE_LIMIT, Kind.UNAVAILABLE):
                await _refuse(send, refusal, request)
                return
            answers.append(answer(node, request))
        if any(_hit(node, request, Kind.LOST_REPLY) for request in all_of_them):
            await _lose(send)
            return
        await _json(send, 200, answers if several else answers[0])

    async def _websocket(self, scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        unread: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

        def push(message: dict[str, Any]) -> None:
            unread.put_nowait(message if unread.qsize() < MOST_UNREAD else None)

        followed = Subscriptions(self._node_of(node_name(scope["path"])), push)
        self._connections.add(followed)
        writer = asyncio.create_task(_write(unread, send))
        try:
            await _read(receive, followed, push)
        finally:
            self._connections.discard(followed)
            writer.cancel()


def node_name(path: str) -> str:
    """Return which node a path names: empty for the first."""
    _, _, rest = path.partition("/node/")
    return rest.partition("/")[0]


def _hit(node: Node, request: Any, *kinds: Kind) -> Fault | None:
    try:
        name = name_of(request)
    except RpcError:
        return None
    return None if name.startswith(OWN_METHODS) else node.faults.hit(name, *kinds)


async def _read(receive: Any, followed: Subscriptions, push: Callable[[Any], None]) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        try:
            request = orjson.loads(message.get("text") or message.get("bytes") or b"")
        except orjson.JSONDecodeError:
            push(failure(None, RpcError(PARSE_ERROR, "Parse error")))
            continue
        push(followed.answer(request))
        followed.tell_what_has_landed()


async def _write(unread: asyncio.Queue[dict[str, Any] | None], send: Any) -> None:
    while (message := await unread.get()) is not None:
        await send({"type": "websocket.send", "text": orjson.dumps(message).decode()})
    await send({"type": "websocket.close", "code": 1013})


async def _body(receive: Any) -> bytes | None:
    """Return the whole body; None if it is too large, or its sender has gone."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


async def _refuse(send: Any, fault: Fault, request: Any) -> None:
    if fault.kind is Kind.UNAVAILABLE:
        await _text(send, 503, b"Service unavailable")
        return
    content = {"jsonrpc": "2.0", "error": _TOO_MANY, "id": request.get("id")}
    await _json(send, 429, content, (b"retry-after", f"{fault.seconds:g}".encode()))


async def _lose(send: Any) -> None:
    """Begin an answer and never end it: the server closes the connection."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _json(send: Any, status: int, content: Any, *headers: tuple[bytes, bytes]) -> None:
    await _send(send, status, b"application/json", orjson.dumps(content), *headers)


async def _text(send: Any, status: int, content: bytes) -> None:
    await _send(send, status, b"text/plain", content)


async def _send(
    send: Any, status: int, kind: bytes, content: bytes, *headers: tuple[bytes, bytes]
) -> None:
    length = (b"content-length", str(len(content)).encode())
    all_headers = [(b"content-type", kind), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": content})
