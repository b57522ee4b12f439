"""Answers a request whose session is no longer valid with 401, and deletes the cookie."""

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware

from orders.api.problems import as_response, is_database_away, problem
from orders.logins.sessions import NO_LONGER, SessionEnded, new_session, person_of

ASKED_BY_ANYBODY = ("/health", "/api/health", "/livez", "/readyz", "/metrics", "/favicon.ico")


@sync_and_async_middleware
def refuse_ended_sessions(get_response):  # type: ignore[no-untyped-def]  # two kinds, as Django wants it
    """Let requests pass that have no session or a valid one. It runs after Django's middleware."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> HttpResponseBase:
            if settings.SESSION_COOKIE_NAME in request.COOKIES:
                refused = await sync_to_async(refusal_of)(request)
                if refused is not None:
                    return refused
            answer: HttpResponseBase = await get_response(request)
            return answer

        return asynchronous

    def synchronous(request: HttpRequest) -> HttpResponseBase:
        answer: HttpResponseBase = refusal_of(request) or get_response(request)
        return answer

    return synchronous


def refusal_of(request: HttpRequest) -> HttpResponseBase | None:
    """Return the answer to a session that is no longer valid; None if it is valid or absent.

    A log-in or a logout begins anew. Beside an Authorization header, such a session counts as
    none: the API then goes by the key. Pages take no key, so there the request is anonymous. If the
    database does not answer, the first code that needs the person says so.
    """
    if request.path.rstrip("/") in ASKED_BY_ANYBODY:
        return None
    try:
        person_of(request)
    except SessionEnded:
        anew = (reverse("login"), reverse("logout"), reverse("admin:login"))
        if request.path in anew or "HTTP_AUTHORIZATION" in request.META:
            request.session, request.user = new_session(), AnonymousUser()
            return None
        return _refusal(request)
    except Error as error:
        if not is_database_away(error):
            raise
    return None


def _refusal(request: HttpRequest) -> HttpResponseBase:
    answer: HttpResponseBase
    if "text/html" in request.headers.get("Accept", ""):
        answer = render(request, "logins/ended.html", status=401)
    else:
        answer = as_response(problem(401, "not_authenticated", NO_LONGER))
    answer["WWW-Authenticate"] = 'Bearer realm="orders"'
    answer["Cache-Control"] = "no-store"
    return answer
