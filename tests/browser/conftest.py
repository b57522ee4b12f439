"""A real engine and a real Chromium for tests of pages."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import CHROMIUM, Complaints, chromium
from tests.engine import PATIENCE, Engine, Process, Web, engine

PASSWORD = "only-for-tests"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium: install it (apt install chromium), or say where with CHROMIUM=")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose orders take about a second, and a superuser `ada`."""
    slow = {"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "0.5"}
    logs = tmp_path_factory.mktemp("browser")
    with engine(process_database, logs, DJANGO_SUPERUSER_PASSWORD=PASSWORD, **slow) as found:
        found.manage("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.com")
        found.scheduler()
        yield found
        found.query("TRUNCATE auth_user CASCADE")


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
def screen() -> dict[str, Any]:
    """What the browser's window is like; tests override it."""
    return {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def page(browser: Browser, web: Web, screen: dict[str, Any]) -> Iterator[Page]:
    """A page in a window of its own, without cookies; paths lead to `web`."""
    context = browser.new_context(base_url=f"http://{web.address}", **screen)
    context.set_default_timeout(PATIENCE * 1000)
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page: Page, web: Web) -> Iterator[Complaints]:
    """The page's complaints; whatever is left of them at the end fails the test."""
    complaints = Complaints(page, web.address)
    yield complaints
    assert complaints.found == []
