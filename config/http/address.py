"""The client's address: one answer for limits, logs and lists, whoever asks.

A connection has one address: that of its other end. Behind a proxy this is the proxy's address,
and the client's is in `X-Forwarded-For`. Each proxy appends to this header the address that
connected to it. A client can write the header as well. So the engine reads it from the right, and
only as far as TRUSTED_PROXIES says.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from django.conf import settings

from config.http.body_limit import Application
from config.http.refusal import Message, Receive, Send

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]
Headers = Iterable[tuple[bytes, bytes]]

FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"x-forwarded"  # -for, -host, -port, -proto, -server, and what else begins so
SPOKEN_FOR = frozenset(
    (
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip"),
        *(b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-ray", b"true-client-ip"),
        *(b"fastly-client-ip", b"fly-client-ip", b"x-appengine-user-ip", b"x-azure-clientip"),
        *(b"x-envoy-external-address", b"x-original-forwarded-for", b"x-original-host"),
    )
)
"""Headers that a proxy adds. A request with one of them may come from another than the peer."""
MOST_PROXIES = 32  # in one row; nobody has as many
MOST_CHARACTERS = 100  # of an address with its port; a zone's name may be long
MOST_KNOWN = 4096  # addresses that a process need not read again
SITE = 64  # bits of an IPv6 address that one holder has, at least
# IPv6 networks that embed an IPv4 address, and how many bits end with that address. Who holds the
# IPv4 address holds all IPv6 addresses that begin with these bits.
NETWORKS_OF_IPV4 = ((IPv6Network("64:ff9b::/96"), 128), (IPv6Network("2002::/16"), 48))
WRITTEN = re.compile(
    r"\[(?P<inner>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%[^\]\s]+)?\](:[0-9]+)?"  # [2001:db8::1%eth0]:80
    r"|(?P<four>[0-9.]+)(:[0-9]+)?"  # 10.0.0.1:80
    r"|(?P<six>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%\S+)?"  # fe80::1%eth0
).fullmatch


class Known(NamedTuple):
    """What one text says of an address."""

    address: Address | None
    text: str  # in its one way of writing, empty if it is none
    site: str  # what is counted together


NO_ADDRESS = Known(None, "", "unknown")


def client_of(peer: str, headers: Headers) -> str:
    """Return the address of the client whose request came from `peer`, in its standard form.

    A proxy may name something that is no address, such as a socket's file or `unknown`. Such a
    name is ignored, and the peer's address is taken instead.
    """
    values = [value for name, value in headers if name == FORWARDED_FOR]
    if not values or not is_proxy(peer):
        return normalize(peer)
    trusted = settings.TRUSTED_PROXIES
    forwarded = b",".join(values)
    names = [part.strip() for part in forwarded.decode("latin-1").rsplit(",", MOST_PROXIES)]
    if forwarded.count(b",") >= MOST_PROXIES:
        del names[0]  # many more, unread
    if isinstance(trusted, int):
        return normalize(names[-min(trusted, len(names))], peer)
    return _first_stranger(names, peer, trusted)


def is_proxy(peer: str) -> bool:
    """Whether the other end of a connection is trusted to name the client."""
    trusted = settings.TRUSTED_PROXIES
    if isinstance(trusted, int):
        return trusted > 0
    address = parse_address(peer)
    return address is not None and is_within(address, trusted)


def is_spoken_for(headers: Headers) -> bool:
    """Whether a proxy has added a header: then the client may be another than the peer."""
    return any(name in SPOKEN_FOR or name.startswith(FORWARDED) for name, _ in headers)


def site_of(address: str) -> str:
    """Return what is counted together: an IPv4 address, or the /64 network of an IPv6 address.

    Some IPv6 addresses embed an IPv4 address (NAT64, 6to4). For them it is the network that the
    holder of the IPv4 address has.
    """
    return read_address(address).site


def parse_address(text: str) -> Address | None:
    """Return the address in a text such as 10.0.0.1:80 or [2001:db8::1%eth0]:80; None: none is.

    Sockets for both kinds write an IPv4 address as ::ffff:10.0.0.1: this is read as 10.0.0.1. An
    IPv4 address in another wrapping (NAT64, 6to4) is not unwrapped, because a stranger could pass
    for 127.0.0.1 that way.
    """
    return read_address(text).address


def normalize(text: str, instead: str = "") -> str:
    """Return an address in its standard form; if it is none, `instead`'s; else an empty text."""
    return read_address(text).text or read_address(instead).text


def read_address(text: str) -> Known:
    """Read a text; the same clients come again and again, so it is read once."""
    return NO_ADDRESS if len(text) > MOST_CHARACTERS else _read(text)


@lru_cache(maxsize=MOST_KNOWN)
def _read(text: str) -> Known:
    match = WRITTEN(text)
    if match is None:
        return NO_ADDRESS
    try:
        address = ip_address(match["inner"] or match["four"] or match["six"])
    except ValueError:
        return NO_ADDRESS
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return Known(address, str(address), _site(address))


def _site(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    bits = next((bits for network, bits in NETWORKS_OF_IPV4 if address in network), SITE)
    return str(ip_network((int(address), bits), strict=False).network_address)


def is_within(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def with_client(application: Application) -> Application:
    """Wrap an ASGI application: `scope["client"]`, and so REMOTE_ADDR, is the client's address.

    And `scope["scheme"]` is the one that the client used, where its proxy tells.
    """

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        peer, port = scope.get("client") or ("", 0)
        headers = scope["headers"]
        client = client_of(peer, headers)
        if client != peer:
            scope["client"] = (client, port if client == normalize(peer) else 0)
        schemes = [value for name, value in headers if name == b"x-forwarded-proto"]
        if schemes and is_proxy(peer):
            scope["scheme"] = _scheme(schemes[-1].strip(), scope)
        await application(scope, receive, send)

    return wrapped


def _first_stranger(names: Sequence[str], peer: str, trusted: Networks) -> str:
    """Return the first address from the right that is no proxy of ours."""
    last = peer
    for name in reversed(names):
        address = parse_address(name)
        if address is None:
            break
        last = name
        if not is_within(address, trusted):
            break
    return normalize(last)


def _scheme(protocol: bytes, scope: Message) -> str:
    is_socket = scope["type"] == "websocket"
    if protocol in (b"https", b"wss"):
        return "wss" if is_socket else "https"
    if protocol in (b"http", b"ws"):
        return "ws" if is_socket else "http"
    return str(scope.get("scheme", ""))
