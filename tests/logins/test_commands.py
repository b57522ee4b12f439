"""What an operator does for who has lost a password or a phone, and after a new SECRET_KEY."""

from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from orders.logins.models import Authenticator
from tests.logins.persons import (
    browser,
    code_of,
    enrol,
    is_logged_in,
    log_in,
    make_person,
)

COMMANDS = ["reset_password", "reset_second_factor"]


@pytest.fixture(autouse=True)
def required(settings: Settings) -> None:
    settings.REQUIRE_STAFF_MFA = True


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue().strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_the_log_in_page_names_the_commands_that_help(command: str) -> None:
    assert f"manage.py {command}" in browser().get("/accounts/login/").content.decode()


def test_a_password_that_is_reset_lets_in_and_ends_sessions() -> None:
    make_person()
    client = browser()
    log_in(client)
    password = run("reset_password", "alice")

    assert len(password) >= 20
    assert not is_logged_in(client)
    assert log_in(browser()).status_code == 200
    assert log_in(browser(), password=password).status_code == 302


def test_a_second_factor_that_is_reset_is_set_up_anew() -> None:
    make_person("root", is_staff=True)
    client = browser()
    log_in(client, "root")
    seed, codes = enrol(client)

    assert "has no second factor any more" in run("reset_second_factor", "root")
    assert not is_logged_in(client)
    fresh = browser()
    assert log_in(fresh, "root")["location"] == "/accounts/second-factor/enrol/"
    other, _ = enrol(fresh)
    assert other != seed
    third = browser()
    log_in(third, "root")
    assert third.post("/accounts/second-factor/", {"code": codes[0]}).status_code == 403
    assert "had no second factor" in run("reset_second_factor", make_person("bob").username)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["nobody", "", "Alice"])
def test_a_name_that_is_none_is_an_error(command: str, name: str) -> None:
    make_person()
    with pytest.raises(CommandError, match="There is no account"):
        run(command, name)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_deed_by_command_stands_in_the_admins_log(command: str) -> None:
    user = make_person()
    secret = run(command, "alice")
    entry = LogEntry.objects.get(object_id=str(user.pk))
    assert f"manage.py {command}" in entry.change_message
    assert secret not in entry.change_message


def enrolled(name: str, settings: Settings) -> tuple[User, str]:
    user = make_person(name)
    client = browser(f"198.51.100.{len(name)}")
    log_in(client, name)
    return user, enrol(client)[0]


def test_a_change_of_the_secret_key_by_the_book_loses_no_second_factor(
    settings: Settings,
) -> None:
    _, seed = enrolled("alice", settings)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key", [settings.SECRET_KEY]
    client = browser()
    log_in(client)
    answer = client.post("/accounts/second-factor/", {"code": code_of(seed, ahead=1)})

    assert answer.status_code == 302
    before = Authenticator.objects.get().sealed_seed
    assert run("reseal_second_factors").startswith("1 second factors")
    assert Authenticator.objects.get().sealed_seed != before
    settings.SECRET_KEY_FALLBACKS = []
    assert run("reseal_second_factors").startswith("1 second factors")


def test_a_secret_key_that_was_thrown_away_leaves_recovery_codes_and_is_told(
    settings: Settings,
) -> None:
    make_person()
    client = browser()
    log_in(client)
    seed, codes = enrol(client)
    settings.SECRET_KEY = "a new key"
    with pytest.raises(CommandError, match="alice"):
        run("reseal_second_factors")
    fresh = browser()
    log_in(fresh)
    wrong = fresh.post("/accounts/second-factor/", {"code": code_of(seed, ahead=1)})

    assert wrong.status_code == 403
    assert fresh.post("/accounts/second-factor/", {"code": codes[0]}).status_code == 302
