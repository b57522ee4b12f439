"""Django's middlewares for pages, out of the way of API clients.

Sessions, CSRF tokens and messages belong to people with a browser. Each of these stock
middlewares hops through a thread twice a request, which costs an API client more than its whole
order entry. A request without cookies that does not want a page has no session to read and
nothing to forge, so it passes by.
"""

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware


def is_for_a_person(request: HttpRequest) -> bool:
    """Whether a browser asks: it has cookies, wants HTML, or is on the admin's pages."""
    return (
        "HTTP_COOKIE" in request.META
        or "text/html" in request.META.get("HTTP_ACCEPT", "")
        or request.path_info.startswith("/admin")
    )


class ForPeople:
    """Mixed into a stock middleware: others pass by without a thread."""

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_for_a_person(request):
            return await self.get_response(request)  # type: ignore[attr-defined,no-any-return]
        return await super().__acall__(request)  # type: ignore[misc,no-any-return]  # stock one


class PageSecurity(ForPeople, SecurityMiddleware):
    pass


class PageSession(ForPeople, SessionMiddleware):
    pass


class PageCsrf(ForPeople, CsrfViewMiddleware):
    async def process_view(  # type: ignore[override]  # async, so that Django adds no thread
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> HttpResponseBase | None:
        if not is_for_a_person(request):
            return None
        check = sync_to_async(super().process_view, thread_sensitive=True)
        return await check(request, callback, callback_args, callback_kwargs)


class PageAuthentication(ForPeople, AuthenticationMiddleware):
    pass


class PageMessages(ForPeople, MessageMiddleware):
    pass


class PageFrameOptions(ForPeople, XFrameOptionsMiddleware):
    pass
