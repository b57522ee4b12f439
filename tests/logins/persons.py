"""Persons for tests: they log in by the pages, as a browser does."""

import re
import time
from base64 import b32decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django_otp.oath import TOTP

PASSWORD = "a password for tests"
SEED = re.compile(r"<code>((?:[A-Z2-7]{4} ?){8})</code>")
CODES = re.compile(r"<code>((?:[A-Z2-7]{4}-?){4})</code>")


def make_person(name: str = "alice", **more: Any) -> User:
    return User.objects.create_user(name, password=PASSWORD, **more)


def browser(address: str = "127.0.0.1") -> Client:
    """Return a new browser at this address."""
    return Client(REMOTE_ADDR=address, HTTP_ACCEPT="text/html")


def log_in(client: Client, name: str = "alice", password: str = PASSWORD, **more: Any) -> Any:
    return client.post("/accounts/login/", {"username": name, "password": password}, **more)


def is_logged_in(client: Client) -> bool:
    return bool(client.get("/accounts/sessions/").status_code == 200)


def code_of(seed: str, ahead: int = 0) -> str:
    """Return what the app shows now, or so many half minutes ahead."""
    codes = TOTP(b32decode(seed.replace(" ", "")), drift=ahead)
    return f"{codes.token():06}"


def enrol(client: Client) -> tuple[str, list[str]]:
    """Set up a second factor on the page; return its seed and the recovery codes."""
    seed = SEED.search(client.get("/accounts/second-factor/enrol/").content.decode())
    assert seed
    page = client.post("/accounts/second-factor/enrol/", {"code": code_of(seed[1])})
    codes = CODES.findall(page.content.decode())
    assert len(codes) == 10, page.content.decode()
    return seed[1].replace(" ", ""), codes


@contextmanager
def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Have Python's clock show a later time."""
    now = time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now() + seconds)
        yield
