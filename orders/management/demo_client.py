"""A client of the public API, as anybody might write one. It sends orders and reads their streams.

It knows only the engine's URL, and imports nothing of the engine.
"""

import asyncio
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

ANSWER_SECONDS = 10.0
LOOK_SECONDS = 10.0  # an order whose answer was lost may still be stored within so many
LOOK_PAUSE = 0.5
RECONNECT_PAUSE = 0.5
FINAL = frozenset(("confirmed", "failed", "cancelled", "expired"))
PASSING_CLOSES = frozenset((None, 1000, 1001, 1006, 1011, 1012, 1013, 4408))


class NoEngine(Exception):
    """No engine that takes orders answers at the URL. The message says what answers instead."""


class NotKnown(NoEngine):
    """It is not known whether the order was taken. The message says how to find out."""


class Refused(Exception):
    """The engine understood the request and refused it. Sending it again does not help."""


class NoFreshPrice(Refused):
    """The engine has no price to compare the order with at this moment. Trying again helps."""


KEY = "make one with `manage.py create_api_key`, and give it as ENGINE_API_KEY or --api-key."


@dataclass(slots=True)
class SentOrder:
    """An order that the engine took, and the events of its stream so far."""

    answer: dict[str, Any]
    """The engine's answer to the order."""
    sent_at: float
    """`time.monotonic()` of the POST."""
    events: list[dict[str, Any]] = field(default_factory=list)
    ended_at: float | None = None

    @property
    def name(self) -> str:
        """The order in a person's words, with the amount of the fixed side."""
        amounts = self.answer["amountIn"], self.answer["amountOut"]
        given, received = self.answer["tokenIn"], self.answer["tokenOut"]
        if amounts[0] is not None:
            return f"{amounts[0]} {given} -> {received}"
        return f"{given} -> {amounts[1]} {received}"

    @property
    def status(self) -> str:
        return str(self.events[-1]["status"]) if self.events else "pending"

    @property
    def seconds(self) -> float:
        """The seconds from the POST to the last event, or to now."""
        return (self.ended_at or time.monotonic()) - self.sent_at


async def send_order(url: str, body: dict[str, Any], key: str = "") -> SentOrder:
    """Send one order, with an API key if there is one.

    :raises NoEngine: nothing answers, or not in the way of the engine.
    :raises NotKnown: the order may have been taken.
    :raises Refused: the order was not taken.
    """
    sent_at = time.monotonic()
    code, answer = await _ask("POST", f"{url}/api/orders/execute", key, body)
    if answer.get("error") == "outcome_unknown" and "orderId" in answer:
        return SentOrder(
            await _wait_for_order(f"{url}/api/orders/{answer['orderId']}", key), sent_at
        )
    if code in (http.client.OK, http.client.CREATED) and "wsUrl" in answer:
        return SentOrder(answer, sent_at)
    if code == http.client.UNAUTHORIZED:
        raise Refused(f"The engine at {url} wants an API key: {KEY}")
    if answer.get("error") == "prices_unavailable":
        raise NoFreshPrice(f"The engine refused {json.dumps(body)}: {answer['detail']}")
    if "detail" in answer:
        raise Refused(f"The engine refused {json.dumps(body)}: {answer['detail']}")
    raise NoEngine(f"What answers at {url} is no order execution engine (status {code}).")


async def cancel_order(url: str, order: SentOrder, key: str = "") -> bool:
    """Cancel an order; False: it may be filling, or has ended.

    :raises NoEngine: nothing answers.
    """
    code, _ = await _ask("POST", f"{url}/api/orders/{order.answer['orderId']}/cancel", key, {})
    return code == http.client.OK


async def amend_order(url: str, order: SentOrder, changes: dict[str, Any], key: str = "") -> bool:
    """Change an order that rests; False: it moved meanwhile.

    :raises NoEngine: nothing answers.
    :raises Refused: the order may not be changed so.
    """
    body = {"seq": len(order.events)} | changes
    code, answer = await _ask("PATCH", f"{url}/api/orders/{order.answer['orderId']}", key, body)
    if code not in (http.client.OK, http.client.CONFLICT):
        raise Refused(f"The engine refused {json.dumps(body)}: {answer.get('detail')}")
    return code == http.client.OK


async def read_prices(url: str, market: str, seconds: int, key: str = "") -> list[dict[str, Any]]:
    """Return the market's prices of the last seconds, in order: `bid` and `ask`, None without one.

    :raises NoEngine: nothing answers, or not in the way of the engine.
    """
    since = f"{datetime.now(UTC) - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
    query = urlencode({"market": market, "from": since, "step": 1})
    code, answer = await _ask("GET", f"{url}/api/prices?{query}", key)
    if code != http.client.OK or "points" not in answer:
        raise NoEngine(f"What answers at {url} has no prices (status {code}).")
    return [
        {line: (point[line] or {}).get("last") for line in ("bid", "ask")}
        for point in answer["points"]
    ]


async def _wait_for_order(url: str, key: str) -> dict[str, Any]:
    """Look for an order that may be stored, until it is there or cannot be stored any more.

    :raises NotKnown: the engine does not say.
    :raises Refused: the order was not stored.
    """
    code, ends_at = 0, time.monotonic() + LOOK_SECONDS
    while time.monotonic() < ends_at:
        before = code
        try:
            code, answer = await _ask("GET", url, key)
        except NoEngine:
            code, answer = 0, {}
        if code == http.client.OK and "wsUrl" in answer:
            return answer
        if code == http.client.NOT_FOUND and code != before:  # now the database answers
            ends_at = time.monotonic() + LOOK_SECONDS
        await asyncio.sleep(LOOK_PAUSE)
    if code == http.client.NOT_FOUND:
        raise Refused(f"The order at {url} was not stored.")
    raise NotKnown(f"Nobody knows whether an order was stored. Ask later: {url}")


async def follow(
    url: str, order: SentOrder, tell: Callable[[SentOrder], None], key: str = ""
) -> None:
    """Read the order's stream to the final event. If the stream breaks, go on from there.

    :raises Refused: the engine will not show this order.
    """
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    stream = urlunsplit((scheme, parts.netloc, parts.path + order.answer["wsUrl"], "", ""))
    while order.status not in FINAL:
        try:
            # An engine on this machine must not be reached through a proxy.
            place = f"{stream}?after={len(order.events)}"
            async with connect(place, proxy=None, additional_headers=_credential(key)) as socket:
                await _read(socket, order, tell)
                code = socket.close_code
        except (ConnectionClosed, InvalidHandshake, OSError):
            code = None
        if code not in PASSING_CLOSES:
            raise Refused(f"The stream of order {order.answer['orderId']} was closed with {code}.")
        if order.status not in FINAL:
            await asyncio.sleep(RECONNECT_PAUSE)


async def _read(
    socket: ClientConnection, order: SentOrder, tell: Callable[[SentOrder], None]
) -> None:
    try:
        async for text in socket:
            event = json.loads(text)
            if event.get("seq") != len(order.events) + 1:
                continue  # it was the text of an error, or a proxy repeated events
            order.events.append(event)
            if event["status"] in FINAL:
                order.ended_at = time.monotonic()
            tell(order)
    except ConnectionClosed:
        pass  # the close code tells why


def _credential(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


async def _ask(
    method: str, url: str, key: str, body: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    return await asyncio.to_thread(_answer_to, method, url, key, body)


def _answer_to(
    method: str, url: str, key: str, body: dict[str, Any] | None
) -> tuple[int, dict[str, Any]]:
    """:raises NoEngine: nothing answers; NotKnown: the request was sent, its answer was lost."""
    parts = urlsplit(url)
    place = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    error_class: type[NoEngine] = NoEngine
    sentence = f"No engine answers at {place}"
    try:
        connection = kind(parts.netloc, timeout=ANSWER_SECONDS)
        try:
            connection.connect()
            error_class, sentence = (
                NotKnown,
                f"Nobody knows whether {place} took an order: no answer came",
            )
            text = None if body is None else json.dumps(body)
            place = f"{parts.path}?{parts.query}" if parts.query else parts.path
            connection.request(method, place, text, headers | _credential(key))
            response = connection.getresponse()
            return response.status, _object(response.read())
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise error_class(f"{sentence} ({error or type(error).__name__}).") from None


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
