"""How much a request may carry. Refused while it arrives, before anything of it is kept."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

MAX_BODY = 65_536  # bytes; an order has about 200
MAX_PAGE_BODY = 2_621_440  # Django's own limit, for the admin's forms

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def limit_body(application: Application) -> Application:
    """Wrap an ASGI application: a larger body is answered with 413, and not read to its end."""

    async def limited(scope: Message, receive: Receive, send: Send) -> None:
        limit = MAX_PAGE_BODY if scope["path"].startswith("/admin") else MAX_BODY
        if declared(scope) > limit:
            await refuse(send, limit)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # An application knows what to do when a client goes: it drops what it has read.
            return message if seen <= limit else {"type": "http.disconnect"}

        await application(scope, counted, send)
        if seen > limit:
            await refuse(send, limit)

    return limited


def declared(scope: Message) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


async def refuse(send: Send, limit: int) -> None:
    problem = {
        "type": "about:blank",
        "title": "Content Too Large",
        "status": 413,
        "detail": f"The body may have {limit} bytes.",
        "error": "body_too_large",
    }
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})
