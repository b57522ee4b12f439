"""Proxies that cut connections at a chosen moment: before PostgreSQL's socket, before a port."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from enum import Enum
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.engine import short_folder

READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"
"""The server's last word to a statement that is committed: idle, outside of a transaction."""

RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: TCP's RST instead of its FIN

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(Enum):
    BEFORE = "the server never sees the next statement"
    AFTER = "the next statement is committed, and its answer is lost"


class Connections:
    """Connections that are passed on to a server until they end or are cut."""

    def __init__(self, reach: Callable[[], Awaitable[Stream]]) -> None:
        self._reach = reach
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut: Cut | None = None
        self.cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)

    async def cut_all(self) -> int:
        """Cut those that there are, and return how many."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return len(tasks)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._reach()
        except OSError:
            writer.close()
            raise
        up = asyncio.create_task(self._pass_up(reader, server_writer))
        down = asyncio.create_task(self._pass_down(server_reader, writer))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            reset_at_close(writer)
            raise
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
            for end in (writer, server_writer):
                with suppress(OSError):
                    await end.wait_closed()

    async def _pass_up(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while data := await client.read(65536):
            if self.cut is Cut.BEFORE:
                self._count()
                return
            server.write(data)

    async def _pass_down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            if self.cut is Cut.AFTER:
                if data.endswith(READY_FOR_QUERY):
                    self._count()
                    return
                continue
            client.write(data)

    def _count(self) -> None:
        self.cut = None
        self.cuts += 1


class Proxy(Connections):
    """Before PostgreSQL: passes bytes on until told to `cut`; may be shut and opened again."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        parts = conninfo_to_dict(conninfo)
        self._name = f".s.PGSQL.{parts.get('port') or 5432}"
        server = Path(str(parts["host"])) / self._name
        super().__init__(lambda: asyncio.open_unix_connection(str(server)))
        self._folder = folder
        self._listening: asyncio.Server | None = None
        self.conninfo = make_conninfo(conninfo, host=str(folder))

    async def open(self) -> None:
        self._listening = await asyncio.start_unix_server(
            self.serve, str(self._folder / self._name)
        )

    async def shut(self) -> None:
        """Refuse new connections and cut those that there are."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        (self._folder / self._name).unlink(missing_ok=True)
        await self.cut_all()


def reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Have the peer see a connection reset, not an orderly end."""
    found = writer.get_extra_info("socket")
    if found is not None and found.family == socket.AF_INET:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)


@asynccontextmanager
async def proxy_of(conninfo: str) -> AsyncIterator[Proxy]:
    """An open proxy before the server of `conninfo`, which is on a unix socket."""
    with short_folder() as folder:
        proxy = Proxy(conninfo, folder)
        await proxy.open()
        try:
            yield proxy
        finally:
            await proxy.shut()


@asynccontextmanager
async def proxy_of_port(port: int) -> AsyncIterator[tuple[Connections, int]]:
    """Connections that may be cut before a port of this machine, and their own port."""
    connections = Connections(lambda: asyncio.open_connection("127.0.0.1", port))
    listening = await asyncio.start_server(connections.serve, "127.0.0.1", 0)
    try:
        yield connections, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await connections.cut_all()


class Silenced(Connections):
    """Connections that may fall silent without an end, while new ones are served."""

    def __init__(self, server: str, path: Path) -> None:
        super().__init__(lambda: asyncio.open_unix_connection(server))
        self.path = path
        self._newest = self._silent = 0

    def silence(self) -> None:
        """From now on those that there are pass nothing on."""
        self._silent = self._newest

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._newest += 1
        OWN_NUMBER.set(self._newest)
        await super().serve(reader, writer)

    async def _pass_up(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        await self._pass(client, server)

    async def _pass_down(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await self._pass(server, client)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        number = OWN_NUMBER.get()
        while data := await source.read(65536):
            if number > self._silent:
                target.write(data)


OWN_NUMBER: ContextVar[int] = ContextVar("OWN_NUMBER")


@asynccontextmanager
async def silenced_socket(server: str) -> AsyncIterator[Silenced]:
    """A unix socket before another, whose connections may fall silent."""
    with short_folder() as folder:
        connections = Silenced(server, folder / "redis.sock")
        listening = await asyncio.start_unix_server(connections.serve, str(connections.path))
        try:
            yield connections
        finally:
            listening.close()
            await connections.cut_all()
