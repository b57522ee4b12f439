"""The log of an account: all events of all its orders, read from a cursor on.

A page costs what it has, however many orders the account has (index `order_events_of_owner`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

from config.database.conninfo import conninfo
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.events import Event
from orders.lifecycle import Status
from orders.streams.cursor import Position, UnknownCursor

PAGE_SECONDS = 2.0
NOW = """SELECT pg_current_snapshot() AS snapshot,
    (SELECT system_identifier::text FROM pg_control_system()) AS cluster,
    (SELECT oid::text FROM pg_database WHERE datname = current_database())
      || '/' || (SELECT tableoid::text FROM transaction_numbering)  -- a restored dump makes it anew
      AS database,
    pg_postmaster_start_time()::text || coalesce(pg_stat_get_bgwriter_stat_reset_time()::text, '')
      AS lifetime,  -- statistics are lost by a crash
    (SELECT cluster FROM transaction_numbering) AS numbered"""
LAST = """
SELECT coalesce((SELECT xid FROM order_events WHERE owner_id = %s AND xid IS NOT NULL
  AND xid < pg_snapshot_xmax(pg_current_snapshot()) ORDER BY xid DESC LIMIT 1), '0')::text::bigint
"""
FIELDS = """log.order_id::text, log.seq, log.status, log.attempt, log.message, log.at, log.data,
  log.event, log.owner_id, log.xid::text::bigint"""
# What was running when the reader was last told comes first: its ids are lower than all others.
# No row has an id that was not yet given away, unless it came with a restored dump.
NEWER = """
  SELECT * FROM order_events
  WHERE owner_id = ANY(%(owners)s::int[]) AND xid = ANY(%(running)s::text[]::xid8[])
  UNION ALL
  (SELECT * FROM order_events
   WHERE owner_id = ANY(%(owners)s::int[]) AND xid >= %(following)s::text::xid8
     AND xid < pg_snapshot_xmax(pg_current_snapshot())
   ORDER BY xid LIMIT %(most)s + 1)
"""
OF_ONE = """
  SELECT * FROM order_events
  WHERE owner_id = ANY(%(owners)s::int[]) AND xid = ANY(%(running)s::text[]::xid8[])
"""
# What a stream tells of an order's own is in the order's row: no event but the first has it.
DESCRIBED = "LEFT JOIN orders AS o ON o.id = log.order_id"
DESCRIPTION = ", o.base, o.quote, o.type, o.tags"
# Transactions of one order wait for each other, but may have begun the other way round. So an
# event may have a lower id than one before it. A reader that stops between the two is told both.
PASSED_OVER = f"""
SELECT {FIELDS}{DESCRIPTION}
FROM unnest(%(ids)s::uuid[], %(seqs)s::int[], %(xids)s::text[]::xid8[]) AS told(id, seq, xid)
JOIN order_events AS log ON log.order_id = told.id AND log.seq < told.seq AND log.xid > told.xid
{DESCRIBED}
"""  # noqa: S608  # our own words


def reading(rows: LiteralString, *, described: bool) -> LiteralString:
    """Return the statement that reads these rows of the log, with where it stands then."""
    return f"""
WITH now AS MATERIALIZED ({NOW})
SELECT now.snapshot::text, now.cluster, now.database, now.lifetime, now.numbered,
  {FIELDS}{DESCRIPTION if described else ""}
FROM now LEFT JOIN ({rows}) AS log ON true {DESCRIBED if described else ""}
"""  # noqa: S608  # our own words


READ = {is_described: reading(NEWER, described=is_described) for is_described in (False, True)}
READ_WHOLE = reading(OF_ONE, described=True)


class LogLost(Exception):
    """The log's transactions are numbered as in another cluster: it was restored from a dump.

    `manage.py release` mends it.
    """


class Description(NamedTuple):
    """What readers choose orders by."""

    base: str
    quote: str
    type: str
    tags: dict[str, str] | None


class Logged(NamedTuple):
    """An event, the transaction that wrote it, and what its order is if that was asked for."""

    event: Event
    transaction: int
    order: Description | None = None

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> "Logged":
        order_id, seq, status, attempt, message, at, data, name, owner, transaction, *order = row
        event = Event(order_id, seq, Status(status), attempt, message, at, data, name, owner)
        return cls(event, transaction, Description._make(order) if order else None)


class Choice(NamedTuple):
    """Which orders a reader wants: of this market, these types, with these tags."""

    market: tuple[str, str] | None = None
    types: frozenset[str] = frozenset()
    tags: dict[str, str] = {}

    def __bool__(self) -> bool:
        return self != EVERYTHING

    def takes(self, order: Description | None) -> bool:
        """Whether a reader with this choice wants an order; None: it is not known what it is."""
        if order is None:
            return not self
        return (
            (self.market is None or self.market == (order.base, order.quote))
            and (not self.types or order.type in self.types)
            and self.tags.items() <= (order.tags or {}).items()
        )


EVERYTHING = Choice()


class Page(NamedTuple):
    """Some events of the log, those of an order by seq, and where a reader stands after them."""

    events: list[Logged]
    position: Position
    """It outlives the server."""
    seen: Position | None
    """All that the database had, if the page has all that is new. It does not."""

    @property
    def is_whole(self) -> bool:
        return self.seen is not None


class AccountLog:
    """One for each asyncio loop. It reads on a connection of its own."""

    def __init__(self) -> None:
        self.link = Link(conninfo(), "engine account streams")

    async def now(self) -> Position:
        """Return all that the database has. The position does not outlive the server.

        :raises LogLost: the log cannot be read by transactions.
        :raises psycopg.Error: the database does not answer.
        """
        nothing = {"owners": [], "running": [], "following": "0", "most": 0}
        return (await self._read(READ[False], nothing, None))[0]

    async def end_of(self, owner: int) -> Position:
        """Return the position of a reader that wants nothing of what has happened.

        :raises LogLost, psycopg.Error: as `now`.
        """
        now = await self.now()
        ((last,),) = await self.link.fetch(LAST, (owner,), PAGE_SECONDS)
        return now.up_to(min(last, now.following - 1))

    async def page(
        self, owners: Iterable[int], since: Position, most: int, *, described: bool = False
    ) -> Page:
        """Return about `most` events after a position, with descriptions of their orders if asked.

        What one transaction wrote is never divided.

        :raises UnknownCursor: this database has never been at that position.
        :raises LogLost: the log cannot be read by transactions.
        :raises psycopg.Error: the database does not answer.
        """
        asked = {
            "owners": list(owners),
            "running": [str(one) for one in since.running],
            "following": str(since.following),
            "most": most,
        }
        seen, rows = await self._read(READ[described], asked, since)
        newer = [row for row in rows if row.transaction >= since.following]
        if len(newer) <= most:
            last = max((row.transaction for row in newer), default=since.following - 1)
            return Page(in_order(rows), seen.up_to(last), seen)
        rows, last = await self._divide(rows, newer, asked)
        return Page(in_order(await self._with_passed_over(rows)), seen.up_to(last), None)

    async def close(self) -> None:
        await self.link.close()

    async def _divide(
        self, rows: list[Logged], newer: list[Logged], asked: dict[str, Any]
    ) -> tuple[list[Logged], int]:
        """Return the rows without those of the last transaction, which may not be all it wrote.

        One that wrote more than a page is read by itself. Return also the last transaction told.
        """
        unfinished = max(row.transaction for row in newer)
        whole = [row for row in rows if row.transaction != unfinished]
        told = [row.transaction for row in newer if row.transaction != unfinished]
        if told:
            return whole, max(told)
        _, of_one = await self._read(READ_WHOLE, asked | {"running": [str(unfinished)]}, None)
        return [*whole, *of_one], unfinished

    async def _with_passed_over(self, rows: list[Logged]) -> list[Logged]:
        later = [row for row in rows if row.event.seq > 1]
        found = await self.link.fetch(
            PASSED_OVER,
            {
                "ids": [row.event.order_id for row in later],
                "seqs": [row.event.seq for row in later],
                "xids": [str(row.transaction) for row in later],
            },
            PAGE_SECONDS,
        )
        known = {(row.event.order_id, row.event.seq): row for row in rows}
        for row in map(Logged.of_row, found):
            known.setdefault((row.event.order_id, row.event.seq), row)
        return list(known.values())

    async def _read(
        self, statement: LiteralString, asked: dict[str, Any], since: Position | None
    ) -> tuple[Position, list[Logged]]:
        rows = await self.link.fetch(statement, asked, PAGE_SECONDS)
        snapshot, cluster, database, lifetime, numbered = rows[0][:5]
        if cluster != numbered:
            raise LogLost
        seen = Position.of_snapshot(f"{cluster}/{database}", snapshot, lifetime)
        if since is not None and not seen.covers(since):
            raise UnknownCursor
        return seen, [Logged.of_row(row[5:]) for row in rows if row[5] is not None]


def in_order(rows: list[Logged]) -> list[Logged]:
    """Return rows by time, those of each order by seq."""

    def time_of(row: Logged) -> tuple[datetime, str, int]:
        return row.event.at, row.event.order_id, row.event.seq

    by_time = sorted(rows, key=time_of)
    of_order: dict[str, list[Logged]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.event.seq, reverse=True):
        of_order[row.event.order_id].append(row)
    return [of_order[row.event.order_id].pop() for row in by_time]


@once_per_loop
def account_log_of_this_loop() -> AccountLog:
    """Return the running loop's log, made at the first call."""
    return AccountLog()
