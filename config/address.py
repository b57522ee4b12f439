"""The client's address: one answer for limits, logs and lists, whoever asks.

A connection has one address, its other end's. Behind proxies that is a proxy's, and the client's
stands in `X-Forwarded-For`, to which each proxy appends who came to it. Whoever sends a request
writes that header too, so it is read from the right, and no further than TRUSTED_PROXIES says.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from django.conf import settings

from config.limits import Application
from config.refusal import Message, Receive, Send

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
"""What a proxy adds; where one of these is, its sender speaks for somebody else."""
MOST_PROXIES = 32  # in one row; nobody has as many
SITE = 64  # bits of an IPv6 address that one holder has, at least
# Where one IPv4 address stands behind so many bits, its holder has all that begins with them.
NETWORKS_OF_IPV4 = ((IPv6Network("64:ff9b::/96"), 128), (IPv6Network("2002::/16"), 48))
WRITTEN = re.compile(
    r"\[(?P<inner>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%[^\]\s]+)?\](:[0-9]+)?"  # [2001:db8::1%eth0]:80
    r"|(?P<four>[0-9.]+)(:[0-9]+)?"  # 10.0.0.1:80
    r"|(?P<six>[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(%\S+)?"  # fe80::1%eth0
).fullmatch


def client_of(peer: str, headers: Headers) -> str:
    """Return who sent a request that came from `peer`: an address in its one way of writing.

    What is no address, such as a socket's file or a proxy's `unknown`, counts for nothing: then it
    is the peer.
    """
    trusted = settings.TRUSTED_PROXIES
    if not is_proxy(peer):
        return plain(peer)
    told = b",".join(value for name, value in headers if name == FORWARDED_FOR)
    names = [one.strip() for one in told.decode("latin-1").rsplit(",", MOST_PROXIES)]
    if told.count(b",") >= MOST_PROXIES:
        del names[0]  # many more, unread
    if isinstance(trusted, int):
        return plain(names[-min(trusted, len(names))], peer)
    return _first_stranger(names, peer, trusted)


def is_proxy(peer: str) -> bool:
    """Whether the other end of a connection is believed about whom it speaks for."""
    trusted = settings.TRUSTED_PROXIES
    if isinstance(trusted, int):
        return trusted > 0
    found = parsed(peer)
    return found is not None and is_within(found, trusted)


def is_spoken_for(headers: Headers) -> bool:
    """Whether a proxy has added a word, so that another than the peer may ask."""
    return any(name in SPOKEN_FOR or name.startswith(FORWARDED) for name, _ in headers)


def site_of(address: str) -> str:
    """Return what is counted together: an IPv4 address; the /64 network of an IPv6 one.

    Of an IPv6 one that a tunnel made of an IPv4 one: what the holder of the IPv4 one has of it.
    """
    found = parsed(address)
    if found is None:
        return "unknown"
    if isinstance(found, IPv4Address):
        return str(found)
    bits = next((bits for network, bits in NETWORKS_OF_IPV4 if found in network), SITE)
    return str(ip_network((int(found), bits), strict=False).network_address)


def parsed(text: str) -> Address | None:
    """Return the address in a text such as 10.0.0.1:80 or [2001:db8::1%eth0]:80; None: none is.

    An IPv4 address as sockets for both kinds write it (::ffff:10.0.0.1) is that IPv4 address. No
    other wrapping counts (NAT64, 6to4): a stranger could be 127.0.0.1 by it.
    """
    written = WRITTEN(text)
    if written is None:
        return None
    try:
        found = ip_address(written["inner"] or written["four"] or written["six"])
    except ValueError:
        return None
    return found if isinstance(found, IPv4Address) else found.ipv4_mapped or found


def plain(text: str, instead: str = "") -> str:
    """Return an address as all write it; else `instead`'s, else an empty text."""
    found = parsed(text) or parsed(instead)
    return "" if found is None else str(found)


def is_within(address: Address, networks: Networks) -> bool:
    return any(address in one for one in networks if one.version == address.version)


def with_client(application: Application) -> Application:
    """Wrap an ASGI application: `scope["client"]`, and so REMOTE_ADDR, is the client's address.

    And `scope["scheme"]` is the one that the client used, where its proxy tells.
    """

    async def named(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await application(scope, receive, send)
            return
        peer, port = scope.get("client") or ("", 0)
        headers = scope["headers"]
        client = client_of(peer, headers)
        known = {**scope, "client": (client, port if client == plain(peer) else 0)}
        schemes = [value.strip() for name, value in headers if name == b"x-forwarded-proto"]
        if schemes and is_proxy(peer):
            known["scheme"] = _scheme(schemes[-1], scope)
        await application(known, receive, send)

    return named


def _first_stranger(names: Sequence[str], peer: str, trusted: Networks) -> str:
    """Return the first address from the right that is no proxy of ours."""
    last = peer
    for name in reversed(names):
        found = parsed(name)
        if found is None:
            break
        last = name
        if not is_within(found, trusted):
            break
    return plain(last)


def _scheme(told: bytes, scope: Message) -> str:
    is_socket = scope["type"] == "websocket"
    if told in (b"https", b"wss"):
        return "wss" if is_socket else "https"
    if told in (b"http", b"ws"):
        return "ws" if is_socket else "http"
    return str(scope.get("scheme", ""))
