"""demo / demo is no row, and holds for who sits at this machine alone."""

from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from config.environment import listening
from config.environment.variables import Environment
from orders.logins.demo import MARK, end_demo
from orders.management.commands.release import keep_demo_local
from tests.logins.persons import browser, is_logged_in, log_in


@pytest.fixture(autouse=True)
def local(settings: Settings) -> None:
    settings.DEMO_LOGIN = True
    settings.REQUIRE_STAFF_MFA = True


def log_in_as_demo(client: Client, **more: Any) -> bool:
    client.defaults.setdefault("SERVER_NAME", "localhost")
    log_in(client, "demo", "demo", **more)
    return is_logged_in(client)


def test_the_demo_may_do_everything_and_its_row_nothing() -> None:
    client = browser()

    assert log_in_as_demo(client)
    assert client.get("/admin/auth/user/add/").status_code == 200
    row = User.objects.get()
    assert (row.is_staff, row.is_superuser, row.is_active) == (False, False, True)
    assert row.password.startswith(MARK)
    assert not row.check_password("demo")


def test_the_demo_has_a_name_in_the_admins_log() -> None:
    client = browser()
    log_in_as_demo(client)
    sent = {"username": "carol", "usable_password": "true"}
    sent |= {"password1": "quite a password", "password2": "quite a password"}
    answer = client.post("/admin/auth/user/add/", sent)

    assert answer.status_code == 302, answer.content.decode()
    assert User.objects.filter(username="carol").exists()
    assert "carol" in client.get("/admin/").content.decode()
    assert User.objects.get(username="demo").is_superuser is False


@pytest.mark.parametrize(
    "more",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"HTTP_HOST": "engine.example"},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_VIA": "1.1 tunnel"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "::ffff:192.0.2.1"},
    ],
)
def test_the_demo_is_unknown_to_other_machines(more: dict[str, str]) -> None:
    client = browser()
    assert not log_in_as_demo(client, **more)
    assert not User.objects.exists()


@pytest.mark.parametrize("more", [{"REMOTE_ADDR": "::1"}, {"HTTP_HOST": "127.0.0.2:8000"}])
def test_this_machine_has_many_names(more: dict[str, str]) -> None:
    assert log_in_as_demo(browser(), **more)


@pytest.mark.parametrize(("name", "password"), [("demo", "Demo"), ("Demo", "demo"), ("demo", "")])
def test_what_is_not_quite_demo_is_no_account(name: str, password: str) -> None:
    client = browser()
    client.defaults["SERVER_NAME"] = "localhost"
    log_in(client, name, password)
    assert not is_logged_in(client)


def test_a_session_of_the_demo_ends_with_the_setting(settings: Settings) -> None:
    client = browser()
    log_in_as_demo(client)
    settings.DEMO_LOGIN = False
    assert client.get("/admin/").status_code == 401
    assert not log_in_as_demo(browser())


def test_an_account_of_that_name_with_a_password_of_its_own_is_its_owners() -> None:
    User.objects.create_user("demo", password="quite a password")
    assert not log_in_as_demo(browser())
    keep_demo_local()
    assert User.objects.get().check_password("quite a password")


def old_version(**more: Any) -> User:
    return User.objects.create_superuser("demo", "", "demo", **more)


def test_a_local_start_takes_the_password_of_an_older_version_away(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old_version()
    keep_demo_local()
    row = User.objects.get()

    assert (row.is_staff, row.is_superuser, row.has_usable_password()) == (False, False, False)
    assert log_in_as_demo(browser())
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("hasher", ["pbkdf2_sha256", "pbkdf2_sha1", "md5"])
def test_a_reachable_start_ends_what_an_older_version_made_and_says_so(
    hasher: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.DEMO_LOGIN = False
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "orders.logins.hashing.PBKDF2InTurns",
        "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    ]
    old_version()
    User.objects.update(password=make_password("demo", hasher=hasher))
    client = browser()
    client.force_login(User.objects.get())
    keep_demo_local()
    row = User.objects.get()

    assert (row.is_active, row.is_staff, row.is_superuser) == (False, False, False)
    assert "demo" in capsys.readouterr().err
    assert client.get("/admin/").status_code == 401
    assert not log_in_as_demo(browser())
    keep_demo_local()
    assert capsys.readouterr().err == ""


def test_a_reachable_start_ends_what_this_version_made(settings: Settings) -> None:
    log_in_as_demo(browser())
    settings.DEMO_LOGIN = False
    assert end_demo()
    assert not User.objects.get().is_active


def test_a_reachable_start_leaves_others_as_they_are(settings: Settings) -> None:
    settings.DEMO_LOGIN = False
    User.objects.create_superuser("operator", "", "demo")
    User.objects.create_user("Demo", password="demo")
    assert not end_demo()
    assert User.objects.filter(is_active=True).count() == 2


@pytest.mark.parametrize(
    ("given", "is_local"),
    [
        ({}, True),
        ({"HOST": "127.0.0.1"}, True),
        ({"HOST": "127.0.0.2"}, True),
        ({"HOST": "::1"}, True),
        ({"ALLOWED_HOSTS": "localhost,127.0.0.1"}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"HOST": "::"}, False),
        ({"PORT": "8000"}, False),
        ({"HOST": "127.0.0.1", "PORT": "8000"}, True),
        ({"ALLOWED_HOSTS": "orders.example.com"}, False),
        ({"ALLOWED_HOSTS": ".example.com"}, False),
        ({"HTTPS": "true"}, False),
        ({"CSRF_TRUSTED_ORIGINS": "https://app.example.com"}, False),
        ({"PROXY_SSL_HEADER": "X-Forwarded-Proto"}, False),
    ],
)
def test_settings_that_speak_of_others_make_an_engine_reachable(
    given: dict[str, str], is_local: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Environment.model_fields:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    assert listening.is_only_local() is is_local
    assert listening.is_reachable() is not is_local
