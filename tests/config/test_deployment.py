"""Settings for the internet: Django finds nothing to warn of, and clear text is not taken."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.accounts import make_account
from tests.support.engine import SELL, Web, engine
from tests.support.forked import Ended, run_program

PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings",
    "SECRET_KEY": "wQ8zL1n5Tr0yVb3KxJm7cFhPd2sGaEuo9iR4ZtYlXkWqNvBj6-and-more",
    "ALLOWED_HOSTS": "engine.example.com",
    "HTTPS": "true",
}
BY_TLS = {"x_forwarded_proto": "https"}  # uvicorn believes it of this machine


def check(folder: Path, **environment: str) -> Ended:
    command = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return run_program(command, {**os.environ, **PRODUCTION, **environment}, folder)


def test_django_warns_of_nothing_in_production(tmp_path: Path) -> None:
    ended = check(tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"HTTPS": "false"}, "W008"),
        ({"DEBUG": "true"}, "W018"),
        ({"SECRET_KEY": "not-a-secret"}, "W009"),
    ],
)
def test_django_does_warn_of_what_is_left_open(
    change: dict[str, str], warning: str, tmp_path: Path
) -> None:
    ended = check(tmp_path, **change)
    assert ended.returncode != 0
    assert warning in ended.stderr


@pytest.fixture
def web(process_database: str, tmp_path: Path) -> Any:
    found = {"HTTPS": "true", "REDIS_URL": settings.REDIS_URL}
    with engine(process_database, tmp_path, **found) as running:
        yield running.web()


def test_nothing_of_value_is_taken_in_clear_text(web: Web, process_database: str) -> None:
    owner = make_account(process_database)
    refused = web.request("/execute", SELL, **owner.headers)

    assert (refused.status, refused.body["error"]) == (403, "https_required")
    assert web.request("/execute", SELL, **owner.headers, **BY_TLS).status == 201
    assert web.request("/health").status == 200
    url = f"ws://{web.address}/execute"
    with pytest.raises(InvalidStatus):
        connect(url, additional_headers=owner.headers)
    with connect(url, additional_headers={"X-Forwarded-Proto": "https", **owner.headers}) as socket:
        socket.send('{"action":"?"}')
        assert "unknown_action" in str(socket.recv(timeout=60))


def test_behind_two_proxies_an_order_and_its_socket_are_taken_alike(
    process_database: str, tmp_path: Path
) -> None:
    owner = make_account(process_database)
    found = {"HTTPS": "true", "REDIS_URL": settings.REDIS_URL}
    found |= {"PROXY_SSL_HEADER": "X-Forwarded-Proto"}
    with engine(process_database, tmp_path, **found) as running:
        web = running.web()
        url = f"ws://{web.address}/execute"
        for told in ("https,http", "https, http", "https"):
            headers = {"X-Forwarded-Proto": told, **owner.headers}
            assert web.request("/execute", SELL, **headers).status == 201
            with connect(url, additional_headers=headers) as socket:
                socket.send('{"action":"?"}')
                assert "unknown_action" in str(socket.recv(timeout=60))
        for told in ("http,https", "http"):
            headers = {"X-Forwarded-Proto": told, **owner.headers}
            assert web.request("/execute", SELL, **headers).status == 403
            with pytest.raises(InvalidStatus):
                connect(url, additional_headers=headers)


def test_pages_carry_the_headers_of_a_careful_site(web: Web) -> None:
    answer = web.request("/api/orders", **BY_TLS)

    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
