"""Keeps private data private: no key is taken in clear text, and no cache may keep private answers.

This is no Django middleware, because orders bypass Django's.
"""

from django.conf import settings
from django.utils.crypto import constant_time_compare

from config.http.body_limit import Application
from config.http.refusal import Message, Receive, Refusal, Send
from config.http.socket_origin import header, scheme_of

PUBLIC = ("/static/", "/api/markets", "/api/schema", "/api/docs", "/favicon.ico")
METRICS = "/metrics"  # asked from within, by scrapers that cannot speak TLS
CLEAR_KEY = Refusal(
    403,
    "https_required",
    "A key came in clear text, where anybody on the way can read it: have it rotated, and use"
    " https.",
)


def with_privacy(application: Application) -> Application:
    """Wrap an ASGI application of HTTP.

    With HTTPS on, a request with a key in clear text is refused on every path. A redirect would
    not do: the client would follow it, and go on sending the key in clear text. An answer that is
    not public and has no Cache-Control of its own gets `no-store`. So a person who goes back in
    the browser after a logout sees nothing.
    """

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if settings.SECURE_SSL_REDIRECT and scheme_of(scope) == "http":
            credential = header(scope, b"authorization")
            if credential is not None and not _is_for_metrics(path, credential):
                await CLEAR_KEY.send(send, receive)
                return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                if b"cache-control" not in [name.lower() for name, _ in headers]:
                    message = {**message, "headers": [*headers, (b"cache-control", b"no-store")]}
            await send(message)

        await application(scope, receive, send if path.startswith(PUBLIC) else answer)

    return wrapped


def _is_for_metrics(path: str, credential: str) -> bool:
    """Whether this is METRICS_TOKEN on the path of the metrics; it opens nothing else."""
    token = settings.METRICS_TOKEN
    is_token = token and constant_time_compare(credential.rpartition(" ")[2], token)
    return bool(is_token) and path.rstrip("/") == METRICS
