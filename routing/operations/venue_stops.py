"""Stops a venue that does not fill as it quotes, until a person lets it go on."""

import logging

from django.db import connection, transaction
from django.db.models.functions import Now

from routing.models import VenueStop
from routing.registry import read_registry

logger = logging.getLogger(__name__)

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


def resume(venue: str, by: str) -> bool:
    """Let a venue go on. Return whether it was stopped. It may run twice."""
    stopped = VenueStop.objects.filter(venue=venue, resumed_at=None)
    was_stopped = bool(stopped.update(resumed_at=Now(), resumed_by=by))
    transaction.on_commit(read_registry, robust=True)
    if was_stopped:
        logger.warning("the venue %s goes on, as %s says", venue, by)
    return was_stopped
