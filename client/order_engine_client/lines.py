"""Three ways to the same messages: a WebSocket, server-sent events, and the feed.

Each yields messages as values until the line ends. They share cursors, so what began on one goes
on with another.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from order_engine_client.answers import parse
from order_engine_client.errors import EngineError, NotNow, OutcomeUnknown, Refused, error_of
from order_engine_client.http import Engine, answer_in, lost, object_in, seconds_in

SILENT_SECONDS = 15.0
"""After which a line counts as dead on which the engine says something every 5 seconds."""
PING_SECONDS = 5.0
MOST_BYTES = 16 * 2**20  # of a message: a page of a snapshot has 200 orders
FEED_SECONDS = 8  # that the engine waits for an event
HELLO, ERROR = "hello", "error"
DONE, TOO_MUCH = 1000, 4429
REFUSING = (4400, 4401, 4403, 4404)
PLACE_SECONDS = 5.0  # until there may be a place for one more socket

Message = dict[str, Any]
Line = AsyncGenerator[Message, None]


async def messages(engine: Engine, open_line: Callable[[], Line]) -> Line:
    """Yield the messages of one line after the other, until one is closed as done.

    :raises Refused: it makes no sense to come again.
    :raises NotNow, OutcomeUnknown: no line said anything for as long as the client is patient.
    """
    patience = engine.patience()
    while True:
        is_useful = False
        try:
            async with contextlib.aclosing(open_line()) as line:
                async for message in line:
                    is_useful = is_useful or message["type"] != HELLO
                    yield message
                return
        except (NotNow, OutcomeUnknown) as error:
            if is_useful:  # how long its reader took for a message does not count
                patience.begin_anew()
            await patience.wait(error)


async def socket(
    engine: Engine, path: str, query: Mapping[str, Any], silent_seconds: float | None
) -> Line:
    """Read a WebSocket; one that may be silent for long is asked by pings whether it lives."""
    url = f"ws{engine.url.removeprefix('http')}{path}?{urlencode(query)}"
    said: Message = {}
    try:
        async with connect(
            url,
            additional_headers=engine.headers,
            open_timeout=engine.timeout,
            ping_interval=PING_SECONDS,
            ping_timeout=None if silent_seconds else 2 * PING_SECONDS,
            close_timeout=1,
            max_size=MOST_BYTES,
            compression=None,
            proxy=None,
        ) as line:
            while True:
                async with asyncio.timeout(silent_seconds):
                    message = parse(await line.recv())
                if message["type"] == ERROR:
                    said = message  # the close that follows says whether to come again
                else:
                    yield message
    except ConnectionClosed as closed:
        code = 0 if closed.rcvd is None else closed.rcvd.code
        if code == DONE and silent_seconds is None:
            return
        raise _error_of_close(code, said) from closed
    except InvalidStatus as refused:
        answer = refused.response
        problem = object_in(bytes(answer.body or b"")) or {}
        seconds = seconds_in(answer.headers.get("Retry-After"))
        raise error_of(answer.status_code, problem, seconds) from refused
    except (OSError, WebSocketException) as error:  # a timeout is an OSError
        raise NotNow("unreachable", f"No line to {url} ({error!r}).") from error


async def sse(engine: Engine, query: Mapping[str, Any]) -> Line:
    """Read server-sent events."""
    timeout = httpx.Timeout(engine.timeout, read=SILENT_SECONDS)
    headers = {"Accept": "text/event-stream"}
    try:
        async with engine.http.stream(
            "GET", "/api/orders/stream", params=query, headers=headers, timeout=timeout
        ) as response:
            if not response.is_success:
                await response.aread()
                answer_in(response)
            async for line in _lines_of(response):
                if line.startswith(b"data:"):
                    yield _checked(parse(line[len(b"data:") :]))
    except httpx.TransportError as error:
        raise lost(engine.url, error) from error
    raise NotNow("line_ended", f"{engine.url} ended the stream.")


async def feed(engine: Engine, query: Mapping[str, Any]) -> Line:
    """Read the feed page by page; at its beginning, say from where on."""
    cursor = query.get("cursor")
    while True:
        asked = {**query, "cursor": cursor, "wait": FEED_SECONDS} if cursor else query
        page = await engine.once(
            "GET", "/api/events", query=asked, within=FEED_SECONDS + engine.timeout
        )
        for message in page["events"]:
            yield _checked(message)
        yield {"type": "checkpoint" if cursor else HELLO, "cursor": page["cursor"]}
        cursor = page["cursor"]


async def _lines_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Split at newlines alone: httpx splits at characters, too, that stand within JSON."""
    rest = b""
    async for piece in response.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line


def _checked(message: Message) -> Message:
    """:raises EngineError: the message says why the line ends."""
    if message["type"] == ERROR:
        raise error_of(int(message.get("httpStatus", 0)), message)
    return message


def _error_of_close(code: int, said: Message) -> EngineError:
    error = str(said.get("error", "line_cut"))
    detail = str(said.get("detail") or f"The line was closed with {code}.")
    seconds = said.get("retryAfter", PLACE_SECONDS if code == TOO_MUCH else None)
    kind = Refused if code in REFUSING else NotNow
    return kind(error, detail, status=code, retry_after=seconds, problem=said)
