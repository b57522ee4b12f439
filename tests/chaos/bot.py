"""The example bot beside a run: killed again and again, and its books compared at the end."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from order_engine_client import Client
from tests.chaos.plan import Options
from tests.chaos.stack import Stack
from tests.support.accounts import make_account
from tests.support.grid import Grid, books_of

LIVES_SECONDS = (4.0, 20.0)
LOOK_SECONDS = 0.5


class Bot:
    """The grid, of an account of its own, through the same proxy as the other clients."""

    def __init__(self, stack: Stack, options: Options, logs: Path) -> None:
        account = make_account(stack.database)
        url = f"http://127.0.0.1:{stack.port}"
        self._client = Client(url, account.key, give_up_after=options.drain)
        self._chance = random.Random(f"{options.seed}:bot")
        self._seconds = options.drain
        self.grid = Grid(url, account.key, logs)
        self.ended_itself: list[int] = []
        """Its exit codes whenever it was not killed."""
        self.order_ids: list[str] = []
        """All its orders, by the engine's list."""
        self._differences: list[str] = []
        self._is_to_die = True

    @property
    def wrong(self) -> list[str]:
        """What its books say otherwise than the engine, and how it ended when it was not killed."""
        ends = [f"the bot ended with {code}: {self.grid.output}" for code in self.ended_itself]
        return [*self._differences, *ends]

    async def die_and_come_again(self) -> None:
        """Kill it after some seconds and start it again, until it is to settle."""
        while self._is_to_die:
            await asyncio.sleep(self._chance.uniform(*LIVES_SECONDS))
            if self._is_to_die:
                self._note_end()
                self.grid.kill()
                self.grid.start()

    async def settle(self) -> None:
        """Let it live until its books are the engine's; then end it and its orders."""
        self._is_to_die = False
        found: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while found := await asyncio.to_thread(self._compare):
                    self._note_end()
                    if self.grid.process.poll() is not None:
                        self.grid.start()
                    await asyncio.sleep(LOOK_SECONDS)
        self._differences = found
        self.grid.kill()
        await asyncio.to_thread(self._client.cancel_all, when_possible=True)
        self.order_ids = list(await asyncio.to_thread(books_of, self._client))

    def close(self) -> None:
        self.grid.kill()
        self._client.close()

    def _note_end(self) -> None:
        code = self.grid.process.poll()
        if code is not None:
            self.ended_itself.append(code)

    def _compare(self) -> list[str]:
        books, engine = self.grid.read(), books_of(self._client)
        if not books:
            return ["the bot has sent no order"]
        return [
            f"order {one}: {books.get(one)} in the bot's books, and {engine.get(one)}"
            for one in sorted({*books, *engine})
            if books.get(one) != engine.get(one)
        ]


@asynccontextmanager
async def bot_beside(stack: Stack, options: Options, logs: Path) -> AsyncIterator[Bot | None]:
    """The bot, if the run has one."""
    if not options.bot:
        yield None
        return
    bot = await asyncio.to_thread(Bot, stack, options, logs)
    dying = asyncio.create_task(bot.die_and_come_again())
    try:
        yield bot
    finally:
        dying.cancel()
        await asyncio.to_thread(bot.close)
