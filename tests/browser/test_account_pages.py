"""A member of staff in a real browser: sets up a second factor, and looks after the account."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import PASSWORD, SCREENS, TOO_WIDE, keep_picture
from tests.logins.persons import code_of
from tests.support.engine import Engine, Process, Web

pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture(scope="module")
def web(running: Engine, worker: Process) -> Web:
    """A web process whose staff need a second factor."""
    return running.web(REQUIRE_STAFF_MFA="true")


@pytest.fixture
def name(running: Engine, screen: str) -> str:
    """A superuser who has never logged in."""
    found = f"root-{screen}"
    running.manage("createsuperuser", "--noinput", f"--username={found}", "--email=a@example.com")
    return found


def look_at(page: Page, picture: str) -> None:
    keep_picture(page, picture)
    assert page.evaluate(TOO_WIDE) <= 0, picture


def give(page: Page, code: str, button: str) -> None:
    page.locator("#code").fill(code)
    page.get_by_role("button", name=button).click()


@pytest.mark.parametrize("screen", SCREENS)
def test_staff_are_led_through_the_second_factor_and_find_their_account(
    page: Page, screen: str, name: str
) -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/accounts/second-factor/enrol/")
    expect(page.get_by_alt_text("QR code of the text below")).to_have_js_property("complete", True)
    assert page.locator(".seed img").evaluate("(image) => image.naturalWidth") > 100
    look_at(page, f"second-factor-enrol-{screen}")

    seed = page.locator(".seed code").inner_text()
    give(page, code_of(seed), "Set up")
    expect(page.locator(".recovery-codes li")).to_have_count(10)
    look_at(page, f"recovery-codes-{screen}")
    page.get_by_role("link", name="I have kept them").click()
    page.wait_for_url("**/admin/")

    page.goto("/accounts/sessions/")
    expect(page.locator("tbody tr")).to_have_count(1)
    look_at(page, f"account-{screen}")
    page.get_by_role("link", name="API keys").click()
    page.wait_for_url("**/account/keys")
    page.go_back()
    page.get_by_role("link", name="Second factor: on").click()
    expect(page.locator("form.card")).to_contain_text("10 recovery codes left")
    look_at(page, f"second-factor-{screen}")
    page.goto("/accounts/password/")
    look_at(page, f"password-{screen}")

    page.get_by_role("button", name="Log out").click()
    page.goto("/admin/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("form.card")).to_contain_text("recovery codes")
    look_at(page, f"second-factor-code-{screen}")
    give(page, code_of(seed, ahead=1), "Go on")
    page.wait_for_url("**/admin/")


@pytest.mark.parametrize("screen", SCREENS)
def test_who_comes_back_after_a_session_has_ended_is_told(
    page: Page, web: Web, screen: str, complaints: Complaints
) -> None:
    page.context.add_cookies(
        [{"name": "sessionid", "value": "a" * 32, "url": f"http://{web.address}"}]
    )
    page.goto("/api/orders")
    complaints.expect("Failed to load resource: the server responded with a status of")
    expect(page.get_by_role("heading")).to_have_text("Your session has ended")
    look_at(page, f"session-ended-{screen}")
    page.goto("/")
    expect(page.get_by_role("heading", name="New order")).to_be_visible()
