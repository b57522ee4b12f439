"""Django's ASGI handler, and a shorter way through it for clients that send orders and for probes.

The stock way costs a request four hops through a thread, and a new thread pool. They serve
sessions, signals and old connections, which order entry never has, and take three quarters of its
time. The short way is for requests that have no sign of a person (no cookie, no wish for HTML) and
a Host that is written as Django reads it. Everything else, and every other path, goes the stock
way. Probes go the short way because a prober calls us by whatever address it knows, and the stock
way refuses an address that is not in ALLOWED_HOSTS. The short way, too, refuses a name that is not
ours: a site could point that name at this machine.
"""

import io
import re
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch, set_script_prefix

from config.http.door import STRANGE_HOST, is_by_address, is_served

USUAL_HOST = re.compile(rb"[A-Za-z0-9.-]+(:[0-9]+)?").fullmatch


class EntryHandler(ASGIHandler):
    """Serves `paths` to API clients, and `probes` to everybody, without middleware or signals.

    The rest goes to `stock`.

    A client that hangs up is not listened for here: an order that was sent is stored.
    """

    def __init__(
        self, stock: Any, paths: frozenset[str], probes: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        self._stock = stock
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
            await self._handle_entry(scope, receive, send)
        else:
            await self._stock(scope, receive, send)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Return the view of one of our few paths, which is the same each time."""
        view = self._views.get(request.path_info)
        if view is None:
            view = self._views[request.path_info] = super().resolve_request(request)
        request.resolver_match = view
        return view

    async def read_body(self, receive: Any) -> io.BytesIO:
        """Read a body; `limit_body` has checked its size."""
        pieces, has_more = [], True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestAborted
            pieces.append(message.get("body", b""))
            has_more = message.get("more_body", False)
        return io.BytesIO(b"".join(pieces))

    async def send_response(self, response: HttpResponseBase, send: Any) -> None:
        """Send an answer in one piece; none of these has cookies."""
        if response.streaming or response.cookies:
            await super().send_response(response, send)
            return
        headers = [
            (name.encode("ascii"), value.encode("latin-1")) for name, value in response.items()
        ]
        start = {"type": "http.response.start", "status": response.status_code, "headers": headers}
        await send(start)
        content: bytes = response.content  # type: ignore[attr-defined]  # as it does not stream
        await send({"type": "http.response.body", "body": content})

    async def _handle_entry(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            set_script_prefix(settings.FORCE_SCRIPT_NAME or "/")
            request, refusal = self.create_request(scope, body)
            chain: Any = self._middleware_chain
            response = await chain(request) if request is not None else refusal
            await self.send_response(response, send)  # type: ignore[arg-type]  # one is not None


def is_api_client(scope: Any) -> bool:
    """Whether the request shows no sign of a person with a browser, and no unusual Host."""
    for name, value in scope["headers"]:
        if name == b"cookie" or (name == b"accept" and b"text/html" in value):
            return False
        if name == b"host" and not USUAL_HOST(value):
            return False
    return True
