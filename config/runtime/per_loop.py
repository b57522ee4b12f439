"""One object for each event loop: connections belong to the loop that opened them."""

import asyncio
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # for closing; the process ends then, and its callers have been served
Made = TypeVar("Made")

_all_kept: list[WeakKeyDictionary[asyncio.AbstractEventLoop, Any]] = []


def once_per_loop(make: Callable[[], Made]) -> Callable[[], Made]:
    """Call `make` once in each running loop, and keep its result as long as the loop."""
    kept: WeakKeyDictionary[asyncio.AbstractEventLoop, Made] = WeakKeyDictionary()
    _all_kept.append(kept)

    @wraps(make)
    def object_of_loop() -> Made:
        loop = asyncio.get_running_loop()
        try:
            return kept[loop]
        except KeyError:
            return kept.setdefault(loop, make())

    return object_of_loop


async def close_all(seconds: float = CLOSE_SECONDS) -> None:
    """Close all objects at once that were made for the running loop and have a `close`.

    Objects are closed independently. One that fails, or takes longer than `seconds`, is logged
    and ends with the process. A closed object opens again when it is used.
    """
    loop = asyncio.get_running_loop()
    instances = [kept[loop] for kept in _all_kept if loop in kept]
    closing = {
        loop.create_task(instance.close()): instance
        for instance in instances
        if hasattr(instance, "close")
    }
    if not closing:
        return
    await asyncio.wait(closing, timeout=seconds)
    for task, instance in closing.items():
        if not task.done():
            task.cancel()
            logger.warning("%s was not closed in time", type(instance).__name__)
        elif not task.cancelled() and (error := task.exception()):
            logger.warning("%s was not closed: %s", type(instance).__name__, error, exc_info=error)
