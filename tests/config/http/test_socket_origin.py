"""Hosts and origins are what they are, not how they are written; and so is the scheme."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test.utils import override_settings

from config.http.socket_origin import Origin, is_allowed, scheme_of
from tests.support.client import HOST, Refused, connected, get, request

SAME = [
    "https://engine.example",
    "HTTPS://Engine.EXAMPLE",
    "https://engine.example:443",
    "https://engine.example/",
    "https://engine.example.",
    "https://engine.example.:443/",
]
OTHERS = [
    *("http://engine.example", "https://engine.example:8443", "https://engine.example:80"),
    *("https://engine.example.org", "https://x.engine.example", "https://engineXexample"),
    "https://engine.example:0",
]
NONE = [
    *(
        "",
        "null",
        "*",
        "engine.example",
        "//engine.example",
        "https://",
        "https:///",
        "https://:443",
    ),
    *(
        "ftp://engine.example",
        "ftp://engine.example:443",
        "file:///",
        "https://engine.example/x",
        "https://engine.example?",
    ),
    *("https://engine.example#", "https://a@engine.example", "https://engine.example:x"),
    *("https://engine.example:99999", "https://[::1", "https://[engine.example]", "https://a b"),
    *("https://engine.example\\x", "https://eng\tine.example", "https://engine.example, https://x"),
    *("https://.", "https://*.example", "https://" + "x" * 70),
]


@pytest.mark.parametrize("text", SAME)
def test_one_origin_written_in_many_ways_is_one(text: str) -> None:
    assert Origin.parse(text) == Origin("https", "engine.example", 443)
    assert str(Origin.parse(text)) == SAME[0]
    with override_settings(ALLOWED_ORIGINS=[text]):
        assert all(is_allowed(other, "elsewhere.example") for other in SAME)
        assert not any(is_allowed(other, "elsewhere.example") for other in OTHERS + NONE)


@pytest.mark.parametrize("text", OTHERS)
def test_other_origins_are_others(text: str) -> None:
    assert Origin.parse(text) != Origin.parse(SAME[0])


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no origin such as https://"):
        Origin.parse(text)
    assert not is_allowed(text, "engine.example")


def test_addresses_and_names_in_other_letters_are_compared_as_what_they_are() -> None:
    assert Origin.parse("http://[0:0::1]:80") == Origin.parse("http://[::1]")
    assert str(Origin.parse("http://[0:0::1]:8000")) == "http://[::1]:8000"
    assert Origin.parse("https://bücher.example") == Origin.parse("https://xn--bcher-kva.example")


@pytest.mark.parametrize(
    ("page", "host", "is_own"),
    [
        ("https://engine.example", "engine.example:443", True),
        ("https://engine.example", "Engine.Example", True),
        ("https://engine.example:443", "engine.example", True),
        ("https://engine.example", "engine.example.", True),
        ("http://engine.example", "engine.example:80", True),
        ("http://[::1]:8000", "[0::1]:8000", True),
        ("https://engine.example:8443", "engine.example:8443", True),
        ("https://engine.example:8443", "engine.example", False),
        ("https://engine.example", "engine.example:80", False),
        ("http://engine.example", "engine.example:443", False),
        ("https://engine.example", "engine.example.evil", False),
        ("https://engine.example", "engine.example/", False),
        ("https://engine.example", "", False),
        ("null", "null", False),
    ],
)
def test_a_page_is_our_own_if_it_is_of_the_host_that_was_asked(
    page: str, host: str, is_own: bool
) -> None:
    assert is_allowed(page, host) == is_own
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert is_allowed(page, host) == (is_own and page.startswith("https"))


@pytest.mark.parametrize(
    ("scheme", "told", "is_https"),
    [
        ("http", None, False),
        ("https", None, True),
        ("http", "https", True),
        ("https", "http", False),
        ("http", "https,http", True),
        ("http", "https , http", True),
        ("http", "http,https", False),
        ("http", "", False),
        ("http", "httpsx", False),
    ],
)
def test_the_scheme_is_the_same_for_requests_and_sockets(
    scheme: str, told: str | None, is_https: bool
) -> None:
    headers = [] if told is None else [(b"x-forwarded-proto", told.encode())]
    scope: dict[str, Any] = {"method": "GET", "path": "/", "headers": headers, "scheme": scheme}
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert ASGIRequest(scope, None).is_secure() == is_https  # type: ignore[arg-type]
        assert (scheme_of(scope) == "https") == is_https
        as_socket = scope | {"scheme": scheme.replace("http", "ws")}
        assert (scheme_of(as_socket) == "https") == is_https


WAYS = [
    {"host": f"{HOST}:443", "origin": f"https://{HOST}", "x_forwarded_proto": "https"},
    {"host": f"{HOST}:443", "origin": f"https://{HOST}", "x_forwarded_proto": "https,http"},
    {"host": f"{HOST}:443", "origin": f"https://{HOST}"},
    {"host": HOST.upper(), "origin": f"https://{HOST}"},
    {"host": HOST.upper(), "origin": f"http://{HOST}:80"},
    {"host": f"{HOST}:8443", "origin": f"https://{HOST}:8443"},
    {"host": HOST, "origin": "https://trusted.example:443"},
]
FOREIGN = [
    {"host": f"{HOST}:443", "origin": f"http://{HOST}"},
    {"host": HOST, "origin": f"https://{HOST}:8443"},
    {"host": HOST, "origin": "https://evil.example"},
    {"host": HOST, "origin": "null"},
    {"host": HOST, "origin": f"https://{HOST}.evil.example"},
]
TRUSTING = override_settings(
    ALLOWED_ORIGINS=["https://Trusted.example/"],
    CSRF_TRUSTED_ORIGINS=["https://Trusted.example"],
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
)


async def log_in(**headers: str) -> int:
    """Send the form to log in, with a password that is wrong; 200 then, but 403 to a forgery."""
    page = await get("/accounts/login/", host=headers["host"])
    token = re.findall(r'csrfmiddlewaretoken" value="(\w+)"', page.text)[0]
    form = {"csrfmiddlewaretoken": token, "username": "nobody", "password": "x"}
    cookie = f"csrftoken={page.cookies['csrftoken']}"
    sent: dict[str, str] = {"content_type": "application/x-www-form-urlencoded", "cookie": cookie}
    body = urlencode(form).encode()
    return (await request("POST", "/accounts/login/", body, **sent, **headers)).status


def of_sockets(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.mark.usefixtures("engine_loop")
@pytest.mark.parametrize("way", WAYS)
async def test_our_own_and_trusted_pages_log_in_and_open_sockets(way: dict[str, str]) -> None:
    with TRUSTING:
        assert await log_in(**way) == 200
        async with connected("/execute", **of_sockets(way)) as socket:
            await socket.send({"action": "?"})
            assert (await socket.message())["error"] == "unknown_action"


@pytest.mark.usefixtures("engine_loop")
@pytest.mark.parametrize("way", FOREIGN)
async def test_foreign_pages_do_neither(way: dict[str, str]) -> None:
    with TRUSTING:
        assert await log_in(**way) == 403
        with pytest.raises(Refused):
            async with connected("/execute", **of_sockets(way)):
                pass
