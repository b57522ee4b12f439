"""A client that writes bytes as it likes, and reads answers one by one."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPMessage, HTTPResponse
from io import BufferedReader
from typing import Any

from tests.support.engine import PATIENCE, SELL, Answer

ORDER = json.dumps(SELL).encode()
JSON = b"content-type: application/json\r\n"


@dataclass(frozen=True)
class _Kept:
    """The part of a socket that HTTPResponse wants, which closes it after each answer."""

    file: "_Open"

    def makefile(self, mode: str) -> "_Open":
        return self.file


class _Open(BufferedReader):
    def close(self) -> None: ...


@dataclass
class Wire:
    connection: socket.socket
    _kept: _Kept = field(init=False)

    def __post_init__(self) -> None:
        raw = self.connection.makefile("rb", buffering=0)
        self._kept = _Kept(_Open(raw))  # type: ignore[arg-type]

    def send(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def say_no_more(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer:
        """Wait for the next answer. One without JSON has its text as body."""
        response = HTTPResponse(self._kept)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        headers: HTTPMessage = response.headers
        parsed: Any = json.loads(body) if b"json" in _type_of(headers) else body.decode()
        return Answer(response.status, headers, parsed)

    def line(self) -> bytes:
        return self._kept.file.readline()

    def line_until(self, end: bytes) -> bytes:
        """Read on until this stands at the end."""
        found = b""
        while not found.endswith(end):
            more = self._kept.file.read(1)
            assert more, found
            found += more
        return found

    def is_closed(self) -> bool:
        """Wait for the server to close; False if it sends something else first."""
        try:
            return self._kept.file.read(1) == b""
        except ConnectionResetError:
            return True


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        yield Wire(connection)


def head(line: str, *headers: bytes, host: bytes = b"localhost") -> bytes:
    """Return a request up to its body. `headers` end with CRLF, each."""
    return b"%s HTTP/1.1\r\nhost: %s\r\n%s\r\n" % (line.encode(), host, b"".join(headers))


def post(*headers: bytes, body: bytes = ORDER, path: str = "/api/orders/execute") -> bytes:
    length = b"content-length: %d\r\n" % len(body)
    return head(f"POST {path}", JSON, length, *headers) + body


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _type_of(headers: HTTPMessage) -> bytes:
    return (headers.get("content-type") or "").encode()
