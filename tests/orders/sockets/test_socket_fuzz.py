"""Whatever a frame holds: an answer or a documented close, no traceback, no order by accident."""

import asyncio
import json
import logging
import os
import random
import struct
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from config.database.conninfo import conninfo
from orders.sockets.entry import ACTIONS
from orders.sockets.protocol import Close
from tests.support.accounts import execute, make_account
from tests.support.client import PATIENCE, SELL_SOL, connected
from tests.support.engine import Web, engine
from tests.support.resting_orders import rest_limit

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

SEED = int(os.environ.get("FUZZ_SEED", "20261121"))
ROUNDS = 250
SECONDS = 15.0  # at most
DONE = {"a field of no random frame": 1}
WORDS = [
    *("SOL", "USDC", "usdt", "BONK", "buy", "sell", "market", "execute", "", "NaN", "1e400", "-0"),
    *("0x10", "1.5", "1_000", "\x00", "\ud800", "é" * 40, "x" * 70, "٣", "true", "1e-400"),
    *("11111111111111111111111111111111", "__proto__", "order.event", "' OR 1=1 --", "%s"),
]
NUMBERS = [0, -1, 1, 1.5, 10**30, 2**63, -(2**63), 0.1 + 0.2, 1e308, 1e-308, 9_999_999_999, 5001]
FIELDS = [
    *("tokenIn", "tokenOut", "baseToken", "quoteToken", "side", "amountIn", "amount", "amountOut"),
    *("slippageBps", "slippage", "type", "orderType", "clientOrderId", "order", "action", "id"),
    *("orderId", "owner", "status", "seq", "", "__class__", "typ\x00e"),
]


def value(chance: random.Random, depth: int = 0) -> Any:
    kinds = 4 if depth > 3 else 7
    match chance.randrange(kinds):
        case 0:
            return chance.choice(NUMBERS)
        case 1:
            return chance.choice([None, True, False])
        case 2 | 3:
            return chance.choice(WORDS)
        case 4:
            return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
        case _:
            return {chance.choice(FIELDS): value(chance, depth + 1) for _ in range(3)}


def order(chance: random.Random) -> dict[str, Any]:
    """Return an order with a few things changed, which may still be one."""
    found: dict[str, Any] = dict(SELL_SOL)
    for _ in range(chance.randrange(4)):
        found[chance.choice(FIELDS)] = value(chance)
    return found if chance.random() < 0.7 else {"action": "execute", "order": found}


def frame(chance: random.Random) -> str | bytes:
    text = json.dumps(order(chance) if chance.random() < 0.6 else value(chance))
    match chance.randrange(12):
        case 0:
            return chance.randbytes(chance.randrange(1, 60))
        case 1:
            return text[: chance.randrange(1, len(text) + 1)]
        case 2:
            place = chance.randrange(len(text) + 1)
            return text[:place] + chr(chance.randrange(1, 0xD7FF)) + text[place:]
        case 3:
            return chance.choice(["[" * 50_000, '{"a":' * 9_000, "NaN", "Infinity", " ", '"'])
        case 4:
            return text.replace("1.5", "1" * 5_000, 1)
        case _:
            return text


def is_done(message: dict[str, Any]) -> bool:
    """Whether it answers the last frame, which is of a kind that no random one is of."""
    return list(DONE) == message.get("fields")


@pytest.mark.parametrize("who", ["nobody", "account"])
async def test_random_frames_are_answered_and_store_nothing_by_accident(
    who: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = make_account().headers if who == "account" else {}
    chance, accepted, closes, refused = random.Random(SEED), set(), set(), 0
    deadline, rounds = time.monotonic() + SECONDS, 0
    while rounds < ROUNDS and time.monotonic() < deadline:
        rounds += 1
        async with connected("/execute", **headers) as socket:
            for _ in range(chance.randrange(1, 5)):
                sent = frame(chance)
                await (
                    socket.send_bytes(sent) if isinstance(sent, bytes) else socket.send_text(sent)
                )
            await socket.send(DONE)
            messages, code = await socket.until(is_done)
        closes.add(code)
        for message in messages:
            if message.get("type") == "error":
                assert 400 <= message["httpStatus"] < 500, message
                refused += 1
            else:
                assert message["status"] == "pending", message
                accepted.add(message["orderId"])

    assert rounds >= 20, "too slow to say anything"
    assert closes <= {None, Close.JUNK, Close.TOO_MUCH}
    assert accepted
    assert refused > rounds
    stored = {str(row[0]) for row in execute(conninfo(), "SELECT id FROM orders")}
    assert stored == accepted
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


MEMBERS = [
    *("order", "orderId", "orderIds", "orders", "mode", "seq", "changes", "whenPossible"),
    *("idempotencyKey", "market", "side", "types", "scope", "tag.a", "tag.", "typ", "status", ""),
]


def request_frame(chance: random.Random, order_id: str) -> dict[str, Any]:
    """Return a frame that asks for something under an id, perhaps for what can be done."""
    found: dict[str, Any] = {"action": chance.choice([*ACTIONS, "dance", value(chance)])}
    good = {"order": order(chance), "orderId": order_id, "seq": 1, "orders": [order(chance)]}
    good |= {"changes": {"limitPrice": "113"}, "orderIds": [order_id]}
    for name in chance.sample(MEMBERS, chance.randrange(4)):
        found[name] = good.get(name) if chance.random() < 0.7 else value(chance)
    return found


@pytest.mark.parametrize("path", ["/execute", "/ws/orders"])
async def test_a_random_frame_with_an_id_is_answered_once_under_it(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    owner, chance = make_account(), random.Random(SEED)
    order_id = await rest_limit(owner.id, 112)
    answers: Counter[tuple[str, int]] = Counter()
    async with connected(path, **owner.headers) as socket:
        for turn in range(ROUNDS // 10):
            wanted = {f"{turn}.{number}" for number in range(10)}
            for request_id in wanted:
                await socket.send(request_frame(chance, order_id) | {"requestId": request_id})
            async with asyncio.timeout(PATIENCE):
                while wanted:
                    message = await socket.message()
                    if "requestId" in message:
                        wanted.remove(message["requestId"])
                        answers[message["type"], message["httpStatus"] // 100] += 1

    assert answers.keys() <= {("ack", 2), ("error", 4)}
    assert answers["ack", 2] > 0
    assert answers["error", 4] > 0
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_random_paths_and_queries_are_answered(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(SEED)
    for _ in range(60):
        path = chance.choice(["/ws/orders/", "/execute", "/", "/ws/", "/api/orders", "/admin/"])
        path += chance.choice(["", "x", "%00", "%ff", "a" * 300, "../..", "%F0%9F%92%A9"])
        path += chance.choice(["", "?after=-1", "?after=x", "?orderId=", "?ticket=%00", "?%ff=%ff"])
        async with connected(path) as socket:
            if path == "/ws/":
                continue  # waits for a message that names an order
            if not path.startswith(("/execute", "/api/orders")) or "orderId" in path:
                _, code = await socket.rest()
                assert code in (4400, 4401, 4404)

    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


HANDSHAKE = (
    "GET /execute HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT, BINARY, CONTINUED, CLOSE, PING = 1, 2, 0, 8, 9


def raw_frame(code: int, data: bytes, *, is_last: bool = True, is_masked: bool = True) -> bytes:
    first = (0x80 if is_last else 0) | code
    mark = 0x80 if is_masked else 0
    if len(data) < 126:
        head = struct.pack("!BB", first, mark | len(data))
    else:
        head = struct.pack("!BBH", first, mark | 126, len(data))
    return head + (b"\0\0\0\0" if is_masked else b"") + data


RAW = {
    "bad UTF-8": raw_frame(TEXT, b"\xff\xfe{"),
    "half a character": raw_frame(TEXT, '{"é'.encode()[:-1]),
    "not masked": raw_frame(TEXT, b"{}", is_masked=False),
    "reserved code": raw_frame(3, b"{}"),
    "continues nothing": raw_frame(CONTINUED, b"{}"),
    "a ping too long": raw_frame(PING, b"x" * 200),
    "a close that says nonsense": raw_frame(CLOSE, b"\x00"),
    "two megabytes": struct.pack("!BBQ", 0x81, 0xFF, 2_000_000) + b"\0\0\0\0" + b"x" * 100_000,
    "an endless message": raw_frame(TEXT, b"{", is_last=False)
    + raw_frame(CONTINUED, b" " * 60_000, is_last=False) * 3,
    "half a frame": raw_frame(TEXT, b'{"tokenIn":"SOL"}')[:9],
    "fragments": raw_frame(TEXT, b'{"token', is_last=False) + raw_frame(CONTINUED, b'In":"SOL"}'),
    "random bytes": random.Random(SEED).randbytes(500),
}


async def hurl(web: Web, data: bytes) -> bytes:
    """Open a WebSocket by hand, send bytes and no more, and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    try:
        writer.write(HANDSHAKE.format(web.address).encode())
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(120):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_bytes_that_are_no_frames_end_no_process(process_database: str, tmp_path: Path) -> None:
    with engine(process_database, tmp_path, REDIS_URL=settings.REDIS_URL) as running:
        web = running.web()

        async def hurl_all() -> None:
            await asyncio.gather(*(hurl(web, data) for data in RAW.values()))

        asyncio.run(hurl_all())
        assert web.exit_code is None
        assert "Traceback" not in web.output
        assert running.value("SELECT count(*)::int FROM orders") == 0
        assert web.post()
