"""Errors are pages for people and problem details for programs, on every path."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from orders.api.pages import errors
from tests.support.client import HOST, Answer, get, request

pytestmark = pytest.mark.usefixtures("engine_loop")

BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PROGRAM = {"accept": "application/json"}
FORM = "application/x-www-form-urlencoded"
GROUPS = {"order_id": "01a1fc02-2219-7ea8-9f11-ba64b00749af", "prefix": "oee_test_12345678"}
PROBES = ("/readyz", "/livez", "/health", "/api/health")
"""They tell their own state, with 503 if it is bad."""


def paths_of(patterns: list[Any], begin: str = "/") -> Iterator[str]:
    for pattern in patterns:
        path = begin + concrete(str(pattern.pattern))
        if isinstance(pattern, URLResolver):
            yield from paths_of(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            yield path


def concrete(pattern: str) -> str:
    """Return a path that a pattern matches."""
    for name, value in GROUPS.items():
        pattern = re.sub(rf"\(\?P<{name}>[^)]*\)", value, pattern)
    pattern = re.sub(r"<[^>]*>", "1", pattern.replace("/?$", "").replace("\\", ""))
    return pattern.strip("^$").replace(".*)", "nothing").removeprefix("(?P1")


PATHS = sorted(
    {
        *(path for path in paths_of(get_resolver().url_patterns) if "(" not in path),
        *("/nothing-here", "/static/nothing.css", "/admin/nothing/", "/static/../../etc/passwd"),
    }
)


def assert_told(answer: Answer, path: str, *, for_people: bool) -> None:
    """Hold an error to its form; there is no other way to be refused."""
    kind = answer.headers.get("content-type", "")
    told = f"{path}: {answer.status} {kind} {answer.text[:200]}"
    if answer.status < 400 or path.rstrip("/") in PROBES:
        return
    if for_people:
        assert kind == "text/html; charset=utf-8", told
        assert '<html lang="en"' in answer.text, told
        assert "style=" not in answer.text, told
        assert "content-security-policy" in answer.headers, told
    else:
        assert kind == "application/problem+json", told
        assert {"status", "detail", "error"} <= set(answer.json), told
        assert answer.json["status"] == answer.status, told


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("for_people", [True, False], ids=["people", "programs"])
async def test_every_path_refuses_people_by_a_page_and_programs_by_a_problem(
    method: str, for_people: bool
) -> None:
    asked = BROWSER if for_people else PROGRAM
    statuses = set()
    for path in PATHS:
        answer = await request(method, path, b"a=b", content_type=FORM, **asked)
        statuses.add(answer.status)
        assert_told(answer, f"{method} {path}".partition(" ")[2], for_people=for_people)
    assert len(PATHS) > 80
    assert {404} < statuses


@pytest.mark.parametrize("for_people", [True, False], ids=["people", "programs"])
async def test_what_is_refused_before_django_is_told_in_the_same_forms(
    for_people: bool, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    asked = BROWSER if for_people else PROGRAM
    large = await request("POST", "/accounts/login/", b"a" * 70_000, content_type=FORM, **asked)
    stranger = await get("/accounts/login/", **asked | {"host": "another.example"})
    ended = await get("/api/orders", cookie=f"sessionid={'a' * 32}", **asked)

    assert [large.status, stranger.status, ended.status] == [413, 400, 401]
    for answer in (large, stranger, ended):
        assert_told(answer, "", for_people=for_people)


async def test_a_form_without_our_token_gets_a_page_of_ours() -> None:
    body = b"username=ada&password=x"
    answer = await request("POST", "/accounts/login/", body, content_type=FORM, **BROWSER)

    assert answer.status == 403
    assert "Nothing was done" in answer.text
    assert "DEBUG" not in answer.text


async def test_a_bug_is_told_on_a_page_that_asks_nothing_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("orders.api.schema.views.asyncapi", broken)
    answer = await get("/api/docs/sockets", **BROWSER)

    assert answer.status == 500
    assert "Something broke on our side" in answer.text
    assert "a bug" not in answer.text
    assert "Log out" not in answer.text


async def test_an_error_page_says_who_asks_and_lets_them_log_out() -> None:
    def enter() -> str:
        client = Client()
        client.force_login(User.objects.create_user("ada-of-errors"))
        connection.close()
        return f"sessionid={client.cookies['sessionid'].value}"

    answer = await get("/nothing-here", cookie=await sync_to_async(enter)(), **BROWSER)

    assert answer.status == 404
    assert "ada-of-errors" in answer.text
    assert 'action="/accounts/logout/"' in answer.text


async def test_an_error_page_is_shown_though_it_cannot_be_read_who_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(*_: object) -> None:
        raise OperationalError("the server said nothing")

    monkeypatch.setattr("orders.logins.sessions.get_user", silent)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", silent)
    answer = await get("/nothing-here", cookie=f"sessionid={'a' * 32}", **BROWSER)

    assert answer.status == 404
    assert "Nothing is here" in answer.text


@pytest.mark.parametrize(
    ("accept", "wants"),
    [("text/html", True), ("TEXT/HTML;q=0.1, */*", True), ("*/*", False), ("", False)],
)
def test_people_are_known_by_what_they_accept(accept: str, wants: bool) -> None:
    scope = {"headers": [(b"host", HOST.encode()), (b"accept", accept.encode())]}
    assert errors.wants_page(scope) == wants
