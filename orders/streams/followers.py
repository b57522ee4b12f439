"""Who follows which order or account in this process, and how they hear of events.

The process has one channel of the channel layer. It is in the group of each order, and of each
account, that is followed here. So an event comes once, however many sockets follow its order. It
becomes one frame, which is written to each of them.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import msgpack
from channels.layers import get_channel_layer
from redis.exceptions import RedisError
from websockets.frames import Frame, Opcode

from config.runtime.background import Background
from config.runtime.counters import counts
from config.runtime.per_loop import once_per_loop
from orders.events import group_of, group_of_account

FIELDS = {"type": str, "order_id": str, "seq": int, "is_final": bool, "text": str}
OF_ACCOUNT = FIELDS | {"owner": int}
# The last one is uvloop's, for a connection to Redis that was reset in this very moment.
LAYER_FAULTS = (RedisError, OSError, TimeoutError, RuntimeError)
TOLD_AT_ONCE = 250  # followers, before others have a turn

Form = Callable[[str], str]
"""How a socket shows an event's message."""


def is_hint(message: Any) -> bool:
    """Whether a message of the layer has the form of a hint (`orders/engine/hints.py`)."""
    fields = OF_ACCOUNT if isinstance(message, dict) and "owner" in message else FIELDS
    return (
        isinstance(message, dict)
        and message.keys() == fields.keys()
        and all(type(message[name]) is kind for name, kind in fields.items())
        and message["type"] == "order.event"
        and message["seq"] > 0
    )


def group_in(message: dict[str, Any]) -> str:
    """Return the group that a hint was sent to."""
    owner = message.get("owner")
    return group_of(message["order_id"]) if owner is None else group_of_account(owner)


class Hint:
    """An event, as Redis told of it."""

    def __init__(self, order_id: str, seq: int, text: str, *, is_final: bool) -> None:
        self.order_id = order_id
        self.seq = seq
        self.text = text
        self.is_final = is_final
        self._frames: dict[Form, bytes] = {}

    def frame(self, form: Form) -> bytes:
        """Return the WebSocket frame of its message, which is made once for each form.

        :raises ValueError: the text is no message.
        """
        if form not in self._frames:
            shown = Frame(Opcode.TEXT, form(self.text).encode())
            self._frames[form] = shown.serialize(mask=False)
        return self._frames[form]


class Follower(Protocol):
    """Who hears of an order, or of an account's. It follows each at most once."""

    def hear(self, hint: Hint) -> None:
        """:raises ValueError: the hint's text is no message."""


class Followers:
    """One for each asyncio loop."""

    def __init__(self) -> None:
        self._of: dict[str, set[Follower]] = {}
        self._channel: str | None = None
        self._opening = asyncio.Lock()
        self._hearing = Background(self._hear_for_ever)

    async def join(self, group: str, follower: Follower) -> None:
        """Have the follower hear what is told to a group (`orders/events.py`) from now on.

        This tries twice: after a reset connection has failed once, the layer opens a new one.

        :raises LAYER_FAULTS: Redis does not answer.
        """
        self._of.setdefault(group, set()).add(follower)
        try:
            await self._listen_to(group)
        except LAYER_FAULTS:
            await self._listen_to(group)

    async def leave(self, group: str, follower: Follower) -> None:
        """:raises LAYER_FAULTS: Redis does not answer; the follower hears nothing more all the
        same.
        """
        followers = self._of.get(group, set())
        followers.discard(follower)
        if not followers and self._of.pop(group, None) is not None and self._channel:
            await get_channel_layer().group_discard(group, self._channel)

    async def close(self) -> None:
        await self._hearing.stop()

    async def _listen_to(self, group: str) -> None:
        layer = get_channel_layer()
        async with self._opening:
            self._channel = self._channel or await layer.new_channel()
        self._hearing.begin()
        await layer.group_add(group, self._channel)

    async def _hear_for_ever(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                message = await layer.receive(self._channel)
            except (ValueError, msgpack.UnpackException):
                message = None  # no msgpack
            if is_hint(message):
                hint = Hint(
                    *(message["order_id"], message["seq"], message["text"]),
                    is_final=message["is_final"],
                )
                await self._tell(group_in(message), hint)
            else:
                counts["messages_passed_over"] += 1

    async def _tell(self, group: str, hint: Hint) -> None:
        followers = list(self._of.get(group, ()))
        counts["hints_received"] += len(followers)
        for number, follower in enumerate(followers, start=1):
            try:
                follower.hear(hint)
            except ValueError:
                counts["messages_passed_over"] += 1
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)


@once_per_loop
def followers_of_this_loop() -> Followers:
    """Return the running loop's table, made at the first call."""
    return Followers()
