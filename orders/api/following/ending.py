"""Why an answer that follows an account comes to its end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from functools import partial

from config.http.line import ignore, line_of
from config.http.refusal import Message, Receive
from orders.access.accounts import Principal, accounts_of_this_loop

GONE_SECONDS = 1.0  # from a cut connection to the word that it is lost


class Why(Enum):
    GONE = auto()
    """The client is not there any more."""
    WITHDRAWN = auto()
    """The credential no longer holds."""
    STOP = auto()
    """The server is to stop."""
    NO_MORE_INPUT = auto()
    """The client sends nothing more: it has gone, or it reads on."""


class Ending:
    """Learns that an answer is to end; the first reason counts."""

    def __init__(self, receive: Receive) -> None:
        self.why: asyncio.Future[Why] = asyncio.get_running_loop().create_future()
        self.hearing = asyncio.create_task(self._hear(receive))

    def end(self, why: Why) -> None:
        if not self.why.done():
            self.why.set_result(why)

    @property
    def reason(self) -> Why | None:
        return self.why.result() if self.why.done() else None

    async def wait_until_gone(self) -> None:
        await asyncio.wait((self.hearing,), timeout=GONE_SECONDS)

    async def _hear(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(Why.GONE)


@contextmanager
def ending_of(
    scope: Message, receive: Receive, principal: Principal, *, reads_on: bool = False
) -> Iterator[Ending]:
    """Return what learns of the ending of the answer to a request.

    `reads_on`: a client that sends nothing more is told as before. If it has gone, that is noticed
    when something is written.
    """
    ending = Ending(receive)
    withdraw = partial(ending.end, Why.WITHDRAWN)
    stop = partial(ending.end, Why.STOP)
    no_more = ignore if reads_on else partial(ending.end, Why.NO_MORE_INPUT)
    line = line_of(scope)
    line.notice_silence()
    accounts_of_this_loop().watch(principal, withdraw)
    try:
        with line.telling(at_stop=stop, at_end_of_input=no_more):
            yield ending
    finally:
        ending.hearing.cancel()
        del ending.hearing  # a circle, which would wait for the collector
        accounts_of_this_loop().unwatch(principal, withdraw)
