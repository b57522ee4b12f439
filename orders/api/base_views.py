"""DRF views whose errors are problem details, and one class whose handlers are coroutines."""

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
"""A header in each answer to a key that expires soon."""
ANSWER_SECONDS = 2.0
"""PostgreSQL's part of a request's time, in all. The rest of the 2.5 s is ours."""


class ProblemAPIView(APIView):
    """Marks errors as `application/problem+json` when JSON is asked for."""

    read_cost = 1
    """The cost of a GET in units of READ_RATE_LIMIT; 0: it is not counted."""
    about: str | None = None
    """The template of the text on the view's page, above its answer."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer in time, whatever the database does. This holds for pages as well."""
        with answered_within(ANSWER_SECONDS):
            return render_page(super().dispatch(request, *args, **kwargs))

    def check_throttles(self, request: Request) -> None:
        """Count a reading request.

        :raises TooManyRequests: the client reads too much.
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
        context = {"answer": self.response.data, **self.kwargs}
        return render_to_string(self.about, context, request=request._request)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        final.headers["X-Content-Type-Options"] = "nosniff"
        if (ends_at := getattr(getattr(request, "_auth", None), "ends_at", None)) is not None:
            final.headers[KEY_ENDS] = timestamp(ends_at)
        if isinstance(final, Response) and final.exception and is_json(final):
            final.content_type = CONTENT_TYPE
        return final


class AsyncAPIView(ProblemAPIView):
    """DRF's `APIView.dispatch` as a coroutine. Its JSON answers use no thread."""

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
                return render_json(self.response)
            return await sync_to_async(render_page)(self.response)

    async def _answer(
        self, request: HttpRequest, wrapped: Request, *args: Any, **kwargs: Any
    ) -> Response:
        try:
            if hasattr(request, "session"):  # reads the session, hence the database, in a thread
                answer = await sync_to_async(self._begin)(wrapped, *args, **kwargs)
                if answer is not None:
                    return answer
            else:
                await authenticate_program(wrapped)
                self.initial(wrapped, *args, **kwargs)
            return await self._handle(wrapped, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  # as in DRF, whose handler raises bugs again
            return self.handle_exception(error)

    def _begin(self, request: Request, *args: Any, **kwargs: Any) -> Response | None:
        """Admit the request, and answer it if that takes no more than to read the database."""
        self.initial(request, *args, **kwargs)
        read = self.read if request.method in ("GET", "HEAD") else None
        return read(request) if read else None

    async def _handle(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        name = (request.method or "").lower()
        handler = getattr(self, name, None) if name in self.http_method_names else None
        response = (handler or self.http_method_not_allowed)(request, *args, **kwargs)
        answer: Response = await response if inspect.isawaitable(response) else response
        return answer


def is_json(response: Response) -> bool:
    renderer = getattr(response, "accepted_renderer", None)
    return renderer is not None and renderer.format == "json"


def is_for_programs(request: Request) -> bool:
    """Whether the answer is plain JSON, and not a page for people."""
    return str(request.accepted_renderer.format) == "json"


def render_page(response: HttpResponseBase) -> HttpResponseBase:
    """Render a page here, within the request's deadline. Django would render it after the view."""
    return response.render() if isinstance(response, Response) else response


def render_json(response: Response) -> Response:
    """Render JSON here. Django would render it in a thread."""
    response.render()
    response.render = None  # type: ignore[assignment]  # Django asks whether it can be called
    response.headers["Content-Length"] = str(len(response.content))
    return response
