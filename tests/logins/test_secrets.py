"""No page, log line, metric or error has a seed, a recovery code, a password or a session's key."""

import logging
import secrets
from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django.fixtures import Settings

from config.database.conninfo import conninfo
from orders.logins.models import Authenticator
from tests.logins.persons import PASSWORD, browser, code_of, enrol, log_in, make_person
from tests.support.accounts import make_account

PAGES = [
    *("/", "/api/orders", "/health", "/metrics", "/api/schema", "/api/docs", "/nothing"),
    *("/accounts/login/", "/accounts/second-factor/", "/accounts/second-factor/enrol/"),
    *("/accounts/password/", "/accounts/sessions/"),
    *("/admin/", "/admin/auth/user/", "/admin/auth/user/{user}/change/"),
    *("/admin/auth/user/{user}/history/", "/admin/orders/apikey/"),
]


def forms(code: str) -> list[tuple[str, dict[str, str]]]:
    """Return what is sent with secrets in it, and refused."""
    return [
        ("/accounts/login/", {"username": "root", "password": "wrong-" + PASSWORD}),
        ("/admin/login/", {"username": PASSWORD, "password": "wrong-" + PASSWORD}),
        ("/accounts/second-factor/", {"code": code}),
        ("/accounts/second-factor/enrol/", {"code": code, "current": code}),
        ("/accounts/password/", {"old_password": "wrong-" + PASSWORD, "new_password1": code}),
    ]


def walk(client: Client, user: User, code: str) -> str:
    """Return all that the pages tell."""
    answers: list[Any] = [client.get(path.format(user=user.pk)) for path in PAGES]
    answers += [client.post(path, sent) for path, sent in forms(code)]
    answers += [client.get(path.format(user=user.pk)) for path in PAGES]
    pages = (b"".join(one) if one.streaming else one.content for one in answers)
    headers = (str(dict(one.headers)) for one in answers)
    return "".join([*(page.decode() for page in pages), *headers])


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_no_page_or_line_has_a_secret_of_a_person(
    level: int, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    settings.REQUIRE_STAFF_MFA = True
    settings.METRICS_TOKEN = secrets.token_urlsafe(32)
    user = make_person("root", is_staff=True, is_superuser=True)
    client = browser()
    log_in(client, "root")
    seed, codes = enrol(client)
    session = client.cookies["sessionid"].value
    key = make_account(conninfo()).key
    for sent in (key, settings.METRICS_TOKEN):
        assert (
            client.get("/metrics", headers={"authorization": f"Bearer {sent}x"}).status_code != 500
        )
        client.get("/api/orders?clientOrderId=" + sent, headers={"authorization": f"Bearer {sent}"})
    used = codes[0]
    told = walk(client, user, "wrong-code") + walk(browser(), user, "wrong-code")
    client.post("/accounts/second-factor/", {"code": code_of(seed, ahead=1)})
    call_command("reset_second_factor", "root")
    told += walk(client, user, used) + caplog.text
    stored = " ".join(Authenticator.objects.values_list("sealed_seed", flat=True))
    of_the_engine = (
        settings.METRICS_TOKEN,
        settings.SECRET_KEY,
        key,
        sha256(key.encode()).hexdigest(),
    )
    of_a_person = (seed, *codes, session, stored or "no seed", f"wrong-{PASSWORD}")
    for secret in of_a_person + of_the_engine:
        assert secret not in told
        assert secret.replace("-", "") not in told


def test_a_seed_that_cannot_be_opened_is_told_by_its_account_alone(
    settings: Settings,
) -> None:
    make_person()
    client = browser()
    log_in(client)
    seed, _ = enrol(client)
    sealed = Authenticator.objects.get().sealed_seed
    settings.SECRET_KEY = "a new key"
    with pytest.raises(CommandError) as refused:
        call_command("reseal_second_factors")

    assert "alice" in str(refused.value)
    assert seed not in str(refused.value)
    assert sealed not in str(refused.value)
