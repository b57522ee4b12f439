"""Follows an order from the command line: it reads the log as streams do, with or without hints."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.core.management.base import CommandError
from django.db import Error

from config.runtime.per_loop import close_all
from orders.api.problems import is_database_away
from orders.api.related import related, trail_of
from orders.engine.triggers.last_prices import last_tick
from orders.events import Event, group_of
from orders.lifecycle import Status
from orders.management.resting_words import Prices, waiting_words
from orders.management.telling import Telling
from orders.models import Order
from orders.representation import order_as_json
from orders.streams.followers import LAYER_FAULTS, Hint, followers_of_this_loop
from orders.streams.resync import RESYNC_SECONDS, streams_of_this_loop
from routing.registry import look_up

logger = logging.getLogger(__name__)

FAILED, BAD_INPUT, NO_ENGINE, NOT_KNOWN, INTERRUPTED = 1, 2, 3, 4, 130
"""The exit codes of commands that did not see an order confirmed."""

Found = TypeVar("Found")


def run(work: Coroutine[Any, Any, Found], known: Callable[[], str] = str) -> Found:
    """Run a coroutine that uses the engine's connections, and close them.

    :raises CommandError: the database does not answer, or Ctrl-C was pressed. The message has
        what is `known` by then.
    """

    async def run_and_close() -> Found:
        try:
            return await work
        finally:
            await close_all()
            await layer_of_this_process().flush()

    with engine_needed(known):
        try:
            return asyncio.run(run_and_close())
        except KeyboardInterrupt:
            text = f"Stopped. {known() or 'The order goes on.'}"
            raise CommandError(text, returncode=INTERRUPTED) from None


@contextmanager
def engine_needed(known: Callable[[], str] = str) -> Iterator[None]:
    """If the database is away, tell the user that and what is `known` by then.

    :raises CommandError: the database does not answer.
    """
    try:
        yield
    except (psycopg.Error, Error) as error:
        if not is_database_away(error):
            raise
        text = f"The database does not answer. {known()}".strip()
        raise CommandError(
            f"{text} Is the engine running (`make up`), or DATABASE_URL right?"
            f" It says: {str(error).strip()}",
            returncode=NO_ENGINE,
        ) from None


async def follow(order_id: str, after: int = 0) -> AsyncIterator[Event]:
    """Yield the order's events after this seq, to the final one.

    Hints only wake it up. So a lost hint costs a second.

    :raises UnknownOrder: there is no such order.
    :raises psycopg.Error: the database does not answer.
    """
    hints = Hints(order_id)
    await hints.listen()
    seq = after
    while True:
        for event in await streams_of_this_loop().history(order_id, seq, is_operator=True):
            yield event
            seq = event.seq
            if event.is_final:
                return
        await hints.wait()


async def follow_and_tell(order_id: str, telling: Telling, after: int = 0) -> Event | None:
    """Tell the order's events after this seq, and what it waits for while it rests.

    Returns the final event; None if that is no later one.

    :raises UnknownOrder: there is no such order.
    :raises psycopg.Error, django.db.Error: the database does not answer.
    """
    event = None
    async with telling.counting():
        async for event in follow(order_id, after):
            telling.tell(event)
            if event.status is Status.OPEN and not telling.as_json:
                telling.say(await standing_words(event))
    return event


async def standing_words(event: Event) -> str:
    """Return what the order waits for; empty if more has happened since this event."""
    order = await Order.objects.aget(pk=event.order_id)
    if order.seq != event.seq:
        return ""
    tick = await last_tick(pair_of(order))
    prices = Prices() if tick is None else Prices(tick.bid, tick.ask, tick.reference)
    return waiting_words(await sync_to_async(_as_shown)(order), prices)


def _as_shown(order: Order) -> dict[str, Any]:
    return order_as_json(order) | related([order])[order.id] | trail_of(order)


def pair_of(order: Order) -> str:
    """Return the pair whose ticks an order watches."""
    return look_up(
        lambda known: known.market_of_order(known.token(order.base), known.token(order.quote))
    ).pair


async def last_event(order_id: str) -> Event:
    """:raises UnknownOrder: there is no such order."""
    return (await streams_of_this_loop().history(order_id, 0, is_operator=True))[-1]


class Hints:
    """The hints of one order, as long as Redis gives any."""

    def __init__(self, order_id: str) -> None:
        self._order_id = order_id
        self._came = asyncio.Event()

    async def listen(self) -> None:
        try:
            async with asyncio.timeout(RESYNC_SECONDS):
                await followers_of_this_loop().join(group_of(self._order_id), self)
        except LAYER_FAULTS as error:
            logger.info("no hints: %s", error)

    def hear(self, hint: Hint) -> None:
        self._came.set()

    async def wait(self) -> None:
        """Return at the next hint, or after a second."""
        try:
            async with asyncio.timeout(RESYNC_SECONDS):
                await self._came.wait()
        except TimeoutError:
            pass
        self._came.clear()


def layer_of_this_process() -> Any:
    return get_channel_layer()


def check_outcome(*last: Event, was_told: bool = True) -> None:
    """Look at the last event of an order, or at those of a group, of which one is to be filled.

    :raises CommandError: none was confirmed. The message says how they ended; why they did, only if
        no line of theirs told it.
    """
    if any(event.status is Status.CONFIRMED for event in last):
        return
    ends = [
        f"Order {event.order_id} is {event.status}" + ("." if was_told else f": {event.message}")
        for event in last
    ]
    raise CommandError("\n".join(ends), returncode=FAILED)
