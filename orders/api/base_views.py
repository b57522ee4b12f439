"""DRF views whose errors are problem details, and one kind whose handlers are coroutines."""

import inspect
from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.runtime.session import answered_within
from orders.access.authentication import (
    authenticate_program,
    client_of,
    principal_of,
    tell_of_limit,
)
from orders.access.read_limits import allowance_of_read
from orders.api.problems import CONTENT_TYPE, TOO_MANY_READS, TooManyRequests
from orders.events import timestamp

KEY_ENDS = "API-Key-Expires"
"""In each answer to a key that expires soon."""
ANSWER_SECONDS = 2.0
"""What PostgreSQL has of a request's time, in all. The rest of the 2.5 s is ours."""


class ProblemAPIView(APIView):
    """Marks errors as `application/problem+json` where JSON is asked for."""

    read_cost = 1
    """What a GET costs of READ_RATE_LIMIT; 0: it is not counted."""
    about: str | None = None
    """The template of what the view's page teaches, above its answer."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer in time, pages as well, whatever the database does."""
        with answered_within(ANSWER_SECONDS):
            return page_rendered(super().dispatch(request, *args, **kwargs))

    def check_throttles(self, request: Request) -> None:
        """Count what is read.

        :raises TooManyRequests: it was too much.
        """
        cost = self.cost_of(request) if request.method in ("GET", "HEAD") else 0
        if cost == 0:
            return
        principal = principal_of(request)
        allowance = allowance_of_read(principal, client_of(request), cost)
        if allowance is None:
            return
        self.headers |= allowance.headers()
        if allowance.wait:
            tell_of_limit("reads", request, principal)
            raise TooManyRequests(allowance.wait, TOO_MANY_READS)

    def cost_of(self, request: Request) -> int:
        return self.read_cost

    def get_view_description(self, html: bool = False) -> str:
        if not (html and self.about):
            return super().get_view_description(html)
        request: Any = self.request
        told = {"answer": self.response.data, **self.kwargs}
        return render_to_string(self.about, told, request=request._request)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers["X-Content-Type-Options"] = "nosniff"
        if (ends_at := getattr(getattr(request, "_auth", None), "ends_at", None)) is not None:
            final.headers[KEY_ENDS] = timestamp(ends_at)
        if final.exception and is_json(final):
            final.content_type = CONTENT_TYPE
        return final


class AsyncAPIView(ProblemAPIView):
    """DRF's `APIView.dispatch` as a coroutine; its JSON answers never visit a thread."""

    read: Callable[[Request], Response] | None = None
    """Answers a GET in a thread."""

    async def dispatch(  # type: ignore[override]  # Django awaits it
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        self.headers: dict[str, str] = self.default_response_headers
        self.request = wrapped = self.initialize_request(request, *args, **kwargs)
        with answered_within(ANSWER_SECONDS):
            response = await self._answer(request, wrapped, *args, **kwargs)
            self.response = self.finalize_response(wrapped, response, *args, **kwargs)
            if is_json(self.response):
                return plain(self.response)
            return await sync_to_async(page_rendered)(self.response)

    async def _answer(
        self, request: HttpRequest, wrapped: Request, *args: Any, **kwargs: Any
    ) -> Response:
        try:
            if hasattr(request, "session"):  # read it, hence the database, in a thread
                answer = await sync_to_async(self._begin)(wrapped, *args, **kwargs)
                if answer is not None:
                    return answer
            else:
                await authenticate_program(wrapped)
                self.initial(wrapped, *args, **kwargs)
            return await self._handled(wrapped, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # as DRF: bugs rise again from there
            return self.handle_exception(error)

    def _begin(self, request: Request, *args: Any, **kwargs: Any) -> Response | None:
        """Admit the request, and answer it if that takes no more than to read the database."""
        self.initial(request, *args, **kwargs)
        read = self.read if request.method in ("GET", "HEAD") else None
        return read(request) if read else None

    async def _handled(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        name = (request.method or "").lower()
        handler = getattr(self, name, None) if name in self.http_method_names else None
        response = (handler or self.http_method_not_allowed)(request, *args, **kwargs)
        found: Response = await response if inspect.isawaitable(response) else response
        return found


def is_json(response: Response) -> bool:
    renderer = getattr(response, "accepted_renderer", None)
    return renderer is not None and renderer.format == "json"


def is_for_programs(request: Request) -> bool:
    """Whether the answer will be JSON by itself, and not on a page for people."""
    return str(request.accepted_renderer.format) == "json"


def page_rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Render a page here, where the request's deadline holds; Django would after the view."""
    return response.render() if isinstance(response, Response) else response


def plain(response: Response) -> Response:
    """Render JSON here: what can still be rendered, Django takes to a thread."""
    response.render()
    response.render = None  # type: ignore[assignment]  # Django asks whether it can be called
    response.headers["Content-Length"] = str(len(response.content))
    return response
