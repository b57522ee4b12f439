"""Errors as pages for people, on every path. Programs get problem details.

Inside Django, where it is known who asks, the middleware makes the page. What is refused before
Django, or outside of its middleware, is made a page on its way out, by `with_error_pages`. Both
turn the problem itself into the page, so that both say the same.
"""

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from config.http.body_limit import Application
from config.http.refusal import Message, Receive, Send
from orders.api.problems import (
    CONTENT_TYPE,
    Problem,
    as_response,
    encode_json,
    is_database_away,
    problem,
)

HTML = "text/html; charset=utf-8"
POLICY = b"default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
"""Of the pages that Django's middleware never sees."""
WORDLESS = {405: ("method_not_allowed", "Method not allowed here.")}
"""The code and the words of answers that Django gives without any."""

HEADINGS = {
    400: "This cannot be read",
    401: "Log in first",
    403: "Not allowed",
    404: "Nothing is here",
    405: "Not served this way",
    413: "Too large",
    429: "Too many at once",
    500: "Something broke on our side",
    503: "Not at this moment",
}

Answer = Callable[[HttpRequest], HttpResponseBase]


QUALITY = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)")


def is_for_people(accept: str) -> bool:
    """Whether who sends this `Accept` looks at pages, and prefers them to JSON."""
    asked = dict.fromkeys(("text/html", "application/json", "application/problem+json"), 0.0)
    for part in accept.lower().split(","):
        kind, _, options = part.partition(";")
        if (kind := kind.strip()) in asked:
            found = QUALITY.search(options)
            asked[kind] = float(found[1]) if found else 1.0
    html, *json = asked.values()
    return html > 0 and html >= max(json)


def tell_people(get_response: Answer) -> Answer:
    """Have Django's middleware answer errors with pages for people, and with words for programs."""

    def told(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code < 400 or not isinstance(response, HttpResponse):
            return response
        found = problem_in(response.status_code, response.get("Content-Type", ""), response.content)
        if found is None:
            return response
        if is_for_people(request.headers.get("Accept", "")):
            response.content = error_page(found, request)
            response["Content-Type"] = HTML
        else:
            response.content = encode_json(found)
            response["Content-Type"] = CONTENT_TYPE
        patch_vary_headers(response, ["Accept"])
        return response

    return told


def with_error_pages(application: Application) -> Application:
    """Wrap an ASGI application of HTTP: what it refuses is a page for people."""

    async def wrapped(scope: Message, receive: Receive, send: Send) -> None:
        told = Told(send, for_people=wants_page(scope))
        await application(scope, receive, told.send)

    return wrapped


class Told:
    """Passes an answer on. An error that has to be worded otherwise waits until it is whole."""

    def __init__(self, send: Send, *, for_people: bool) -> None:
        self._send, self._for_people = send, for_people
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._has_to_wait(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._tell(self._start)

    def _has_to_wait(self, start: Message) -> bool:
        if start["status"] < 400:
            return False
        said = headers_of(start)
        is_problem = said.get(b"content-type", b"").startswith(CONTENT_TYPE.encode())
        return (self._for_people and is_problem) or said.get(b"content-length", b"0") == b"0"

    async def _tell(self, start: Message) -> None:
        said = headers_of(start)
        kind = said.pop(b"content-type", b"").decode("latin-1")
        found = problem_in(start["status"], kind, self._body)
        if found is not None:
            kind = HTML if self._for_people else CONTENT_TYPE
            self._body = (error_page(found) if self._for_people else encode_json(found)).encode()
            said.setdefault(b"content-security-policy", POLICY)
            said.setdefault(b"vary", b"Accept")
        said |= {b"content-type": kind.encode(), b"content-length": str(len(self._body)).encode()}
        cookies = [line for line in start["headers"] if line[0].lower() == b"set-cookie"]
        await self._send({**start, "headers": [*said.items(), *cookies]})
        await self._send({"type": "http.response.body", "body": self._body})


def headers_of(start: Message) -> dict[bytes, bytes]:
    """Return the headers of an answer, but for its cookies: there may be several."""
    said = {name.lower(): value for name, value in start["headers"]}
    said.pop(b"set-cookie", None)
    return said


def wants_page(scope: Message) -> bool:
    return any(
        is_for_people(value.decode("latin-1"))
        for name, value in scope["headers"]
        if name == b"accept"
    )


def problem_in(status: int, content_type: str, body: bytes) -> Problem | None:
    """Return the problem that an answer tells or should tell; None if it says enough itself."""
    if content_type.startswith(CONTENT_TYPE):
        found: Problem = json.loads(body)
        return found
    if b"<" in body or not content_type.startswith("text/html"):  # else at most a status line
        return None
    code, words = WORDLESS.get(status, ("bad_request", HTTPStatus(status).phrase + "."))
    return problem(status, code, words)


def error_page(found: Problem, request: HttpRequest | None = None) -> str:
    """Return the page that tells a problem, and to whom, if that is known."""
    knows_who = request is not None and found["status"] < 500
    context = found | {"heading": HEADINGS.get(found["status"], found["title"])}
    try:
        return render_to_string("orders/error.html", context, request if knows_who else None)
    except Exception as error:
        if not knows_who or not is_database_away(error):
            raise
        return render_to_string("orders/error.html", context)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form without the token of one of our pages (CSRF_FAILURE_VIEW)."""
    text = (
        "This form was open for too long, or was not sent from a page of this engine. Nothing was"
        " done. Go back, load the page anew, and send it again."
    )
    return as_response(problem(403, "permission_denied", text))


def permission_denied(request: HttpRequest, exception: Any) -> HttpResponse:
    """Answer a person whose account may not do this (Django's handler403)."""
    return as_response(problem(403, "permission_denied", "Your account may not do this."))
