"""What `make up` prints to try works as it stands."""

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from config.environment.listening import reached_at
from config.stack.banner import banner
from tests.support.accounts import make_account
from tests.support.engine import PATIENCE, SELL, Engine, Web, engine

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")


@pytest.fixture
def running(process_database: str, tmp_path: Path) -> Iterator[Engine]:
    with engine(process_database, tmp_path, REDIS_URL=settings.REDIS_URL) as found:
        yield found


def status_of_curl(shown: str, key: str = "") -> str:
    (line,) = re.findall(r"^  (curl .*)$", shown, re.MULTILINE)
    command = line.replace("KEY", key) + ' --output /dev/null --write-out "%{http_code}"'
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout


def test_where_orders_need_no_account_the_order_that_is_shown_is_taken(running: Engine) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS="true")
    shown = banner(f"http://{web.address}", "")
    assert status_of_curl(shown) == "201"
    assert "KEY" not in shown


@pytest.mark.parametrize("https", ["false", "true"])
def test_where_orders_need_an_account_it_is_said_how_one_is_made(
    running: Engine, process_database: str, https: str
) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS="false", HTTPS=https)
    shown = banner(f"http://{web.address}", "")
    commands = re.findall(r"^  \S*python (manage\.py .*)$", shown, re.MULTILINE)

    assert [command.split()[1] for command in commands] == ["createsuperuser", "create_api_key"]
    assert "KEY" in shown
    assert status_of_curl(shown, make_account(process_database).key) == "201"


def test_the_account_and_the_key_are_made_by_the_lines_that_are_shown(running: Engine) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS="false")
    shown = banner(f"http://{web.address}", "")
    first, second = re.findall(r"^  \S*python manage\.py (.*)$", shown, re.MULTILINE)
    asked = {"DJANGO_SUPERUSER_PASSWORD": "of-nobody-9", "DJANGO_SUPERUSER_EMAIL": "a@example.com"}
    made = running.command(*first.split(), "--noinput", **asked)

    assert made.returncode == 0, made.stderr
    try:
        key = running.command(*second.split()).stdout.strip()
        assert status_of_curl(shown, key) == "201"
    finally:
        running.empty()
        running.query("DELETE FROM django_admin_log")
        running.query("DELETE FROM auth_user WHERE username = 'alice'")


@pytest.mark.parametrize(
    ("environment", "where"),
    [
        ({"HOST": "0.0.0.0"}, "at port 8000 of every address of this machine"),
        ({"HOST": "::"}, "at port 8000 of every address of this machine"),
        ({"HOST": "192.0.2.7"}, "at 192.0.2.7:8000"),
        ({"HOST": "2001:db8::7"}, "at [2001:db8::7]:8000"),
        ({"PORT": "8000"}, "at port 8000 of every address of this machine"),
        ({"HTTPS": "true"}, "by a proxy or tunnel of this machine, of which the settings speak"),
        ({"HOST": "127.0.0.1"}, ""),
        ({"HOST": "::1"}, ""),
        ({}, ""),
    ],
)
def test_it_is_known_where_others_reach_the_engine(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], where: str
) -> None:
    for name in ("HOST", "PORT", "HTTPS", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert reached_at(8000) == where


def status_of(web: Web, path: str) -> int:
    with urllib.request.urlopen(f"http://{web.address}{path}", timeout=PATIENCE) as answer:
        return int(answer.status)


@pytest.mark.parametrize("anonymous", ["false", "true"])
def test_who_can_do_what_on_a_reachable_engine_is_what_is_shown(
    running: Engine, anonymous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS=anonymous)
    shown = banner(f"http://{web.address}", "", where="at port 1 of every address")

    assert "Others can reach it: at port 1 of every address." in shown
    assert "in clear text" in shown
    assert ("anybody    send orders" in shown) == (anonymous == "true")
    (first,) = re.findall(r"^  anybody    the trading page, (.*)$", shown, re.MULTILINE)
    for path in ("/", *first.split(", ")):
        assert status_of(web, path) == 200, path
    sent = web.request("/api/orders/execute", SELL).status
    assert sent == (201 if anonymous == "true" else 401)
    assert status_of(web, "/metrics") == 200
    assert web.request("/metrics", x_forwarded_for="192.0.2.7").status == 401
    assert "nobody     /metrics, but this machine" in shown
    monkeypatch.setenv("METRICS_TOKEN", "of-nobody-and-long")
    shown = banner(f"http://{web.address}", "", where="somewhere")
    assert "/metrics, with METRICS_TOKEN" in shown
    assert "of-nobody" not in shown


def test_an_engine_for_this_machine_alone_says_nothing_of_others(running: Engine) -> None:
    assert "Others" not in banner(f"http://{running.web().address}", "")


def test_where_tls_is_wanted_nothing_is_said_of_clear_text(running: Engine) -> None:
    web = running.web(HTTPS="true")
    shown = banner(f"http://{web.address}", "", where="at 192.0.2.7:8000")
    assert "Others can reach it" in shown
    assert "in clear text" not in shown


def test_a_demo_that_needs_an_account_says_so_in_a_sentence(running: Engine) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS="false")
    ended = running.command("demo", "--url", f"http://{web.address}")
    assert ended.returncode == 1
    assert "wants an API key: make one with `manage.py create_api_key`" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_order_of_the_banner_is_json() -> None:
    (body,) = re.findall(r"-d '(.*)'", banner("http://127.0.0.1:1", ""))
    assert json.loads(body) == {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1.5}
