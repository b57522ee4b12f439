"""Events of an order: the line of its log, the message of its stream, the hint between processes.

An event is a fact of PostgreSQL. What travels through Redis is a hint of it, with the message
ready to be sent: losing it costs a second, never an event.
"""

from datetime import datetime
from typing import Any, NamedTuple

import orjson

from orders.lifecycle import FINAL, Status
from routing.venues import LABELS

MESSAGE_TYPE = "status_update"
"""The `type` of every event (3 systems wait for it); errors and answers to frames have others."""


class Event(NamedTuple):
    """One line of the log; `at` is aware, `data` is what JSON can hold."""

    order_id: str
    seq: int
    status: Status
    attempt: int
    message: str
    at: datetime
    data: dict[str, Any]

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    def as_message(self) -> dict[str, Any]:
        """Return the stream's message, with the fields of all five dialects."""
        data = self.data
        venue = data.get("selectedDex")
        return {
            "type": MESSAGE_TYPE,
            "orderId": self.order_id,
            "seq": self.seq,
            "status": self.status,
            "message": self.message,
            "timestamp": timestamp(self.at),
            "attempt": self.attempt,
            "route": LABELS.get(venue, venue) if venue else None,
            "routedDex": venue,
            "txHash": data.get("txHash"),
            "executedPrice": data.get("executedPrice"),
            "error": data.get("error"),
            "data": data,
        }

    def as_text(self) -> bytes:
        return orjson.dumps(self.as_message())


def timestamp(at: datetime) -> str:
    """Return an RFC 3339 time in UTC; `at` is in UTC, as all connections are set to it."""
    return at.isoformat(timespec="microseconds")[:26] + "Z"


GROUP = "order."


def group_of(order_id: str) -> str:
    """Return the name of the channel layer's group for one order's hints."""
    return f"{GROUP}{order_id}"
