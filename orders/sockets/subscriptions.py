"""WebSockets that only clients of other systems open, in their form: decimals are numbers.

Which paths these are, and why, stands in `orders/api/reading/dialects.py`.
"""

import logging
from typing import Any
from uuid import UUID

from orders.api.problems import DatabaseUnavailable, OrderNotFound, problem, problem_of
from orders.api.reading.dialects import ID_PARAMETERS, order_named_in, with_numbers, word_of
from orders.sockets.consumers import OrderEntry, OrderStream
from orders.sockets.protocol import DATABASE_ERRORS, Close, Ended
from orders.streams.resync import UnknownOrder

logger = logging.getLogger(__name__)

NOTHING_SECONDS = 60.0  # for which a socket may follow nothing
END_OF_LOG = 2**31 - 1  # after which no event is read
WHAT_TO_SEND = "Name one order: {'type': 'subscribe', 'orderId': '...'}."


class InNumbers:
    """Tells events with numbers instead of decimals."""

    form = staticmethod(with_numbers)


class NumberStream(InNumbers, OrderStream):
    """The stream of one order whose id is in the path."""


class Subscriptions(InNumbers, OrderEntry):
    """Follows the orders that messages name, many on one socket; or the one in the query."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._idle = None
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop_waiting()

    async def connect(self) -> None:
        await self.admit()
        named = [self.query()[name] for name in ID_PARAMETERS if name in self.query()]
        self._only_follows = bool(named)
        known = {*ID_PARAMETERS, "ticket"}
        await self.check_query(known | {"after"} if self._only_follows else known)
        await self._refuse_key()
        await self.identify()
        if len(named) > 1:
            detail = f"Give one of {' and '.join(ID_PARAMETERS)}."
            await self.end(Close.JUNK, problem(400, "invalid_request", detail))
        if named:
            await self.follow(named[0])
        else:
            self._wait_for_another(NOTHING_SECONDS)

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        named = order_named_in(frame)
        if word_of(frame) not in (None, "subscribe") or named is None:
            await self.say_problem(problem(400, "unknown_action", WHAT_TO_SEND))
            return
        try:
            await self.subscribe(str(UUID(named)) if isinstance(named, str) else "")
        except (ValueError, UnknownOrder):
            await self.say_problem(problem_of(OrderNotFound()))
        except DATABASE_ERRORS as error:
            logger.warning("an order cannot be followed: %s", error)
            await self.say_problem(problem_of(DatabaseUnavailable()))

    async def subscribe(self, order_id: str) -> None:
        """Follow an order from its beginning, unless this socket does already.

        The owner is checked before the group is joined. So no hint of another's order gets through.

        :raises UnknownOrder: there is none, or it is another's.
        :raises psycopg.Error: the database does not answer.
        """
        if order_id in self.watches:
            return
        await self.refuse_one_too_many()
        if not order_id:
            raise UnknownOrder
        await self.streams.history(order_id, END_OF_LOG, self.principal.owner)
        self._stop_waiting()
        await self._catch_up_if_possible(await self._join(order_id, 0))

    async def all_ended(self) -> None:
        if self._only_follows:
            raise Ended(Close.DONE)
        self._wait_for_another(NOTHING_SECONDS)
