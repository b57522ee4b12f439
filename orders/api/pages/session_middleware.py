"""Answers a request whose session is no longer valid with 401, and deletes the cookie."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from orders.api.pages.errors import is_for_people
from orders.api.problems import as_response, is_database_away, problem
from orders.logins.sessions import NO_LONGER, SessionEnded, new_session, person_of

Answer = Callable[[HttpRequest], HttpResponseBase]
ASKED_BY_ANYBODY = ("/health", "/api/health", "/livez", "/readyz", "/metrics", "/favicon.ico")


def refuse_ended_sessions(get_response: Answer) -> Answer:
    """Let requests pass that have no session or a valid one. It runs after Django's middleware."""

    def held(request: HttpRequest) -> HttpResponseBase:
        has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
        refused = refusal_of(request) if has_session else None
        return refused or get_response(request)

    return held


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
    if is_for_people(request.headers.get("Accept", "")):
        answer = render(request, "logins/ended.html", status=401)
    else:
        answer = as_response(problem(401, "not_authenticated", NO_LONGER))
    answer["WWW-Authenticate"] = 'Bearer realm="orders"'
    answer["Cache-Control"] = "no-store"
    return answer
