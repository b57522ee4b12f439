"""Which pages may open our WebSockets: our own and `ALLOWED_ORIGINS`; and whether in clear text.

A browser always says which page asks; programs say nothing and are not concerned. Other than
Channels' validator, which turns away whoever sends no Origin.
"""

from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings


class OwnOrigins:
    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        is_welcome = origin is None or is_allowed(
            origin.decode("latin-1"), headers.get(b"host", b"")
        )
        if is_welcome and is_secure(scope, headers):
            return await self._application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)  # 403, before any handshake


def is_allowed(origin: str, host: bytes) -> bool:
    """Whether the page is our own or a trusted one."""
    return is_listed(origin) or is_own(origin, host)


def is_listed(origin: str) -> bool:
    """Whether ALLOWED_ORIGINS has it."""
    return origin in settings.ALLOWED_ORIGINS


def is_own(origin: str, host: bytes) -> bool:
    """Whether the page is ours: of the host and port that it asks."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # not a URL
        return False
    if settings.SECURE_SSL_REDIRECT and parts.scheme != "https":
        return False  # anybody on the way may have written that page
    return parts.netloc.encode() == host


def is_secure(scope: dict[str, Any], headers: dict[bytes, bytes]) -> bool:
    """Whether the socket came by TLS, where HTTPS is asked for; as Django tells it of requests."""
    if not settings.SECURE_SSL_REDIRECT:
        return True
    proxy_header: tuple[str, str] | None = settings.SECURE_PROXY_SSL_HEADER
    if proxy_header:
        name, value = proxy_header
        header = name.removeprefix("HTTP_").replace("_", "-").lower().encode()
        return headers.get(header, b"").decode("latin-1") == value
    return scope.get("scheme") in ("wss", "https")
