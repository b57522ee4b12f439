"""Connections that wait for messages, and notice when the server has fallen silent.

When a subscribed connection is silent for a while, redis-py sends a PING, but does not check that
an answer comes. So it would never notice a connection that was cut off without a reset.
"""

import asyncio
from typing import Any

from redis.asyncio import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError

QUIET_SECONDS = 2  # of silence, after which a PING is sent
ANSWER_SECONDS = 2.0  # after the PING, in which something must be heard


class _Minding(AbstractConnection):
    """Ends itself when a PING stays unanswered. Then its owner connects and subscribes anew."""

    _asked_at: float | None = None

    async def send_command(self, *words: Any, **options: Any) -> None:
        if words and words[0] == "PING":
            if self._asked_at is not None:
                return  # a message is on its way
            self._asked_at = asyncio.get_running_loop().time()
        await super().send_command(*words, **options)

    async def read_response(self, *args: Any, **options: Any) -> Any:
        asked_at = self._asked_at
        if asked_at and asyncio.get_running_loop().time() - asked_at > ANSWER_SECONDS:
            await self.disconnect()
            raise RedisConnectionError("the server has fallen silent")
        response = await super().read_response(*args, **options)
        if response is not None:
            self._asked_at = None
        return response

    async def disconnect(self, *args: Any, **options: Any) -> None:
        self._asked_at = None
        await super().disconnect(*args, **options)


class MindingConnection(_Minding, Connection):
    """Over TCP."""


class MindingTLSConnection(_Minding, SSLConnection):
    """Over TLS."""


class MindingSocketConnection(_Minding, UnixDomainSocketConnection):
    """Over a unix socket."""


KINDS: dict[Any, type[AbstractConnection]] = {
    Connection: MindingConnection,
    SSLConnection: MindingTLSConnection,
    UnixDomainSocketConnection: MindingSocketConnection,
}


def listening_options(url: str, connect_seconds: float) -> dict[str, Any]:
    """Return a pool's options for connections that listen. `url` is `RedisAddress.url`."""
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.pop("connection_class", Connection)
    if kind is not UnixDomainSocketConnection:
        options["socket_keepalive"] = True
    return {
        **options,
        "connection_class": KINDS[kind],
        "socket_timeout": None,  # no message may come for hours
        "socket_connect_timeout": connect_seconds,
        "health_check_interval": QUIET_SECONDS,
    }


def listening_pool(url: str, connect_seconds: float) -> ConnectionPool:
    return ConnectionPool(**listening_options(url, connect_seconds))
