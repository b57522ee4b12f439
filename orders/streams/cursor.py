"""Where a reader stands in the log of an account: which transactions it has been told of.

Events have no common number: whoever gave one would make all orders wait for each other. But each
has the id of the transaction that wrote it, and PostgreSQL can say which transactions a statement
sees (a snapshot). A position is such a snapshot. What one does not see and a later one does is
exactly what is new, also of a transaction that was open for long while others committed.

After a crash PostgreSQL gives ids anew that nothing on disk had. So a position that outlives the
server, such as a cursor, ends with a transaction that was committed: no lower id is given again.
"""

import re
from hashlib import sha256
from typing import NamedTuple

CURSOR = re.compile(r"([0-9a-f]{8})\.([0-9]{1,19})(?:\.([0-9]{1,19}(?:-[0-9]{1,19}){0,999}))?")
LONGEST = 4_000
"""Characters of a cursor."""


class UnknownCursor(Exception):
    """The cursor is of another database, of an older state of this one, or none at all."""


class Position(NamedTuple):
    """The transactions below `following` have been told, but for those that were `running`."""

    database: str
    """Which numbers these are: 8 hexadecimal digits."""
    following: int
    """The next transaction id that PostgreSQL had not given away."""
    running: frozenset[int]
    lifetime: str = ""
    """Of the server, from crash to crash, if the position is not to outlive it."""

    @classmethod
    def of_snapshot(cls, database: str, snapshot: str, lifetime: str) -> "Position":
        """Read what `pg_current_snapshot()` returns: `xmin:xmax:xip,xip`."""
        _, following, running = snapshot.split(":")
        others = frozenset(map(int, filter(None, running.split(","))))
        return cls(name_of(database), int(following), others, lifetime)

    @classmethod
    def of_cursor(cls, cursor: str) -> "Position":
        """:raises UnknownCursor: no cursor of ours looks like this."""
        found = CURSOR.fullmatch(cursor) if len(cursor) <= LONGEST else None
        if found is None:
            raise UnknownCursor
        database, following, behind = found[1], int(found[2]), found[3]
        running = frozenset(following - int(back) for back in behind.split("-")) if behind else ()
        if following >= 2**63 or any(not 0 <= one < following for one in running):
            raise UnknownCursor
        return cls(database, following, frozenset(running))

    def known(self, cursor: str) -> "Position":
        """Return the position of a cursor, which is not after this one.

        :raises UnknownCursor: it is, or is of another database.
        """
        position = self.of_cursor(cursor)
        if not self.covers(position):
            raise UnknownCursor
        return position

    def as_cursor(self) -> str:
        """Return the position as text for clients: letters, digits, `.` and `-`."""
        behind = "-".join(str(self.following - one) for one in sorted(self.running))
        return f"{self.database}.{self.following}" + (f".{behind}" if behind else "")

    def has_told(self, transaction: int) -> bool:
        return transaction < self.following and transaction not in self.running

    def covers(self, other: "Position") -> bool:
        """Whether all that the other one has been told was told here too."""
        return (
            self.database == other.database
            and other.lifetime in ("", self.lifetime)
            and self.following >= other.following
            and not any(other.has_told(one) for one in self.running)
        )

    def up_to(self, transaction: int) -> "Position":
        """Return the position of a reader that was told of what is here up to this transaction.

        That one was committed, so the position outlives the server.
        """
        running = frozenset(one for one in self.running if one <= transaction)
        return Position(self.database, transaction + 1, running)


def name_of(database: str) -> str:
    """Return a short name of a database (its cluster's identifier and its own)."""
    return sha256(database.encode()).hexdigest()[:8]
