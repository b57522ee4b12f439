"""Lets pages of the origins in ALLOWED_ORIGINS call the API from their browsers (CORS).

This is no Django middleware, because orders and probes bypass Django's. Every answer must have
the headers, also that to a refused body. Credentials are never allowed: a page that is not ours
is anonymous, or has a key of its own.
"""

from django.conf import settings

from config.http.body_limit import Application
from config.http.refusal import Message, Receive, Send
from config.http.socket_origin import is_listed, origin_or_none

METHODS = b"GET, HEAD, POST, PATCH, DELETE"
SENT_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID,"
    b" X-Request-ID"
)
READ_HEADERS = (
    b"Location, Retry-After, Idempotent-Replayed, ETag, X-Request-ID, RateLimit-Limit,"
    b" RateLimit-Remaining, RateLimit-Reset, WWW-Authenticate, API-Key-Expires"
)
FRESH_SECONDS = b"600"  # for which a browser need not ask again
Headers = list[tuple[bytes, bytes]]


def with_cors(application: Application) -> Application:
    """Wrap an ASGI application of HTTP."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        if not settings.ALLOWED_ORIGINS:
            await application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        page = origin_or_none(origin.decode("latin-1"))
        is_welcome = page is not None and is_listed(page)
        asked = b"access-control-request-method" in headers
        if is_welcome and asked and scope["method"] == "OPTIONS":
            await permit(origin, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = vary_by_origin(message.get("headers", ()))
                if is_welcome:
                    headers += [
                        (b"access-control-allow-origin", origin),
                        (b"access-control-expose-headers", READ_HEADERS),
                    ]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, answer)

    return wrapped


async def permit(origin: bytes, send: Send) -> None:
    """Answer a browser's preflight: it asks whether it may send a page's request."""
    headers = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", SENT_HEADERS),
        (b"access-control-max-age", FRESH_SECONDS),
        (b"vary", b"Origin"),
        (b"content-length", b"0"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def vary_by_origin(headers: Headers) -> Headers:
    """Return the headers, which now say that the answer depends on the origin."""
    varies = [value for name, value in headers if name.lower() == b"vary"]
    others = [(name, value) for name, value in headers if name.lower() != b"vary"]
    return [*others, (b"vary", b", ".join([*varies, b"Origin"]))]
