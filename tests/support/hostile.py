"""Clients that harm: one floods, one asks and does not listen to the answers.

The first is to be run in a process of its own: the one that measures should not pay for it.
"""

import asyncio
import json
import socket
import struct
import time
from contextlib import suppress
from select import select
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect

SHORT, LONG = '{"action": "wait"}', json.dumps({"action": "wait", "more": "x" * 60_000})
QUESTION = json.dumps({f"{number} {'x' * 50}": 0 for number in range(500)})
"""Is refused at greater length than it has itself."""

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TEXT, CLOSE = 1, 8
AT_ONCE = 1 << 18  # bytes
SMALL = 4096  # bytes


def flood(url: str, text: str, seconds: float) -> list[int | None]:
    """Send frames as fast as they are taken, on one connection after the other, for so long.

    Return the codes with which the server closed them; None: without one.
    """
    until = time.monotonic() + seconds
    codes = []
    while time.monotonic() < until:
        codes.append(_flood_once(url, masked(text)))
    return codes


async def stuff(url: str) -> ClientConnection:
    """Ask for answers and read none, until the server takes no more questions."""
    parts = urlsplit(url)
    bare = socket.socket()
    bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    bare.connect((parts.hostname, parts.port))
    deaf = await connect(
        url, sock=bare, max_queue=1, compression=None, ping_interval=None, write_limit=1
    )
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(2):
                await deaf.send(QUESTION)
            await asyncio.sleep(0.01)  # a flood would be closed for being one
    return deaf


def masked(text: str) -> bytes:
    """Return a text frame as a client sends it; a mask of zeros leaves the text as it is."""
    length = len(text)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + struct.pack("!H", length)
    return bytes([0x80 | TEXT]) + size + bytes(4) + text.encode()


def close_code(heard: bytes) -> int | None:
    """Return the code of the close frame in what a server sent, if it is there."""
    place = 0
    while place + 2 <= len(heard):
        kind, size, place = heard[place] & 0xF, heard[place + 1], place + 2
        if size == 126:
            size, place = int.from_bytes(heard[place : place + 2]), place + 2
        elif size == 127:
            size, place = int.from_bytes(heard[place : place + 8]), place + 8
        if kind == CLOSE and place + 2 <= len(heard):
            return int.from_bytes(heard[place : place + 2])
        place += size
    return None


def _flood_once(url: str, frame: bytes) -> int | None:
    connection, heard = _connected(url)
    frames = left = memoryview(frame * max(1, AT_ONCE // len(frame)))
    with connection, suppress(ConnectionError):
        while (code := close_code(heard)) is None:
            readable, writable, _ = select([connection], [connection], [], 1)
            if writable:
                left = left[connection.send(left) :] or frames
            if readable:
                data = connection.recv(AT_ONCE)
                if not data:
                    break
                heard += data
        return code
    return None


def _connected(url: str) -> tuple[socket.socket, bytes]:
    """Return a socket after its handshake, and what came after that."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 80), timeout=30)
    path = f"{parts.path}?{parts.query}"
    connection.sendall(HANDSHAKE.format(path=path, host=parts.netloc).encode())
    heard = b""
    while b"\r\n\r\n" not in heard:
        heard += connection.recv(AT_ONCE)
    connection.setblocking(False)
    return connection, heard.partition(b"\r\n\r\n")[2]
