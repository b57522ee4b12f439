"""Proxies that cut connections or have them fall silent: before PostgreSQL, Redis, or a port."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.support.engine import short_folder

READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"
"""The server's last word to a statement that is committed: idle, outside of a transaction."""

RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: TCP's RST instead of its FIN

NOTICED_SECONDS = 5.0  # until a server ends a silent connection, as its own keepalives would

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(Enum):
    BEFORE = "the server never sees the next statement"
    AFTER = "the next statement is committed, and its answer is lost"


@dataclass(slots=True, eq=False)
class Flow:
    """One connection through the proxy. What is sent on a silent one gets lost, its end too."""

    server: asyncio.StreamWriter
    task: "asyncio.Task[None]"
    is_silent: bool = field(default=False, init=False)
    is_meant: bool = field(default=False, init=False)
    """Whether what was last sent on it is such as `Connections.cut_of` says."""
    given_up: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    """Whether the server has noticed that nobody is there."""

    def fall_silent(self) -> None:
        self.is_silent = True
        asyncio.get_running_loop().call_later(NOTICED_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self.given_up.set()
        self.server.close()


class Connections:
    """Connections that are passed on to a server until they end, are cut or fall silent."""

    def __init__(self, reach: Callable[[], Awaitable[Stream]]) -> None:
        self._reach = reach
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows: set[Flow] = set()
        self._is_passable = asyncio.Event()
        self._is_passable.set()
        self._is_shut = False
        self.cut: Cut | None = None
        self.cut_of: tuple[bytes, ...] = ()
        """What has to be in a statement for its answer to be cut off; none: any statement's is."""
        self.cuts = 0
        self.is_silent = False
        self.held = 0

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes; the connection is closed however that ends, and be it unbegun."""
        if self._is_shut:  # it was accepted in the very moment
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)

    def are_closed(self) -> bool:
        return not self._tasks

    async def cut_all(self) -> int:
        """Cut those that there are, and return how many; of silent ones nobody hears anything."""
        silent = {flow.task for flow in self._flows if flow.is_silent}
        return await self._end(self._tasks - silent)

    async def end_all(self) -> None:
        """Cut those that there are, silent ones too."""
        await self._end(self._tasks)

    def silence(self) -> int:
        """Have those that there are fall silent for ever; return how many. New ones work."""
        flows = [flow for flow in self._flows if not flow.is_silent]
        for flow in flows:
            flow.fall_silent()
        return len(flows)

    @contextmanager
    def hole(self) -> Iterator[None]:
        """Hold up everything, new connections too; it gets through at the end, as TCP would."""
        self._is_passable.clear()
        try:
            yield
        finally:
            self._is_passable.set()

    @staticmethod
    async def _end(tasks: set["asyncio.Task[None]"]) -> int:
        ended = list(tasks)
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        return len(ended)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._is_passable.wait()
            server_reader, server_writer = await self._reach()
        except (OSError, asyncio.CancelledError):
            writer.close()
            raise
        task = asyncio.current_task()
        assert task is not None
        flow = Flow(server_writer, task)
        self._flows.add(flow)
        up = asyncio.create_task(self._pass_up(reader, server_writer, flow))
        down = asyncio.create_task(self._pass_down(server_reader, writer, flow))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if flow.is_silent:
                await asyncio.wait([up])  # the client hears nothing of the server's end
                await flow.given_up.wait()  # nor the server of the client's, at first
        except asyncio.CancelledError:
            reset_at_close(writer)
            raise
        finally:
            self._flows.discard(flow)
            for passing in (up, down):
                passing.cancel()
            for end in (writer, server_writer):  # before any wait, in which a cut may come
                end.close()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in (writer, server_writer):
                with suppress(OSError):
                    await end.wait_closed()

    async def _pass_up(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, flow: Flow
    ) -> None:
        while data := await client.read(65536):
            await self._is_passable.wait()
            if flow.is_silent:
                continue
            if self.cut is Cut.BEFORE:
                self._count()
                return
            flow.is_meant = all(part in data for part in self.cut_of)
            await self._sound()
            server.write(data)

    async def _pass_down(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, flow: Flow
    ) -> None:
        while data := await server.read(65536):
            await self._is_passable.wait()
            if flow.is_silent:
                continue
            if self.cut is Cut.AFTER and (flow.is_meant or not self.cut_of):
                if data.endswith(READY_FOR_QUERY):
                    self._count()
                    return
                continue
            await self._sound()
            client.write(data)

    async def _sound(self) -> None:
        """Wait while nothing is passed on, as by a firewall that has forgotten its flows."""
        self.held += self.is_silent
        while self.is_silent:
            await asyncio.sleep(0.02)

    def _count(self) -> None:
        self.cut = None
        self.cuts += 1


class Proxy(Connections):
    """Before PostgreSQL: passes bytes on until told to `cut`; may be shut and opened again.

    `folder`: for a unix socket of its own; None: it is on a port of this machine.
    """

    def __init__(self, conninfo: str, folder: Path | None) -> None:
        super().__init__(lambda: asyncio.open_unix_connection(str(self._server)))
        self._server = socket_of(conninfo)
        self._socket = folder / self._server.name if folder else None
        self._port = 0
        self._listening: asyncio.Server | None = None
        self._wanted = conninfo

    @property
    def conninfo(self) -> str:
        """Where clients find it; on a port, once it was opened."""
        if self._socket is not None:
            return make_conninfo(self._wanted, host=str(self._socket.parent))
        return make_conninfo(self._wanted, host="127.0.0.1", port=self._port)

    def lead_to(self, conninfo: str) -> None:
        """Pass new connections on to another server."""
        self._server = socket_of(conninfo)

    async def open(self) -> None:
        self._is_shut = False
        if self._socket is not None:
            self._listening = await asyncio.start_unix_server(self.serve, str(self._socket))
            return
        self._listening = await asyncio.start_server(self.serve, "127.0.0.1", self._port)
        self._port = self._listening.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse new connections and cut those that there are."""
        self._is_shut = True
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._socket is not None:
            self._socket.unlink(missing_ok=True)
        await self.end_all()


def socket_of(conninfo: str) -> Path:
    """Return the unix socket of a PostgreSQL."""
    parts = conninfo_to_dict(conninfo)
    return Path(str(parts["host"])) / f".s.PGSQL.{parts.get('port') or 5432}"


def reset_at_close(writer: asyncio.StreamWriter) -> None:
    """Have the peer see a connection reset, not an orderly end."""
    found = writer.get_extra_info("socket")
    if found is not None and found.family == socket.AF_INET:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)


@asynccontextmanager
async def proxy_of(conninfo: str, *, by_port: bool = False) -> AsyncIterator[Proxy]:
    """An open proxy before the server of `conninfo`, which is on a unix socket."""
    with short_folder() as folder:
        proxy = Proxy(conninfo, None if by_port else folder)
        await proxy.open()
        try:
            yield proxy
        finally:
            await proxy.shut()


@asynccontextmanager
async def proxy_of_redis(url: str, *, by_port: bool) -> AsyncIterator[tuple[Connections, str]]:
    """Connections before a Redis on a unix socket, and the URL that leads through them."""
    path = urlsplit(url).path
    connections = Connections(lambda: asyncio.open_unix_connection(path))
    with short_folder() as folder:
        if by_port:
            listening = await asyncio.start_server(connections.serve, "127.0.0.1", 0)
            found = f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
        else:
            listening = await asyncio.start_unix_server(connections.serve, str(folder / "redis"))
            found = f"unix://{folder / 'redis'}?db=0"
        try:
            yield connections, found
        finally:
            listening.close()
            await connections.end_all()


@asynccontextmanager
async def proxy_of_port(port: int) -> AsyncIterator[tuple[Connections, int]]:
    """Connections that may be cut before a port of this machine, and their own port."""
    connections = Connections(lambda: asyncio.open_connection("127.0.0.1", port))
    listening = await asyncio.start_server(connections.serve, "127.0.0.1", 0)
    try:
        yield connections, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await connections.end_all()
