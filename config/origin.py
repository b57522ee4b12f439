"""Which pages may open our WebSockets: our own and `ALLOWED_ORIGINS`.

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
        if origin is None or is_allowed(origin.decode("latin-1"), headers.get(b"host", b"")):
            return await self._application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)  # 403, before any handshake


def is_allowed(origin: str, host: bytes) -> bool:
    """Whether the page is our own (same host and port) or a trusted one."""
    try:
        return origin in settings.ALLOWED_ORIGINS or urlsplit(origin).netloc.encode() == host
    except ValueError:  # not a URL
        return False
