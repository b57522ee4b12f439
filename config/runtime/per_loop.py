"""One object for each event loop: connections belong to the loop that opened them."""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

Made = TypeVar("Made")


def once_per_loop(make: Callable[[], Made]) -> Callable[[], Made]:
    """Have `make` called once in each running loop, and its answer kept as long as the loop."""
    kept: WeakKeyDictionary[asyncio.AbstractEventLoop, Made] = WeakKeyDictionary()

    @wraps(make)
    def found() -> Made:
        loop = asyncio.get_running_loop()
        try:
            return kept[loop]
        except KeyError:
            return kept.setdefault(loop, make())

    return found
