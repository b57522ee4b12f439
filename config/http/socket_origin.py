"""Decides which pages may act here (our own, and those in settings), and whether in clear text.

Origins and hosts are compared by meaning and not as text: for an https page `Engine.Example:443`
is `engine.example`. A browser always sends the page's Origin. Programs send none, and none of
this applies to them.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http import HttpRequest

DEFAULT_PORTS = {"http": 80, "https": 443}
FOREIGN = frozenset("@?#\\ \t\r\n")  # urlsplit takes these away, or takes them for something else


@dataclass(frozen=True, slots=True)
class Origin:
    """A page's site. Equal ones are the same site, however they were written."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """:raises ValueError: not `scheme://host` or `scheme://host:port`, of http or https."""
        try:
            parts = urlsplit(text)
            usual = DEFAULT_PORTS[parts.scheme]
            port = usual if parts.port is None else parts.port
            origin = cls(parts.scheme, plain_host(parts.hostname or ""), port)
        except (ValueError, KeyError):
            origin = None
        is_bare = origin and parts.path in ("", "/") and not set(text) & FOREIGN
        if origin is None or not is_bare:
            raise ValueError(f"{text!r} is no origin such as https://orders.example.com")
        return origin

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def plain_host(host: str) -> str:
    """Return a host in its standard form: lower case, ASCII, without a dot at its end.

    :raises ValueError: no host.
    """
    if ":" in host:
        return str(ipaddress.IPv6Address(host))
    plain = host.removesuffix(".").encode("idna").decode().lower()
    if not plain or not plain.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(f"{host!r} is no host")
    return plain


def origin_or_none(text: str) -> Origin | None:
    try:
        return Origin.parse(text)
    except ValueError:
        return None


class OwnOrigins:
    """Opens sockets for programs, and for pages that may.

    Channels' own validator turns away clients that send no Origin.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        origin, host = (header(scope, name) for name in (b"origin", b"host"))
        is_welcome = origin is None or is_allowed(origin, host or "")
        if is_welcome and (scheme_of(scope) == "https" or not settings.SECURE_SSL_REDIRECT):
            return await self._application(scope, receive, send)
        return await WebsocketDenier()(scope, receive, send)  # 403, before any handshake


class PlainNames:
    """Rewrites Host and Origin in their standard form for Django, which compares bytes."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self._application(normalize_names(scope), receive, send)


def normalize_names(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the request with its Host and Origin as Django would write them."""
    host, page = header(scope, b"host") or "", header(scope, b"origin") or ""
    scheme = scheme_of(scope)
    own = origin_or_none(f"{scheme}://{host}") if "/" not in host else None
    rewritten = {} if own is None else {b"host": own.netloc}
    if (origin := origin_or_none(page)) is not None:
        rewritten[b"origin"] = str(origin)
        if own is not None and is_own(origin, host):
            rewritten[b"origin"] = f"{scheme}://{own.netloc}"
        for trusted in settings.CSRF_TRUSTED_ORIGINS:
            if origin_or_none(trusted) == origin:
                rewritten[b"origin"] = trusted
    others = [line for line in scope["headers"] if line[0] not in rewritten]
    lines = [(name, value.encode("latin-1")) for name, value in rewritten.items()]
    return {**scope, "headers": [*others, *lines]}


def is_allowed(page: str, host: str) -> bool:
    """Whether the page is our own (same host and port) or a trusted one."""
    origin = origin_or_none(page)
    return origin is not None and (is_listed(origin) or is_own(origin, host))


def is_listed(origin: Origin) -> bool:
    """Whether ALLOWED_ORIGINS has it."""
    return any(origin_or_none(allowed) == origin for allowed in settings.ALLOWED_ORIGINS)


def is_own(origin: Origin, host: str) -> bool:
    """Whether a page is of the requested host; where HTTPS is on, an http page never is.

    If the Host has no port, the default port of the page's scheme is assumed: a proxy may have
    ended TLS without telling us.
    """
    if settings.SECURE_SSL_REDIRECT and origin.scheme != "https":
        return False  # anybody on the way may have written that page
    return "/" not in host and origin == origin_or_none(f"{origin.scheme}://{host}")


def scheme_of(scope: dict[str, Any]) -> str:
    """Return the client's scheme, http or https, by Django's rules; for sockets as well."""
    return str(Asked(scope).scheme)


class Asked(HttpRequest):
    """As much of a request or a handshake as Django reads the scheme from."""

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__()
        self._told = scope.get("scheme")
        if (proxy_header := settings.SECURE_PROXY_SSL_HEADER) is not None:
            name = proxy_header[0]
            protocol = header(scope, name.removeprefix("HTTP_").replace("_", "-").lower().encode())
            self.META = {} if protocol is None else {name: protocol}

    def _get_scheme(self) -> str:
        return "https" if self._told in ("wss", "https") else "http"


def header(scope: dict[str, Any], name: bytes) -> str | None:
    """Return a header's value, or its values with commas between them, as Django does."""
    values = [value for key, value in scope["headers"] if key == name]
    return b",".join(values).decode("latin-1") if values else None
