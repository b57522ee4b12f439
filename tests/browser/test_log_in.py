"""Where orders need an account, pages lead to the log-in page and back, in a real browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import (
    SCREENS,
    TOO_WIDE,
    give_name_and_password,
    keep_picture,
    log_in,
)
from tests.support.engine import Engine, Process, Web

pytestmark = pytest.mark.usefixtures("complaints")
REFUSED = "Failed to load resource: the server responded with a status of"


@pytest.fixture(scope="module")
def web(running: Engine, worker: Process) -> Web:
    """A web process that takes no orders of nobody."""
    return running.web(ALLOW_ANONYMOUS_ORDERS="false")


def test_the_pages_of_the_api_lead_in_and_out(page: Page, complaints: Complaints) -> None:
    page.goto("/api/orders")
    complaints.expect(REFUSED)
    page.get_by_role("link", name="Log in", exact=True).click()
    give_name_and_password(page)
    page.wait_for_url("**/api/orders")
    expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in", exact=True)).to_be_visible()
    complaints.expect(REFUSED)


@pytest.mark.parametrize("screen", SCREENS)
def test_the_log_in_page_looks_like_the_other_pages(page: Page, screen: str) -> None:
    look = """
    () => ["body", ".top", ".btn-primary"].map((name) => {
      const { backgroundColor, fontFamily } = getComputedStyle(document.querySelector(name));
      return [backgroundColor, fontFamily];
    })
    """
    page.goto("/accounts/login/")
    keep_picture(page, f"log-in-{screen}")

    assert page.evaluate(TOO_WIDE) <= 0
    form, bar = page.locator("form").bounding_box(), page.locator(".top").bounding_box()
    assert form is not None
    assert bar is not None
    assert form["y"] >= bar["y"] + bar["height"]
    assert form["width"] <= 440
    found = page.evaluate(look)
    log_in(page, "/api/orders")
    assert page.evaluate(look) == found
