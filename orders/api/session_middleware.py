"""Answers a request whose session no longer holds: with 401, and the cookie is taken away."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import Error
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from orders.api.problems import as_response, is_database_away, problem
from orders.logins.sessions import NO_LONGER, SessionEnded, new_session, person_of

Answer = Callable[[HttpRequest], HttpResponseBase]
ASKED_BY_ANYBODY = ("/health", "/api/health", "/livez", "/readyz", "/metrics", "/favicon.ico")


def held_sessions(get_response: Answer) -> Answer:
    """Let requests pass that have no session, or one that holds. Stands behind Django's own."""

    def held(request: HttpRequest) -> HttpResponseBase:
        has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
        refused = refusal_of(request) if has_session else None
        return refused or get_response(request)

    return held


def refusal_of(request: HttpRequest) -> HttpResponseBase | None:
    """Return the answer to a session that no longer holds; None: there is none, or it holds.

    Who logs in or out begins anew. Beside an Authorization header such a session is as none: a key
    counts then, and on pages, which take no key, nobody. Where the database does not answer,
    whoever asks for the person next is told so.
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
