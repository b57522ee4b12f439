"""What `make up` prints to try works as it stands."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from config.banner import banner
from tests.accounts import make_account
from tests.engine import Engine, engine

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
        running.query("DELETE FROM auth_user WHERE username = 'alice'")


def test_a_demo_that_needs_an_account_says_so_in_a_sentence(running: Engine) -> None:
    web = running.web(ALLOW_ANONYMOUS_ORDERS="false")
    ended = running.command("demo", "--url", f"http://{web.address}")
    assert ended.returncode == 1
    assert "wants an API key: make one with `manage.py create_api_key`" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_the_order_of_the_banner_is_json() -> None:
    (body,) = re.findall(r"-d '(.*)'", banner("http://127.0.0.1:1", ""))
    assert json.loads(body) == {"tokenIn": "SOL", "tokenOut": "USDC", "amount": 1.5}
