"""Once a second: make the ticks, then compare resting orders with them.

It runs in the scheduler's process, in a thread with a loop of its own. Any number of copies may
run: a tick is stored once, and a pair is evaluated by one of them.
"""

import asyncio
import logging
import threading

import psycopg

from config.database.conninfo import conninfo
from config.runtime.per_loop import close_all
from config.runtime.postgres import Link
from config.runtime.witness import witness
from orders.engine.triggers.evaluator import Evaluator
from orders.engine.triggers.ticks import Ticker
from routing.exchange import make_exchange
from routing.venue import VenueUnavailable
from routing.venues import Exchange

logger = logging.getLogger(__name__)

WATCHER = "the watcher"
PAUSE_SECONDS = 1.0
"""After a turn that failed."""
JUST_AFTER = 0.01
"""Seconds by which a turn begins later than its second: no clock runs evenly."""
EVALUATED_UNTIL = 0.9
"""The part of a second after which no other statement of its evaluation begins."""
LEAST_SECONDS = 0.3
"""For the evaluation, however long the venues took to show their prices."""
STOP_SECONDS = 3.0
"""For a turn under way. What is lost of it is done again, by this watcher or another."""


class Watcher:
    """For one asyncio loop."""

    def __init__(self, exchange: Exchange, link: Link) -> None:
        self._exchange = exchange
        self._link = link
        self.ticker = Ticker.of(exchange, link)
        self._evaluator = Evaluator(exchange, Link(conninfo(), "engine triggers"))

    async def turn(self) -> float:
        """Do what is due in this second. Return for how many seconds nothing is due after it.

        :raises psycopg.Error: the database does not answer; nothing is lost.
        """
        second = int(await self.ticker.clock())
        await self._make_ticks(second)
        left = second + EVALUATED_UNTIL - await self.ticker.clock()
        await self._evaluator.evaluate(second, max(left, LEAST_SECONDS))
        return max(0.0, second + 1 + JUST_AFTER - await self.ticker.clock())

    async def close(self) -> None:
        await self._evaluator.close()
        await self._exchange.close()
        await self._link.close()

    async def _make_ticks(self, second: int) -> None:
        """Make ticks if the venues let us: without them the clock still ends what is over."""
        try:
            await self.ticker.make(second)
        except VenueUnavailable as fault:
            logger.warning("there are no prices for now: %s", fault)


class WatcherThread:
    """`start` and `stop` are called once, from the same thread."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the turn under way, and wait for its end."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._watch())

    async def _watch(self) -> None:
        watcher = Watcher(
            make_exchange(),
            Link(conninfo(), "engine watcher"),
        )
        try:
            while not self._stopped.is_set():
                await self._pause(await self._turn(watcher))
            witness.note_rest(WATCHER)
        finally:
            await watcher.close()
            await close_all()

    async def _turn(self, watcher: Watcher) -> float:
        """Take a turn, whatever fails in it. Return how long to wait for the next one."""
        witness.note_turn(WATCHER)
        try:
            return await watcher.turn()
        except psycopg.Error as error:
            logger.warning("the watcher goes on when the database answers: %s", error)
        except Exception:
            logger.exception("a turn of the watcher failed; the next one comes")
        return PAUSE_SECONDS

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass
