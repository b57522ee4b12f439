"""`python -m tests.abuse.attacks KIND`: one kind of abuse, for as long as it is let run.

All come from one address. Each kind is a process of its own, at nice 19, so that it can be as
rude as a stranger. What the engine answers is counted by status, and told as one line of JSON.
"""

import asyncio
import base64
import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

SECONDS_TO_READ = 20.0
PAUSE = 0.2  # seconds after a refusal, so that the attack is the engine's work and not our own loop
ORDER = json.dumps({"tokenIn": "SOL", "tokenOut": "USDC", "amount": "1.5"}).encode()


@dataclass
class Target:
    """Where it goes, from which address, and with which key, if any."""

    port: int
    source: str
    key: str = ""
    seed: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, local_addr=(self.source, 0), limit=2**22
        )

    def head(self, method: str, path: str, *lines: str) -> bytes:
        own = [f"Authorization: Bearer {self.key}"] if self.key else []
        return "\r\n".join(
            [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *own, *lines, "", ""]
        ).encode()

    def handshake(self, path: str) -> bytes:
        nonce = base64.b64encode(os.urandom(16)).decode()
        return self.head(
            *("GET", path, "Connection: Upgrade", "Upgrade: websocket"),
            *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {nonce}"),
        )


async def answer_of(reader: asyncio.StreamReader) -> str:
    """Return the status of an answer, and read its body."""
    async with asyncio.timeout(SECONDS_TO_READ):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" in head:
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    return head.split(b" ", 2)[1].decode()


async def again_and_again(target: Target, act: Callable[[Target], Awaitable[str]]) -> None:
    """Do it for ever, and count what came of it."""
    while True:
        try:
            found = await act(target)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            found = "broken"
        target.answers[found] += 1
        if found[:1] not in ("2", "1"):
            await asyncio.sleep(PAUSE)


async def crowd(target: Target, size: int, act: Callable[[Target], Awaitable[str]]) -> None:
    await asyncio.gather(*(again_and_again(target, act) for _ in range(size)))


async def large_head(target: Target) -> str:
    """30 MB of header lines, as fast as they are taken."""
    reader, writer = await target.open()
    try:
        writer.write(target.head("GET", "/livez")[:-2])
        for _ in range(460):
            writer.write(b"a: b\r\n" * 11_000)
            await writer.drain()
            if reader.at_eof():
                return "closed"
        writer.write(b"\r\n")
        return await answer_of(reader)
    finally:
        writer.transport.abort()


async def slow_head(target: Target) -> str:
    """A request whose head never ends, a byte every two seconds."""
    reader, writer = await target.open()
    try:
        writer.write(target.head("GET", "/livez", "X-a: ")[:-4])
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    return await answer_of(reader)
        return "closed"
    finally:
        writer.transport.abort()


async def slow_body(target: Target) -> str:
    reader, writer = await target.open()
    try:
        lines = ("Content-Type: application/json", "Content-Length: 60000")
        writer.write(target.head("POST", "/api/orders/execute", *lines))
        while not reader.at_eof():
            writer.write(b" ")
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(2.0):
                    return await answer_of(reader)
        return "closed"
    finally:
        writer.transport.abort()


async def unread_handshake(target: Target) -> str:
    """A handshake whose answer nobody reads; the connection stays for a while."""
    _, writer = await target.open()
    try:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of transports that read
        writer.write(target.handshake("/ws/orders/0198c5a0-0000-7000-8000-000000000000"))
        await asyncio.sleep(10)
        return "101 or not"
    finally:
        writer.transport.abort()


async def idle_socket(target: Target) -> str:
    """An order socket that is opened and kept."""
    reader, writer = await target.open()
    try:
        writer.write(target.handshake("/api/orders/execute"))
        found = await answer_of(reader)
        if found == "101":
            while await reader.read(2**16):
                pass
        return found
    finally:
        writer.transport.abort()


async def log_in(target: Target) -> str:
    """A wrong password, with the token that the page wants."""
    reader, writer = await target.open()
    try:
        writer.write(target.head("GET", "/accounts/login/"))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        page = (await reader.readexactly(length)).decode()
        if "csrfmiddlewaretoken" not in page:
            return head.split(" ", 2)[1]
        token = page.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        cookie = head.split("csrftoken=")[1].split(";")[0]
        body = f"username=admin&password={random.random()}&csrfmiddlewaretoken={token}".encode()
        lines = (
            *(f"Cookie: csrftoken={cookie}", "Content-Type: application/x-www-form-urlencoded"),
            f"Content-Length: {len(body)}",
        )
        writer.write(target.head("POST", "/accounts/login/", *lines) + body)
        return await answer_of(reader)
    finally:
        writer.transport.abort()


async def read_lists(target: Target) -> str:
    reader, writer = await target.open()
    try:
        writer.write(target.head("GET", "/api/orders?limit=200"))
        return await answer_of(reader)
    finally:
        writer.transport.abort()


async def read_schema(target: Target) -> str:
    reader, writer = await target.open()
    try:
        writer.write(target.head("GET", "/api/schema?format=yaml"))
        return await answer_of(reader)
    finally:
        writer.transport.abort()


async def send_orders(target: Target) -> str:
    reader, writer = await target.open()
    try:
        lines = ("Content-Type: application/json", f"Content-Length: {len(ORDER)}")
        writer.write(target.head("POST", "/api/orders/execute", *lines) + ORDER)
        return await answer_of(reader)
    finally:
        writer.transport.abort()


async def ping(target: Target) -> str:
    """An open order socket, and nothing but pings and junk on it."""
    reader, writer = await target.open()
    try:
        writer.write(target.handshake("/api/orders/execute"))
        found = await answer_of(reader)
        if found != "101":
            return found
        chance = random.Random(target.seed)
        while not reader.at_eof():
            mask = bytes(4)
            junk = chance.randbytes(100).hex().encode()  # 200 bytes
            writer.write((b"\x89\x80" + mask) * 500)
            writer.write(b"\x81\xfe" + len(junk).to_bytes(2, "big") + mask + junk)
            await writer.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.001):
                    await reader.read(2**20)
        return "closed"
    finally:
        writer.transport.abort()


KINDS: dict[str, tuple[int, Callable[[Target], Awaitable[str]]]] = {
    "large heads": (2, large_head),
    "slow heads": (1100, slow_head),
    "slow bodies": (200, slow_body),
    "unread handshakes": (1300, unread_handshake),
    "idle sockets": (1000, idle_socket),
    "log-ins": (40, log_in),
    "lists of 200": (20, read_lists),
    "schemas": (10, read_schema),
    "orders of one account": (8, send_orders),
    "pings and junk": (20, ping),
}
"""How many at a time, and what each does."""


async def attack(kind: str, target: Target) -> None:
    size, act = KINDS[kind]
    attacking = asyncio.create_task(crowd(target, size, act))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attacking.cancel)
    with suppress(asyncio.CancelledError):
        await attacking
    print(json.dumps({kind: dict(target.answers)}), flush=True)


def main() -> None:
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    kind, told = sys.argv[1], json.loads(sys.argv[2])
    asyncio.run(attack(kind, Target(**told)))


if __name__ == "__main__":
    main()
