"""The simulated network's record of transactions, in PostgreSQL, and its clock.

Any number of processes may use it at once. The database's clock, the primary key and the locks of
the pools decide everything. Sends and lookups share one group commit, so a crowd of them is one or
two transactions.

A transaction swaps when it lands, in the pools as they are then. A transaction that lands at once
does so before it is recorded, in the same database transaction. One with a latency is recorded
without an outcome. The first look after it is due settles all that are due, in the order of their
landing. The pools are locked before the rows are read and until all is committed. So nothing lands
twice: neither the same bytes that two processes send, nor a row that two processes settle.

A process that knows the pools need not ask. It works the landings out beforehand, and one call
locks the pools and writes all of it, or nothing. The call writes only what would have come out
behind the locks. So it checks that the pools still have the versions that were used, and that it is
still the second that the pools were brought to. No signature may be recorded by now, none may have
expired, and nothing may be due that would land before. Locks and clock are the database's there,
too, in the same order.

A lookup that finds nothing may become the proof that a transaction is dead. So it must not miss one
that is being recorded at this moment. Recording takes a shared advisory lock before it reads the
clock, and holds it until it is committed. A lookup that found nothing looks again under the
exclusive lock. A later recording reads a later clock, and is refused if it has expired.

The database's clock may be set back, by minutes. Then transactions that were recorded before land
at once, and those that would never have landed are reported as expired. So no process waits until
the clock is there again.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from config.runtime.group_commit import GroupCommit
from config.runtime.postgres import Link
from routing.simulation import ledger_sql as sql
from routing.simulation.batch import Arrival, Batch, Entry
from routing.simulation.landing import NO_SUCH_POOL, SLIPPAGE_EXCEEDED
from routing.simulation.pool import PoolKey
from routing.simulation.pools import SimulatedPools
from routing.simulation.transaction import instruction_of
from routing.venue import Absent, Landed, Rejected, TransactionStatus

logger = logging.getLogger(__name__)

Connection = AsyncConnection[TupleRow]

PATIENCE = 2.0
"""Seconds to wait for a database that went away."""

CLOCK_AGE = 1.0
"""For how many seconds this machine's clock carries a reading of the database's clock on."""

SET_BACK = 5.0
"""Seconds that the database's clock must have gone back before this is logged."""

CONTENTION = 0.1
"""For how many seconds after another process has moved a pool it is expected to do so again."""

MOST_SETTLED = 500
"""Landings that one transaction settles."""
REASONS = {
    SLIPPAGE_EXCEEDED: "the price moved beyond the order's bound before it landed",
    NO_SUCH_POOL: "a pool that it names does not exist",
}


class LedgerRow(NamedTuple):
    """A row of the ledger, or none (no signature), and the database's clock when it was read."""

    epoch: float
    signature: str | None
    is_due: bool
    amount_in: int | None
    amount_out: int | None
    rejection: str | None
    network_fee: int | None
    payload: str | None
    """What has to be executed, if the row still has to land."""
    is_ahead: bool = False
    """Whether, by the present clock, it was recorded in the future."""
    never_lands: bool = False
    expires_at_height: int = 0

    @property
    def is_to_be_settled(self) -> bool:
        return self.is_due and self.payload is not None

    @property
    def is_to_be_brought_back(self) -> bool:
        return self.is_ahead and not self.never_lands


class Ledger:
    def __init__(self, conninfo: str, block_seconds: float, pools: SimulatedPools) -> None:
        self._link = Link(conninfo, "simulated-network")
        self._block_seconds = block_seconds
        self._pools = pools
        self._commit: GroupCommit[Entry | str, TransactionStatus] = GroupCommit(
            self._link, self._run, self._recover, patience=PATIENCE
        )
        self._contended: dict[PoolKey, float] = {}
        """When this process last found that another had moved a pool, by `time.monotonic`."""
        self._epoch = 0.0
        self._read_at = float("-inf")

    async def record(self, entry: Entry) -> TransactionStatus:
        """Record the transaction unless it is known or expired; return its status.

        Absent above its expiry height means that this call did not record it.

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
        if self._clock_is_old():  # an order's quotes have just read the same clock, as a rule
            self._set_clock(*self._pools.clock)
        if self._clock_is_old():
            await self._read_clock()
        return self._height_at(self._now())

    async def close(self) -> None:
        await self._link.close()

    async def _read_clock(self) -> None:
        ((microseconds,),) = await self._link.fetch(sql.CLOCK, ())
        self._set_clock(microseconds / 1e6, time.monotonic())

    def _clock_is_old(self) -> bool:
        return time.monotonic() - self._read_at > CLOCK_AGE

    def _now(self) -> float:
        """Return the database's clock, carried on from its last reading. It is never ahead."""
        return self._epoch + time.monotonic() - self._read_at

    def _set_clock(self, epoch: float, read_at: float) -> None:
        if read_at < self._read_at:
            return
        back = self._epoch + read_at - self._read_at - epoch
        if SET_BACK < back < inf:  # infinite before the first reading
            logger.warning("the database's clock was set back by %.1f s", back)
        self._epoch, self._read_at = epoch, read_at

    def _height_at(self, epoch: float) -> int:
        return int(epoch // self._block_seconds)

    async def _run(
        self, connection: Connection, items: Sequence[Entry | str]
    ) -> Sequence[TransactionStatus]:
        """Record and look up. Recording twice is harmless: the second finds the first's row."""
        entries = {item.signature: item for item in items if isinstance(item, Entry)}
        known: dict[str, TransactionStatus] = {}
        if entries:
            known = await self._record(connection, list(entries.values()))
        sought = {item for item in items if isinstance(item, str)} - known.keys()
        if sought:
            known |= await self._find(connection, sought)
        nothing = Absent(self._height_at(self._epoch))
        signatures = [item.signature if isinstance(item, Entry) else item for item in items]
        return [known.get(signature, nothing) for signature in signatures]

    async def _recover(
        self, connection: Connection, items: Sequence[Entry | str]
    ) -> Sequence[TransactionStatus | None]:
        return [None] * len(items)

    async def _record(
        self, connection: Connection, entries: list[Entry]
    ) -> dict[str, TransactionStatus]:
        """Record the transactions that are neither known nor expired; return all statuses."""
        keys = {key for entry in entries if entry.lands_at_once for key in entry.pools}
        rows = await self._guess(connection, keys, entries)
        if rows is None:
            rows = await self._land(connection, keys, entries)
        # Some were recorded earlier, and are due by now.
        if any(row.is_to_be_settled or row.is_to_be_brought_back for row in rows):
            return await self._find(connection, {entry.signature for entry in entries})
        return self._statuses(rows)

    async def _find(
        self, connection: Connection, signatures: set[str]
    ) -> dict[str, TransactionStatus]:
        """Look the signatures up, settle what is due, and make sure of what is absent.

        The last look decides. So no absence is reported with a later clock than that look's.
        """
        while True:
            rows = await self._look(connection, signatures)
            if len(rows) < len(signatures):
                rows = await self._look_surely(connection, signatures)
            if any(row.is_to_be_brought_back for row in rows):
                await self._bring_back(connection, signatures)
                continue
            if not any(row.is_to_be_settled for row in rows):
                return self._statuses(rows)
            # Lock the pools of all that are due first, so that each turn settles some of them.
            due = await connection.execute(sql.DUE, [MOST_SETTLED])
            payloads = [payload for _, _, payload in await due.fetchall()]
            await self._land(connection, {key for one in payloads for key in _pools_of(one)})

    async def _bring_back(self, connection: Connection, signatures: set[str]) -> None:
        """Let the transactions land now that were recorded before the clock was set back.

        Twice is harmless: the second finds no row of the future. To settle one needs the locks of
        its pools as always, so it lands once.
        """
        cursor = await connection.execute(sql.BRING_BACK, [sorted(signatures)])
        if cursor.rowcount:
            logger.warning(
                "%d transactions had been recorded in what is now the future: the database's clock"
                " was set back; they land now",
                cursor.rowcount,
            )

    async def _look_surely(self, connection: Connection, signatures: set[str]) -> list[LedgerRow]:
        async with connection.transaction():
            await connection.execute(sql.CLOSE_GATE, [sql.GATE])
            return await self._look(connection, signatures)

    async def _look(self, connection: Connection, signatures: set[str]) -> list[LedgerRow]:
        cursor = await connection.execute(sql.FIND, [sorted(signatures)])
        return self._read(await cursor.fetchall())

    def _read(self, rows: Sequence[tuple[Any, ...]]) -> list[LedgerRow]:
        epoch = rows[0][0] / 1e6
        self._set_clock(epoch, time.monotonic())
        return [LedgerRow(epoch, *values) for _, *values in rows if values[0] is not None]

    async def _guess(
        self, connection: Connection, keys: set[PoolKey], entries: Sequence[Entry]
    ) -> list[LedgerRow] | None:
        """Record the entries, in one statement, on the pools as this process knows them.

        Return None if this process does not know enough. Then nothing was done.

        :raises SerializationFailure: nothing was done.
        """
        pools = self._pools.cached_pools(keys)
        if pools is None or self._is_any_contended(keys) or self._clock_is_old():
            return None
        arbitrage = await self._pools.arbitrage()
        batch = Batch(arbitrage, keys, pools, self._now(), self._block_seconds)
        for entry in entries:
            batch.record(entry)
        rows = [*batch.new_rows()]
        if len(rows) < len(entries):  # an expired one is missing, and may have been recorded before
            return None
        cursor = await connection.execute(sql.GUESS, {"gate": sql.GATE, **batch.parameters()})
        ((microseconds,),) = await cursor.fetchall()
        if microseconds is None:
            return None
        epoch = microseconds / 1e6
        self._set_clock(epoch, time.monotonic())
        self._pools.learn(batch.moved)
        return [LedgerRow(epoch, *values) for values in rows]

    async def _land(
        self, connection: Connection, keys: set[PoolKey], entries: Sequence[Entry] = ()
    ) -> list[LedgerRow]:
        """Settle what is due in these pools and record new entries; return their statuses.

        It is one transaction, so a crash leaves all of it or nothing.

        :raises SerializationFailure: nothing was done.
        """
        arbitrage = await self._pools.arbitrage()
        async with connection.pipeline(), connection.transaction():
            await connection.execute(sql.SHARE_GATE, [sql.GATE])
            locked = await connection.execute(sql.LOCK_POOLS, _columns(keys))
            lookup = await connection.execute(
                sql.FIND, [sorted(entry.signature for entry in entries)]
            )
            waiting = await connection.execute(sql.DUE, [MOST_SETTLED if keys else 0])
            pools, moved_by_others = self._pools.take(await locked.fetchall())
            self._contended |= dict.fromkeys(moved_by_others, time.monotonic())
            rows = self._read(await lookup.fetchall())
            batch = Batch(arbitrage, keys, pools, self._epoch, self._block_seconds)
            for signature, lands_at, payload in await waiting.fetchall():
                batch.settle(Arrival(signature, lands_at / 1e6, instruction_of(payload)))
            known = {row.signature for row in rows}
            for entry in entries:
                if entry.signature not in known:
                    batch.record(entry)
            if batch.changes:
                written = await connection.execute(sql.WRITE, batch.parameters())
                await written.fetchall()  # before the commit, which must not be sent if this failed
        self._pools.learn(batch.moved)
        return rows + [LedgerRow(self._epoch, *values) for values in batch.new_rows()]

    def _is_any_contended(self, keys: set[PoolKey]) -> bool:
        """Whether another process moves one of these pools just now. Then a guess would fail."""
        now = time.monotonic()
        return any(now - self._contended.get(key, -inf) < CONTENTION for key in keys)

    def _statuses(self, rows: Iterable[LedgerRow]) -> dict[str, TransactionStatus]:
        return {row.signature: self._status(row) for row in rows if row.signature is not None}

    def _status(self, row: LedgerRow) -> TransactionStatus:
        if row.is_ahead and row.never_lands:  # by the height at which it was recorded
            return Absent(max(self._height_at(row.epoch), row.expires_at_height + 1))
        if not row.is_due or row.payload is not None:
            return Absent(self._height_at(row.epoch))
        if row.rejection:
            reason = REASONS.get(row.rejection, f"a pool refused its part: {row.rejection}")
            return Rejected(row.rejection, reason, row.network_fee)
        return Landed(row.amount_in or 0, row.amount_out or 0, row.network_fee)


def _columns(keys: set[PoolKey]) -> list[list[str]]:
    return [[key[column] for key in keys] for column in range(3)]


def _pools_of(payload: str) -> set[PoolKey]:
    return instruction_of(payload).pools
