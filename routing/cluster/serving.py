"""Serves a cluster over HTTP and WebSocket, in a process of its own or inside a test."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from routing.cluster.cluster import Cluster
from routing.cluster.rpc.server import Server


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the caller."""
        yield


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections. Port 0: any that is free.

    :raises OSError: the port is taken.
    """
    opened = socket.create_server((host, port), backlog=1_024)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def url_of(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://{host}:{port}"


@asynccontextmanager
async def serving(cluster: Cluster, opened: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Answer requests and make slots until the block ends.

    Yield the task that makes slots. It is done only if it has failed.
    """
    server = _Uvicorn(
        uvicorn.Config(
            Server(cluster.chain, cluster.node),
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
    )
    slots = asyncio.create_task(cluster.run())
    serves = asyncio.create_task(server.serve([opened]))
    try:
        yield slots
    finally:
        slots.cancel()
        server.should_exit = True
        await serves
