"""One WebSocket: uvicorn's own, with limits for clients, and with a short way out for messages.

A refused client that does not listen is dropped.

ASGI's `send` is a coroutine for each message and client. A message for a thousand clients is the
same frame for all of them. So the scope has an extension, `engine.write`: a function that takes a
whole frame and writes it at once, or returns False where only `send` will do.
"""

import asyncio
import time
from collections.abc import Callable
from copy import copy
from typing import Any

from uvicorn.protocols.websockets.websockets_impl import WebSocketProtocol
from websockets.frames import CTRL_OPCODES
from websockets.legacy.framing import Frame

from config.http.door import WRITE
from config.runtime.counters import counts

HANDSHAKE_SECONDS = 10.0  # for us to answer
LAST_WORD_SECONDS = 1.0  # for a refused client to answer a close
MAX_SMALL_FRAMES = 200  # a second; a client that pings sends one in some
SMALL = 126  # bytes; a frame of control has fewer
REFUSED = frozenset((4400, 4401, 4403, 4404, 4429))
TOO_MUCH = 4429


class WebSocket(WebSocketProtocol):
    """What uvicorn makes for each WebSocket (`--ws config.http.websocket:WebSocket`)."""

    leave: Callable[[], None] = staticmethod(lambda: None)  # gives the connection's place back
    _ending: asyncio.TimerHandle | None = None
    _small_frames = 0
    _second = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end_within(HANDSHAKE_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._go_on()
        self.leave()
        super().connection_lost(exc)
        if self._reads_no_more():  # free large objects: the collector is late with cycles
            self.reader = asyncio.StreamReader(loop=self.loop)

    async def ws_handler(self, protocol: Any, path: str = "") -> Any:
        # Without the default, the library asks for the signature twice, and warns, at each socket.
        self._go_on()
        try:
            return await super().ws_handler(protocol, path)
        finally:
            vars(self).pop("ws_handler", None)  # the library's own reference to it, a circle

    async def run_asgi(self) -> None:
        self.scope["extensions"][WRITE] = self.write  # type: ignore[assignment]  # ours
        self._most = self.transport.get_write_buffer_limits()[1]
        try:
            await super().run_asgi()
        finally:  # else 10 kB wait for the collector
            del self.scope["extensions"][WRITE]

    async def transfer_data(self) -> None:
        try:
            await super().transfer_data()
        finally:  # the frames of what ended it hold this object, a circle; a copy has none
            self.transfer_data_exc = copy(self.transfer_data_exc)
            if broken := self.reader.exception():
                self.reader.set_exception(copy(broken))

    def write(self, frame: bytes) -> bool:
        """Write a frame, unless the client is slow, gone, or has frames of its own (compressed).

        What would fill the buffer goes through `send`, which waits for the client.
        """
        if self._paused or self.extensions or not self.open or self.transport.is_closing():
            return False
        if self.transport.get_write_buffer_size() + len(frame) > self._most:
            return False
        self.transport.write(frame)
        return True

    async def asgi_send(self, message: Any) -> None:
        kind = message["type"]
        was_open = self.handshake_started_event.is_set()
        is_refusal = kind == "websocket.close" and (
            not was_open or message.get("code", 1000) in REFUSED
        )
        if is_refusal and was_open:
            await self.handshake_completed_event.wait()
        if is_refusal or kind == "websocket.http.response.start":
            self._end_within(LAST_WORD_SECONDS)
        await super().asgi_send(message)

    async def read_frame(self, max_size: int | None) -> Frame:
        """Read a frame; those that the application never sees are counted.

        These are pings, pongs, and small pieces of a message, of which one can have any number.
        """
        frame: Frame = await super().read_frame(max_size)
        is_piece = not frame.fin and len(frame.data) < SMALL
        if (is_piece or frame.opcode in CTRL_OPCODES) and self._is_flooding():
            counts["sockets_flooded"] += 1
            self._end_within(LAST_WORD_SECONDS)
            self.fail_connection(TOO_MUCH, "Send less at once.")
            await asyncio.sleep(0)  # where the reading ends
        return frame

    def _reads_no_more(self) -> bool:
        reading = getattr(self, "transfer_data_task", None)
        return reading is None or reading.done()

    def _is_flooding(self) -> bool:
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._small_frames = now, 0
        self._small_frames += 1
        return self._small_frames > MAX_SMALL_FRAMES

    def _end_within(self, seconds: float) -> None:
        self._go_on()
        self._ending = self.loop.call_later(seconds, self.transport.abort)

    def _go_on(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
