"""A client that costs little, so that the engine is measured and not the client."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import websockets

BODY = json.dumps({"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"}).encode()


def request_of(path: str, body: bytes, headers: str = "", host: str = "localhost") -> bytes:
    """Return a POST of JSON; each of `headers` ends with CRLF."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


REQUEST = request_of("/api/orders/execute", BODY)


class Connection:
    """One keep-alive HTTP connection that posts the same order again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(
        cls, port: int, host: str = "127.0.0.1", *, is_secure: bool = False
    ) -> "Connection":
        return cls(*await asyncio.open_connection(host, port, ssl=is_secure or None))

    async def post(self) -> bytes:
        """Return the answer's body.

        :raises AssertionError: the answer is not 201.
        """
        status, body = await self.exchange(REQUEST)
        assert status == 201, body
        return body

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the answer's status and body.

        :raises OSError: the connection broke.
        :raises EOFError: it was closed before the answer was there.
        """
        self._writer.write(request)
        return await self._answer()

    async def exchange_all(self, request: bytes, total: int, at_once: int) -> None:
        """Send a request so many times, so many before their answers are read (pipelining).

        :raises AssertionError: an answer is not 201.
        """
        self._writer.write(request * at_once)
        for number in range(at_once, total + at_once):
            status, body = await self._answer()
            assert status == 201, body
            if number < total:
                self._writer.write(request)

    async def _answer(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return status, await self._reader.readexactly(int(length or 0))

    def close(self) -> None:
        self._writer.close()


async def in_parallel(
    port: int, connections: int, total: int, act: "Act"
) -> tuple[float, list[float]]:
    """Return the seconds of it all and each act's seconds."""
    seconds: list[float] = []
    opened = [await Connection.open(port) for _ in range(connections)]
    left = total

    async def run(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = time.perf_counter()
            await act(port, connection)
            seconds.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(run(connection) for connection in opened))
    elapsed = time.perf_counter() - start
    for connection in opened:
        connection.close()
    return elapsed, seconds


async def post(port: int, connection: Connection) -> None:
    await connection.post()


async def post_and_follow(port: int, connection: Connection) -> None:
    """Post, open the order's stream, and read it to `confirmed`."""
    order_id = json.loads(await connection.post())["orderId"]
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/ws/orders/{order_id}", compression=None
    ) as stream:
        await read_to_the_end(stream)


async def send_as_frame(
    port: int, sockets: "list[websockets.ClientConnection]", total: int
) -> list[float]:
    """Send orders on open sockets, one after the other on each, and read each to `confirmed`."""
    seconds: list[float] = []
    left = total

    async def run(stream: websockets.ClientConnection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            start = time.perf_counter()
            await stream.send(BODY.decode())
            await read_to_the_end(stream)
            seconds.append(time.perf_counter() - start)

    await asyncio.gather(*(run(stream) for stream in sockets))
    return seconds


async def read_to_the_end(stream: websockets.ClientConnection) -> None:
    async for message in stream:
        status = json.loads(message)["status"]
        if status == "confirmed":
            return
        assert status in ("pending", "routing", "building", "submitted"), message
    raise AssertionError("the stream ended before `confirmed`")


def percentile(seconds: list[float], share: float) -> float:
    """Return milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


Act = Callable[[int, Connection], Awaitable[None]]
