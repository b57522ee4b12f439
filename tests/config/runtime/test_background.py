"""Work besides the callers': never twice at once, and begun anew whatever ended it."""

import asyncio
from contextvars import ContextVar

from config.runtime.background import Background

caller: ContextVar[str] = ContextVar("caller", default="nobody")


class Work:
    """Runs until it is let go, and counts how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.seen: list[str] = []
        self.may_end = asyncio.Event()
        self.fault: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        self.seen.append(caller.get())
        await self.may_end.wait()
        if self.fault is not None:
            raise self.fault


async def under_way(background: Background) -> None:
    background.begin()
    await asyncio.sleep(0)


async def test_work_under_way_is_not_begun_twice_and_begins_anew_when_it_has_ended() -> None:
    work = Work()
    background = Background(work)
    for _ in range(3):
        await under_way(background)

    assert work.begun == 1
    work.may_end.set()
    await background.wait_until_done()
    await under_way(background)
    await background.wait_until_done()
    assert work.begun == 2


async def test_work_that_failed_or_was_stopped_begins_anew() -> None:
    work = Work()
    background = Background(work)
    await under_way(background)
    await background.stop()
    await under_way(background)
    work.fault = ValueError("a bug")
    work.may_end.set()
    await background.wait_until_done()
    work.fault = None
    await under_way(background)

    assert work.begun == 3


async def test_what_serves_all_has_no_callers_request_in_its_log() -> None:
    work = Work()
    background = Background(work)
    token = caller.set("alice")
    await under_way(background)
    caller.reset(token)
    await background.stop()

    assert work.seen == ["nobody"]


async def test_a_caller_waits_for_it_as_long_as_it_likes() -> None:
    background = Background(Work())
    await background.wait_until_done()  # nothing was begun
    background.begin()
    await background.wait_until_done(0.01)
    await background.stop()
    await background.stop()
