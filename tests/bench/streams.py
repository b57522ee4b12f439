"""A WebSocket of which a thousand cost the client little: it reads texts, and that is all."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

CONTINUED, TEXT, CLOSE, PING, PONG = 0, 1, 8, 9, 10
LAST = 0x80
MASKED = 0x80
SHORT, MEDIUM = 125, 126
NO_MASK = bytes(4)  # a mask of zeros leaves what it masks as it is


class Stream:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str, headers: str = "") -> "Stream":
        """Open a `ws://` or `wss://` URL; each of `headers` ends with CRLF.

        :raises OSError: there was no connection, or the answer is not 101.
        :raises EOFError: the connection was closed before an answer.
        """
        parts = urlsplit(url)
        is_secure = parts.scheme == "wss"
        port = parts.port or (443 if is_secure else 80)
        host = parts.hostname or "127.0.0.1"
        stream = cls(*await asyncio.open_connection(host, port, ssl=is_secure or None))
        nonce = base64.b64encode(os.urandom(16)).decode()
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        stream._writer.write(
            (
                f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {nonce}\r\n{headers}\r\n"
            ).encode()
        )
        answer = await stream._reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            stream.close()
            raise ConnectionRefusedError(answer.partition(b"\r\n")[0].decode(errors="replace"))
        return stream

    async def texts(self) -> AsyncIterator[bytes]:
        """Yield each message until the server closes, and answer its pings.

        :raises OSError: the connection broke.
        """
        message = b""
        try:
            while True:
                kind, is_last, data = await self._frame()
                if kind == CLOSE:
                    self._send(CLOSE, data)
                    return
                if kind == PING:
                    self._send(PONG, data)
                elif kind in (TEXT, CONTINUED):
                    message += data
                    if is_last:
                        yield message
                        message = b""
        except EOFError:
            return

    def say(self, text: bytes) -> None:
        """Send a message of at most 65,535 bytes."""
        self._send(TEXT, text)

    def close(self) -> None:
        self._writer.close()

    async def _frame(self) -> tuple[int, bool, bytes]:
        first, size = await self._reader.readexactly(2)
        if size > SHORT:
            size = int.from_bytes(await self._reader.readexactly(2 if size == MEDIUM else 8))
        return first & 0xF, bool(first & LAST), await self._reader.readexactly(size)

    def _send(self, kind: int, data: bytes) -> None:
        short = len(data) <= SHORT
        size = bytes([MASKED | len(data)]) if short else b"\xfe" + len(data).to_bytes(2)
        self._writer.write(bytes([LAST | kind]) + size + NO_MASK + data)
