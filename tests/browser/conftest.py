"""A real engine and a real Chromium for tests of pages."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import CHROMIUM, Complaints, chromium
from tests.support.accounts import execute, make_account
from tests.support.database import rewrite
from tests.support.engine import PATIENCE, Engine, Process, Web, engine

PASSWORD = "only-for-tests"
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESK: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
SMALL: dict[str, Any] = {"viewport": {"width": 1024, "height": 768}}
SCREENS = {
    **{"laptop": LAPTOP, "phone": PHONE, "dark": LAPTOP | {"color_scheme": "dark"}},
    **{"desk": DESK, "small": SMALL},
}
SAME_PASSWORD = """
UPDATE auth_user SET password = (SELECT password FROM auth_user WHERE username = 'ada')
WHERE id = %s
"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def log_in(page: Page, path: str, password: str = PASSWORD, name: str = "ada") -> None:
    """Log in, and go on at `path`."""
    page.goto(f"/accounts/login/?next={path}")
    give_name_and_password(page, password, name)
    page.wait_for_url(f"**{path}")


def give_name_and_password(page: Page, password: str = PASSWORD, name: str = "ada") -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def keep_picture(page: Page, name: str) -> None:
    """Keep a picture in the folder that SCREENSHOTS names; without it none is kept."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@contextmanager
def held(worker: Process) -> Iterator[None]:
    """Have orders stay where they are: a state that passes is gone before a page is looked at."""
    worker.send(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send(signal.SIGCONT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(
            "No Chromium: install it (apt install chromium-headless-shell or chromium), or say"
            " where with CHROMIUM="
        )
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose orders take about half a second, and a superuser `ada`."""
    slow = {"SIMULATION_QUOTE_LATENCY": "0.1", "SIMULATION_LANDING_LATENCY": "0.25"}
    logs = tmp_path_factory.mktemp("browser")
    with engine(process_database, logs, DJANGO_SUPERUSER_PASSWORD=PASSWORD, **slow) as found:
        found.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.com")
        found.scheduler()
        yield found
        rewrite(found.conninfo, "TRUNCATE auth_user CASCADE")


@pytest.fixture(scope="module")
def worker(running: Engine) -> Process:
    return running.worker()


@pytest.fixture(scope="module")
def web(running: Engine, worker: Process) -> Web:
    web = running.web()
    web.post()  # the first one waits for the processes to start
    running.wait_until_all_ended()
    return web


@pytest.fixture
def person(running: Engine) -> str:
    """The name of an account of this test alone, without orders; its password is PASSWORD."""
    account = make_account(running.conninfo)
    execute(running.conninfo, SAME_PASSWORD, account.id)
    return account.name


@pytest.fixture
def screen() -> str:
    """Which of SCREENS the browser's window is like; tests override it."""
    return "laptop"


@pytest.fixture
def page(browser: Browser, web: Web, screen: str) -> Iterator[Page]:
    """A page in a window of its own, without cookies; paths lead to `web`."""
    context = browser.new_context(base_url=f"http://{web.address}", **SCREENS[screen])
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page: Page, web: Web) -> Iterator[Complaints]:
    """The page's complaints; whatever is left of them at the end fails the test."""
    complaints = Complaints(page, web.address)
    yield complaints
    assert complaints.found == []
