"""The load tool drives any engine whose names it is told, and finds a stream that is not whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bench.streams import CLOSE, CONTINUED, LAST, PING, PONG, TEXT
from tests.bench.wire import Outcome, Target, arguments, dialect_of, drive, lines_of
from tests.support.engine import Engine, Web, engine

STRANGE = [
    *("--path", "/v2/swap", "--body", '{"pair": "SOL-USDC"}', "--id-field", "data.id"),
    *("--socket-path", "/feed?swap={id}", "--status-field", "state", "--seq-field", ""),
    *("--final", "done", "--failed", "broken,dropped", "--statuses", "new,sent,done"),
    *("--header", "X-Key: secret"),
]


class Stranger:
    """Another system: its own paths, names and statuses. It says what it is given."""

    def __init__(self, says: Sequence[bytes], status: str = "202 Accepted") -> None:
        self._says, self._status = says, status
        self.requests: list[bytes] = []
        self.pongs: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.requests.append(head)
            if head.startswith(b"GET"):
                break
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            self.requests.append(await reader.readexactly(length))
            answer = json.dumps({"data": {"id": 7}})
            writer.write(
                f"HTTP/1.1 {self._status}\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode()
            )
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        for said in self._says:
            writer.write(said)
            if said[0] & 0xF == PING:
                self.pongs.append(await reader.readexactly(2 + 4 + len(said) - 2))
        writer.close()


def frame(kind: int, data: bytes, last: int = LAST) -> bytes:
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2)
    return bytes([last | kind]) + size + data


def state(name: str) -> bytes:
    return frame(TEXT, json.dumps({"state": name}).encode())


GOOD = [state("new"), state("sent"), state("done")]


@asynccontextmanager
async def served(stranger: Stranger) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await stranger.serve(reader, writer)
        except EOFError:  # the client has what it wanted
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def driven(stranger: Stranger, *words: str) -> Outcome:
    async with served(stranger) as url:
        asked = arguments([*STRANGE, *words, "--url", url])
        return await drive(Target(asked.url, dialect_of(asked)), orders=3, at_once=2)


async def test_another_systems_names_are_arguments() -> None:
    stranger = Stranger(GOOD)
    outcome = await driven(stranger)
    assert outcome.faults == {}, outcome.first_fault
    assert len(outcome.posts) == len(outcome.ends) == 3
    posted, opened = (
        next(request for request in stranger.requests if request.startswith(begins))
        for begins in (b"POST /v2/swap HTTP/1.1", b"GET /feed?swap=7 HTTP/1.1")
    )
    assert b'{"pair": "SOL-USDC"}' in stranger.requests
    assert b"\r\nX-Key: secret\r\n" in posted
    assert b"\r\nX-Key: secret\r\n" in opened
    assert lines_of(outcome)[-1] == "refused 0  failed 0  lost 0  inexact 0"


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        (GOOD[:2], "lost"),
        ([], "lost"),
        ([*GOOD[:2], frame(CLOSE, b"\x03\xe8")], "lost"),
        ([GOOD[0], GOOD[2]], "inexact"),
        ([GOOD[0], *GOOD], "inexact"),
        ([GOOD[0], state("dropped")], "failed"),
    ],
)
async def test_a_stream_that_is_not_whole_is_told(says: list[bytes], kind: str) -> None:
    outcome = await driven(Stranger(says))
    assert outcome.faults == {kind: 3}
    assert outcome.first_fault.startswith(kind)


async def test_an_order_that_was_refused_is_told() -> None:
    outcome = await driven(Stranger(GOOD, "429 Too Many Requests"))
    assert outcome.faults == {"refused": 3}
    assert "429" in outcome.first_fault


async def test_a_stream_is_not_looked_at_where_its_statuses_are_not_told() -> None:
    outcome = await driven(Stranger([GOOD[0], GOOD[2]]), "--statuses", "")
    assert outcome.faults == {}


async def test_what_is_counted_with_a_gap_is_not_exact() -> None:
    says = [frame(TEXT, b'{"state": "new", "n": 1}'), frame(TEXT, b'{"state": "done", "n": 3}')]
    outcome = await driven(Stranger(says), "--statuses", "", "--seq-field", "n")
    assert outcome.faults == {"inexact": 3}


async def test_pings_are_answered_and_messages_in_pieces_are_put_together() -> None:
    long = json.dumps({"state": "sent", "more": "x" * 300}).encode()
    pieces = [frame(TEXT, long[:200], 0), frame(PING, b"hey"), frame(CONTINUED, long[200:])]
    stranger = Stranger([GOOD[0], *pieces, GOOD[2]])
    outcome = await driven(stranger)
    assert outcome.faults == {}, outcome.first_fault
    assert set(stranger.pongs) == {bytes([LAST | PONG, 0x83, 0, 0, 0, 0]) + b"hey"}


@pytest.fixture(scope="module")
def running(
    process_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Web]]:
    at_once = {"SIMULATION_QUOTE_LATENCY": "0", "SIMULATION_LANDING_LATENCY": "0"}
    open_to_all = {"ALLOW_ANONYMOUS_ORDERS": "1", "ORDER_RATE_LIMIT": "unlimited"}
    logs: Path = tmp_path_factory.mktemp("wire")
    with engine(process_database, logs, **at_once, **open_to_all) as found:
        web = found.web()
        found.worker()
        yield found, web


async def test_streams_of_this_engine_are_exact(running: tuple[Engine, Web]) -> None:
    outcome = await drive(Target(f"http://{running[1].address}"), orders=12, at_once=4)
    assert outcome.faults == {}, outcome.first_fault
    assert len(outcome.ends) == 12
    assert running[0].statuses() == {"confirmed": 12}
