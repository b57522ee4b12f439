"""A session that no longer holds is an error, never the same as none; people end their own."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from orders.logins.models import LoginSession
from tests.logins.persons import PASSWORD, browser, is_logged_in, later, log_in, make_person
from tests.support.accounts import make_account
from tests.support.client import HOST, SELL_SOL, connected, count_stored, get, post

NEW_PASSWORD = "quite another password"
ORIGIN = {"origin": f"http://{HOST}"}


def end_nothing(account: Any) -> None:
    """Leave the session as it is: the control."""


def delete_row(account: Any) -> None:
    account.log_out()


def expire(account: Any) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def deactivate(account: Any) -> None:
    account.deactivate()


def new_password(account: Any) -> None:
    account.change_password()


WAYS: list[Callable[[Any], None]] = [delete_row, expire, deactivate, new_password]
COOKIES = [
    "sessionid=",
    "sessionid=x",
    'sessionid="\\000aaaaaaaaaaaa"',
    "sessionid=" + "a" * 32,
    "sessionid=" + "A" * 32,
    "sessionid=" + "a" * 4000,
]


async def stale_cookie(way: Callable[[Any], None]) -> dict[str, str]:
    from asgiref.sync import sync_to_async

    account = make_account()
    cookie = await account.log_in()
    await sync_to_async(way)(account)
    return cookie


@pytest.mark.parametrize("way", WAYS)
async def test_a_request_by_a_session_that_no_longer_holds_is_refused(
    engine_loop: None, way: Callable[[Any], None]
) -> None:
    cookie = await stale_cookie(way)
    for answer in (await post("/execute", SELL_SOL, **cookie), await get("/api/orders", **cookie)):
        assert answer.status == 401
        assert answer.json["error"] == "not_authenticated"
        assert answer.headers["www-authenticate"]
        assert 'sessionid=""' in answer.headers["set-cookie"]

    assert count_stored() == 0


@pytest.mark.parametrize("cookie", COOKIES)
async def test_a_cookie_that_names_no_session_is_refused(engine_loop: None, cookie: str) -> None:
    for path in ("/api/orders", "/", "/admin/", "/accounts/sessions/"):
        answer = await get(path, cookie=cookie)
        assert answer.status == 401, path
        assert 'sessionid=""' in answer.headers["set-cookie"]

    assert (await post("/execute", SELL_SOL, cookie=cookie)).status == 401
    assert count_stored() == 0


@pytest.mark.parametrize("way", [*WAYS, end_nothing])
async def test_a_socket_by_a_session_that_no_longer_holds_is_refused(
    engine_loop: None, way: Callable[[Any], None]
) -> None:
    cookie = await stale_cookie(way)
    async with connected("/execute", **cookie, **ORIGIN) as socket:
        if way is not end_nothing:
            _, code = await socket.rest()
            assert code == 4401
            return
        await socket.send(SELL_SOL)
        assert (await socket.message())["orderId"]


@pytest.mark.parametrize("cookie", COOKIES)
async def test_a_socket_whose_cookie_names_no_session_is_refused(
    engine_loop: None, cookie: str
) -> None:
    async with connected("/execute", cookie=cookie, **ORIGIN) as socket:
        assert (await socket.rest())[1] == 4401


async def test_who_has_a_key_or_no_cookie_is_asked_for_no_session(engine_loop: None) -> None:
    account = make_account()
    assert (await post("/execute", SELL_SOL)).status == 201
    stale = {"cookie": "sessionid=" + "a" * 32}
    assert (await get("/api/orders", **stale, **account.headers)).status == 200
    assert (await get("/health", **stale)).status != 401


@pytest.mark.parametrize("word", ["Bearer x", "Basic YTpi", "x", ""])
def test_a_header_for_keys_makes_no_session_hold_that_does_not(
    word: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither that of staff without the second factor, nor one that is over."""
    make_person("root", is_staff=True, is_superuser=True)
    pages = ("/admin/", "/admin/auth/user/add/", "/accounts/sessions/", "/account/keys")
    client = browser()
    log_in(client, "root")
    held = client.cookies["sessionid"].value

    def seen(page: str) -> int:
        other = browser()
        other.cookies["sessionid"] = held
        return other.get(page, HTTP_AUTHORIZATION=word).status_code

    assert [seen(page) for page in pages] == [200] * 4  # a proxy's password is no harm
    with later(monkeypatch, 14 * 86_400 + 60):
        Session.objects.update(expire_date=timezone.now() + timedelta(days=30))
        assert [seen(page) for page in pages[:1]] == [302]
    log_in(client, "root")
    held = client.cookies["sessionid"].value
    settings.REQUIRE_STAFF_MFA = True
    assert [seen(page) for page in pages] == [302] * 4


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/", "/accounts/logout/"])
def test_who_logs_in_or_out_with_an_old_cookie_begins_anew(path: str) -> None:
    make_person()
    client = browser()
    client.cookies["sessionid"] = "a" * 32
    answer = client.post(path, {"username": "alice", "password": PASSWORD})

    assert answer.status_code == 302
    assert is_logged_in(client) == (path != "/accounts/logout/")


def test_a_person_is_told_on_a_page_and_led_to_the_log_in() -> None:
    client = browser()
    client.cookies["sessionid"] = "a" * 32
    answer = client.get("/api/orders?limit=5")

    assert answer.status_code == 401
    assert "Your session has ended" in answer.content.decode()
    assert "/accounts/login/?next=/api/orders%3Flimit%3D5" in answer.content.decode()
    assert client.get("/api/orders").status_code != 401 or client.cookies["sessionid"].value == ""


def test_a_session_ends_when_it_is_not_used(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.SESSION_COOKIE_AGE = 600
    make_person()
    idle, used = browser(), browser()
    log_in(idle)
    log_in(used)
    for minutes in (4, 8, 12):
        with later(monkeypatch, 60 * minutes):
            assert is_logged_in(used)
    with later(monkeypatch, 60 * 12):
        assert idle.get("/accounts/sessions/").status_code == 401
        assert is_logged_in(used)


@pytest.mark.parametrize("days", [14.1, 30])
def test_a_session_ends_after_two_weeks_however_it_is_used(
    days: float, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.SESSION_COOKIE_AGE = 60 * 86_400
    make_person()
    client = browser()
    log_in(client)
    with later(monkeypatch, 86_400 * 13.9):
        assert is_logged_in(client)
    with later(monkeypatch, 86_400 * days):
        assert client.get("/accounts/sessions/").status_code == 401


def test_a_used_session_is_written_at_most_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    make_person()
    client = browser()
    log_in(client)

    assert "sessionid" not in client.get("/accounts/sessions/").cookies
    with later(monkeypatch, 61):
        assert "sessionid" in client.get("/accounts/sessions/").cookies
        assert "sessionid" not in client.get("/accounts/sessions/").cookies


def test_people_see_their_own_sessions_and_none_by_its_key() -> None:
    make_person()
    make_person("bob")
    here, there, bobs = browser(), browser("198.51.100.7"), browser("203.0.113.9")
    there.defaults["HTTP_USER_AGENT"] = "<b>Lynx</b>\x1b[31m"
    for client, name in ((here, "alice"), (there, "alice"), (bobs, "bob")):
        log_in(client, name)
    page = here.get("/accounts/sessions/").content.decode()

    assert "198.51.100.7" in page
    assert "&lt;b&gt;Lynx" in page
    assert "203.0.113.9" not in page
    for client in (here, there, bobs):
        assert client.cookies["sessionid"].value not in page


def test_people_end_one_of_their_sessions() -> None:
    make_person()
    here, there = browser(), browser("198.51.100.7")
    log_in(here)
    log_in(there)
    record = LoginSession.objects.get(address="198.51.100.7")
    here.post("/accounts/sessions/end/", {"session": record.pk})

    assert there.get("/accounts/sessions/").status_code == 401
    assert is_logged_in(here)


def test_people_end_all_sessions_but_the_one_they_use() -> None:
    make_person()
    here, others = browser(), [browser(), browser()]
    for client in (here, *others):
        log_in(client)
    here.post("/accounts/sessions/end/", {"session": "others"})

    assert [is_logged_in(client) for client in (here, *others)] == [True, False, False]


@pytest.mark.parametrize("wanted", ["{other}", "", "x", "-1", "\u0661", "9" * 40])
def test_nobody_ends_anothers_session(wanted: str) -> None:
    make_person()
    make_person("bob")
    own, bobs = browser(), browser()
    log_in(own)
    log_in(bobs, "bob")
    other = LoginSession.objects.get(owner__username="bob").pk
    answer = own.post("/accounts/sessions/end/", {"session": wanted.format(other=other)})

    assert answer.status_code == 302
    assert is_logged_in(bobs)


@pytest.mark.parametrize("page", ["sessions", "password", "second-factor", "second-factor/enrol"])
def test_forms_of_the_account_want_their_token(page: str) -> None:
    make_person()
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get())
    path = "sessions/end" if page == "sessions" else page
    assert client.post(f"/accounts/{path}/", {"session": "others"}).status_code == 403


def change_password(client: Client, old: str = PASSWORD, new: str = NEW_PASSWORD) -> Any:
    sent = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post("/accounts/password/", sent)


@pytest.mark.parametrize("rights", [{}, {"is_staff": True}, {"is_superuser": True}])
def test_everybody_changes_the_own_password_and_other_sessions_end(rights: dict[str, bool]) -> None:
    make_person(**rights)
    here, there = browser(), browser()
    log_in(here)
    log_in(there)

    assert change_password(here).status_code == 302
    assert [is_logged_in(client) for client in (here, there)] == [True, False]
    assert LoginSession.objects.count() == 1
    assert log_in(browser()).status_code == 200
    assert log_in(browser(), password=NEW_PASSWORD).status_code == 302


@pytest.mark.parametrize(("old", "new"), [("wrong", NEW_PASSWORD), (PASSWORD, "12345678")])
def test_a_password_stays_where_the_old_one_is_wrong_or_the_new_one_weak(
    old: str, new: str
) -> None:
    make_person()
    client = browser()
    log_in(client)
    assert change_password(client, old, new).status_code == 200
    assert log_in(browser()).status_code == 302


def test_the_old_password_is_guessed_at_ten_times_a_minute_at_most() -> None:
    make_person()
    client = browser()
    log_in(client)
    for _ in range(10):
        change_password(client, "wrong")

    assert change_password(client).status_code == 429


def test_what_is_noted_of_a_session_goes_with_it_however_that_goes() -> None:
    account = make_account()
    client = browser()
    client.force_login(make_person())
    log_in(client)

    assert LoginSession.objects.count() == 1
    account.log_out()  # plain SQL
    assert LoginSession.objects.count() == 0
