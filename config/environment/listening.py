"""Where the web process listens, and whether it answers there."""

import errno
import http.client
import json
import socket
from ipaddress import ip_address
from itertools import count

from config.environment.values import in_url
from config.environment.variables import WrongSettings, read_environment

LOOPBACK = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104
"""Addresses that stand for the whole machine, each with an address that leads to it."""
LOCAL_NAMES = {"localhost", LOOPBACK, "[::1]"}
FIRST_PORT = 8000


class PortTakenError(Exception):
    """The port that PORT names is not free."""


def listen_host() -> str:
    """Return HOST. Without HOST, only this machine may connect, unless a platform gives a PORT."""
    given = read_environment()
    return given.HOST or ("0.0.0.0" if given.PORT else LOOPBACK)  # noqa: S104


def is_only_local() -> bool:
    """Whether only this machine can connect, and no setting speaks of other clients.

    A proxy or a tunnel may stand before a server that listens on this machine alone. Then
    ALLOWED_HOSTS, HTTPS or CSRF_TRUSTED_ORIGINS says so.

    :raises WrongSettings: HOST has no address.
    """
    environment = read_environment()
    others = set(environment.ALLOWED_HOSTS) - LOCAL_NAMES
    if (
        others
        or environment.HTTPS
        or environment.PROXY_SSL_HEADER
        or environment.CSRF_TRUSTED_ORIGINS
    ):
        return False
    return ip_address(_address(listen_host())[1].partition("%")[0]).is_loopback


def reached_at(port: int) -> str:
    """Return the address at which others reach us, in words; empty if only this machine can."""
    if not is_reachable():
        return ""
    host = listen_host()
    if host in EVERYWHERE:
        return f"at port {port} of every address of this machine"
    if ip_address(_address(host)[1].partition("%")[0]).is_loopback:
        return "by a proxy or tunnel of this machine, of which the settings speak"
    return f"at {in_url(host)}:{port}"


def is_reachable() -> bool:
    """Whether other machines can connect, directly or perhaps through a proxy."""
    try:
        return not is_only_local()
    except WrongSettings:
        return True


def listen() -> socket.socket:
    """Return a listening socket on PORT, else on the first free port from 8000.

    The web process gets the socket itself, so no other program can take the port in between.
    Callers wait, and are not refused, while that process is started again.

    :raises PortTakenError: PORT is set and not free.
    :raises WrongSettings: HOST is no address of this machine.
    """
    host, port_of_setting = listen_host(), read_environment().PORT
    for port in [port_of_setting] if port_of_setting else count(FIRST_PORT):
        try:
            return listen_on(host, port)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise not_ours(host) from None
            if port_of_setting or port > FIRST_PORT + 1000:
                raise PortTakenError(f"Port {port} cannot be used: {error.strerror}.") from error
    raise AssertionError("unreachable: count() has no end")


def listen_on(host: str, port: int) -> socket.socket:
    """Return a listening socket whose connections send at once: they inherit its TCP_NODELAY.

    Without it, each answer on a kept connection would wait 40 ms until the client acknowledges
    the answer's head. uvicorn takes a given socket for a unix socket, and does not set it itself.

    :raises OSError: the port is taken.
    :raises WrongSettings: the host has no address.
    """
    family, address = _address(host)
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `::` means IPv4, too
        listener.bind((address, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def not_ours(host: str) -> WrongSettings:
    return WrongSettings([f"HOST is {host!r}: it has to be an address or a name of this machine."])


def url_of(host: str, port: int) -> str:
    """Return the URL at which a client on this machine reaches this host and port."""
    return f"http://{in_url(EVERYWHERE.get(host, host))}:{port}"


def is_healthy(port: int, host: str = LOOPBACK) -> bool:
    """Whether the web process of a local stack answers and has heard from a worker."""
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=1.0)
    try:
        connection.request("GET", "/health", headers={"Host": "localhost"})  # always allowed
        response = connection.getresponse()
        return response.status == http.client.OK and json.load(response)["worker"] == "ok"
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()


def _address(host: str) -> tuple[socket.AddressFamily, str]:
    """Return a name's address; the IPv4 one if it has both."""
    try:
        addresses = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        raise not_ours(host) from None
    family, _, _, _, place = min(addresses, key=lambda each: each[0] != socket.AF_INET)
    return family, str(place[0])
