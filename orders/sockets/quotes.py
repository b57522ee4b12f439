"""`/ws/quotes`: what an amount would get, once a second as long as it changes."""

import asyncio
import logging
from typing import Any

from rest_framework.exceptions import ValidationError

from orders.access.admission import name_of
from orders.access.authentication import tell_of_limit
from orders.access.preview_limits import MOST_STREAMS, allowance_of_preview, quote_streams
from orders.api.preview import quote_of
from orders.api.problems import (
    TOO_MANY_PREVIEWS,
    DatabaseUnavailable,
    invalid_fields,
    problem,
    problem_of,
    refusal,
    too_many_requests,
)
from orders.api.quote_views import QUOTE_FIELDS, quote_as_json, read_quote
from orders.engine.quotes import NotQuoted, Quoted
from orders.engine.submission import OrderRequest
from orders.sockets.protocol import DATABASE_ERRORS, Close, Socket, encode_json

logger = logging.getLogger(__name__)

FRAME_SECONDS = 1.0


class QuoteStream(Socket):
    """Sends the first quote at once, and each one that differs from the last one sent."""

    asked: OrderRequest
    _place = ""
    _clock: asyncio.Task[None] | None = None
    _seq = 0
    _last: Quoted | None = None
    _is_away = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._clock is not None:
                self._clock.cancel()
            if self._place:
                quote_streams.give(self._place)

    async def connect(self) -> None:
        await self.admit()
        await self.check_query({*QUOTE_FIELDS, "ticket"})
        await self.identify()
        await self._take_place()
        await self._count()
        try:
            self.asked = await read_quote(self.query())
        except ValidationError as refused:
            await self.end(Close.JUNK, invalid_fields(refused))
        except DATABASE_ERRORS:
            await self.end(Close.TRY_AGAIN_LATER, problem_of(DatabaseUnavailable()))
        self._clock = asyncio.create_task(self._ask_each_second())

    async def handle_frame(self, frame: dict[str, Any]) -> None:
        detail = "This socket only tells quotes; send orders to /api/orders/execute."
        await self.say_problem(problem(400, "unexpected_frame", detail))

    async def quote_due(self, nudge: dict[str, Any]) -> None:
        """Send the quote if it changed; say once if there is none."""
        try:
            quoted = await quote_of(self.asked)
        except NotQuoted as away:
            if not self._is_away:
                self._is_away, self._last = True, None
                await self.say_problem(refusal(away) or {})
            return
        self._is_away = False
        if quoted.is_as(self._last):
            return
        self._last, self._seq = quoted, self._seq + 1
        frame = {"type": "quote", "seq": self._seq} | quote_as_json(self.asked, quoted)
        await self.say(encode_json(frame))

    async def _ask_each_second(self) -> None:
        """Remind the socket once a second, all sockets of the process at the same moments."""
        clock = asyncio.get_running_loop().time
        while True:
            if self.nudges.empty():
                self.nudges.put_nowait({"type": "quote.due"})
            await asyncio.sleep(FRAME_SECONDS - clock() % FRAME_SECONDS)

    async def _take_place(self) -> None:
        client = (self.scope.get("client") or ("",))[0]
        name = name_of(self.principal, client)
        if not quote_streams.take(name, MOST_STREAMS):
            tell_of_limit("quotes", self.scope, self.principal)
            detail = f"At most {MOST_STREAMS} streams of quotes at a time: close one."
            await self.end(Close.TOO_MUCH, problem(429, "too_many_quotes", detail))
        self._place = name

    async def _count(self) -> None:
        client = (self.scope.get("client") or ("",))[0]
        allowance = await allowance_of_preview(self.principal, client)
        if allowance is not None and allowance.wait:
            tell_of_limit("previews", self.scope, self.principal)
            found = too_many_requests(allowance.wait, TOO_MANY_PREVIEWS)
            await self.end(Close.TOO_MUCH, found)
