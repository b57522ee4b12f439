"""`GET /api/events`: the events of an account after a cursor, in pages that may be waited for.

For programs that keep no connection. While a request waits, it costs neither a thread nor a query:
the end of the log tells it that something has happened (`orders/streams/account_tail.py`).
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from asgiref.sync import sync_to_async

from config.runtime.session import answered_within
from orders.access.authentication import tell_of_limit
from orders.access.read_limits import allowance_of_read
from orders.api.base_views import ANSWER_SECONDS
from orders.api.following.door import Asked, Unknown
from orders.api.following.ending import Ending, Why, ending_of
from orders.api.pagination import DEFAULT_EVENTS, MAX_EVENTS, MAX_WAIT
from orders.api.problems import TOO_MANY_READS, TooManyRequests
from orders.api.reading.event_query import CHOICES, position_in, read_choice
from orders.api.reading.fields import refuse, whole_number
from orders.streams.account_log import Choice, Page, account_log_of_this_loop
from orders.streams.account_tail import Told, account_tail_of_this_loop
from orders.streams.cursor import Position

PARAMETERS = {*CHOICES, "cursor", "limit", "wait", "ticket"}
EVENTS_A_UNIT = 50
"""A page costs a unit of READ_RATE_LIMIT, and one for each so many events it may have."""
JSON = "application/json"
WITHDRAWN = "The credential of this request no longer holds."


class Wanted(NamedTuple):
    """What a page is asked for."""

    choice: Choice
    since: Position
    limit: int
    wait: int


async def answer_by_page(asked: Asked) -> None:
    """Answer with a page of events.

    :raises ValidationError, UnknownCursor, LogLost, TooManyRequests: the request is refused.
    :raises Unknown: its credential was withdrawn while it waited.
    :raises psycopg.Error, django.db.Error: the database does not answer.
    """
    query = asked.query(PARAMETERS)
    limit = number_in(query, "limit", DEFAULT_EVENTS, 1, MAX_EVENTS)
    wait = number_in(query, "wait", 0, 0, MAX_WAIT)
    await admit_read(asked, 1 + limit // EVENTS_A_UNIT)
    with answered_within(ANSWER_SECONDS):
        choice = await read_choice(query)
        since = await position_in(query, asked.owner)
    page = Page([], since, since)
    if "cursor" in query:
        wanted = Wanted(choice, since, limit, 0 if asked.is_head else wait)
        with ending_of(asked.scope, asked.receive, asked.principal) as ending:
            page = await first_page(asked.owner, wanted, ending)
        if ending.reason is Why.WITHDRAWN:
            raise Unknown(WITHDRAWN)
    await asked.answer(200, JSON, body_of(page))


def number_in(query: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """:raises ValidationError: it is no whole number in this range."""
    number = whole_number(query.get(name, str(default)), name)
    if not least <= number <= most:
        raise refuse(name, "out_of_range", f"From {least} to {most}.")
    return number


async def admit_read(asked: Asked, cost: int) -> None:
    """Count the request; its answer's headers say what the limit says.

    :raises TooManyRequests: the account reads too much.
    """
    client = (asked.scope.get("client") or ("",))[0]
    # The limit of reads is for threads. It visits one for a moment, and does not wait there.
    count = sync_to_async(allowance_of_read, thread_sensitive=False)
    allowance = await count(asked.principal, client, cost)
    if allowance is None:
        return
    asked.headers.update(allowance.headers())
    if allowance.wait:
        tell_of_limit("reads", asked.scope, asked.principal)
        raise TooManyRequests(allowance.wait, TOO_MANY_READS)


async def first_page(owner: int, wanted: Wanted, ending: Ending) -> Page:
    """Return what happened since a position, as soon as something has or the wait is over.

    :raises UnknownCursor, LogLost, psycopg.Error: it cannot be read.
    """
    page = await page_of(owner, wanted, wanted.since)
    if page.events or not page.is_whole or not wanted.wait:
        return page
    waiter = Waiter(owner, wanted.choice, page.position, page.seen or page.position)
    ending.why.add_done_callback(lambda _: waiter.news.set())
    ends_at = asyncio.get_running_loop().time() + wanted.wait
    await account_tail_of_this_loop().open(waiter)
    try:
        while await waiter.waits(ends_at):
            page = await page_of(owner, wanted, waiter.position)
            waiter.position, waiter.seen = page.position, page.seen or page.position
            if page.events or not page.is_whole or ending.reason is not None:
                return page
    finally:
        await account_tail_of_this_loop().close_reader(waiter)
    return Page([], waiter.position, waiter.position)


async def page_of(owner: int, wanted: Wanted, since: Position) -> Page:
    with answered_within(ANSWER_SECONDS):
        page = await account_log_of_this_loop().page(
            (owner,), since, wanted.limit, described=bool(wanted.choice)
        )
    return page._replace(events=[row for row in page.events if wanted.choice.takes(row.order)])


def body_of(page: Page) -> bytes:
    return orjson.dumps(
        {
            "events": [orjson.Fragment(row.event.as_text()) for row in page.events],
            "cursor": page.position.as_cursor(),
            "more": not page.is_whole,
        }
    )


class Waiter:
    """Waits at the end of an account's log. What happens, it reads from the log."""

    def __init__(self, owner: int, choice: Choice, position: Position, seen: Position) -> None:
        self.owner, self.choice, self.position, self.seen = owner, choice, position, seen
        self.news = asyncio.Event()

    async def waits(self, ends_at: float) -> bool:
        """Return whether there is something to read; False: there was nothing in time."""
        if not account_tail_of_this_loop().join(self):
            return True
        try:
            async with asyncio.timeout_at(ends_at):  # and no query, which would cost a connection
                await self.news.wait()
        except TimeoutError:
            return False
        self.news.clear()
        return True

    def hear(self, told: Told) -> bool:
        self.news.set()
        return False

    def reach(self, seen: Position, last: int) -> None:
        self.seen = seen
        self.position = seen.up_to(max(last, self.position.following - 1))

    def fall_behind(self) -> None:
        self.news.set()

    def wait(self) -> None:
        """The database does not answer: it may again before the request's time is up."""
