"""The one carrier of a worker process: an asyncio loop that carries many orders at once.

The first Celery task runs the loop in its own thread until nothing is left to carry. It then stays
a little longer and hears the bell by itself. A task that comes meanwhile wakes the loop and
returns. The loop and its connections outlive the task, so the next task need not connect again.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import psycopg
import uvloop
from django.conf import settings

from config.runtime.counters import counts
from config.runtime.logs import context_of
from config.runtime.witness import witness
from orders.engine import bell
from orders.engine.crash_points import crash_point
from orders.engine.execution import Execution
from orders.engine.journal import BEGUN_SECONDS, Journal, journal_of_this_loop
from orders.engine.journal_sql import GIVEN_UP_AFTER, SUSPECT_AFTER
from orders.engine.moves import ClaimedOrder, Overtaken
from orders.engine.wallet.limits import wallet_limits
from orders.lifecycle import Status
from routing.exchange import make_exchange
from routing.venues import Exchange

logger = logging.getLogger(__name__)


RING_SECONDS = 0.5  # between two bells for other workers while there is more than we can carry

CARRIER, CLAIM, RENEWAL = "the carrier", "a claim", "the renewal of leases"
STOP_SECONDS = 2.5  # for each step of stopping, as each of them may hang

CLAIM_PAUSE = 0.01  # seconds between two claims of a busy carrier

UNSUBMITTED = frozenset({Status.PENDING, Status.ROUTING, Status.BUILDING})

Named = tuple[str, bool]
"""An order's id, and whether it is to be carried alone."""


class Carrier:
    """Made once a process. `carry` and `stop` may be called from any thread."""

    def __init__(self) -> None:
        self._role = threading.Lock()
        self._is_taken = False
        self._is_stopping = threading.Event()
        self._when_done: Callable[[], None] = lambda: None
        self.loop = uvloop.new_event_loop()
        self._wanted: set[Status] = set()
        self._named: deque[Named] = deque()
        self._round: Round | None = None

    def carry(self, statuses: Iterable[Status] = (), named: Named | None = None) -> None:
        """Carry what is due in these statuses, and the named order; return when all is done.

        If another thread is the carrier, this wakes that thread and returns at once. If that
        thread hangs, no order waits for it: other workers look for due orders themselves, and the
        witness ends this process.

        :raises psycopg.Error: the database is away; nothing is lost, ring again later.
        """
        with self._role:
            self._wanted.update(statuses)
            if named and named not in self._named:
                self._named.append(named)
            if self._is_stopping.is_set():
                return
            if self._is_taken:
                self.loop.call_soon_threadsafe(self._wake)
                return
            self._is_taken = True
        try:
            while self._has_work():
                self.loop.run_until_complete(self._carry_round())
        finally:
            with self._role:
                self._is_taken = False
                if self._is_stopping.is_set():
                    self._when_done()

    @property
    def is_idle(self) -> bool:
        """Whether nobody is the carrier just now."""
        return not self._is_taken

    def stop(self, when_done: Callable[[], None] = lambda: None) -> None:
        """Claim no more, let orders finish within the grace, and give the other leases back.

        `when_done` is called, perhaps twice, when nothing is carried any more.
        """
        with self._role:
            self._when_done = when_done
            self._is_stopping.set()
            if self._is_taken:
                self.loop.call_soon_threadsafe(self._wake)
            else:
                when_done()

    def _has_work(self) -> bool:
        """Look for work once more, then stop being the carrier; a later bell makes a new one."""
        with self._role:
            if not self._is_stopping.is_set() and (self._wanted or self._named):
                return True
            self._is_taken = False
            return False

    def _wake(self) -> None:
        if self._round is not None:
            self._round.wake_for_task()

    async def _carry_round(self) -> None:
        journal = journal_of_this_loop()
        self._round = Round(
            journal, Execution(journal, exchange()), self._wanted, self._named, self._is_stopping
        )
        turning = asyncio.create_task(_turn_for_ever())
        try:
            await self._round.run()
        finally:
            self._round = None
            await _within(STOP_SECONDS, journal.wait_until_drained(), "hints were not all told")
            turning.cancel()
            await asyncio.wait([turning])
            witness.note_rest(CARRIER)


class Round:
    """From the first claim until nothing is carried and nothing is wanted."""

    def __init__(
        self,
        journal: Journal,
        execution: Execution,
        wanted: set[Status],
        named: deque[Named],
        is_stopping: threading.Event,
    ) -> None:
        self._journal = journal
        self._execution = execution
        self._wanted = wanted
        self._named = named
        self._is_stopping = is_stopping
        self._woken = asyncio.Event()
        self._listener = bell.Listener(self._wake_for_bell, self._take)
        self._is_rung_by_celery = True
        self._is_rung_in_vain = False
        self._carried: dict[asyncio.Task[None], ClaimedOrder] = {}
        self._handed: set[asyncio.Task[None]] = set()
        """Those that were handed over, and have the short lease of their accepting."""
        self._refusing: set[asyncio.Task[None]] = set()
        self._is_to_be_alone = False
        self._ringer = bell.ringer_of_this_loop()
        self._rang_at = self._claimed_at = float("-inf")

    def wake(self) -> None:
        self._woken.set()

    def wake_for_task(self) -> None:
        """Look for work because a Celery task said so."""
        self._is_rung_by_celery = True
        self._woken.set()

    def _wake_for_bell(self) -> None:
        self._is_rung_in_vain = True  # until an order is found
        self._wanted |= UNSUBMITTED
        self._woken.set()

    def _take(self, orders: list[ClaimedOrder]) -> None:
        """Carry orders that were handed to this carrier, or give back what it has no room for."""
        self._woken.set()
        room = 0 if self._is_stopping.is_set() or self._is_alone() else max(0, self._room())
        for order in orders[:room]:
            self._handed.add(self._carry(order))
        if refused := orders[room:]:
            refusing = asyncio.create_task(self._refuse(refused))
            self._refusing.add(refusing)
            refusing.add_done_callback(self._refusing.discard)

    async def _refuse(self, orders: list[ClaimedOrder]) -> None:
        """Give orders back. Others may take them at once, and this carrier when it has room."""
        await self._release(orders)
        self._ring_for_others()
        self._wanted |= UNSUBMITTED
        self.wake()

    def _offer_room(self) -> None:
        """Offer to take orders while few are carried; not again before many of them have ended."""
        carried, room = len(self._carried), settings.ORDER_CONCURRENCY
        if carried > room // 2 or self._is_stopping.is_set() or self._is_alone():
            self._listener.offer(False)
        elif carried <= room // 4:
            self._listener.offer(True)

    async def run(self) -> None:
        renewing = asyncio.create_task(self._renew_leases())
        try:
            while not self._is_stopping.is_set():
                self._woken.clear()
                await self._claim()
                if self._is_idle() and not await self._lingers():
                    return
                await self._woken.wait()
            self._offer_room()
            await self._finish()
        finally:
            renewing.cancel()
            await _within(STOP_SECONDS, self._listener.stop(), "Redis was not left in order")
            await asyncio.wait([renewing, *self._refusing], timeout=STOP_SECONDS)

    def _is_idle(self) -> bool:
        return not (self._carried or self._wanted or self._named)

    async def _lingers(self) -> bool:
        """Wait a while for the next bell; return whether there is work again.

        A carrier that found nothing after a bell stops lingering: another carrier lingers as well,
        and hears the bells.
        """
        self._offer_room()
        if await self._listener.start():
            self._wanted |= UNSUBMITTED  # what was rung for just before
            self._woken.set()
            return True
        if not self._is_rung_in_vain:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), settings.LINGER_SECONDS)
        if self._is_idle():
            await self._listener.stop()
            self._wanted |= UNSUBMITTED
            await self._claim()
        return not self._is_idle()

    async def _claim(self) -> None:
        witness.note_turn(CLAIM)
        try:
            await self._claim_named()
            if not self._named:
                await self._claim_due()
        except psycopg.Error as error:
            if not self._carried:
                raise  # Celery tries again; else the timer below or the end of an order does
            logger.warning("claim: %s", error)
            asyncio.get_running_loop().call_later(1.0, self.wake)
        finally:
            witness.note_rest(CLAIM)

    async def _claim_due(self) -> None:
        """Claim as long as there is room and somebody rang.

        If fewer orders come than there is room for, nothing more is due until the next bell. If
        all the room is filled, more may be due, for us and for other workers.
        """
        if self._wanted and (self._room() <= 0 or self._is_alone()):
            self._ring_for_others()
            return
        if not self._wanted:
            return
        await self._catch_breath()
        statuses = frozenset(self._wanted)
        self._wanted -= statuses  # and nothing that another thread has added meanwhile
        room = self._room()
        try:
            if self._is_rung_by_celery:
                self._is_rung_by_celery = False
                await self._ringer.let_next_ring()
            crash_point("after_heard")
            orders = await self._journal.claim(room, statuses)
        except psycopg.Error:
            self._wanted |= statuses
            raise
        if len(orders) == room:
            self._wanted |= statuses
            self._claimed_at = float("-inf")
            self._ring_for_others()
        for order in orders:
            self._carry(order)

    async def _catch_breath(self) -> None:
        """Pause, so that several new orders share one claim: each new order may ring the bell.

        There is no pause if the last claim left orders waiting: a queue is worked off at once.
        """
        clock = asyncio.get_running_loop().time
        wait = self._claimed_at + CLAIM_PAUSE - clock()
        if self._carried and wait > 0:
            await asyncio.sleep(wait)
        self._claimed_at = clock()

    def _ring_for_others(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._rang_at > RING_SECONDS:
            self._rang_at = now
            self._ringer.ring_soon(for_others=True)

    async def _claim_named(self) -> None:
        while self._named and len(self._carried) < settings.ORDER_CONCURRENCY:
            order_id, alone = self._named[0]
            if self._is_alone() or (alone and self._carried):
                return
            self._is_to_be_alone = alone
            try:
                orders = await self._journal.claim_named(order_id)
            finally:
                self._is_to_be_alone = False
            self._named.popleft()
            for order in orders:
                self._carry(order)

    def _room(self) -> int:
        return int(settings.ORDER_CONCURRENCY) - len(self._carried)

    def _is_alone(self) -> bool:
        return self._is_to_be_alone or any(
            order.lost_leases >= SUSPECT_AFTER for order in self._carried.values()
        )

    def _carry(self, order: ClaimedOrder) -> "asyncio.Task[None]":
        self._is_rung_in_vain = False
        given_up = order.lost_leases >= GIVEN_UP_AFTER
        step = self._execution.give_up if given_up else self._execution.carry_order
        counts["orders_carried"] += 1
        counts["leases_taken_over"] += order.lost_leases > 0
        context = context_of(order.id)
        task = asyncio.create_task(step(order), context=context)
        self._carried[task] = order
        task.add_done_callback(self._put_down, context=context)
        self._offer_room()
        return task

    def _put_down(self, task: asyncio.Task[None]) -> None:
        order = self._carried.pop(task)
        self._handed.discard(task)
        counts["orders_put_down"] += 1
        self._offer_room()
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, Overtaken):
                logger.info("%s", error)
            else:  # the lease ends by itself, and the next carrier goes on
                logger.error("order %s was put down by an error", order.id, exc_info=error)
        if self._wanted or self._named or not self._carried:
            self.wake()

    async def _renew_leases(self) -> None:
        clock = asyncio.get_running_loop().time
        all_at = clock() + settings.LEASE_SECONDS * 0.3
        while True:
            await asyncio.sleep(min(all_at - clock(), BEGUN_SECONDS / 2))
            carried = {task: self._carried[task] for task in self._handed}
            if clock() >= all_at:
                all_at = clock() + settings.LEASE_SECONDS * 0.3
                carried = dict(self._carried)
            if not carried:
                continue
            witness.note_turn(RENEWAL)
            try:
                ours = await self._journal.renew(list(carried.values()))
                self._handed -= carried.keys()
            except psycopg.Error as error:
                logger.warning("leases were not renewed: %s", error)
                continue
            finally:
                witness.note_rest(RENEWAL)
            for task, order in carried.items():
                if order.id not in ours and not task.done():
                    task.cancel()  # somebody else holds it by now, or has moved it

    async def _finish(self) -> None:
        if not self._carried:
            return
        await asyncio.wait(self._carried, timeout=settings.STOP_GRACE_SECONDS)
        left = dict(self._carried)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=STOP_SECONDS)
            await _within(STOP_SECONDS, self._release(list(left.values())), "leases were kept")

    async def _release(self, left: list[ClaimedOrder]) -> None:
        try:
            await self._journal.release(left)
            logger.info("%d leases were given back", len(left))
        except psycopg.Error as error:
            logger.warning("leases were not given back, they end by themselves: %s", error)


async def _turn_for_ever() -> None:
    while True:
        witness.note_turn(CARRIER)
        await asyncio.sleep(1.0)


async def _within(seconds: float, step: Coroutine[Any, Any, None], otherwise: str) -> None:
    """Take a step of stopping; if it takes longer than `seconds`, go on without it."""
    taking = asyncio.create_task(step)
    if not (await asyncio.wait([taking], timeout=seconds))[0]:
        taking.cancel()
        logger.warning("%s within %g s, the worker goes on", otherwise, seconds)
        return
    taking.result()


carrier = Carrier()


@cache
def exchange() -> Exchange:
    """Return this process's venues and network, made at the first call."""
    return make_exchange(wallet_limits() if settings.VENUES == "solana" else None)
