"""Django's ASGI handler, and a shorter way through it for clients that send orders and for probes.

The stock way costs a request four hops through a thread, and a new thread pool. They serve
sessions, signals and old connections, which order entry never has, and take three quarters of its
time. The short way is for requests that have no sign of a person (no cookie, no wish for HTML) and
a Host that is written as Django reads it. Everything else, and every other path, goes the stock
way. Probes go the short way because a prober calls us by whatever address it knows, and the stock
way refuses an address that is not in ALLOWED_HOSTS. The short way, too, refuses a name that is not
ours: a site could point that name at this machine.

Whoever makes the handler may give a function that answers orders without Django's requests and
responses (`answer`). It is asked first, and what it leaves goes through Django.
"""

import io
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, set_script_prefix

from config.http.door import STRANGE_HOST, is_by_address, is_served

USUAL_HOST = re.compile(rb"[A-Za-z0-9.-]+(:[0-9]+)?").fullmatch


class Answer(NamedTuple):
    """A whole answer, as a server writes it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


Answering = Callable[[Any, bytes], Awaitable[Answer | None]]
"""What may answer a request, given its scope and its body; None: it leaves it to Django."""


class EntryHandler(ASGIHandler):
    """Serves `paths` to API clients, and `probes` to everybody, without middleware or signals.

    The rest goes to `stock`. `answer` may answer what is sent to `paths`, and returns None if not.

    A client that hangs up is not listened for here: an order that was sent is stored.
    """

    def __init__(
        self,
        stock: Any,
        paths: frozenset[str],
        probes: frozenset[str] = frozenset(),
        answer: Answering | None = None,
    ) -> None:
        super().__init__()
        self._stock = stock
        self._answer = answer
        self._paths = paths
        self._probes = probes
        self._views: dict[str, ResolverMatch] = {}

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(
            self._get_response_async  # type: ignore[attr-defined]  # missing in the stubs
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        is_entry = scope["method"] == "POST" and path in self._paths and is_api_client(scope)
        is_probe = path in self._probes
        if is_probe and not (is_served(scope) or is_by_address(scope)):
            await STRANGE_HOST.send(send, receive)
        elif is_entry or is_probe:
            await self._handle(scope, receive, send, self._answer if is_entry else None)
        else:
            await self._stock(scope, receive, send)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the view of one of our few paths, which is the same each time."""
        view = self._views.get(request.path_info)
        if view is None:
            view = self._views[request.path_info] = super().resolve_request(request)
        request.resolver_match = view
        return view

    async def send_response(self, response: HttpResponseBase, send: Any) -> None:
        """Send an answer in one piece; none of these has cookies."""
        if response.streaming or response.cookies:
            await super().send_response(response, send)
            return
        headers = [
            (name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()
        ]
        content: bytes = response.content  # type: ignore[attr-defined]  # as it does not stream
        await send_whole(Answer(response.status_code, headers, content), send)

    async def _handle(self, scope: Any, receive: Any, send: Any, answer: Answering | None) -> None:
        try:
            body = await whole_body(receive)
        except RequestAborted:
            return
        chain: Any = self._middleware_chain
        if answer is not None:
            try:
                found = await answer(scope, body)
            except Exception as error:  # noqa: BLE001  # it rises again, where Django answers bugs
                chain = convert_exception_to_response(_raising(error))
            else:
                if found is not None:
                    await send_whole(found, send)
                    return
        set_script_prefix(settings.FORCE_SCRIPT_NAME or "/")
        with io.BytesIO(body) as stream:
            request, refusal = self.create_request(scope, stream)
            response = await chain(request) if request is not None else refusal
            await self.send_response(response, send)  # type: ignore[arg-type]  # one is not None


def _raising(error: Exception) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    async def view(_: HttpRequest) -> HttpResponseBase:
        raise error

    return view


async def whole_body(receive: Any) -> bytes:
    """Read a body; `limit_body` has checked its size.

    :raises RequestAborted: the client has gone.
    """
    pieces, has_more = [], True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        pieces.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    return b"".join(pieces)


async def send_whole(answer: Answer, send: Any) -> None:
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})


def is_api_client(scope: Any) -> bool:
    """Whether the request shows no sign of a person with a browser, and no unusual Host."""
    for name, value in scope["headers"]:
        if name == b"cookie" or (name == b"accept" and b"text/html" in value):
            return False
        if name == b"host" and not USUAL_HOST(value):
            return False
    return True
