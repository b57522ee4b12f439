"""Names each request, so that its log lines, and its answer, can be found by that name."""

import re
import secrets
from typing import Any

from structlog.contextvars import bind_contextvars

from config.http.body_limit import Application
from config.http.refusal import Message, Receive, Send
from config.runtime.counters import counts

HEADER = b"x-request-id"
# What a proxy or client may call a request: it ends up in log lines and in a header.
ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}").fullmatch

TURNED_AWAY = (429, 503)
"""Too many of a client, and what cannot be served now."""


def with_request_id(application: Application) -> Application:
    """Wrap an ASGI application: its requests have an id in the log and in the answer.

    The context is the request's own: servers run each in a task.
    """

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        request_id = given_id(scope["headers"]) or secrets.token_hex(16).encode()
        bind_contextvars(request_id=request_id.decode())

        async def answer(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.start":
                status = message["status"]
                counts[f"http_requests:{status // 100}xx"] += 1
                if status in TURNED_AWAY:
                    counts[f"requests_turned_away:{status}"] += 1
            if kind in ("http.response.start", "websocket.accept"):
                headers = [*message.get("headers", ()), (HEADER, request_id)]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, answer)

    return wrapped


def given_id(headers: list[tuple[bytes, Any]]) -> bytes | None:
    """Return the id that the request came with, unless it is no id or there are several."""
    given = [value for name, value in headers if name == HEADER]
    return given[0] if len(given) == 1 and ACCEPTABLE(given[0]) else None
