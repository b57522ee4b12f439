"""The simulated network's record of transactions, in PostgreSQL, and its clock.

Any number of processes may use it at once: everything is decided by the database's clock and
the primary key. Sends and lookups share one group commit, so a crowd of them is one or two
statements.

A lookup that finds nothing may be the proof that a transaction is dead, so it must not miss one
that is being recorded in this moment. Recording holds a shared advisory lock from before it
reads the clock until it is committed; a lookup that found nothing looks again under the
exclusive lock. What comes after it reads a later clock, and is refused once expired.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from config.group_commit import GroupCommit
from config.postgres import Link
from routing.venue import Absent, Landed, Rejected, TransactionStatus

Connection = AsyncConnection[TupleRow]

PATIENCE = 2.0
"""Seconds to wait for a database that went away."""

CLOCK_AGE = 1.0
"""For how many seconds a reading of the database's clock is carried on by this machine's."""

REASONS = {"slippage_exceeded": "the price moved beyond the order's bound before it landed"}

_GATE = 0x6C656467

# Sorted, so that two batches with the same signatures cannot lock each other out.
_RECORD = """
WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(%(gate)s)),
clock AS MATERIALIZED (SELECT clock_timestamp() AS now FROM gate),
entry AS MATERIALIZED (
    SELECT item.*, now, CASE WHEN item.must_land
        THEN least(now + make_interval(secs => item.latency),
                   to_timestamp((item.expires_at_height + 0.5) * %(block)s::float8))
        ELSE now + make_interval(secs => item.latency) END AS due
    FROM clock, json_to_recordset(%(entries)s::json) AS item (
        signature text, expires_at_height bigint, latency float8, must_land bool,
        amount_in bigint, amount_out bigint, rejection text)
    WHERE floor(extract(epoch FROM now)::float8 / %(block)s::float8) <= item.expires_at_height
)
INSERT INTO simulated_network_transactions AS recorded
    (signature, expires_at_height, sent_at, lands_at, amount_in, amount_out, rejection)
SELECT signature, expires_at_height, now,
    CASE WHEN floor(extract(epoch FROM due)::float8 / %(block)s::float8) <= expires_at_height
         THEN due END,
    amount_in, amount_out, rejection
FROM entry ORDER BY signature
ON CONFLICT (signature) DO NOTHING
RETURNING signature, extract(epoch FROM sent_at)::float8,
    coalesce(lands_at <= sent_at, false), amount_in, amount_out, rejection
"""

# LATERAL keeps the planner to the primary key, also in a plan made while the table was empty.
_FIND = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT found.signature, extract(epoch FROM now)::float8,
    coalesce(found.lands_at <= now, false), found.amount_in, found.amount_out, found.rejection
FROM clock CROSS JOIN unnest(%s::text[]) WITH ORDINALITY AS item (signature, position)
LEFT JOIN LATERAL (
    SELECT * FROM simulated_network_transactions AS recorded
    WHERE recorded.signature = item.signature LIMIT 1
) AS found ON true
ORDER BY item.position
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction to record, with what is to become of it."""

    signature: str
    expires_at_height: int
    latency: float | None
    """Seconds until it lands; None: it never does."""
    must_land: bool
    """Whether it lands just before it expires if the latency would take it beyond."""
    amount_in: int | None
    amount_out: int | None
    rejection: str


class Ledger:
    def __init__(self, conninfo: str, block_seconds: float) -> None:
        self._link = Link(conninfo, "simulated-network")
        self._block_seconds = block_seconds
        self._commit: GroupCommit[Entry | str, TransactionStatus] = GroupCommit(
            self._link, self._run, self._recover, patience=PATIENCE
        )
        self._epoch = 0.0
        self._read_at = float("-inf")

    async def record(self, entry: Entry) -> TransactionStatus:
        """Record the transaction unless it is known or expired; return what is known of it then.

        Absent above its expiry height means that it was not recorded, by this call at least.

        :raises psycopg.Error: the database cannot be reached, or is too slow.
        """
        return await self._commit(entry)

    async def find(self, signature: str) -> TransactionStatus:
        """:raises psycopg.Error: the database cannot be reached, or is too slow."""
        return await self._commit(signature)

    async def height(self) -> int:
        """Return the block height, never ahead of the database's clock, at most 1 s old.

        :raises psycopg.Error: the database cannot be reached, or is too slow.
        """
        if time.monotonic() - self._read_at > CLOCK_AGE:
            await self._read_clock()
        return self._height_at(self._epoch + time.monotonic() - self._read_at)

    async def close(self) -> None:
        await self._link.close()

    async def _read_clock(self) -> None:
        rows = await self._link.fetch("SELECT extract(epoch FROM clock_timestamp())::float8", ())
        self._set_clock(rows[0][0])

    def _set_clock(self, epoch: float) -> None:
        self._epoch, self._read_at = epoch, time.monotonic()

    def _height_at(self, epoch: float) -> int:
        return int(epoch // self._block_seconds)

    async def _run(
        self, connection: Connection, items: Sequence[Entry | str]
    ) -> Sequence[TransactionStatus]:
        """Recording twice is harmless: the second finds what the first recorded."""
        entries = [item for item in items if isinstance(item, Entry)]
        known = await self._record(connection, entries) if entries else {}
        signatures = [item.signature if isinstance(item, Entry) else item for item in items]
        sought = [signature for signature in signatures if signature not in known]
        if sought:
            known |= await self._find(connection, sought)
        if any(isinstance(item, str) and item not in known for item in items):
            known |= await self._find_surely(connection, sought)
        nothing = Absent(self._height_at(self._epoch))
        return [known.get(signature, nothing) for signature in signatures]

    async def _recover(
        self, connection: Connection, items: Sequence[Entry | str]
    ) -> Sequence[TransactionStatus | None]:
        return [None] * len(items)

    async def _record(
        self, connection: Connection, entries: Sequence[Entry]
    ) -> dict[str, TransactionStatus]:
        parameters = {
            "gate": _GATE,
            "block": self._block_seconds,
            "entries": orjson.dumps(entries).decode(),
        }
        cursor = await connection.execute(_RECORD, parameters)
        return self._statuses(await cursor.fetchall())

    async def _find(
        self, connection: Connection, signatures: list[str]
    ) -> dict[str, TransactionStatus]:
        cursor = await connection.execute(_FIND, [signatures])
        return self._statuses(await cursor.fetchall())

    async def _find_surely(
        self, connection: Connection, signatures: list[str]
    ) -> dict[str, TransactionStatus]:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_GATE])
            return await self._find(connection, signatures)

    def _statuses(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, TransactionStatus]:
        statuses: dict[str, TransactionStatus] = {}
        if rows:
            self._set_clock(rows[0][1])
        for signature, epoch, has_landed, amount_in, amount_out, rejection in rows:
            if signature is None:
                continue
            if not has_landed:
                statuses[signature] = Absent(self._height_at(epoch))
            elif rejection:
                statuses[signature] = Rejected(rejection, REASONS.get(rejection, rejection))
            else:
                statuses[signature] = Landed(amount_in, amount_out)
        return statuses
