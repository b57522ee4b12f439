"""The example bot (client/examples/grid.py) as a process, and its books beside the engine's."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from config.environment.data_folder import PROJECT
from config.stack.child import end_with_parent
from order_engine_client import Client

STEP = "0.001"
SWINGS = 10  # a path has at most 20 steps
Books = Mapping[str, tuple[str, Decimal | None, Decimal | None]]
"""Status, and what was paid in and out, by order."""


def swinging(seconds: float) -> dict[str, str]:
    """Settings with which the price passes every step of the grid, there and back, for so long."""
    step = round(seconds / SWINGS / 2) or 1
    path = " ".join([f"+1%/{step} -1%/{step}"] * SWINGS)
    return {"SIMULATION_PRICE_PATH": f"SOL={path} @{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}


class Grid:
    """`python -m examples.grid`, run from the client's folder without installation."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self.books, self._log = folder / "books.sqlite", folder / "grid.log"
        arguments = ["-m", "examples.grid", url, key, str(self.books), STEP]
        self._command = [sys.executable, *arguments]
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=PROJECT / "client",
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent(signal.SIGKILL),
            )

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def read(self) -> Books:
        """Return what is in its books of orders whose ids it knows."""
        rows = self._rows("SELECT id, status, amount_in, amount_out FROM orders WHERE id NOT NULL")
        return {row[0]: (row[1], *map(_decimal, row[2:])) for row in rows}

    @property
    def fills(self) -> int:
        return int(self._rows("SELECT count(*) FROM orders WHERE status = 'confirmed'")[0][0])

    def _rows(self, statement: str) -> list[Any]:
        if not self.books.exists():
            return [(0,)] if "count" in statement else []
        with closing(sqlite3.connect(self.books, timeout=30)) as books:
            try:
                return books.execute(statement).fetchall()
            except sqlite3.OperationalError:  # its tables are not made yet
                return [(0,)] if "count" in statement else []


def books_of(client: Client) -> Books:
    """Return what the engine's list says of the account's orders."""
    return {
        one.order_id: (
            one.status,
            *((one.executed_amount_in, one.executed_amount_out) if one.is_final else (None, None)),
        )
        for one in client.orders(limit=200)
    }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
