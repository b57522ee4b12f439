"""The Celery tasks that route and execute orders.

Two limits and two retries exist. Orders per minute and attempts per order are PostgreSQL's, over
all workers (`orders/engine/journal.py`, `orders/engine/execution.py`). What stands in the
decorators is Celery's: how often a worker process wakes up (`rate_limit`), and how it comes back
when the infrastructure fails (`autoretry_for`). Orders are not retried by Celery: on Redis its
countdowns lose and double tasks.

A task says that there is work, not which, so that losing or doubling one is harmless. Each worker
also looks for itself (`orders/engine/lookout.py`).
"""

import time
from typing import Any
from uuid import UUID

import psycopg
from celery import bootsteps
from celery.signals import worker_init, worker_ready, worker_shutting_down
from django.conf import settings
from django.db import OperationalError

from config.celery import app
from config.database.conninfo import conninfo
from config.environment.fitness import refuse_unfit_database
from config.runtime import garbage_collector
from config.runtime.witness import leave_within, witness
from orders.engine import bell
from orders.engine.carrier import carrier
from orders.engine.crash_points import crash_point
from orders.engine.lookout import Lookout
from orders.engine.wallet.start import refuse_unfit_wallet
from orders.engine.wallet.watching import keep_watching, stop_watching
from orders.lifecycle import Status
from orders.monitoring import health

CONSUMER = "the consumer of bells"
STOP_SECONDS = 15.0  # besides the grace of orders: for what hangs while a worker stops
CLOSE_SECONDS = 5.0  # of them, for Celery once nothing is carried: its Redis may be what hangs
AGAIN_SECONDS = 1.0  # between two connections to a Redis that ends them at once
WAKE_UP: dict[str, Any] = {
    "rate_limit": "500/s",
    "autoretry_for": (OperationalError, psycopg.OperationalError),  # two different classes
    "retry_backoff": 1,
    "retry_backoff_max": 5,
    "max_retries": 5,
    "acks_late": True,
    "reject_on_worker_lost": True,
    "ignore_result": True,
}


@app.task(name=bell.ROUTE_AND_EXECUTE, **WAKE_UP)
def route_and_execute_orders() -> None:
    """Carry the orders that are due and were never submitted."""
    carrier.carry({Status.PENDING, Status.ROUTING, Status.BUILDING})


@app.task(name=bell.SETTLE_SUBMITTED, **WAKE_UP)
def settle_submitted_orders() -> None:
    """Take up orders found in `submitted`: their worker died, and they may have filled."""
    carrier.carry({Status.SUBMITTED})


@app.task(name=bell.EXECUTE_ONE, **WAKE_UP)
def route_and_execute_order(order_id: str, alone: bool = False) -> None:
    """Carry one named order, due or not; `alone` when it is suspected of killing its workers."""
    carrier.carry(named=(str(UUID(order_id)), alone))


@worker_init.connect
def refuse(**_: object) -> None:
    refuse_unfit_database(conninfo())
    refuse_unfit_wallet()


def consumer_turned() -> None:
    witness.note_turn(CONSUMER)
    crash_point("consumer_turn")


class Turns(bootsteps.StartStopStep):
    """Has the consumer's own loop say that it turns; between two connections nobody expects it.

    A Redis that is full or read-only takes connections and ends each at once: those are taken
    slowly, while the worker looks for itself.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    ended_at = float("-inf")

    def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
        hub.timer.call_repeatedly(1.0, consumer_turned)

    def start(self, consumer: Any) -> None:
        """Nothing yet: the loop begins when all steps have."""

    def stop(self, consumer: Any) -> None:
        witness.note_rest(CONSUMER)
        was_short = time.monotonic() - self.ended_at < 2 * AGAIN_SECONDS
        runs = consumer.blueprint.state == bootsteps.RUN  # type: ignore[attr-defined]  # stubs'
        if was_short and runs:
            time.sleep(AGAIN_SECONDS)
        self.ended_at = time.monotonic()


class Ending(bootsteps.StartStopStep):
    """Ends the carrier when the worker ends, and be it by an error that no signal tells of."""

    def start(self, worker: Any) -> None:
        """Nothing: the carrier begins with the first bell."""

    def close(self, worker: Any) -> None:
        end()

    def stop(self, worker: Any) -> None:
        """Celery waits for its tasks alone; orders may be carried in a thread of the lookout."""
        lookout.wait()


app.steps["consumer"].add(Turns)
app.steps["worker"].add(Ending)


lookout = Lookout(carrier)


@worker_init.connect
def look_out(**_: object) -> None:
    """Look for due orders from now on: a worker is ready only once Redis has let it in."""
    lookout.start()


@worker_ready.connect
def begin(**_: object) -> None:
    garbage_collector.tune()
    # A worker that began anew could not even start while Redis is silent; this one carries on.
    health.keep_beating("worker", excuses={CONSUMER: health.is_redis_away})
    keep_watching()


@worker_shutting_down.connect
def end(**_: object) -> None:
    """Leave what was not begun to others; Celery then waits for the tasks under way."""
    stop_watching()
    if health.stop_beating():
        leave_within(settings.STOP_GRACE_SECONDS + STOP_SECONDS)
        lookout.stop()
        carrier.stop(lambda: leave_within(CLOSE_SECONDS))
