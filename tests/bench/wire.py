"""Drives an engine over the wire as a stranger's load tool does: `make bench-wire`.

Each order is a POST, and then a WebSocket of its own up to its last status. With ENGINE_URL that is
any engine; what its dialect calls things are arguments. Without, it is ours on servers of its own.
Exit code 1: a stream was lost or not exact, or an order was refused or failed.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.bench.arguments import Parser, address, count, run, stop_cleanly
from tests.bench.client import BODY, Connection, percentile, request_of
from tests.bench.machine import loop, speed_of
from tests.bench.processes import cpu_of, told
from tests.bench.stack import NotReleasedError, stack
from tests.bench.streams import Stream

ORDERS, AT_ONCE = 500, 20
PATIENCE = 120.0  # seconds for an order's stream


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an engine calls things."""

    path: str = "/api/orders/execute"
    body: bytes = BODY
    id_field: str = "orderId"
    socket_path: str = "/ws/orders/{id}"
    status_field: str = "status"
    final: str = "confirmed"
    failed: frozenset[str] = frozenset(("failed", "cancelled", "expired"))
    statuses: tuple[str, ...] = ("pending", "routing", "building", "submitted", "confirmed")
    """What an exact stream says, from its first message on; empty: that is not looked at."""
    seq_field: str = "seq"
    """Counts an exact stream's messages from 1; empty: that is not looked at."""
    headers: str = ""
    """Of each request; each ends with CRLF."""

    def is_last(self, message: Any) -> bool:
        """Whether an order's stream says no more after this message."""
        status = value_of(message, self.status_field)
        return status == self.final or status in self.failed

    def fault_of(self, messages: Sequence[Any]) -> str:
        """Return why a stream that came to its end was not exact; empty: it was."""
        statuses = tuple(value_of(message, self.status_field) for message in messages)
        if self.statuses and statuses != self.statuses:
            return f"said {', '.join(map(str, statuses))}"
        counted = [value_of(message, self.seq_field) for message in messages]
        if self.seq_field and counted != list(range(1, len(messages) + 1)):
            return f"counted {counted}"
        return ""


@dataclass(slots=True)
class Outcome:
    """What became of the orders of a run; times are seconds."""

    elapsed: float = 0.0
    posts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    """From the POST's first byte to the last status."""
    faults: Counter[str] = field(default_factory=Counter)
    """Orders that went wrong, by how."""
    first_fault: str = ""

    def count(self, kind: str, how: object) -> None:
        self.faults[kind] += 1
        self.first_fault = self.first_fault or f"{kind}: {how}"


@dataclass(frozen=True, slots=True)
class Target:
    url: str
    dialect: Dialect = Dialect()

    async def connection(self) -> Connection:
        parts = urlsplit(self.url)
        is_secure = parts.scheme == "https"
        port = parts.port or (443 if is_secure else 80)
        return await Connection.open(port, parts.hostname or "", is_secure=is_secure)

    @property
    def request(self) -> bytes:
        parts, dialect = urlsplit(self.url), self.dialect
        return request_of(parts.path + dialect.path, dialect.body, dialect.headers, parts.netloc)

    def socket_url(self, order_id: object) -> str:
        path = self.dialect.socket_path.replace("{id}", str(order_id))
        return path if "://" in path else "ws" + self.url.removeprefix("http") + path


def ignore(_: object) -> None: ...


async def drive(target: Target, orders: int, at_once: int, *, follows: bool = True) -> Outcome:
    """Send so many orders, so many at once, and follow each to its end unless told otherwise."""
    outcome, left = Outcome(), orders
    request = target.request

    async def run() -> None:
        nonlocal left
        connection = await target.connection()
        while left > 0:
            left -= 1
            began = time.perf_counter()
            try:
                status, body = await connection.exchange(request)
            except (OSError, EOFError) as error:
                outcome.count("refused", error or type(error).__name__)
                connection = await target.connection()
                continue
            outcome.posts.append(time.perf_counter() - began)
            if not 200 <= status < 300:
                outcome.count("refused", f"{status} {body.decode(errors='replace')}")
            elif follows:
                await follow(target, order_id_in(target, body), outcome)
                outcome.ends.append(time.perf_counter() - began)
        connection.close()

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(min(at_once, orders))))
    outcome.elapsed = time.perf_counter() - began
    return outcome


async def events_of(target: Target, order_id: object) -> AsyncIterator[Any]:
    """Yield what an order's own socket says, up to the last status or to the socket's end.

    :raises OSError: it could not be opened, or broke.
    :raises EOFError: it was closed before it was open.
    """
    dialect = target.dialect
    stream = await Stream.open(target.socket_url(order_id), dialect.headers)
    try:
        async for text in stream.texts():
            message = json.loads(text)
            yield message
            if dialect.is_last(message):
                return
    finally:
        stream.close()


async def follow(
    target: Target, order_id: object, outcome: Outcome, heard: Callable[[Any], None] = ignore
) -> None:
    """Follow an order to its end, and count what went wrong. `heard` is given each message."""
    messages: list[Any] = []
    try:
        async with asyncio.timeout(PATIENCE):
            async for message in events_of(target, order_id):
                heard(message)
                messages.append(message)
    except (OSError, EOFError) as error:  # a time-out is an OSError, too
        outcome.count("lost", f"{order_id} {error or type(error).__name__}")
        return
    dialect = target.dialect
    if not messages or not dialect.is_last(messages[-1]):
        outcome.count("lost", f"{order_id} ended after {len(messages)} messages {messages[-1:]}")
    elif value_of(messages[-1], dialect.status_field) != dialect.final:
        outcome.count("failed", messages[-1])
    elif fault := dialect.fault_of(messages):
        outcome.count("inexact", f"{order_id} {fault}")


def order_id_in(target: Target, answer: bytes) -> Any:
    return value_of(json.loads(answer), target.dialect.id_field)


def value_of(message: Any, name: str) -> Any:
    """Return a field of a JSON object, also one further in: `data.orderId`; None: there is none."""
    for word in name.split("."):
        message = message.get(word) if isinstance(message, dict) else None
    return message


def lines_of(outcome: Outcome) -> list[str]:
    """Return the report of a run."""
    found = []
    for what, seconds in (("POST", outcome.posts), ("POST to the last status", outcome.ends)):
        if seconds:
            half, most = percentile(seconds, 0.5), percentile(seconds, 0.99)
            rate = len(seconds) / outcome.elapsed
            found.append(f"{what:<24} {rate:,.0f}/s  p50 {half:.1f} ms  p99 {most:.1f} ms")
    kinds = ("refused", "failed", "lost", "inexact")
    found.append("  ".join(f"{kind} {outcome.faults[kind]}" for kind in kinds))
    return found + ([f"the first: {outcome.first_fault}"] if outcome.first_fault else [])


def arguments(words: Sequence[str]) -> argparse.Namespace:
    ours = Dialect()
    parser = Parser(prog="make bench-wire", description=__doc__)
    parser.add_argument("--url", type=address, help="of an engine that runs; else ours is started")
    parser.add_argument("--orders", type=count, default=ORDERS)
    parser.add_argument("--at-once", type=count, default=AT_ONCE)
    parser.add_argument("--path", default=ours.path, help="that takes a POST")
    parser.add_argument("--body", type=json_body, default=ours.body, help="of the POST")
    parser.add_argument("--id-field", default=ours.id_field, help="of its answer; a.b is b in a")
    parser.add_argument("--socket-path", default=ours.socket_path, help="or a ws:// URL, with {id}")
    parser.add_argument("--status-field", default=ours.status_field, help="of a message")
    parser.add_argument("--final", default=ours.final, help="the last status of an order done")
    parser.add_argument("--failed", type=words_of, default=ours.failed, help="of one that is not")
    parser.add_argument(
        *("--statuses",), type=words_of, default=ours.statuses, help="of an exact stream, or ''"
    )
    parser.add_argument("--seq-field", default=ours.seq_field, help="that counts messages, or ''")
    parser.add_argument(
        *("--header",), action="append", default=[], type=header, help="Name: value, of requests"
    )
    return parser.parse_args(words)


def dialect_of(asked: argparse.Namespace) -> Dialect:
    return Dialect(
        path=asked.path,
        body=asked.body,
        id_field=asked.id_field,
        socket_path=asked.socket_path,
        status_field=asked.status_field,
        final=asked.final,
        failed=frozenset(asked.failed),
        statuses=tuple(asked.statuses),
        seq_field=asked.seq_field,
        headers="".join(asked.header),
    )


def words_of(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def json_body(text: str) -> bytes:
    try:
        json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON") from None
    return text.encode()


def header(text: str) -> str:
    name, colon, _ = text.partition(":")
    if not name.strip() or not colon or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not a header such as 'X-Key: value'")
    return f"{text}\r\n"


def main(words: Sequence[str]) -> int:
    asked = arguments(words)
    stop_cleanly()
    before = loop()
    if asked.url:
        outcome = asyncio.run(
            drive(Target(asked.url, dialect_of(asked)), asked.orders, asked.at_once)
        )
        cost = []
    else:
        outcome, cost = of_our_own(asked)
    print(*lines_of(outcome), *cost, speed_of(before, loop()), sep="\n", flush=True)
    return 1 if outcome.faults else 0


def of_our_own(asked: argparse.Namespace) -> tuple[Outcome, list[str]]:
    """Run our engine, and drive it; the second of what is returned tells what that cost."""
    with stack() as running, running.worker():
        target = Target(running.url, dialect_of(asked))
        asyncio.run(drive(target, 50, 5))  # each process has done everything once
        with cpu_of(running.roots) as costs:
            outcome = asyncio.run(drive(target, asked.orders, asked.at_once))
    return outcome, [f"an order: {told(costs, asked.orders)}"]


if __name__ == "__main__":
    run(main, (NotReleasedError, OSError, RuntimeError), "Nothing was measured")
