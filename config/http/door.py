"""Limits how many connections and sockets each client has in one web process.

A connection is counted for its peer. A proxy is not counted: it counts its clients itself. A
socket is counted for its client's address. Once it is known for which account it acts, it is
counted for that account instead.
"""

import logging
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from config.http.address import is_proxy, parse_address, site_of
from config.http.refusal import Message, Receive, Refusal, Send
from config.http.security_log import tell
from config.http.socket_origin import header
from config.runtime.counters import counts

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5
RESERVED = 128  # descriptors: servers, files, and the connections that are being refused
MOST_DESCRIPTORS = 65_536
RETRY: tuple[tuple[bytes, bytes], ...] = ((b"retry-after", str(RETRY_SECONDS).encode()),)
FULL = Refusal(503, "too_many_connections", "The engine has no place left: come again.", RETRY)
TOO_MANY_CONNECTIONS = Refusal(
    429, "too_many_connections", "So many connections are too many for one client.", RETRY
)
TOO_MANY_SOCKETS = Refusal(
    429,
    "too_many_sockets",
    "So many WebSockets, streams and waiting requests are too many for one client: end some.",
    RETRY,
)
TOO_MANY = 4429
WRITE = "engine.write"  # an extension of ASGI (`config/http/websocket.py`)
STRANGE_HOST = Refusal(400, "bad_request", "This host is not served: ALLOWED_HOSTS has its names.")


class Places:
    """How many each name has taken."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, name: str, most: int) -> bool:
        """Take one of `most` places; False: all are taken."""
        if self._taken[name] >= most:
            return False
        self._taken[name] += 1
        return True

    def give(self, name: str) -> None:
        self._taken[name] -= 1
        if self._taken[name] <= 0:
            del self._taken[name]


connections = Places()
sockets = Places()


def refusal_of_connection(peer: str, open_now: int) -> Refusal | None:
    """Return why a connection is refused. None: it has a place, which `give_back` must free."""
    if open_now > min(settings.MAX_CONNECTIONS, room_for_connections()):
        refusal = FULL
    elif is_proxy(peer) or connections.take(site_of(peer), settings.MAX_ADDRESS_CONNECTIONS):
        return None
    else:
        refusal = TOO_MANY_CONNECTIONS
    counts["connections_refused"] += 1
    tell("limit_hit", {"client": (peer, 0)}, limit="connections")
    return refusal


def give_back(peer: str) -> None:
    if not is_proxy(peer):
        connections.give(site_of(peer))


def room_for_connections() -> int:
    """Return how many connections this process has descriptors for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_DESCRIPTORS if soft < 0 else max(1, soft - RESERVED)


def raise_limit() -> None:
    """Have as many descriptors as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MOST_DESCRIPTORS if hard < 0 else min(hard, MOST_DESCRIPTORS)
    if 0 <= soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextmanager
def place_of_address(client: str) -> Iterator["Place"]:
    """Hold a socket's place while it is open."""
    place = Place(f"address:{site_of(client)}")
    try:
        yield place
    finally:
        place.leave()


class Place:
    """One socket's place. It is the address's at first, and the account's once that is known."""

    def __init__(self, name: str) -> None:
        self.is_free = sockets.take(name, settings.MAX_SOCKETS)
        self._name = name if self.is_free else ""

    def move(self, name: str) -> bool:
        """Count this socket for another name from now on. False: that name has no place left."""
        if not sockets.take(name, settings.MAX_SOCKETS):
            return False
        self.leave()
        self._name = name
        return True

    def leave(self) -> None:
        if self._name:
            sockets.give(self._name)
            self._name = ""


class BoundedSockets:
    """Refuses sockets beyond the limit of their address, before any handshake.

    A page cannot read such a refusal. So a page's socket is opened, told why, and closed.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        with place_of_address((scope.get("client") or ("",))[0]) as place:
            if place.is_free:
                await self._application({**scope, "place": place}, receive, send)
                return
            counts["sockets_refused"] += 1
            tell("limit_hit", scope, limit="sockets")
            if header(scope, b"origin") is not None:
                await send({"type": "websocket.accept"})
                text = TOO_MANY_SOCKETS.frame(retryAfter=RETRY_SECONDS)
                await send({"type": "websocket.send", "text": text})
                await send({"type": "websocket.close", "code": TOO_MANY})
                return
            await refuse_handshake(scope, send, TOO_MANY_SOCKETS)


class KnownHosts:
    """Serves only the hosts of ALLOWED_HOSTS, as Django does for the requests that it handles.

    Otherwise any site could point its name at this machine, and its pages would then be of the
    same origin as the engine.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if is_served(scope):
            await self._application(scope, receive, send)
        else:
            await refuse_handshake(scope, send, STRANGE_HOST)


def is_served(scope: Message) -> bool:
    """Whether the Host is ours or missing: HTTP/1.0 has none, and browsers always send one."""
    host = header(scope, b"host")
    if not host:
        return host is None
    allowed = settings.ALLOWED_HOSTS
    if settings.DEBUG and not allowed:
        allowed = [".localhost", "127.0.0.1", "[::1]"]
    return validate_host(split_domain_port(host)[0], allowed)


def is_by_address(scope: Message) -> bool:
    """Whether the Host is an address, which no page can have as its name."""
    host = split_domain_port(header(scope, b"host") or "")[0]
    return parse_address(host) is not None


def can_be_told(scope: Message) -> bool:
    """Whether a handshake may be answered by an HTTP status: pages never see one."""
    answers = scope.get("extensions") or {}
    return "websocket.http.response" in answers and header(scope, b"origin") is None


async def refuse_handshake(scope: Message, send: Send, refusal: Refusal) -> None:
    """Answer a handshake by an HTTP status; with 403 if the server can send no other."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await WebsocketDenier()(scope, None, send)
        return
    body = refusal.body()
    headers = refusal.all_headers(body)
    start = {"type": "websocket.http.response.start", "status": refusal.status, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})
