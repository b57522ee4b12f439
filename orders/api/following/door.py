"""Answers GETs of an account's events before Django, which would keep a thread for each.

A request is admitted as a socket is: its Host, a place of its address, its credential, a place of
its account. What is wrong before an answer has begun is said by a status.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson
from django.conf import settings
from rest_framework.exceptions import AuthenticationFailed

from config.http.door import (
    STRANGE_HOST,
    TOO_MANY_SOCKETS,
    Place,
    is_served,
    place_of_address,
)
from config.http.refusal import Message, Receive, Send
from config.http.security_log import tell
from config.http.socket_origin import scheme_of
from config.runtime.counters import counts
from config.runtime.session import answered_within
from orders.access.accounts import NotAuthenticated, Principal
from orders.access.authentication import (
    CHALLENGE,
    WHO_ARE_YOU,
    authenticate_socket,
    check_scope,
    tell_of_limit,
)
from orders.access.keys import READ
from orders.api.base_views import ANSWER_SECONDS, KEY_ENDS
from orders.api.filters import check_query
from orders.api.problems import AWAY, CONTENT_TYPE, Problem, answer_to, problem
from orders.events import timestamp

logger = logging.getLogger(__name__)

SAFE = frozenset(("GET", "HEAD"))


class Asked(NamedTuple):
    """A request that was admitted."""

    scope: Message
    receive: Receive
    send: Send
    principal: Principal
    owner: int
    given: dict[str, list[str]]
    headers: dict[str, str]
    """Of the answer, whatever it is."""

    @property
    def is_head(self) -> bool:
        return bool(self.scope["method"] == "HEAD")

    def query(self, known: set[str]) -> dict[str, str]:
        """Return the query's parameters.

        :raises ValidationError: there are others than these, empty ones, or the same twice.
        """
        check_query(self.given.items(), known)
        return {name: values[-1] for name, values in self.given.items()}

    async def start(self, status: int, headers: dict[str, str]) -> None:
        lines = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in (
                {"X-Content-Type-Options": "nosniff"} | self.headers | headers
            ).items()
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": lines})

    async def answer(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        """Send a whole answer."""
        about = {"Content-Type": content_type, "Content-Length": str(len(body))}
        await self.start(status, about | {"Cache-Control": "no-store"} | headers)
        await self.send({"type": "http.response.body", "body": body})


Answering = Callable[[Asked], Awaitable[None]]
"""How a path answers. What it raises is answered by a status, so it has begun nothing then."""


class Unknown(AuthenticationFailed):
    """No account is known to ask: there is no credential, or it does not hold."""

    default_code = "not_authenticated"
    auth_header = CHALLENGE


class Full(Exception):
    """All places of the address, or of the account, are taken."""


class EventsDoor:
    """Serves GET and HEAD on some paths; the rest goes to `stock`."""

    def __init__(self, stock: Any, *served: tuple[Iterable[str], Answering]) -> None:
        self._stock = stock
        self._served = {path: answering for paths, answering in served for path in paths}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        answering = self._served.get(scope["path"])
        if answering is None or scope["method"] not in SAFE or is_sent_elsewhere(scope):
            await self._stock(scope, receive, send)
        elif not is_served(scope):
            await STRANGE_HOST.send(send, receive)
        else:
            await self._answer(answering, scope, receive, send)

    async def _answer(
        self, answering: Answering, scope: Message, receive: Receive, send: Send
    ) -> None:
        headers: dict[str, str] = {}
        given = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        asked = Asked(scope, receive, send, Principal(), 0, given, headers)
        try:
            with place_of_address((scope.get("client") or ("",))[0]) as place:
                principal, owner = await admitted(scope, place)
                if principal.ends_at is not None:
                    headers[KEY_ENDS] = timestamp(principal.ends_at)
                await answering(asked._replace(principal=principal, owner=owner))
        except Full:
            await TOO_MANY_SOCKETS.send(send, receive)
        except Exception as error:  # noqa: BLE001  # a bug is logged, and answered as one
            await self._refuse(asked, error)

    async def _refuse(self, asked: Asked, error: Exception) -> None:
        told, headers = said_of(error, asked.scope["path"])
        await asked.answer(told["status"], CONTENT_TYPE, orjson.dumps(told), **headers)


def said_of(error: Any, path: str) -> tuple[Problem, dict[str, str]]:
    """Return the problem of what was raised, and its headers. A bug is logged."""
    found = answer_to(error, lambda: AWAY)
    if found is None:
        logger.error("Internal Server Error: %s", path, exc_info=error)
        return problem(500, "internal_error", "Something broke on our side."), {}
    return found


def is_sent_elsewhere(scope: Message) -> bool:
    """Whether Django answers with the same path by https."""
    return settings.SECURE_SSL_REDIRECT and scheme_of(scope) == "http"


async def admitted(scope: Message, place: Place) -> tuple[Principal, int]:
    """Return for which account the request acts; it has the account's place from now on.

    :raises Full: all places are taken.
    :raises Unknown, InsufficientScope: it may not.
    :raises psycopg.Error: the database does not answer.
    """
    if not place.is_free:
        counts["sockets_refused"] += 1
        tell("limit_hit", scope, limit="sockets")
        raise Full
    with answered_within(ANSWER_SECONDS):
        try:
            principal = await authenticate_socket(scope)
        except NotAuthenticated as refused:
            raise Unknown(str(refused)) from None
    if principal.owner is None:
        raise Unknown(WHO_ARE_YOU)
    check_scope(principal, READ)
    if not place.move(f"account:{principal.owner}"):
        counts["sockets_refused"] += 1
        tell_of_limit("sockets", scope, principal)
        raise Full
    return principal, principal.owner
