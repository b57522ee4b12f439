"""Where the web process listens, and whether it answers there."""

import http.client
import json
import os
import socket
from itertools import count

LOOPBACK = ("127.0.0.1", "localhost")
FIRST_PORT = 8000


class PortTakenError(Exception):
    """The port that PORT names is not free."""


def listen_host() -> str:
    """HOST; without it only this machine may connect, unless a platform gives us a PORT."""
    return os.environ.get("HOST") or ("0.0.0.0" if os.environ.get("PORT") else LOOPBACK[0])  # noqa: S104


def is_only_local() -> bool:
    """Whether nobody but this machine can connect."""
    return listen_host() in LOOPBACK


def listen() -> socket.socket:
    """Return a listening socket on PORT, else on the first free port from 8000.

    The socket itself is handed to the web process, so that nobody can take the port in between,
    and callers wait instead of being refused while that process is started again.

    :raises PortTakenError: PORT is set and not free.
    """
    wanted = os.environ.get("PORT")
    for port in [int(wanted)] if wanted else count(FIRST_PORT):
        try:
            return listen_on(listen_host(), port)
        except OSError as error:
            if wanted or port > FIRST_PORT + 1000:
                raise PortTakenError(f"Port {port} cannot be used: {error.strerror}.") from error
    raise AssertionError("unreachable: count() has no end")


def listen_on(host: str, port: int) -> socket.socket:
    """Return a listening socket whose connections send at once (TCP_NODELAY, which they inherit).

    Without it each answer on a kept connection would wait 40 ms for the client's acknowledgement
    of its head: uvicorn takes a socket that it is given for a unix one, and sets nothing itself.

    :raises OSError: the port is taken.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def is_healthy(port: int) -> bool:
    """Whether the web process of a local stack answers, and has heard from a worker."""
    connection = http.client.HTTPConnection(LOOPBACK[0], port, timeout=1.0)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        return response.status == http.client.OK and json.load(response)["worker"] == "ok"
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return False
    finally:
        connection.close()
