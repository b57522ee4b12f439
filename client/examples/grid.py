"""A grid: it buys SOL a little below the price and sells it a little above, again and again.

Its books are a file. Kill it at any moment, or any part of the engine, and start it again: it goes
on where it was, sends no order twice, and misses no fill.

    python -m examples.grid http://127.0.0.1:8000 "$KEY" books.sqlite 0.002

The last is how far each step of the grid is from the next: 0.2 %.
"""

import sqlite3
import sys
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from order_engine_client import FINAL, Client, Snapshot

STEPS, AMOUNT = 3, "0.1"
TABLES = """
CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, side, price, id UNIQUE,
  seq DEFAULT 0, status DEFAULT 'new', amount_in, amount_out);
CREATE TABLE IF NOT EXISTS place (name, cursor);
CREATE VIEW IF NOT EXISTS live AS SELECT * FROM orders
  WHERE id IS NOT NULL AND status NOT IN ('confirmed', 'failed', 'cancelled', 'expired');
"""


class Grid:
    def __init__(self, client: Client, path: str, step: Decimal) -> None:
        self.client, self.books, self.step = client, sqlite3.connect(path), step
        self.books.executescript(TABLES)
        with self.books:
            if not self.rows("SELECT 1 FROM place"):
                self.rows("INSERT INTO place VALUES (?, NULL)", uuid.uuid4().hex)

    def run(self) -> None:
        ((self.name, cursor),) = self.rows("SELECT name, cursor FROM place")
        self.send()  # what was added before the end of the last run
        seen = dict(self.rows("SELECT id, seq FROM live"))
        with self.client.events(cursor, snapshot=True, seen=seen) as events:
            for told in events:
                with self.books:  # one transaction: what was told, and where to go on
                    if isinstance(told, Snapshot):
                        self.begin()
                    else:
                        self.book(told.order_id, told.seq, told.status, told.data)
                    self.rows("UPDATE place SET cursor = ?", events.cursor)
                self.send()

    def begin(self) -> None:
        """Lay the grid around the price; if there is one, read where its orders are by now."""
        for (order_id,) in self.rows("SELECT id FROM live"):
            last = self.client.order_events(order_id)[-1]
            self.book(order_id, last.seq, last.status, last.data)
        if not self.rows("SELECT 1 FROM orders"):
            asked = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": AMOUNT}
            price = self.client.get("/api/quotes", asked)["quote"]["price"]
            for step in range(1, STEPS + 1):
                self.add("buy", price * (1 - step * self.step))
                self.add("sell", price * (1 + step * self.step))

    def book(self, order_id: str, seq: int, status: str, data: Mapping[str, Any]) -> None:
        """Write what became of an order; one that has ended is followed by the next."""
        amounts = [str(data[name]) if name in data else None for name in ("amountIn", "amountOut")]
        change = "UPDATE orders SET seq = ?, status = ?, amount_in = ?, amount_out = ?"
        where = "WHERE id = ? AND seq < ? RETURNING side, price"
        found = self.rows(f"{change} {where}", seq, status, *amounts, order_id, seq)
        for side, price in found:  # none: it is not ours, or it is written already
            if status == "confirmed":
                other, way = ("sell", 1 + self.step) if side == "buy" else ("buy", 1 - self.step)
                self.add(other, Decimal(price) * way)
            elif status in FINAL:
                self.add(side, Decimal(price))

    def add(self, side: str, price: Decimal) -> None:
        self.rows("INSERT INTO orders (side, price) VALUES (?, ?)", side, f"{price:.6f}")

    def send(self) -> None:
        """Send what is in the books and was not answered yet: its key stays the same."""
        new = self.rows("SELECT number, side, price FROM orders WHERE id IS NULL")
        for number, side, price in new:
            amount = "amountOut" if side == "buy" else "amountIn"  # of SOL, both ways
            order: Any = {"type": "limit", "side": side, "limitPrice": price, amount: AMOUNT}
            placed = self.client.place(order, key=f"{self.name}-{number}")
            with self.books:
                self.rows("UPDATE orders SET id = ? WHERE number = ?", placed.order_id, number)

    def rows(self, statement: str, *values: object) -> list[Any]:
        return self.books.execute(statement, values).fetchall()


if __name__ == "__main__":
    url, key, path, step = sys.argv[1:]
    with Client(url, key, give_up_after=600) as client:
        Grid(client, path, Decimal(step)).run()
