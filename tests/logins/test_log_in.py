"""Who guesses is slowed down and learns nothing; who is known is not locked out by a stranger."""

import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from config.runtime.rate import Rate
from orders.logins import hashing
from orders.logins.attempts import Attempts, attempts
from tests.logins.persons import PASSWORD, browser, is_logged_in, later, log_in, make_person
from tests.support.engine import listen

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="[^"]+"')


def guess(client: Client, times: int, name: str = "alice", path: str = "/accounts/login/") -> int:
    """Guess so often and return the last answer's status."""
    for _ in range(times):
        answer = client.post(path, {"username": name, "password": "wrong"})
    return int(answer.status_code)


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
@pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8::7"])
def test_an_address_that_guesses_has_to_wait_after_ten_attempts(path: str, address: str) -> None:
    for number in range(10):
        assert guess(browser(address), 1, f"name-{number}", path) == 200
    refused = browser(address).post(path, {"username": "another", "password": "x"})

    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "Too many attempts" in refused.content.decode()


def test_addresses_of_one_network_of_ipv6_count_as_one() -> None:
    for number in range(10):
        guess(browser(f"2001:db8::{number:x}"), 1, f"name-{number}")
    assert guess(browser("2001:db8::ffff"), 1, "another") == 429
    assert guess(browser("2001:db8:0:1::1"), 1, "another") == 200


@pytest.mark.parametrize("name", ["alice", "ALICE", "\uff41lice"])
def test_a_name_that_many_addresses_guess_at_is_shut_to_strangers(name: str) -> None:
    make_person()
    for number in range(10):
        guess(browser(f"198.51.100.{number}"), 1)
    assert log_in(browser("203.0.113.1"), name).status_code == 429
    assert guess(browser("203.0.113.1"), 1, "bob") == 200


def test_a_stranger_does_not_lock_out_a_browser_that_is_known() -> None:
    make_person()
    own = browser("203.0.113.1")
    log_in(own)
    own.post("/accounts/logout/")
    for number in range(12):
        guess(browser(f"198.51.100.{number}"), 1)
    own.defaults["REMOTE_ADDR"] = "192.0.2.9"  # the same browser, on a journey

    assert log_in(own).status_code == 302
    assert is_logged_in(own)


def test_a_stranger_does_not_lock_out_an_address_that_is_known() -> None:
    make_person()
    log_in(browser("203.0.113.1"))
    for number in range(12):
        guess(browser(f"198.51.100.{number}"), 1)
    assert log_in(browser("203.0.113.1")).status_code == 302


def test_a_neighbour_behind_the_same_address_does_not_lock_out_a_known_browser() -> None:
    make_person()
    own = browser("203.0.113.1")
    log_in(own)
    own.post("/accounts/logout/")

    assert guess(browser("203.0.113.1"), 12) == 429
    assert log_in(own).status_code == 302


def test_a_known_browser_has_ten_attempts_too() -> None:
    make_person()
    own = browser()
    log_in(own)
    own.post("/accounts/logout/")
    assert guess(own, 11) == 429


@pytest.mark.parametrize("cookie", ["", "x", "eyJpZCI6IngifQ:1tPq:forged"])
def test_a_cookie_that_is_not_ours_makes_no_browser_known(cookie: str) -> None:
    make_person()
    for number in range(10):
        guess(browser(f"198.51.100.{number}"), 1)
    forger = browser("203.0.113.1")
    forger.cookies["known_browser"] = cookie

    assert log_in(forger).status_code == 429


def test_a_browser_that_one_name_made_known_is_a_stranger_to_another() -> None:
    make_person()
    make_person("mallory")
    mallorys = browser("203.0.113.1")
    log_in(mallorys, "mallory")
    mallorys.post("/accounts/logout/")
    for number in range(10):
        guess(browser(f"198.51.100.{number}"), 1)

    assert log_in(mallorys).status_code == 429


def test_a_guesser_that_goes_on_has_to_wait_for_ever_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts()  # its own clock stays
    waits = []
    for minute in range(7):
        with later(monkeypatch, 61 * minute):
            guess(browser(), 10)
            answer = log_in(browser())
            waits.append(int(answer["Retry-After"]))

    assert all(wait <= 60 for wait in waits[:5])
    assert waits[6] > 600


def test_attempts_that_wait_cost_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    make_person()
    guess(browser(), 10)

    def hashed(*_: object) -> None:
        raise AssertionError("a password was looked at")

    monkeypatch.setattr("django.contrib.auth.hashers.verify_password", hashed)
    monkeypatch.setattr("django.contrib.auth.hashers.make_password", hashed)
    assert log_in(browser()).status_code == 429


def test_wrong_unknown_and_inactive_are_answered_alike() -> None:
    make_person()
    make_person("gone", is_active=False)
    tries = [("alice", "wrong"), ("nobody", "wrong"), ("gone", "wrong"), ("gone", PASSWORD)]
    answers = [log_in(browser(), name, password) for name, password in tries]
    pages = {
        TOKEN.sub("", answer.content.decode()).replace(name, "NAME")
        for (name, _), answer in zip(tries, answers, strict=True)
    }

    assert {answer.status_code for answer in answers} == {200}
    assert len(pages) == 1


@pytest.mark.parametrize("name", ["alice", "nobody", "gone", "locked", "demo"])
def test_every_name_costs_one_hash(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_person()
    make_person("gone", is_active=False)
    locked = make_person("locked")
    locked.set_unusable_password()
    locked.save()
    hashed = []
    encode = hashing.PBKDF2PasswordHasher.encode
    monkeypatch.setattr(
        "django.contrib.auth.hashers.MD5PasswordHasher.encode",
        lambda self, *given: hashed.append(1) or encode(hashing.PBKDF2InTurns(), *given[:2], 1),
    )
    log_in(browser(), name, "wrong")

    assert len(hashed) == 1


def test_a_redis_that_is_away_leaves_each_process_to_count(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with listen() as nobody:
        port = nobody.getsockname()[1]
    own = Attempts(f"redis://127.0.0.1:{port}/0", "x", Rate(10, 60))
    monkeypatch.setattr("orders.logins.views.attempts", lambda: own)

    assert guess(browser(), 10) == 200
    assert guess(browser(), 1) == 429
    assert "each process counts log-ins by itself" in caplog.text


@pytest.fixture
def slow_hashes(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> list[int]:
    """Hashes that wait for each other to come together; returns how many were under way."""
    settings.PASSWORD_HASHERS = ["orders.logins.hashing.PBKDF2InTurns"]
    lock, under_way, seen = threading.Lock(), [0], []
    quick = hashing.PBKDF2PasswordHasher.encode

    def encode(self: Any, password: str, salt: str, iterations: int | None = None) -> str:
        with lock:
            under_way[0] += 1
            seen.append(under_way[0])
        threading.Event().wait(0.02)  # as a hash takes its time
        with lock:
            under_way[0] -= 1
        return quick(self, password, salt, 1)

    monkeypatch.setattr(hashing.PBKDF2PasswordHasher, "iterations", 1)
    monkeypatch.setattr(hashing.PBKDF2PasswordHasher, "encode", encode)
    monkeypatch.setattr(hashing, "MOST_WAITING", 100)
    return seen


@pytest.mark.parametrize("known", [0, 8, 16])
def test_at_most_two_passwords_are_hashed_at_once(slow_hashes: list[int], known: int) -> None:
    def hash_one(number: int) -> None:
        with hashing.for_stranger(number >= known):
            hashing.PBKDF2InTurns().encode("password", "salt")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(hash_one, range(16)))
    assert len(slow_hashes) == 16
    assert max(slow_hashes) <= 2


def test_forty_log_ins_at_a_time_hash_two_at_most_and_are_answered_alike(
    slow_hashes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of names that there are, and of others: each is looked at, or told to come again."""
    monkeypatch.setattr(hashing, "MOST_WAITING", 12)
    for number in range(0, 40, 2):
        make_person(f"person-{number}")
    slow_hashes.clear()

    def try_one(number: int) -> tuple[int, str]:
        name, address = f"person-{number}", f"198.51.100.{number}"
        try:
            answer = log_in(browser(address), name, "wrong")
        finally:
            connection.close()
        return answer.status_code, TOKEN.sub("", answer.content.decode()).replace(name, "NAME")

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(try_one, range(40)))
    looked_at = [page for status, page in answers if status == 200]
    assert len(looked_at) == len(slow_hashes) >= 13
    assert max(slow_hashes) <= 2
    assert len(set(looked_at)) == 1
    assert {status for status, _ in answers} <= {200, 503}
    assert len({page for status, page in answers if status == 503}) <= 1


def test_a_name_that_there_is_not_costs_as_much_time_as_one_that_there_is(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Of the processor's: what else the machine does is no part of it."""
    settings.PASSWORD_HASHERS = ["orders.logins.hashing.PBKDF2InTurns"]
    settings.LOGIN_RATE_LIMIT = None
    monkeypatch.setattr(hashing.PBKDF2PasswordHasher, "iterations", 60_000)
    make_person()
    make_person("gone", is_active=False)

    def cost(name: str) -> float:
        spent = []
        for _ in range(5):
            begun = time.process_time()
            assert log_in(browser(), name, "wrong").status_code == 200
            spent.append(time.process_time() - begun)
        return min(spent)

    costs = {name: cost(name) for name in ("alice", "nobody", "gone")}
    assert max(costs.values()) < 1.5 * min(costs.values()), costs


def test_strangers_who_wait_do_not_keep_known_persons_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hashing, "WAIT_SECONDS", 0.05)
    with hashing.STRANGERS.one_at_a_time():
        with hashing.for_stranger(True), pytest.raises(hashing.TooBusy):
            hashing.PBKDF2InTurns().encode("password", "salt", 1)
        assert hashing.PBKDF2InTurns().encode("password", "salt", 1).startswith("pbkdf2_sha256$1$")


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_a_log_in_that_would_wait_for_long_is_told_to_come_again(
    path: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = ["orders.logins.hashing.PBKDF2InTurns"]
    monkeypatch.setattr(hashing, "MOST_WAITING", 0)
    answer = browser().post(path, {"username": "alice", "password": "x"})
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"


def test_log_ins_leave_lines_with_name_and_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "engine.security")
    make_person()
    own = browser("198.51.100.7")
    guess(own, 1)
    log_in(own)
    own.post("/accounts/logout/")
    guess(own, 12)
    lines = [vars(record) for record in caplog.records if record.name == "engine.security"]
    events = [line["message"] for line in lines]

    assert events[:3] == ["login_failed", "login", "logout"]
    assert events[-1] == "login_locked"
    assert {line["address"] for line in lines} == {"198.51.100.7"}
    assert {line.get("user_name") for line in lines} == {"alice", None}
    assert PASSWORD not in caplog.text
