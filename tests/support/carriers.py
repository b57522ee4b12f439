"""A carrier of a test's own, orders for it, and a gate at which they wait."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings

from config.database.conninfo import conninfo
from config.runtime.per_loop import close_all
from orders.engine import bell
from orders.engine.carrier import Carrier
from orders.engine.hints import HintPublisher
from orders.engine.journal import Journal
from orders.engine.moves import NewOrder
from orders.lifecycle import ACTIVE, Status
from routing.venue import SignedTransaction, TransactionStatus
from tests.support.checker import load, violations
from tests.support.engine import wait_for
from tests.support.samples import new_order
from tests.support.stubs import ScriptedNetwork, Sending
from tests.support.task_queue import Queue

DEADLINE = 120.0


class Gate(ScriptedNetwork):
    """Holds every send back until it is opened, and counts how many wait at once."""

    def __init__(self) -> None:
        super().__init__(then=Sending.LANDS)
        self._opened = threading.Event()
        self.waiting = 0
        self.most = 0

    def open(self) -> None:
        self._opened.set()

    async def send(self, transaction: SignedTransaction) -> TransactionStatus:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            while not self._opened.is_set():
                await asyncio.sleep(0.01)
            return await super().send(transaction)
        finally:
            self.waiting -= 1


class Running:
    """A carrier in a thread of its own, as Celery runs it, on a network of the test's."""

    def __init__(self, network: ScriptedNetwork) -> None:
        self.carrier = Carrier()
        self.network = network
        self.errors: list[Exception] = []
        self._threads: list[threading.Thread] = []

    def carry(self, *statuses: Status, **options: Any) -> threading.Thread:
        """Call `carry` in a new thread."""

        def call() -> None:
            try:
                self.carrier.carry(statuses or ACTIVE, **options)
            except Exception as error:  # noqa: BLE001  # as Celery does
                self.errors.append(error)

        thread = threading.Thread(target=call)
        self._threads.append(thread)
        thread.start()
        return thread

    def close(self) -> None:
        self.carrier.stop()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        wait_for(lambda: self.carrier.is_idle, what="the carrier of a look is done")
        self.carrier.loop.run_until_complete(close_all())
        self.carrier.loop.close()


Run = Callable[[ScriptedNetwork], Running]


def store(*orders: NewOrder) -> list[str]:
    with_journal(lambda journal: asyncio.gather(*(journal.accept(order) for order in orders)))
    return [order.id for order in orders]


def store_many(count: int) -> list[str]:
    return store(*(new_order() for _ in range(count)))


def with_journal(act: Callable[[Journal], Any]) -> Any:
    """Do something with a journal of another process."""

    async def run() -> Any:
        journal = Journal(conninfo(), HintPublisher(settings.REDIS_URL))
        try:
            return await act(journal)
        finally:
            await journal.close()

    return asyncio.run(run())


def ring(**options: Any) -> None:
    """Ring as the web process does."""

    async def run() -> None:
        ringer = bell.Ringer()
        ringer.ring_soon(**options)
        await ringer.close()

    asyncio.run(run())


def query(statement: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        cursor = database.execute(statement, parameters)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def listeners(queue: Queue) -> int:
    """Return how many carriers hear the bell by themselves."""
    found: Any = queue.client.pubsub_numsub(bell.LISTENERS)
    return int(found[0][1])


def value(statement: str, *parameters: Any) -> Any:
    return query(statement, *parameters)[0][0]


def assert_all_confirmed_once(network: ScriptedNetwork, count: int) -> None:
    orders = load(conninfo(), landed=network.landings.elements())
    assert [order.status for order in orders.values()] == ["confirmed"] * count
    assert violations(orders) == []
