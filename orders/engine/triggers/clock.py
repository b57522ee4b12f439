"""What time alone makes due: orders that end, and orders that are looked at again.

PostgreSQL's clock decides. All statements lock as the passes do, take 500 at most and are repeated;
what somebody else has locked is left for the next second.
"""

from contextlib import suppress

from django.conf import settings

from config.runtime.counters import counts
from orders.engine.triggers import slices
from orders.engine.triggers.clock_sql import (
    DUE,
    END_RESTING,
    END_WAITING,
    LOOK_AGAIN,
    MOST,
    RELEASE_LATCHED,
    TELL_EXPIRING,
    WARN_SECONDS,
)
from orders.engine.triggers.session import LOCKED_ELSEWHERE, Session, tell

REPEATS = 4
"""Times that one statement is repeated in a second, so that prices need not wait for the clock."""


class Clock:
    """For one asyncio loop."""

    def __init__(self) -> None:
        self._warned_until: float | None = None
        """Unix time: orders that end before it, counted from a day ahead, were told so."""

    async def tick(self, session: Session) -> None:
        """Do what is due at this moment, as far as `REPEATS` go.

        :raises psycopg.Error: the database does not answer. The rest is due at the next call.
        """
        ((is_over, is_late, is_checked, is_latched, is_sliced, now),) = await session.rows(DUE, {})
        if is_over:
            await self._repeat(session, END_RESTING, "orders_expired")
        if is_late:
            await self._repeat(session, END_WAITING, "orders_expired")
        if is_checked:
            await self._repeat(session, LOOK_AGAIN, "limits_looked_at_again")
        if is_latched:
            await self._repeat(session, RELEASE_LATCHED, "orders_released:latched")
        if is_sliced:
            await self._slice(session)
        await self._warn(session, now)

    async def _slice(self, session: Session) -> None:
        for _ in range(REPEATS):
            with suppress(*LOCKED_ELSEWHERE):  # they are looked at in the next second
                if await slices.make_slices(session) < slices.MOST:
                    return

    async def _repeat(self, session: Session, statement: str, counter: str) -> None:
        parameters = {"most": MOST, "attempts": settings.ORDER_ATTEMPTS}
        for _ in range(REPEATS):
            try:
                rows = await session.rows(statement, parameters)
            except LOCKED_ELSEWHERE:
                return
            written = [row[1:] for row in rows if row[1] is not None]
            tell(written)
            counts[counter] += len(written)
            if rows[0][0] < MOST:
                return

    async def _warn(self, session: Session, now: float) -> None:
        """Tell orders that are good till cancelled a day before the longest rest is over."""
        since = now if self._warned_until is None else self._warned_until
        until = now + WARN_SECONDS
        asked = {"since": since, "until": until, "most": MOST}
        try:
            rows = await session.rows(TELL_EXPIRING, asked)
        except LOCKED_ELSEWHERE:
            return
        tell(row[2:] for row in rows if row[2] is not None)
        found, skipped = rows[0][:2]
        if found < MOST and not skipped:
            self._warned_until = until
