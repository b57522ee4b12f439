"""The door before our code: what strangers send without end, and how many may stand there."""

import asyncio
import json
import resource
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.test import override_settings
from uvicorn.config import Config
from uvicorn.server import ServerState

from config import connection, door
from config.connection import MAX_HEAD, Connection

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
HANDSHAKE = (
    b"GET /execute HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
PATIENCE = 10.0
pytestmark = pytest.mark.filterwarnings("ignore:remove second argument")  # uvicorn's


class Reader:
    """An application that reads what it gets, and says how much that was."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        size, has_more = 0, True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size, has_more = size + len(message["body"]), message["more_body"]
        body = str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Open a socket, unless its path is a code to close it with."""
    await receive()
    await send({"type": "websocket.accept"})
    if (code := scope["path"].strip("/")).isdigit():
        await send({"type": "websocket.close", "code": int(code)})
    while (await receive())["type"] != "websocket.disconnect":
        pass


@asynccontextmanager
async def serving(application: Any) -> AsyncIterator[int]:
    """Serve it as uvicorn would, in this process; yield the port."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Config(
            application,
            http=Connection,
            ws="config.websocket:WebSocket",  # type: ignore[arg-type]  # any name will do
            proxy_headers=False,
            log_config=None,
        )
        config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in list(state.connections):
            one.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=PATIENCE)


async def told(port: int, *sent: bytes, ends: bool = False) -> bytes:
    """Send these pieces, and return what comes until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in sent:
                writer.write(piece)
                await asyncio.sleep(0)
            if ends:
                writer.write_eof()
            return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [GET, *[b"a: b\r\n" * 1000] * 12],
        [GET, b"X-A: " + b"x" * (MAX_HEAD + 1)],
        [GET, b"x" * (MAX_HEAD + 1)],  # a name without end
        [b"GET /" + b"x" * (MAX_HEAD + 1)],
        [b"G" * 10 + b" "],
        [b"\r\n" * MAX_HEAD],
    ],
    ids=["lines", "a value", "a name", "an address", "a word", "nothing"],
)
async def test_a_head_without_end_is_refused_before_anybody_reads_it(pieces: list[bytes]) -> None:
    reader = Reader()
    async with serving(reader) as port:
        answer = await told(port, *pieces)
    assert answer[9:12] in (b"431", b"400")
    assert (answer[9:12] == b"431") is (len(b"".join(pieces)) > MAX_HEAD)
    assert reader.asked == 0


async def test_a_head_of_the_largest_size_is_read() -> None:
    async with serving(Reader()) as port:
        filler = b"x" * (MAX_HEAD - 1000)
        answer = await told(port, GET + b"X-A: " + filler + b"\r\nConnection: close\r\n\r\n")
    assert answer[9:12] == b"200"


async def test_what_follows_a_request_is_bounded_too() -> None:
    """A second request in its packet, trailers, and what stands behind a chunk's size."""
    whole = GET + b"\r\n"
    chunked = GET.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n"
    async with serving(Reader()) as port:
        second = await told(port, whole + GET + b"X-A: " + b"x" * (2 * MAX_HEAD))
        trailers = await told(port, chunked + b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 20_000)
        trailer = await told(port, chunked + b"1\r\nx\r\n0\r\nA: " + b"x" * (2 * MAX_HEAD))
        extension = await told(port, chunked + b"1;" + b"x" * (2 * MAX_HEAD))
    assert second.startswith(b"HTTP/1.1 200")
    assert second.count(b"HTTP/1.1 431") == 1
    for answer in (trailers, trailer, extension):
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer[9:12] in (b"431", b"400")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET + b"X-A: ", b"408"),
        (b"G", b"408"),
        (GET.replace(b"GET", b"POST") + b"Content-Length: 9\r\n\r\nhalf", b"408"),
        (GET.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n5\r\nha", b"408"),
        (b"", b""),
    ],
    ids=["a head", "a letter", "a body", "a chunk", "nothing"],
)
async def test_a_request_that_does_not_come_whole_is_told_so(
    sent: bytes, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    async with serving(Reader()) as port:
        answer = await told(port, sent)
    assert answer[9:12] == status
    assert answer == b"" or b'"request_timeout"' in answer


async def test_a_byte_now_and_then_earns_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)
    async with serving(Reader()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"X-A: ")
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(PATIENCE):
            while not (await asyncio.wait([answer], timeout=0.05))[0]:
                writer.write(b"x")
        assert answer.result()[9:12] == b"408"
        writer.close()


async def test_a_connection_between_two_requests_may_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)
    async with serving(Reader()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200")
        done, _ = await asyncio.wait([asyncio.create_task(reader.read(1))], timeout=0.4)
        assert not done
        writer.close()


async def test_a_client_that_does_not_take_its_answer_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)
    ended = asyncio.Event()

    async def pour(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            if (await_disconnect := scope.get("gone")) is not None:
                await await_disconnect
        await send({"type": "http.response.body", "body": b""})

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await pour(scope, receive, send)
        ended.set()

    async with serving(watched) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(GET + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
        writer.close()


@override_settings(TRUSTED_PROXIES=(), MAX_ADDRESS_CONNECTIONS=3)
async def test_an_address_has_so_many_connections_and_another_has_its_own() -> None:
    async with serving(Reader()) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        refused = await told(port, GET + b"\r\n")
        assert (refused[9:12], b"too_many_connections" in refused) == (b"429", True)
        assert b"retry-after: 5" in refused
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, local_addr=("127.0.0.2", 0)
        )
        writer.write(GET + b"Connection: close\r\n\r\n")
        assert (await reader.read())[9:12] == b"200"
        writer.close()
        for _, one in held:
            one.close()
            await one.wait_closed()
        async with asyncio.timeout(PATIENCE):
            while (await told(port, GET + b"Connection: close\r\n\r\n"))[9:12] != b"200":
                await asyncio.sleep(0.01)
    assert len(door.connections) == 0


async def test_a_websocket_is_one_connection_until_it_ends() -> None:
    with override_settings(TRUSTED_PROXIES=(), MAX_ADDRESS_CONNECTIONS=1):
        async with serving(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE + b"\r\n")
            assert (await reader.readuntil(b"\r\n\r\n"))[9:12] == b"101"
            assert (await told(port, GET + b"\r\n"))[9:12] == b"429"
            writer.transport.abort()
            async with asyncio.timeout(PATIENCE):
                while len(door.connections):
                    await asyncio.sleep(0.01)


async def test_a_process_without_descriptors_refuses_and_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "room_for_connections", lambda: 2)
    async with serving(Reader()) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        full = await asyncio.gather(*(told(port, GET + b"\r\n") for _ in range(20)))
        assert {answer[9:12] for answer in full} == {b"503"}
        assert all(b"retry-after" in answer for answer in full)
        for _, one in held:
            one.close()
        async with asyncio.timeout(PATIENCE):
            while (await told(port, GET + b"Connection: close\r\n\r\n"))[9:12] != b"200":
                await asyncio.sleep(0.01)


async def test_refused_connections_that_linger_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "room_for_connections", lambda: 0)
    monkeypatch.setattr(connection, "MAX_LINGERING", 2)
    async with serving(Reader()) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        async with asyncio.timeout(PATIENCE):
            answers = [await _read(reader) for reader, _ in held]
        assert 2 <= sum(answer[9:12] == b"503" for answer in answers) <= 4
        for _, one in held:
            one.close()
    async with asyncio.timeout(PATIENCE):
        while Connection.lingering:
            await asyncio.sleep(0.01)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def test_room_is_left_for_what_is_no_connection() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert door.room_for_connections() == soft - door.RESERVED


@pytest.mark.parametrize("code", [4401, 4404, 4429])
async def test_a_refused_socket_that_does_not_answer_is_gone_a_second_later(code: int) -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE.replace(b"/execute", f"/{code}".encode()) + b"\r\n")
        async with asyncio.timeout(2.5):  # else ten, or twenty
            heard = await _read(reader)
        assert code.to_bytes(2, "big") in heard or heard == b""
        writer.close()


async def knock(door_of_sockets: Any, *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """Return what a handshake from one address is told."""
    told: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        told.append(message)

    scope = {
        "type": "websocket",
        "client": ("198.51.100.7", 1),
        "headers": list(headers),
        "extensions": {"websocket.http.response": {}},
    }
    await door_of_sockets(scope, None, send)
    return told


async def let_in(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


async def test_a_socket_too_many_is_refused_where_its_client_can_read_it(settings: Any) -> None:
    settings.MAX_SOCKETS = 1
    bounded = door.BoundedSockets(let_in)
    page = (b"origin", b"http://127.0.0.1")
    assert await knock(bounded) == [{"type": "websocket.accept"}]
    with door.place_of_address("198.51.100.7"):
        start, body = await knock(bounded)
        accepted, frame, closed = await knock(bounded, page)
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (429, b"5")
    assert json.loads(body["body"])["error"] == "too_many_sockets"
    assert accepted == {"type": "websocket.accept"}
    said = json.loads(frame["text"])
    assert (said["type"], said["error"], said["httpStatus"]) == ("error", "too_many_sockets", 429)
    assert "status" not in said
    assert (closed["type"], closed["code"]) == ("websocket.close", 4429)
    assert await knock(bounded, page) == [{"type": "websocket.accept"}]


@pytest.mark.parametrize(
    "host",
    [
        *(b"evil.test", b"localhost.evil.test", b"127.0.0.1.evil.test", b"[::1].evil.test"),
        *(b"evil.test:8000", b"", b"localhost@evil.test", b"127.0.0.2"),
    ],
)
async def test_a_socket_of_another_host_is_refused_before_its_origin(
    host: bytes, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
    known = door.KnownHosts(let_in)
    start, _ = await knock(known, (b"host", host), (b"origin", b"http://" + host))
    assert start["status"] == 400
    for own in (b"localhost:8000", b"127.0.0.1", b"[::1]:8000"):
        assert await knock(known, (b"host", own)) == [{"type": "websocket.accept"}]


@pytest.mark.parametrize("opcode", [9, 10], ids=["pings", "pongs"])
async def test_a_flood_of_control_frames_ends_the_socket(opcode: int) -> None:
    frame = bytes((0x80 | opcode, 0x80)) + b"\0\0\0\0"
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame * 100)
        writer.write(frame * 200)
        async with asyncio.timeout(PATIENCE):
            heard = await _read(reader)
        assert (4429).to_bytes(2, "big") in heard
        writer.close()


async def test_pings_that_keep_a_socket_open_are_answered() -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(50):
            writer.write(b"\x89\x80\0\0\0\0")
            assert await reader.readexactly(2) == b"\x8a\x00"
        writer.close()


def test_what_the_class_leans_on_is_in_uvicorn() -> None:
    """Another version may name these otherwise: then this, not an order, fails."""
    found = Connection(
        Config(Reader(), log_config=None), ServerState(), {}, asyncio.new_event_loop()
    )
    for name in ("cycle", "pipeline", "headers", "parser", "flow", "connections", "loop", "client"):
        assert hasattr(found, name), name
    for name in (
        *("connection_made", "connection_lost", "data_received", "eof_received", "pause_writing"),
        *("resume_writing", "on_message_begin", "on_url", "on_header", "on_headers_complete"),
        *("on_body", "on_message_complete", "on_response_complete", "handle_websocket_upgrade"),
        *("timeout_keep_alive_handler", "_unset_keepalive_if_required", "_should_upgrade"),
    ):
        assert callable(getattr(super(Connection, found), name)), name
    found.loop.close()
