"""Stops a venue that does not fill as it quotes, until a person lets it go on."""

import asyncio
import logging
from contextvars import Context

from django.db import Error, connection, transaction
from django.db.models.functions import Now

from routing.models import VenueStop
from routing.registry import read_registry

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
_stopping: set[asyncio.Task[None]] = set()

STOP = """
INSERT INTO venue_stops (venue, why, resumed_by) VALUES (%s, %s, '')
ON CONFLICT (venue) WHERE resumed_at IS NULL DO NOTHING
"""


def stop(venue: str, why: str) -> bool:
    """Stop a venue in all processes. Return whether it was going on until now.

    It may run twice. This process knows at once, the others with their next heartbeat.

    :raises django.db.Error: the database does not answer.
    """
    with connection.cursor() as cursor:
        cursor.execute(STOP, [venue, why])
        is_new = bool(cursor.rowcount == 1)
    read_registry()
    if is_new:
        logger.error("the venue %s was stopped, and a person has to resume it: %s", venue, why)
    return is_new


def stop_soon(venue: str, why: str) -> None:
    """Stop a venue beside the running loop. It is tried again until the database takes it."""
    task = asyncio.create_task(_stop_at_last(venue, why), context=Context())
    _stopping.add(task)
    task.add_done_callback(_stopping.discard)


async def _stop_at_last(venue: str, why: str) -> None:
    while True:
        try:
            await asyncio.to_thread(_stop_and_hang_up, venue, why)
        except Error as error:
            logger.error("the venue %s could not be stopped yet (%s): %s", venue, error, why)
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def _stop_and_hang_up(venue: str, why: str) -> None:
    try:
        stop(venue, why)
    finally:
        connection.close()


def resume(venue: str, by: str) -> bool:
    """Let a venue go on. Return whether it was stopped. It may run twice."""
    stopped = VenueStop.objects.filter(venue=venue, resumed_at=None)
    was_stopped = bool(stopped.update(resumed_at=Now(), resumed_by=by))
    transaction.on_commit(read_registry, robust=True)
    if was_stopped:
        logger.warning("the venue %s goes on, as %s says", venue, by)
    return was_stopped
