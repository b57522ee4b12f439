"""The only code that moves orders: accept, claim, advance, renew, release.

A `Journal` belongs to one asyncio loop (the web process has one, a worker's carrier has one).
Writes of many coroutines share statements (`config/runtime/group_commit.py`). Every move is a
compare-and-set on the lease's token and on `seq`: of two equal moves, the second changes nothing.
Orders with terms are moved by the scripts of `terms_moves`. Sync code runs such a script through
Django's connection (`run_now`).
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import orjson
import psycopg
from django.conf import settings
from django.db import OperationalError, transaction
from django.db import connection as django_connection

from config.database.conninfo import ACCEPT_PATIENCE, conninfo
from config.runtime.group_commit import Connection, GroupCommit, OutcomeUnknown
from config.runtime.per_loop import once_per_loop
from config.runtime.postgres import Link
from orders.engine import journal_sql as sql
from orders.engine import terms_sql
from orders.engine.hints import HintPublisher, hints_of_this_loop
from orders.engine.moves import (
    AlreadyAccepted,
    ClaimedOrder,
    Move,
    NewOrder,
    Overtaken,
    TradingHalted,
    params_of,
)
from orders.engine.terms_moves import (
    Answer,
    Cancellation,
    Script,
    Statement,
    Written,
    advancing,
    cancelling,
)
from orders.events import COMPARING, RESTS, Event
from orders.lifecycle import Status, check_transition

logger = logging.getLogger(__name__)

ACCEPT_SECONDS = 0.8  # for one try, so that there is time for another on a new connection
FIND_PATIENCE = 1.0
FIND_SECONDS = 0.5
KEPT_SHARE = 20  # one in so many starts is kept for senders without a start in the window
BEGUN_SECONDS = 2.0  # the lease of an order that was claimed when it was accepted
MOST_BEGUN = 8  # orders that one statement accepts and claims; a crowd waits for its bell
DEADLOCKS = 4  # after which a cancellation is no more tried again
MOVE_PATIENCE = 30.0  # seconds; longer than PostgreSQL takes to come back from a crash


Keys = tuple[int | None, str | None, str | None]
"""An owner, an idempotency key and a client order id."""


class Stored(NamedTuple):
    """When an order was stored, whether it was also claimed, and how it stands."""

    at: datetime
    is_begun: bool
    status: str = Status.PENDING.value
    expires_at: str | None = None
    """As clients are told of it, if it was given in seconds."""


NO_OTHERS: list[Event] = []
"""A move of a plain market order touches no other order."""

Recorded = tuple[int, datetime, int | None]
"""Attempts of the order, the time of its new event, its account."""


class Journal:
    def __init__(self, conninfo: str, hints: HintPublisher) -> None:
        self._hints = hints
        self._moves_link = Link(conninfo, "engine journal")
        self._claims_link = Link(conninfo, "engine claims")
        self._accept = GroupCommit(
            self._moves_link,
            *(_run_accept, _recover_accept),
            patience=ACCEPT_PATIENCE,
            seconds=ACCEPT_SECONDS,
        )
        self._accept_together: GroupCommit[Sequence[NewOrder], list[Stored]] = GroupCommit(
            self._moves_link,
            *(_run_together, _recover_together),
            patience=ACCEPT_PATIENCE,
            seconds=ACCEPT_SECONDS,
        )
        self._accept_each: GroupCommit[Sequence[NewOrder], list[Stored | Exception]] = GroupCommit(
            self._moves_link,
            *(_run_each, _recover_each),
            patience=ACCEPT_PATIENCE,
            seconds=ACCEPT_SECONDS,
        )
        self._find: GroupCommit[Keys, None] = GroupCommit(
            self._claims_link, _run_find, _find_again, patience=FIND_PATIENCE, seconds=FIND_SECONDS
        )
        self._advance = GroupCommit(
            self._moves_link, _run_advance, _recover_advance, patience=MOVE_PATIENCE
        )
        self._advance_terms = GroupCommit(
            self._moves_link, _run_advance_terms, _recover_advance_terms, patience=MOVE_PATIENCE
        )

    async def accept(self, order: NewOrder) -> Event:
        """Store the order and its first event, and return that event.

        See `accept_or_begin`, of which this is all that most callers want.
        """
        return (await self.accept_or_begin(order))[0]

    async def accept_or_begin(self, order: NewOrder) -> tuple[Event, ClaimedOrder | None]:
        """Store the order, and claim it in the same commit if it may start at once.

        Return its first event, and the order if it was claimed. It must be handed to a carrier
        within `BEGUN_SECONDS`. After them any worker may take it.

        :raises AlreadyAccepted: the owner has an order under one of its keys; nothing is stored.
        :raises TradingHalted: the engine takes no orders; nothing is stored.
        :raises OutcomeUnknown: nobody knows whether it is stored; look for it by its id.
        :raises psycopg.Error: the database stayed away, or refused the row; nothing is stored.
        """
        try:
            stored = await self._accept(order)
        except (psycopg.Error, AlreadyAccepted, TradingHalted):
            raise
        except Exception as error:  # in reading what PostgreSQL answered, say
            raise OutcomeUnknown(f"the order's storing was not confirmed: {error}") from error
        event = first_event(order, stored)
        self._hints.publish(event)
        if not stored.is_begun:
            return event, None
        begun = ClaimedOrder.begun(order)
        self._publish_claim(begun, stored.at)
        return event, begun

    async def accept_together(self, orders: Sequence[NewOrder]) -> list[Event]:
        """Store all of the orders in one statement, or none, and return their first events.

        :raises AlreadyAccepted: the owner has an order under a key of one of them.
        :raises TradingHalted: the engine takes no orders; nothing is stored.
        :raises OutcomeUnknown: nobody knows whether they are stored; look for one by its id.
        :raises psycopg.Error: the database stayed away, or refused a row; nothing is stored.
        """
        try:
            stored = await self._accept_together(orders)
        except (psycopg.Error, AlreadyAccepted, TradingHalted):
            raise
        except Exception as error:  # in reading what PostgreSQL answered, say
            raise OutcomeUnknown(f"the orders' storing was not confirmed: {error}") from error
        events = [first_event(order, one) for order, one in zip(orders, stored, strict=True)]
        for event in events:
            self._hints.publish(event)
        return events

    async def accept_each(self, orders: Sequence[NewOrder]) -> list[Event | AlreadyAccepted]:
        """Store these orders in one statement, but for those whose keys are known.

        Return for each its first event, or the order that was accepted before.

        :raises OutcomeUnknown: nobody knows whether they are stored; look for them by their ids.
        :raises psycopg.Error: the database stayed away, or refused a row; nothing is stored.
        """
        try:
            stored = await self._accept_each(orders)
        except (psycopg.Error, AlreadyAccepted):
            raise
        except Exception as error:  # in reading what PostgreSQL answered, say
            raise OutcomeUnknown(f"the orders' storing was not confirmed: {error}") from error
        events: list[Event | AlreadyAccepted] = []
        for order, one in zip(orders, stored, strict=True):
            if isinstance(one, AlreadyAccepted):
                events.append(one)
            elif isinstance(one, Exception):
                raise one
            else:
                event = first_event(order, one)
                self._hints.publish(event)
                events.append(event)
        return events

    async def stored_with(self, order_id: str) -> list[Event]:
        """Return the first events of an order and of the other order of its group.

        :raises psycopg.Error: the database stayed away.
        """
        rows = await self._claims_link.fetch(sql.STORED_WITH, {"id": order_id})
        return [Event(one, 1, Status(status), *rest) for one, status, *rest in rows]

    async def accepted_before(
        self, owner: int | None, idempotency_key: str | None, client_order_id: str | None
    ) -> AlreadyAccepted | None:
        """Return the owner's order under one of these keys, if there is one.

        Without an owner the key is a browser's (`orders.access.browser_keys`).

        :raises psycopg.Error: the database stayed away.
        """
        try:
            await self._find((owner, idempotency_key, client_order_id))
        except AlreadyAccepted as before:
            return before
        return None

    async def advance(self, move: Move) -> Event:
        """Move one order and log it in one commit, and return the last event it wrote.

        Repeating it is safe: it then finds no row. An order with terms may be moved elsewhere than
        it was asked to, which the event tells: its time is over, or it was to be cancelled.

        :raises Overtaken: the order was moved by somebody else.
        :raises psycopg.Error: a constraint refused the move, or the database stayed away.
        """
        check_transition(move.before, move.status, passes=move.passed is not None)
        if move.with_terms is None:
            written, others = move.events(*await self._advance(move)), NO_OTHERS
        else:
            written, others = await self._advance_terms(move)
        for event in (*written, *others):
            self._hints.publish(event)
        return written[-1]

    async def claim(self, room: int, statuses: Iterable[Status]) -> list[ClaimedOrder]:
        """Take at most `room` due orders: first begun ones, then new ones, senders in turns.

        Pending ones are moved to routing.
        """
        wanted = [status.value for status in statuses]
        return await self._claim(sql.CLAIM_DUE, {"room": room, "statuses": wanted})

    async def claim_named(self, order_id: str) -> list[ClaimedOrder]:
        """Take this one order if its lease is free, due or not; an empty list if it is not."""
        return await self._claim(sql.CLAIM_NAMED, {"only": order_id})

    async def _claim(self, statement: LiteralString, who: dict[str, Any]) -> list[ClaimedOrder]:
        params = {
            **who,
            **budget_params(),
            "lease": settings.LEASE_SECONDS,
            "message": COMPARING,
            "data": "{}",
        }
        async with (
            self._claims_link.connection() as connection,
            connection.cursor() as cursor,
        ):
            if settings.ORDER_RATE_LIMIT is None:
                await cursor.execute(statement, params)
            else:
                async with connection.pipeline(), connection.transaction():
                    await connection.execute(sql.LOCK_BUDGET)
                    await cursor.execute(statement, params)
            rows = await cursor.fetchall()
        orders = [ClaimedOrder.of(row[:-2]) for row in rows]
        for order, row in zip(orders, rows, strict=True):
            was_pending, at = row[-2:]
            if was_pending:
                self._publish_claim(order, at)
        return orders

    def _publish_claim(self, order: ClaimedOrder, at: datetime) -> None:
        identity = order.id, order.seq, order.status, order.attempts
        self._hints.publish(Event(*identity, COMPARING, at, {}, owner=order.owner))

    async def renew(self, orders: Sequence[ClaimedOrder]) -> set[str]:
        """Extend the leases that are still ours, and return whose those are."""
        return await self._leases(sql.RENEW, orders)

    async def release(self, orders: Sequence[ClaimedOrder]) -> set[str]:
        """Give the leases back, so that another worker may go on at once."""
        return await self._leases(sql.RELEASE, orders)

    async def _leases(self, statement: str, orders: Sequence[ClaimedOrder]) -> set[str]:
        # This uses the connection of the moves, between two of their batches. A second connection
        # would lock the rows in another order, and the two would deadlock.
        async with self._moves_link.connection() as connection:
            cursor = await connection.execute(
                statement,
                {
                    "order_id": [order.id for order in orders],
                    "lease_token": [order.lease_token for order in orders],
                    "lease": settings.LEASE_SECONDS,
                },
            )
            return {row[0] for row in await cursor.fetchall()}

    async def last_data(self, order_id: str, status: Status) -> dict[str, Any]:
        """Return the data of the order's last event with this status; empty if there is none."""
        rows = await self._claims_link.fetch(sql.LAST_DATA, (order_id, status.value))
        return rows[0][0] if rows else {}

    async def connect(self) -> None:
        """Open the connection of the moves before the first of them.

        :raises psycopg.Error: the database does not answer.
        """
        async with self._moves_link.connection():
            pass

    async def wait_until_drained(self) -> None:
        """Wait until the hints of everything written so far are out, or given up."""
        await self._hints.wait_until_drained()

    async def close(self) -> None:
        await self._moves_link.close()
        await self._claims_link.close()
        await self._hints.close()


@once_per_loop
def journal_of_this_loop() -> Journal:
    """Return the running loop's journal, made at the first call."""
    return Journal(conninfo(), hints_of_this_loop())


def cancel_now(order_id: str, group_id: str | None, **how: Any) -> Cancellation:
    """Cancel one order through Django's connection, as `cancelling` does. Publish by yourself.

    :raises NotCancellable: it may have filled, or has ended.
    """
    return again_after_deadlock(
        lambda: run_now(cancelling(order_id, group_id, storing=storing_wide, **how))
    )


def again_after_deadlock(write: Callable[[], Answer]) -> Answer:
    """Write in one transaction of Django's connection, again if that ended in a deadlock.

    A watch came back then while others were waited for. Nothing was written.
    """
    for _ in range(DEADLOCKS):
        try:
            return write()
        except OperationalError as error:
            if not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                raise
    return write()


def run_now(script: Script[Answer]) -> Answer:
    """Run a script in one transaction of Django's connection."""
    rows = None
    with transaction.atomic(), django_connection.cursor() as cursor:
        try:
            while True:
                cursor.execute(*script.send(rows))
                rows = cursor.fetchall() if cursor.description else []
        except StopIteration as ended:
            answer: Answer = ended.value
    return answer


def first_event(order: NewOrder, stored: Stored) -> Event:
    """Return the first event of an order that was stored so."""
    status, data = Status(stored.status), order.data
    if order.terms is not None and order.terms.expires_in is not None:
        data = data | {"order": data["order"] | {"expiresAt": stored.expires_at}}
    message = RESTS if status is Status.OPEN else order.message
    return Event(order.id, 1, status, 0, message, stored.at, data, owner=order.owner)


async def _run_accept(
    connection: Connection, orders: Sequence[NewOrder]
) -> Sequence[Stored | Exception]:
    keyed = any(order.idempotency_key or order.client_order_id for order in orders)
    may_start = len(orders) <= MOST_BEGUN and all(order.may_start for order in orders)
    if any(order.terms is not None for order in orders):
        rows = await _store_wide(connection, orders)
    elif may_start and settings.ORDER_RATE_LIMIT is not None:
        async with connection.transaction():
            # Whoever holds the budget may be about to spend it. Then the orders wait for a bell.
            cursor = await connection.execute(sql.TRY_BUDGET)
            row = await cursor.fetchone()
            rows = await _store(connection, orders, keyed, claiming=row == (True,))
    else:
        rows = await _store(connection, orders, keyed, claiming=may_start)
    found: dict[str, Stored | Exception] = {row[0]: Stored(*row[1:]) for row in rows}
    if len(found) < len(orders):
        missing = [order for order in orders if order.id not in found]
        found |= await _accepted_before(connection, missing, is_halted=not rows)
    return [found[order.id] for order in orders]


async def _store(
    connection: Connection, orders: Sequence[NewOrder], keyed: bool, *, claiming: bool
) -> list[tuple[Any, ...]]:
    params = _accept_params(orders)
    if claiming:
        lease = min(BEGUN_SECONDS, settings.LEASE_SECONDS)
        params |= budget_params() | {"lease": lease, "comparing": COMPARING}
    cursor = await connection.execute(sql.ACCEPT[keyed, claiming], params)
    return await cursor.fetchall()


async def _run_together(
    connection: Connection, items: Sequence[Sequence[NewOrder]]
) -> Sequence[list[Stored] | Exception]:
    """Each item is a statement, and a transaction, of its own."""
    return [await _store_together(connection, orders) for orders in items]


async def _store_together(
    connection: Connection, orders: Sequence[NewOrder]
) -> list[Stored] | Exception:
    try:
        rows = await _store_wide(connection, orders, sql.STORE_TOGETHER)
    except psycopg.errors.UniqueViolation as error:
        keys = [(order.owner, order.idempotency_key, order.client_order_id) for order in orders]
        before = await _run_find(connection, keys)
        return next((found for found in before if found is not None), error)
    stored = {row[0]: Stored(*row[1:]) for row in rows}
    return [stored[order.id] for order in orders] if rows else TradingHalted()


async def _recover_together(
    connection: Connection, items: Sequence[Sequence[NewOrder]]
) -> Sequence[list[Stored] | None]:
    """They were stored together, so where one is, all are."""
    known = iter(await _recover_accept(connection, [order for orders in items for order in orders]))
    found = [[next(known) for _ in orders] for orders in items]
    return [
        [one for one in stored if one is not None] if None not in stored else None
        for stored in found
    ]


async def _run_each(
    connection: Connection, items: Sequence[Sequence[NewOrder]]
) -> Sequence[list[Stored | Exception]]:
    """Each item is a statement, and a transaction, of its own."""
    return [list(await _run_accept(connection, orders)) for orders in items]


async def _recover_each(
    connection: Connection, items: Sequence[Sequence[NewOrder]]
) -> Sequence[list[Stored | Exception] | None]:
    """Where one of an item is stored, its statement was committed: the others had known keys."""
    return [await _recover_one_of_each(connection, orders) for orders in items]


async def _recover_one_of_each(
    connection: Connection, orders: Sequence[NewOrder]
) -> list[Stored | Exception] | None:
    known = await _recover_accept(connection, orders)
    if not any(known):
        return None
    missing = [order for order, one in zip(orders, known, strict=True) if one is None]
    before = await _accepted_before(connection, missing, is_halted=False)
    return [
        before[order.id] if one is None else one for order, one in zip(orders, known, strict=True)
    ]


async def _store_wide(
    connection: Connection,
    orders: Sequence[NewOrder],
    statement: LiteralString = sql.STORE_WIDE,
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(*storing_wide(orders, statement))
    return await cursor.fetchall()


def storing_wide(
    orders: Sequence[NewOrder], statement: LiteralString = sql.STORE_WIDE
) -> Statement:
    """Return the statement that stores orders of which some have terms."""
    params = _accept_params(orders, NewOrder.as_wide_row) | budget_params()
    return statement, params | {"rests": RESTS, "most_days": settings.MAX_RESTING_DAYS}


async def _accepted_before(
    connection: Connection, orders: Sequence[NewOrder], *, is_halted: bool
) -> dict[str, Stored | Exception]:
    """Return for each order not stored now, by its id: why not, or when it was stored before.

    `is_halted`: no order was stored. Those without earlier ones under their keys were refused then.
    """
    found: dict[str, Stored | Exception] = {
        order.id: TradingHalted()
        if is_halted
        else psycopg.errors.UniqueViolation(f"there is an order {order.id}")
        for order in orders
    }
    keys = [(order.owner, order.idempotency_key, order.client_order_id) for order in orders]
    for order, before in zip(orders, await _run_find(connection, keys), strict=True):
        if before is not None:
            # Found under its own id: an earlier statement, which seemed lost, had stored it.
            is_own = before.event.order_id == order.id
            event = before.event
            stored = Stored(
                event.at, False, event.status, event.data.get("order", {}).get("expiresAt")
            )
            found[order.id] = stored if is_own else before
    return found


async def _run_find(connection: Connection, keys: Sequence[Keys]) -> list[AlreadyAccepted | None]:
    """Return for each item the exception that names the earlier order; None if there is none."""
    rows = [
        {"ordinal": ordinal, "owner": owner, "idempotency_key": key, "client_order_id": name}
        for ordinal, (owner, key, name) in enumerate(keys)
    ]
    cursor = await connection.execute(sql.ACCEPTED_BEFORE, {"keys": orjson.dumps(rows).decode()})
    found: list[AlreadyAccepted | None] = [None] * len(keys)
    for ordinal, by_key, order_id, status, attempt, message, at, data in await cursor.fetchall():
        told = Status(status), attempt, message, at, data
        event = Event(order_id, 1, *told, owner=keys[ordinal][0])
        found[ordinal] = AlreadyAccepted(event, by_idempotency_key=by_key)
    return found


async def _find_again(connection: Connection, keys: Sequence[Keys]) -> Sequence[None]:
    """Nothing was written, so after a lost connection all is looked up once more."""
    return [None] * len(keys)


async def _recover_accept(
    connection: Connection, orders: Sequence[NewOrder]
) -> Sequence[Stored | None]:
    """An order that was claimed as well is told as not: it is taken up when that lease ends."""
    cursor = await connection.execute(sql.ACCEPTED, {"id": [order.id for order in orders]})
    stored = {row[0]: Stored(row[1], False, *row[2:]) for row in await cursor.fetchall()}
    return [stored.get(order.id) for order in orders]


async def _run_advance(
    connection: Connection, moves: Sequence[Move]
) -> Sequence[Recorded | Overtaken]:
    cursor = await connection.execute(sql.ADVANCE, params_of(moves))
    moved = {row[0]: row[1:] for row in await cursor.fetchall()}
    return [
        moved.get(ordinal) or Overtaken(f"order {move.order_id} is no longer at seq {move.seq}")
        for ordinal, move in enumerate(moves, start=1)
    ]


async def _recover_advance(
    connection: Connection, moves: Sequence[Move]
) -> Sequence[Recorded | None]:
    cursor = await connection.execute(sql.ADVANCED, params_of(moves))
    moved = {row[0]: row[1:] for row in await cursor.fetchall()}
    return [moved.get(ordinal) for ordinal in range(1, len(moves) + 1)]


async def _run_advance_terms(
    connection: Connection, moves: Sequence[Move]
) -> Sequence[Written | Overtaken]:
    script, rows = advancing(moves, storing_wide), None
    async with connection.transaction():
        try:
            while True:
                cursor = await connection.execute(*script.send(rows))
                rows = await cursor.fetchall() if cursor.description else []
        except StopIteration as ended:
            answers: Sequence[Written | Overtaken] = ended.value
    return answers


async def _recover_advance_terms(
    connection: Connection, moves: Sequence[Move]
) -> Sequence[Written | None]:
    """A move that went elsewhere is not found: it runs again, and learns that it is overtaken."""
    cursor = await connection.execute(terms_sql.ADVANCED, params_of(moves))
    moved = {row[0]: row[1:] for row in await cursor.fetchall()}
    return [
        Written(move._replace(data=moved[ordinal][3]).events(*moved[ordinal][:3]), NO_OTHERS)
        if ordinal in moved
        else None
        for ordinal, move in enumerate(moves, start=1)
    ]


def budget_params() -> dict[str, Any]:
    rate = settings.ORDER_RATE_LIMIT
    return {
        "is_limited": rate is not None,
        "limit": rate.count if rate else 0,
        "kept": rate.count // KEPT_SHARE if rate else 0,
        "window": rate.seconds if rate else 0,
    }


def _accept_params(
    orders: Sequence[NewOrder],
    as_row: Callable[[NewOrder], dict[str, Any]] = NewOrder.as_row,
) -> dict[str, Any]:
    rows = [as_row(order) for order in orders]
    sent: Counter[int] = Counter()
    for row in rows:  # how many of the same sender are ahead of it in this statement
        row["behind"] = sent[row["sender"]]
        sent[row["sender"]] += 1
    return {"orders": orjson.dumps(rows).decode()}
