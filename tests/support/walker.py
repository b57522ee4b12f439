"""Moves orders by hand, step by step, as a worker would: for tests of who watches them."""

from typing import Any

from asgiref.sync import sync_to_async

from config.database.conninfo import conninfo
from orders.engine.journal import Journal, cancel_now, journal_of_this_loop
from orders.engine.moves import Move
from orders.events import Event
from orders.lifecycle import Status
from orders.words import EndReason

DATA: dict[Status, dict[str, Any]] = {
    Status.BUILDING: {"selectedDex": "meteora"},
    Status.SUBMITTED: {"selectedDex": "meteora", "txHash": "5ig"},
    Status.CONFIRMED: {"selectedDex": "meteora", "txHash": "5ig", "executedPrice": "99.9"},
    Status.FAILED: {"error": "no venue answered"},
}
COLUMNS: dict[Status, dict[str, Any]] = {
    Status.BUILDING: {"venue": "meteora", "min_out": 1},
    Status.SUBMITTED: {"payload": b"signed", "expires_at_height": 1_000},
    Status.CONFIRMED: {"outcome": "landed", "filled_in": 1, "filled_out": 1},
    Status.FAILED: {"failure_code": "venues_unavailable", "failure_reason": "no venue answered"},
}


class NoHints:
    """Stands in for the publisher of hints, and publishes nothing: all of them are lost."""

    def publish(self, event: Event) -> None:
        return

    async def wait_until_drained(self) -> None:
        return

    async def close(self) -> None:
        return


class Walker:
    """Holds one order and moves it wherever the test says. `close` at the end."""

    def __init__(self, order_id: str, *, in_silence: bool = False) -> None:
        self._order_id = order_id
        self._own = Journal(conninfo(), NoHints()) if in_silence else None  # type: ignore[arg-type]
        self._journal = self._own or journal_of_this_loop()
        self._token = self.seq = 0
        self._status = Status.PENDING

    async def walk(self, *statuses: Status) -> None:
        """Take the order through these statuses; `routing` claims it."""
        for status in statuses:
            if status is Status.ROUTING:
                await self._claim()
            else:
                await self._advance(status)
        await self._journal.wait_until_drained()

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()

    async def _claim(self) -> None:
        (claimed,) = await self._journal.claim_named(self._order_id)
        self._id = claimed.id
        self._token, self.seq, self._status = claimed.lease_token, claimed.seq, claimed.status

    async def _advance(self, status: Status) -> None:
        columns = dict(COLUMNS.get(status, {}))
        if status is Status.SUBMITTED:
            columns["signature"] = f"signature of {self._order_id}"
        move = Move(
            order_id=self._id,
            lease_token=self._token,
            seq=self.seq,
            before=self._status,
            status=status,
            message=f"Now {status}",
            data=DATA.get(status, {}),
            **columns,
        )
        await self._journal.advance(move)
        self.seq, self._status = self.seq + 1, status


WHOLE_WAY = (Status.ROUTING, Status.BUILDING, Status.SUBMITTED, Status.CONFIRMED)


async def confirm(order_id: str) -> None:
    """Take a pending order to its end, telling everyone."""
    await Walker(order_id).walk(*WHOLE_WAY)


async def cancel_in_silence(order_id: str) -> None:
    """Cancel a pending order, and tell nobody."""
    await sync_to_async(_cancel_and_hang_up)(order_id)


def _cancel_and_hang_up(order_id: str) -> None:
    from django.db import connection

    try:
        cancel_now(order_id, None, when_possible=False, reason=EndReason.USER, by="user")
    finally:
        connection.close()
