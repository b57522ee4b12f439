"""Sockets that tell what is newest, alike to all who listen: read once, and written once."""

from typing import Any

from websockets.frames import Frame, Opcode

from orders.api.problems import problem
from orders.sockets.protocol import Socket


class NewestSocket(Socket):
    """Tells the newest message. A client that has not taken the one before gets the next one."""

    only = ""
    """What this socket tells, for a client that sends a frame."""
    told = b""
    """The last message."""

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        detail = f"This socket only tells {self.only}; send orders to /api/orders/execute."
        await self.say_problem(problem(400, "unexpected_frame", detail))

    def tell(self, message: bytes, frame: bytes) -> None:
        """Pass a new message on, which `frame` has as it is written to a socket."""
        if self.told == message:
            return
        if self.say_at_once(frame):
            self.told = message
        elif self.nudges.empty():
            self.told = message
            self.nudges.put_nowait({"type": "newest.told", "text": message.decode()})

    async def newest_told(self, nudge: dict[str, Any]) -> None:
        await self.say(nudge["text"])


def frame_of(message: bytes) -> bytes:
    """Return a message as it is written to a socket."""
    return Frame(Opcode.TEXT, message).serialize(mask=False)
