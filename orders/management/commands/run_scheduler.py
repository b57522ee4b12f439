"""Once a second, ring for every order that is due, do the regular jobs, and watch the prices.

Any number of copies may run. Ringing twice is harmless, and no job here moves an order. The watcher
has a thread of its own.
"""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from config.database.conninfo import conninfo
from config.environment.fitness import refuse_unfit_database
from config.runtime.witness import leave_within, witness
from orders.monitoring import health
from orders.processes import scheduler
from orders.processes.watcher import WatcherThread

TICK_SECONDS = 1.0
STOP_SECONDS = 4.0  # for a tick under way; the next scheduler would do what is lost of it


class Command(BaseCommand):
    requires_system_checks = []  # `release` has made them
    help = "Ring for orders that are due; run one or more of these beside the workers."

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = threading.Event()

        def stop(*_: object) -> None:
            stopped.set()
            health.stop_beating()
            leave_within(STOP_SECONDS)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        refuse_unfit_database(conninfo())
        health.keep_beating("scheduler")
        watcher = WatcherThread()
        watcher.start()
        tick = 0
        while not stopped.wait(TICK_SECONDS):
            witness.note_turn("the scheduler")
            scheduler.tick(tick)
            tick += 1
        watcher.stop()
