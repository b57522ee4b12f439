"""A proxy before PostgreSQL's socket that cuts a connection at a chosen moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.engine import short_folder

READY_FOR_QUERY = b"Z\x00\x00\x00\x05I"
"""The server's last word to a statement that is committed: idle, outside of a transaction."""


class Cut(Enum):
    BEFORE = "the server never sees the next statement"
    AFTER = "the next statement is committed, and its answer is lost"


class Proxy:
    """Passes bytes on until it is told to `cut`; may be shut and opened again."""

    def __init__(self, conninfo: str, folder: Path) -> None:
        parts = conninfo_to_dict(conninfo)
        self._name = f".s.PGSQL.{parts.get('port') or 5432}"
        self._server = Path(str(parts["host"])) / self._name
        self._folder = folder
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut: Cut | None = None
        self.cuts = 0
        self.conninfo = make_conninfo(conninfo, host=str(folder))

    async def open(self) -> None:
        self._listening = await asyncio.start_unix_server(
            self._serve, str(self._folder / self._name)
        )

    async def shut(self) -> None:
        """Refuse new connections and cut those that there are."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        (self._folder / self._name).unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(str(self._server))
        up = asyncio.create_task(self._pass_up(reader, server_writer))
        down = asyncio.create_task(self._pass_down(server_reader, writer))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
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
