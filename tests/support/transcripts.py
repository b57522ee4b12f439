"""What a real socket tells, from the first message to the close."""

import asyncio
import json
from typing import Any

import websockets

from tests.support.engine import PATIENCE


async def transcript(url: str, *frames: Any) -> list[dict[str, Any]]:
    """Return all that a socket tells to its end."""
    async with asyncio.timeout(PATIENCE), websockets.connect(url, compression=None) as socket:
        for frame in frames:
            await socket.send(json.dumps(frame))
        found = [json.loads(text) async for text in socket]
        assert socket.close_code == 1000
    return found
