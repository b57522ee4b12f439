"""The door before our code: what strangers send without end, and how many may stand there."""

import asyncio
import gc
import importlib
import resource
import socket
import subprocess
import sys
import tomllib
import tracemalloc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import pytest
from django.test import override_settings
from packaging.specifiers import SpecifierSet
from uvicorn.config import Config
from uvicorn.server import ServerState

from config.environment.data_folder import PROJECT
from config.http import connection, door
from config.http.connection import MAX_HEAD, Connection
from config.stack.processes import WEB_FLAGS, WEB_OPTIONS

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"
HANDSHAKE = (
    b"GET /execute HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
)
BODY = b"Content-Length: 9\r\n\r\n"
COMPRESSES = WEB_OPTIONS["--ws-per-message-deflate"] != "false"
UNITS = ["docs/deployment/systemd/order-engine-web.service"]
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
async def serving(application: Any, **options: Any) -> AsyncIterator[int]:
    """Serve it as uvicorn would, in this process; yield the port."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = Config(
            application,
            http=Connection,
            ws="config.http.websocket:WebSocket",  # type: ignore[arg-type]  # any name will do
            proxy_headers=False,
            log_config=None,
            **options,
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


def websocket() -> Any:
    """Return the module of sockets, whose library warns of its age when it is read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("config.http.websocket")


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
async def test_a_head_without_end_is_refused_before_the_application_reads_it(
    pieces: list[bytes],
) -> None:
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


async def test_a_second_head_that_is_little_too_large_is_refused() -> None:
    """It comes in pieces, of which none is too large by itself: what counts is the whole."""
    second = GET + b"X-A: " + b"x" * MAX_HEAD + b"\r\n\r\n"
    async with serving(Reader()) as port:
        answers = await told(port, GET + b"X-A: " + b"x" * 2000 + b"\r\n\r\n" + second)

    assert answers.count(b"HTTP/1.1 200") == 1
    assert answers.count(b"HTTP/1.1 431") == 1


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
async def test_an_address_has_so_many_connections_and_another_has_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(Reader()) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        refused = await told(port, GET + b"\r\n")
        assert (refused[9:12], b"too_many_connections" in refused) == (b"429", True)
        assert b"retry-after: 5" in refused
        (line,) = [one for one in caplog.records if one.name == "engine.security"]
        assert (line.getMessage(), line.__dict__["limit"]) == ("limit_hit", "connections")
        assert line.__dict__["address"] == "127.0.0.1"
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


async def test_what_a_flooding_socket_leaves_is_small() -> None:
    """A circle of objects waits for the collector, with all that the client had sent."""
    junk = masked(0x82, b"x" * 100) * 4000
    gc.disable()
    tracemalloc.start()
    try:
        async with serving(echo) as port:
            await _flood(port, junk)
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(8):
                await _flood(port, junk)
            async with asyncio.timeout(PATIENCE):  # all have had their last second
                while tracemalloc.get_traced_memory()[0] - before > 8 * 20_000:
                    await asyncio.sleep(0.05)
    finally:
        tracemalloc.stop()
        gc.enable()


async def _flood(port: int, junk: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HANDSHAKE + b"\r\n")
    await reader.readuntil(b"\r\n\r\n")
    writer.write(masked(0x89) * 300 + junk)
    async with asyncio.timeout(PATIENCE):
        await _read(reader)
    writer.transport.abort()


def masked(first: int, data: bytes = b"") -> bytes:
    """Return a client's frame: its first byte, and its data under a key of zeros."""
    return bytes((first, 0x80 | len(data))) + b"\0\0\0\0" + data


async def parrot(scope: Any, receive: Any, send: Any) -> None:
    """Say each message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("pieces", [1, 2, 3])
async def test_a_frame_that_does_not_wait_for_the_handshake_is_heard(pieces: int) -> None:
    whole = HANDSHAKE + b"\r\n" + masked(0x81, b"an order")
    cuts = {1: [], 2: [len(HANDSHAKE) + 5], 3: [len(HANDSHAKE), len(HANDSHAKE) + 2]}
    async with serving(parrot) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start, end in pairwise([0, *cuts[pieces], len(whole)]):
            writer.write(whole[start:end])
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\x81\x08an order"))[9:12] == b"101"
        writer.close()


@pytest.mark.parametrize(
    "line", ["GET /livez", "GET /livez HTTP/0.9", "GET / HTTP/1.2", "GET / HTTP/2.0"]
)
async def test_another_version_of_http_is_refused(line: str) -> None:
    reader = Reader()
    async with serving(reader) as port:
        for head in (b"\r\n\r\n", b"\r\nHost: x\r\n\r\n"):
            assert (await told(port, line.encode() + head))[9:12] in (b"400", b"")
    assert reader.asked == 0


FLOODS = {
    "empty pieces": masked(0x01) + masked(0x00) * 300,
    "small pieces": masked(0x01, b"x") + masked(0x00, b"x") * 300,
    "pings within a message": masked(0x01, b"x") + masked(0x89) * 300,
    "pongs and pings": (masked(0x8A, b"x" * 125) + masked(0x89)) * 150,
    "messages of two pieces": (masked(0x01, b"x") + masked(0x80, b"y")) * 300,
}


@pytest.mark.parametrize("sent", FLOODS.values(), ids=FLOODS)
async def test_whatever_the_application_does_not_see_is_counted(sent: bytes) -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        async with asyncio.timeout(PATIENCE):
            assert (4429).to_bytes(2, "big") in await _read(reader)
        writer.close()


async def test_no_socket_is_compressed_however_it_is_asked() -> None:
    offer = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    async with serving(echo, ws_per_message_deflate=COMPRESSES) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + offer + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head[9:12] == b"101"
        assert b"extensions" not in head.lower()
        writer.close()


@pytest.mark.parametrize("place", ["Procfile", "Dockerfile", *UNITS])
def test_every_way_to_start_the_web_process_keeps_the_door(place: str) -> None:
    text = (PROJECT / place).read_text()
    for option, value in WEB_OPTIONS.items():
        assert f"{option} {value} " in text, option
    assert all(flag in text for flag in WEB_FLAGS)


async def test_a_handshake_that_is_never_answered_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket(), "HANDSHAKE_SECONDS", 0.1)

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    async with serving(silent) as port:
        answer = await told(port, HANDSHAKE + b"\r\n")
    assert b" 101 " not in answer


async def test_a_second_request_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)
    async with serving(Reader()) as port:
        for second in (GET, GET + b"X-A: ", b"G", GET.replace(b"GET", b"POST") + BODY + b"ha"):
            answer = await told(port, GET + b"\r\n" + second)
            assert answer.startswith(b"HTTP/1.1 200"), second
            assert answer.count(b"HTTP/1.1 408") == 1, second


async def test_pings_that_keep_a_socket_open_are_answered() -> None:
    async with serving(echo) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(50):
            writer.write(b"\x89\x80\0\0\0\0")
            assert await reader.readexactly(2) == b"\x8a\x00"
        writer.close()


SCRIPT = """
import asyncio, resource, sys
import uvloop
from config.http import door
from tests.config.http.test_door import Reader, serving

async def main():
    async with serving(Reader()) as port:
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

door.RESERVED = int(sys.argv[1])
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.get_loop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    runner.run(main())
"""


@pytest.mark.parametrize("reserved", ["60", "-1000"], ids=["by the count", "by the system"])
def test_a_process_whose_descriptors_are_taken_serves_again_once_they_are_free(
    reserved: str,
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, reserved]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin
        assert child.stdout
        port = int(child.stdout.readline())
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
        for one in held:
            with suppress(OSError):
                one.sendall(GET)
        for one in held:
            one.close()
        asyncio.run(_until_served(port))
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(PATIENCE) == 0


async def _until_served(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await told(port, GET + b"Connection: close\r\n\r\n"))[9:12] != b"200":
            await asyncio.sleep(0.02)


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


async def test_what_the_socket_leans_on_is_in_uvicorn_and_websockets() -> None:
    config = Config(Reader(), log_config=None, ws="none")
    config.load()
    found = websocket().WebSocket(config, ServerState(), {})
    for name in ("handshake_started_event", "handshake_completed_event", "loop", "transport"):
        assert hasattr(found, name), name
    for name in (
        *("connection_made", "connection_lost", "ws_handler", "asgi_send", "read_frame"),
        "fail_connection",
    ):
        assert callable(getattr(super(type(found), found), name)), name


def test_no_other_minor_version_of_uvicorn_is_installed_unseen() -> None:
    """The classes stand on what uvicorn promises nobody: each minor version is to be tried."""
    bound = next(one for one in _declared() if "uvicorn" in one)
    assert SpecifierSet(bound.removeprefix("uvicorn")).contains(version("uvicorn"))
    major, minor, *_ = version("uvicorn").split(".")
    assert not SpecifierSet(bound.removeprefix("uvicorn")).contains(f"{major}.{int(minor) + 1}.0")


def _declared() -> list[str]:
    found: list[str] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    return found
