"""The operators' first page in a real Chromium: it stays fresh, still, and usable by keys alone."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.chromium import Complaints, barriers
from tests.browser.conftest import TOO_WIDE, keep_picture, log_in
from tests.support.engine import Engine, Process, Web, wait_for

WIDE = {"viewport": {"width": 1440, "height": 900}}
SOON = 20_000  # milliseconds: a refresh comes every five seconds
JSON = "**/admin/operations.json"
FLAG = "UPDATE orders SET needs_attention = true WHERE id = (SELECT id FROM orders LIMIT 1)"
UNFLAG = "UPDATE orders SET needs_attention = false WHERE needs_attention"
LISTS = (
    *("/admin/", "/admin/orders/order/", "/admin/orders/heartbeat/", "/admin/routing/venues/"),
    *("/admin/orders/tradingstate/", "/admin/orders/transactionbysignature/"),
    *("/admin/orders/apikey/add/", "/admin/auth/user/", "/admin/auth/user/add/"),
    *("/admin/routing/market/", "/admin/routing/market/add/", "/admin/routing/simulatedpool/"),
    *("/admin/routing/token/", "/admin/routing/simulatedpricepath/add/"),
)


@pytest.fixture
def page(page: Page) -> Page:
    log_in(page, "/admin/")
    return page


def test_what_happens_is_on_the_page_by_itself_and_nothing_else_moves(
    page: Page, web: Web, running: Engine, complaints: Complaints
) -> None:
    page.goto("/admin/")
    expect(page.locator("h1")).to_have_text("All well: orders are taken and executed")
    page.evaluate("document.querySelector('.flow li').dataset.mine = 'yes'")
    page.evaluate("document.querySelector('h1').mark = 'the same element'")
    page.get_by_role("link", name="Submitted").focus()
    web.post()
    running.wait_until_all_ended()
    confirmed = running.statuses()["confirmed"]
    expect(page.locator("[data-panel=signals]")).to_contain_text(
        f"{confirmed} confirmed", timeout=2 * SOON
    )

    expect(page.get_by_role("link", name="Submitted")).to_be_focused()
    assert page.evaluate("document.querySelector('h1').mark") == "the same element"
    assert page.evaluate("getComputedStyle(document.querySelector('.as-of')).display") == "flex"


def test_a_server_that_does_not_answer_is_told_with_the_age_of_what_is_shown(
    page: Page, complaints: Complaints
) -> None:
    page.goto("/admin/")
    page.route(JSON, lambda route: route.abort())
    expect(page.locator(".as-of")).to_contain_text(
        re.compile(r"No connection; as of \d\d:\d\d:\d\d UTC"), timeout=SOON
    )
    expect(page).to_have_title(re.compile("^No connection · Engine"))
    expect(page.locator(".panels")).to_have_class(re.compile("stale"))
    page.unroute(JSON)
    expect(page.locator(".as-of")).to_contain_text(re.compile(r"^\s*as of"), timeout=SOON)
    expect(page).to_have_title(re.compile("^Well · Engine"))
    complaints.allow("net::ERR_FAILED")

    def fail(route: Route) -> None:
        route.fulfill(status=503, body="{}")

    page.route(JSON, fail)
    expect(page.locator(".as-of")).to_contain_text("The engine does not answer", timeout=SOON)
    complaints.allow("503")


def test_a_worker_that_falls_silent_is_seen_and_named(
    page: Page, web: Web, running: Engine, worker: Process, complaints: Complaints
) -> None:
    known = "SELECT process FROM heartbeats WHERE kind = 'worker' ORDER BY seen_at DESC"
    before = running.query(known)
    second = running.worker()
    wait_for(lambda: len(running.query(known)) > len(before), what="its heartbeat")
    (name,) = {name for (name,) in set(running.query(known)) - set(before)}
    page.goto("/admin/")
    expect(page.locator("[data-panel=processes]")).to_contain_text(name, timeout=SOON)
    second.kill()
    expect(page.locator("h1")).to_have_text(
        "Degraded: 1 of 2 workers is gone", timeout=SOON + 10_000
    )
    expect(page.locator("tr.bad th").first).to_contain_text(name)
    expect(page).to_have_title(re.compile("^Degraded · Engine"))
    keep_picture(page, "operations-degraded")
    running.query("DELETE FROM heartbeats WHERE process = %s RETURNING 1", name)


def test_what_needs_a_person_is_dealt_with_by_keys_alone(
    page: Page, web: Web, running: Engine, complaints: Complaints
) -> None:
    web.post()
    running.wait_until_all_ended()
    running.query(f"{FLAG} RETURNING 1")
    page.goto("/admin/")
    expect(page.locator("h1")).to_have_text("1 order needs a person", timeout=SOON)
    page.keyboard.press("/")
    expect(page.get_by_label("Find an order")).to_be_focused()
    page.get_by_role("button", name="I have seen it").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".needs")).to_contain_text("seen by ada")
    expect(page.locator("h1")).to_have_text("All well: orders are taken and executed")
    running.query(f"{UNFLAG} RETURNING 1")


@pytest.mark.parametrize("screen", ["laptop", "phone", "dark"])
def test_everybody_can_use_every_page(
    page: Page, web: Web, running: Engine, screen: str, complaints: Complaints
) -> None:
    web.post()
    running.wait_until_all_ended()
    ((order_id,),) = running.query("SELECT id FROM orders LIMIT 1")
    ((account,),) = running.query("SELECT id FROM auth_user LIMIT 1")
    case = f"/admin/orders/order/{order_id}/change/"
    for path in (*LISTS, case, f"/admin/auth/user/{account}/change/"):
        page.goto(path)
        assert page.evaluate(TOO_WIDE) <= 0, path
        keep_picture(page, f"ops-{screen}{path.replace('/', '-')}")
        assert complaints.found == [], path
        assert barriers(page) == [], path
        complaints.found.clear()  # axe-core itself is not bound by the policy


def test_the_page_shows_everything_without_a_script(browser, web: Web) -> None:  # type: ignore[no-untyped-def]
    context = browser.new_context(
        base_url=f"http://{web.address}", java_script_enabled=False, **WIDE
    )
    page = context.new_page()
    log_in(page, "/admin/")
    for name in ("Orders under way", "Processes", "Venues, last hour", "What happened"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    page.get_by_text("Halt trading…").click()
    expect(page.get_by_role("button", name="Yes, halt trading")).to_be_visible()
    context.close()
