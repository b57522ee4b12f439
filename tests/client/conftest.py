"""A clock that goes on when the client waits, so that no test waits for it."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from order_engine_client import http, patience

MOST_PAUSES = 1_000


@dataclass
class Clock:
    now: float = field(default_factory=time.monotonic)
    pauses: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        assert len(self.pauses) < MOST_PAUSES, "it goes on for ever"
        self.now += seconds
        await asyncio.sleep(0)

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(patience, "sleep", found.sleep)
    for module in (patience, http):
        monkeypatch.setattr(module, "monotonic", found.monotonic)
    return found
