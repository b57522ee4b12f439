"""Refusals that are sent before Django sees the request, as problem documents (RFC 9457).

The connection closes after a refusal: whatever follows on it cannot be read, or is not wanted.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

LINGER_SECONDS = 1.0  # for a refused client to hear why

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer with a stable `code`; `headers` go with it."""

    status: int
    code: str
    detail: str
    headers: tuple[Header, ...] = ()

    @property
    def title(self) -> str:
        return "Content Too Large" if self.status == 413 else HTTPStatus(self.status).phrase

    def body(self) -> bytes:
        return json.dumps({"type": "about:blank", **self._said(), "status": self.status}).encode()

    def frame(self, **members: Any) -> str:
        """Return it as a WebSocket's frame. Like every error, its `type` tells it from an event."""
        frame = {"type": "error", **self._said(), "httpStatus": self.status, **members}
        return json.dumps(frame)

    def all_headers(self, body: bytes) -> list[Header]:
        return [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.headers,
        ]

    async def send(self, send: Send, receive: Receive | None) -> None:
        """Answer as an ASGI application does; `receive` is where more of the body comes from."""
        body = self.body()
        headers = self.all_headers(body)
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if receive is not None:
            await _drop(receive)
        await send({"type": "http.response.body", "body": b""})

    def as_bytes(self) -> bytes:
        """Return the answer as a server writes it."""
        body = self.body()
        lines = [f"HTTP/1.1 {self.status} {self.title}".encode()]
        lines += [name + b": " + value for name, value in self.all_headers(body)]
        return b"\r\n".join([*lines, b"", body])

    def _said(self) -> dict[str, str]:
        return {
            "title": self.title,
            "detail": self.detail,
            "message": self.detail,
            "error": self.code,
        }


async def _drop(receive: Receive) -> None:
    """Read what the client still sends: if we closed before that, it would miss the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body"):
                pass
