"""What the cluster keeps on disk: the chain after each slot, and the transactions that wait.

A slot is written in one transaction of SQLite before it is told, and a transaction that
waits before its sender is told that it was taken. So a process that is killed loses nothing that it
has told, and the next one goes on with the same chain.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from solders.account import Account
from solders.pubkey import Pubkey

NEXT_SLOT = "next_slot"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    address BLOB PRIMARY KEY, lamports INTEGER NOT NULL, owner BLOB NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    slot INTEGER PRIMARY KEY, height INTEGER NOT NULL, blockhash TEXT NOT NULL,
    time INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS transactions (
    number INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE, slot INTEGER NOT NULL,
    error TEXT NOT NULL, wire BLOB NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS transactions_slot ON transactions (slot);
CREATE TABLE IF NOT EXISTS mentions (
    address BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (address, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mentions_number ON mentions (number);
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE, wire BLOB NOT NULL,
    earliest INTEGER NOT NULL
);
"""


class Block(NamedTuple):
    slot: int
    height: int
    blockhash: str
    time: int
    """Unix seconds."""


class Landed(NamedTuple):
    """A transaction in a block."""

    signature: str
    slot: int
    error: Any
    """As JSON, in the chain's words; None if it succeeded."""
    wire: bytes
    record: Any
    """What `getTransaction` tells as `meta`."""
    keys: tuple[Pubkey, ...]
    """The accounts it mentions; empty if it was read from the store."""


class Mention(NamedTuple):
    signature: str
    slot: int
    error: Any
    time: int | None
    """Unix seconds of its block."""


class Store:
    """One process has it at a time.

    :raises sqlite3.OperationalError: another process has it.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: the file, which is made if need be; None: nothing is kept beyond this process."""
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=0.5)
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        # A process that dies loses nothing by this; a machine that does may lose its last slots.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN EXCLUSIVE")
        self._db.execute("COMMIT")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def begin_chain(
        self, facts: Mapping[str, str], accounts: Iterable[tuple[Pubkey, Account]], block: Block
    ) -> None:
        """Store a new chain, all of it or nothing."""
        self._db.execute("BEGIN")
        self._put_accounts(dict(accounts))
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", block)
        self._put_facts(facts)
        self._db.execute("COMMIT")

    def accounts(self) -> Iterator[tuple[Pubkey, Account]]:
        for address, lamports, owner, data in self._db.execute("SELECT * FROM accounts"):
            yield Pubkey(address), Account(lamports, data, Pubkey(owner))

    def blocks(self, count: int) -> list[Block]:
        """Return the latest blocks, the oldest first."""
        rows = self._db.execute("SELECT * FROM blocks ORDER BY slot DESC LIMIT ?", (count,))
        return [Block(*row) for row in reversed(rows.fetchall())]

    def block(self, slot: int) -> Block | None:
        row = self._db.execute("SELECT * FROM blocks WHERE slot = ?", (slot,)).fetchone()
        return Block(*row) if row else None

    def waiting(self) -> list[tuple[bytes, int]]:
        """Return the transactions that wait, in the order in which they came.

        With each of them comes the earliest slot in which it may land.
        """
        return list(self._db.execute("SELECT wire, earliest FROM waiting ORDER BY number"))

    def put_waiting(self, signature: str, wire: bytes, earliest: int) -> None:
        self._db.execute(
            "INSERT INTO waiting (signature, wire, earliest) VALUES (?, ?, ?)"
            " ON CONFLICT (signature) DO UPDATE SET earliest = excluded.earliest",
            (signature, wire, earliest),
        )

    def add_block(
        self,
        block: Block,
        landed: Iterable[Landed],
        accounts: Mapping[Pubkey, Account | None],
        waiting_no_more: Iterable[str],
        facts: Mapping[str, str],
    ) -> None:
        """Store a block, with what it changed and what is to be known after it."""
        self._db.execute("BEGIN")
        self._db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", block)
        for one in landed:
            self._add(one)
        self._put_accounts(accounts)
        self._db.executemany(
            "DELETE FROM waiting WHERE signature = ?", [(one,) for one in waiting_no_more]
        )
        self._put_facts(facts)
        self._db.execute("COMMIT")

    def remove_block(
        self, slot: int, accounts: Mapping[Pubkey, Account | None], wait_again: bool
    ) -> list[bytes]:
        """Take the latest block out, and return its transactions. They wait again if they may.

        The fact `next_slot` is the slot after it: a slot is never used twice.
        """
        rows = self._db.execute(
            "SELECT number, signature, wire FROM transactions WHERE slot = ? ORDER BY number",
            (slot,),
        ).fetchall()
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM blocks WHERE slot = ?", (slot,))
        for number, signature, wire in rows:
            self._db.execute("DELETE FROM transactions WHERE number = ?", (number,))
            self._db.execute("DELETE FROM mentions WHERE number = ?", (number,))
            if wait_again:
                self.put_waiting(signature, wire, slot + 1)
        self._put_accounts(accounts)
        self._put_facts({NEXT_SLOT: str(slot + 1)})
        self._db.execute("COMMIT")
        return [wire for _, _, wire in rows]

    def forget(self, before_slot: int, payer: Pubkey) -> None:
        """Drop old blocks, and the old transactions in which `payer` is mentioned."""
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM blocks WHERE slot < ?", (before_slot,))
        numbers = self._db.execute(
            "SELECT number FROM mentions JOIN transactions USING (number)"
            " WHERE address = ? AND slot < ?",
            (bytes(payer), before_slot),
        ).fetchall()
        self._db.executemany("DELETE FROM mentions WHERE number = ?", numbers)
        self._db.executemany("DELETE FROM transactions WHERE number = ?", numbers)
        self._db.execute("COMMIT")

    def transaction(self, signature: str) -> Landed | None:
        row = self._db.execute(
            "SELECT signature, slot, error, wire, record FROM transactions WHERE signature = ?",
            (signature,),
        ).fetchone()
        if row is None:
            return None
        signature, slot, error, wire, record = row
        return Landed(signature, slot, orjson.loads(error), wire, orjson.loads(record), ())

    def mentions(
        self, address: Pubkey, limit: int, before: str | None, until: str | None, last_slot: int
    ) -> list[Mention]:
        """Return transactions that mention the address, the latest first, between two of them."""
        rows = self._db.execute(
            "SELECT signature, slot, error, time FROM mentions JOIN transactions USING (number)"
            " LEFT JOIN blocks USING (slot)"
            " WHERE address = ? AND number < ? AND number > ? AND slot <= ?"
            " ORDER BY number DESC LIMIT ?",
            (
                bytes(address),
                self._number(before, 2**62),
                self._number(until, -1),
                last_slot,
                limit,
            ),
        )
        return [Mention(name, slot, orjson.loads(error), at) for name, slot, error, at in rows]

    def _number(self, signature: str | None, otherwise: int) -> int:
        row = self._db.execute(
            "SELECT number FROM transactions WHERE signature = ?", (signature,)
        ).fetchone()
        return int(row[0]) if row else otherwise

    def _add(self, one: Landed) -> None:
        added = self._db.execute(
            "INSERT INTO transactions (signature, slot, error, wire, record)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                one.signature,
                one.slot,
                orjson.dumps(one.error).decode(),
                one.wire,
                orjson.dumps(one.record).decode(),
            ),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO mentions VALUES (?, ?)",
            [(bytes(key), added.lastrowid) for key in one.keys],
        )

    def _put_facts(self, facts: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", list(facts.items()))

    def _put_accounts(self, accounts: Mapping[Pubkey, Account | None]) -> None:
        for address, account in accounts.items():
            if account is None:
                self._db.execute("DELETE FROM accounts WHERE address = ?", (bytes(address),))
            else:
                row = (bytes(address), account.lamports, bytes(account.owner), account.data)
                self._db.execute("INSERT OR REPLACE INTO accounts VALUES (?, ?, ?, ?)", row)
