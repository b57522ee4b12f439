"""A worker's own look for due orders, which finds them even if no bell rings.

Once a second each worker process asks PostgreSQL by itself, whatever Redis, the scheduler and the
other workers do. The query reads only two indexes. While bells ring, it finds little.
"""

import logging
import threading

import psycopg
from django.db import DatabaseError, InterfaceError, connection

from orders.engine import journal_sql as sql
from orders.engine.carrier import UNSUBMITTED, Carrier, Named
from orders.lifecycle import Status

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
PATIENCE = 3  # looks after which other work must wait for a suspect


class Lookout:
    """Looks from a thread of its own, and has the carrier carry what is due."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._stopped = threading.Event()
        self._carrying: set[threading.Thread] = set()
        self._suspect: str | None = None
        self._seen = 0

    def start(self) -> None:
        threading.Thread(target=self._look_for_ever, name="lookout", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def wait(self) -> None:
        """Wait until no order that this lookout found is carried any more."""
        for thread in list(self._carrying):
            thread.join()

    def look(self) -> None:
        """Look once, without waiting for what is found to be carried.

        :raises DatabaseError: or an InterfaceError; the database is away.
        """
        with connection.cursor() as cursor:
            cursor.execute(sql.DUE_KINDS)
            unsubmitted, submitted, suspect = cursor.fetchone()
        statuses = (UNSUBMITTED if unsubmitted else frozenset()) | (
            {Status.SUBMITTED} if submitted else frozenset()
        )
        suspect_if_due = self._suspect_if_due(suspect)
        if statuses or suspect_if_due:
            self._carry(statuses, suspect_if_due)

    def _suspect_if_due(self, suspect: str | None) -> Named | None:
        """Return the suspect if it is time for it: other orders wait while it is carried alone.

        A busy worker waits for PATIENCE looks, because another worker may take the suspect.
        """
        self._seen = self._seen + 1 if suspect == self._suspect else 1
        self._suspect = suspect
        if suspect is None or not (self._carrier.is_idle or self._seen >= PATIENCE):
            return None
        self._seen = 0
        return suspect, True

    def _carry(self, statuses: frozenset[Status], named: Named | None) -> None:
        """Wake the carrier, or become it in a new thread. `wait` waits for that thread."""

        def carry() -> None:
            try:
                self._carrier.carry(statuses, named)
            except psycopg.Error as error:
                logger.warning("what is due was not carried: %s", error)
            finally:
                self._carrying.discard(thread)

        thread = threading.Thread(target=carry, name="carrier", daemon=True)
        self._carrying.add(thread)
        thread.start()

    def _look_for_ever(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self.look()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("this worker could not look for due orders: %s", error)
                connection.close()
        connection.close()
