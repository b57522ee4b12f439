"""What the heartbeats tell of each process: whether it lives, how long, and what it uses."""

from dataclasses import dataclass
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from orders.monitoring.health import ALIVE_SECONDS

ALIVE, STUCK, SILENT = "alive", "stuck", "silent"
MOST_PROCESSES = 200

# The silent ones first: they are what one looks for.
HEARTBEATS = """
SELECT process, kind, extract(epoch FROM clock_timestamp() - seen_at)::float8, counts::text
FROM heartbeats ORDER BY seen_at LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    """"host:pid"."""
    kind: str
    heard_seconds: float
    """Since its last heartbeat; negative if the clock was set back."""
    counts: dict[str, Any]

    @property
    def state(self) -> str:
        if not 0 <= self.heard_seconds <= ALIVE_SECONDS:
            return SILENT
        return STUCK if self.counts.get("still_seconds", 0) > ALIVE_SECONDS else ALIVE

    @property
    def release(self) -> str:
        return str(self.counts.get("release", ""))

    @property
    def up_seconds(self) -> float | None:
        up = self.counts.get("up_seconds")
        return None if up is None else float(up)

    @property
    def cpu_percent(self) -> float | None:
        """Of one processor, between its last two heartbeats; None if it is silent."""
        share = self.counts.get("cpu_percent")
        return None if share is None or self.state == SILENT else float(share)

    @property
    def memory(self) -> int | None:
        """In bytes."""
        return self.counts.get("resident_memory_bytes")

    @property
    def streams(self) -> int:
        return max(0, self._count("sockets_opened") - self._count("sockets_closed"))

    @property
    def carrying(self) -> int:
        """The orders that a worker carries."""
        return max(0, self._count("orders_carried") - self._count("orders_put_down"))

    @property
    def requests(self) -> int:
        return self._sum("http_requests:")

    @property
    def warnings(self) -> int:
        """Log lines, warnings and worse, since it started."""
        return self._sum("log_lines:")

    @property
    def load_text(self) -> str:
        """What it does, in the measure of its kind."""
        if self.kind == "worker":
            return f"{self.carrying}/{settings.ORDER_CONCURRENCY} orders"
        if self.kind == "web":
            return f"{self.streams:,} streams"
        return f"{self._count('ticks_evaluated'):,} ticks"

    def _count(self, name: str) -> int:
        return int(self.counts.get(name, 0))

    def _sum(self, prefix: str) -> int:
        return sum(int(number) for name, number in self.counts.items() if name.startswith(prefix))


def processes() -> list[Process]:
    """Return the processes heard within a day, those silent for longest first."""
    with connection.cursor() as cursor:
        cursor.execute(HEARTBEATS, {"most": MOST_PROCESSES})
        return [
            Process(name, kind, heard, orjson.loads(text))
            for name, kind, heard, text in cursor.fetchall()
        ]
