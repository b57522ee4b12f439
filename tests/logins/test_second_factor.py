"""Staff show a second factor: set up at the first log-in, asked for at each later one."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from orders.logins.codes import address_for_app, new_recovery_codes, new_seed, step_of
from orders.logins.models import Authenticator, RecoveryCodes
from tests.logins.persons import (
    PASSWORD,
    browser,
    code_of,
    enrol,
    is_logged_in,
    later,
    log_in,
    make_person,
)

CODE, ENROL = "/accounts/second-factor/", "/accounts/second-factor/enrol/"


@pytest.fixture(autouse=True)
def required(settings: Settings) -> None:
    settings.REQUIRE_STAFF_MFA = True


@pytest.fixture
def staff() -> User:
    return make_person("root", is_staff=True, is_superuser=True)


def enrolled_browser(name: str = "root") -> tuple[Client, str, list[str]]:
    client = browser()
    log_in(client, name)
    return client, *enrol(client)


def give(client: Client, code: str) -> Any:
    return client.post(CODE, {"code": code})


@pytest.mark.parametrize(
    "rights", [{"is_staff": True}, {"is_superuser": True}, {"is_staff": True, "is_superuser": True}]
)
@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_staff_without_a_second_factor_set_one_up_before_they_are_in(
    rights: dict[str, bool], path: str
) -> None:
    make_person("root", **rights)
    client = browser()
    answer = client.post(path, {"username": "root", "password": PASSWORD})

    assert answer["location"] == ENROL
    assert not is_logged_in(client)
    assert client.get("/admin/").status_code == 302
    enrol(client)
    assert is_logged_in(client)
    assert client.get("/admin/").status_code == (200 if rights.get("is_staff") else 302)


def test_who_is_no_staff_needs_none_and_may_have_one() -> None:
    make_person()
    client = browser()

    assert log_in(client)["location"] == "/api/orders"
    seed, _ = enrol(client)
    client.post("/accounts/logout/")
    assert log_in(client)["location"] == CODE
    assert not is_logged_in(client)
    assert give(client, code_of(seed, ahead=1))["location"] == "/api/orders"
    assert is_logged_in(client)


def test_a_code_lets_in_and_leads_where_one_wanted_to_go(staff: User) -> None:
    client, seed, _ = enrolled_browser()
    client.post("/accounts/logout/")
    log_in(client, "root", next="/admin/")
    client.post("/accounts/login/?next=/admin/", {"username": "root", "password": PASSWORD})

    assert give(client, code_of(seed, ahead=1)).status_code == 302
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666"]
)
def test_what_is_no_code_lets_nobody_in(staff: User, code: str) -> None:
    enrolled_browser()
    client = browser()
    log_in(client, "root")
    assert give(client, code).status_code == 403
    assert not is_logged_in(client)


@pytest.mark.parametrize("ahead", [-3, 3, 100])
def test_a_code_of_another_time_lets_nobody_in(staff: User, ahead: int) -> None:
    _, seed, _ = enrolled_browser()
    client = browser()
    log_in(client, "root")
    assert give(client, code_of(seed, ahead)).status_code == 403


def test_a_code_is_taken_once(staff: User) -> None:
    _, seed, _ = enrolled_browser()
    one, other = browser(), browser()
    log_in(one, "root")
    log_in(other, "root")
    code = code_of(seed, ahead=1)

    assert give(one, code).status_code == 302
    assert give(other, code).status_code == 403
    assert give(other, code_of(seed)).status_code == 403  # older than what was taken
    assert not is_logged_in(other)


def test_a_recovery_code_lets_in_once_however_it_is_typed(staff: User) -> None:
    _, _, codes = enrolled_browser()
    for number, code in enumerate((codes[0], codes[1].lower(), codes[2].replace("-", " "))):
        client = browser()
        log_in(client, "root")
        assert give(client, code).status_code == 302, number
        assert is_logged_in(client)
    client = browser()
    log_in(client, "root")

    assert give(client, codes[0]).status_code == 403
    assert len(RecoveryCodes.objects.get().digests) == 7


def test_codes_are_guessed_at_ten_times_a_minute_at_most(staff: User) -> None:
    enrolled_browser()
    client = browser("198.51.100.1")
    log_in(client, "root")
    answers = [give(client, f"{number:06}").status_code for number in range(12)]

    assert answers[:8] == [403] * 8
    assert answers[-1] == 429


def test_a_password_alone_is_forgotten_after_ten_minutes(
    staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, codes = enrolled_browser()
    client = browser()
    log_in(client, "root")
    with later(monkeypatch, 601):
        assert give(client, codes[0])["location"].startswith("/accounts/login/")
        assert not is_logged_in(client)


def test_a_password_that_was_changed_meanwhile_lets_nobody_in(staff: User) -> None:
    _, _, codes = enrolled_browser()
    client = browser()
    log_in(client, "root")
    staff.set_password("another one")
    staff.save()
    give(client, codes[0])

    assert not is_logged_in(client)


@pytest.mark.parametrize("page", [CODE, ENROL])
def test_nobody_comes_to_the_pages_of_the_second_factor_without_a_password(page: str) -> None:
    for answer in (browser().get(page), browser().post(page, {"code": "123456"})):
        assert answer["location"].startswith("/accounts/login/")


def test_who_gave_a_password_cannot_set_up_anew_what_there_is(staff: User) -> None:
    enrolled_browser()
    before = Authenticator.objects.get().sealed_seed
    client = browser()
    log_in(client, "root")

    assert client.get(ENROL)["location"] == CODE
    assert client.post(ENROL, {"code": "123456"})["location"] == CODE
    assert Authenticator.objects.get().sealed_seed == before


def test_of_two_who_set_up_at_once_one_does(staff: User) -> None:
    one, other = browser(), browser()
    log_in(one, "root")
    log_in(other, "root")
    other.get(ENROL)
    enrol(one)

    assert other.post(ENROL, {"code": "123456"})["location"] == CODE
    assert not is_logged_in(other)


def test_another_app_is_set_up_by_who_shows_the_former_factor(staff: User) -> None:
    client, seed, codes = enrolled_browser()
    stranger = browser()  # who found this session
    stranger.cookies = client.cookies
    page = client.get(ENROL).content.decode()
    new = page[page.index("<code>") + 6 :].partition("</code>")[0]
    wrong = client.post(ENROL, {"code": code_of(new), "current": "123456"})

    assert wrong.status_code == 403
    done = client.post(ENROL, {"code": code_of(new), "current": codes[0]})
    assert "Recovery codes" in done.content.decode()
    fresh = browser()
    log_in(fresh, "root")
    assert give(fresh, code_of(seed, ahead=1)).status_code == 403
    assert give(fresh, code_of(new, ahead=1)).status_code == 302


def test_new_recovery_codes_end_the_old_ones(staff: User) -> None:
    client, seed, codes = enrolled_browser()
    page = give(client, code_of(seed, ahead=1)).content.decode()

    assert "cannot be shown again" in page
    assert codes[0] not in page
    fresh = browser()
    log_in(fresh, "root")
    assert give(fresh, codes[0]).status_code == 403


def test_a_session_of_staff_without_the_second_factor_holds_no_longer(
    staff: User, settings: Settings
) -> None:
    settings.REQUIRE_STAFF_MFA = False
    client = browser()
    log_in(client, "root")

    assert client.get("/admin/").status_code == 200
    settings.REQUIRE_STAFF_MFA = True
    for path in ("/admin/", "/api/orders", "/accounts/sessions/"):
        other = browser()
        other.cookies["sessionid"] = client.cookies["sessionid"].value
        assert other.get(path).status_code in (401, 302), path
    assert not is_logged_in(client)


def test_seeds_and_recovery_codes_are_not_in_the_database(staff: User) -> None:
    _, seed, codes = enrolled_browser()
    browser_that_shows_one = browser()
    make_person("bob")
    log_in(browser_that_shows_one, "bob")
    shown = browser_that_shows_one.get(ENROL).content.decode()
    other = shown[shown.index("<code>") + 6 :].partition("</code>")[0].replace(" ", "")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema='public'"
        )
        stored = ""
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT t::text FROM "{table}" AS t')
            stored += "\n".join(row for (row,) in cursor.fetchall())
    for session in stored.split():
        assert seed not in session
    for secret in (seed, other, *codes, *(code.replace("-", "") for code in codes)):
        assert secret not in stored

    assert Authenticator.objects.get().sealed_seed in stored


@pytest.mark.parametrize("path", [CODE, ENROL, "/accounts/sessions/", "/accounts/password/"])
def test_the_pages_are_kept_by_no_cache_and_run_nothing_inline(staff: User, path: str) -> None:
    client, _, _ = enrolled_browser()
    answer = client.get(path)

    assert "no-store" in answer["Cache-Control"]
    page = answer.content.decode()
    assert "<style" not in page
    assert " style=" not in page
    assert "<script>" not in page


def test_steps_are_those_of_the_rfc(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238's, in base32
    for now, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        monkeypatch.setattr("orders.logins.codes.time.time", lambda now=now: now)
        assert step_of(seed, code) == now // 30
        assert step_of(seed, code, after=now // 30) is None
        assert step_of(new_seed(), code) is None


def test_apps_are_told_the_name_as_it_is() -> None:
    address = address_for_app("ABCD", "a b&c:d@example")
    assert address.startswith(
        "otpauth://totp/Order%20execution%20engine%3Aa%20b%26c%3Ad%40example?"
    )
    assert len(set(new_recovery_codes())) == 10
