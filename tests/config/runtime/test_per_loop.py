"""One object for each loop, and none that stays open when its loop ends."""

import asyncio
import logging
import time

import pytest

from config.runtime import per_loop
from config.runtime.per_loop import close_all, once_per_loop


class Door:
    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.times_closed = 0

    async def close(self) -> None:
        if self.fault is not None:
            raise self.fault
        self.times_closed += 1


class StuckDoor(Door):
    was_cancelled = False

    async def close(self) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def test_each_loop_has_an_object_of_its_own_and_closes_no_other() -> None:
    door_of_this_loop = once_per_loop(Door)

    async def open_and_close() -> Door:
        door = door_of_this_loop()
        assert door_of_this_loop() is door
        await close_all()
        return door

    with asyncio.Runner() as one, asyncio.Runner() as other:
        first = one.run(open_and_close())
        second = other.run(open_and_close())
    assert first is not second
    assert (first.times_closed, second.times_closed) == (1, 1)


async def test_what_was_never_asked_for_is_not_made_to_be_closed() -> None:
    made: list[Door] = []
    once_per_loop(lambda: made.append(Door()))
    await close_all()
    assert made == []


async def test_what_has_nothing_to_close_is_left_alone() -> None:
    for made in (once_per_loop(lambda: None), once_per_loop(object)):
        made()
    await close_all()


async def test_one_that_fails_or_hangs_keeps_no_other_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing, stuck, sound = Door(OSError("no such door")), StuckDoor(), Door()
    for door in (failing, stuck, sound):
        once_per_loop(lambda door=door: door)()
    began_at = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await close_all(0.05)

    assert time.monotonic() - began_at < per_loop.CLOSE_SECONDS
    assert sound.times_closed == 1
    assert sorted(caplog.messages) == [
        "Door was not closed: no such door",
        "StuckDoor was not closed in time",
    ]
    await asyncio.sleep(0)
    assert stuck.was_cancelled


async def test_many_that_hang_take_no_longer_than_one() -> None:
    for _ in range(8):
        once_per_loop(StuckDoor)()
    async with asyncio.timeout(4 * 0.5):
        await close_all(0.5)
