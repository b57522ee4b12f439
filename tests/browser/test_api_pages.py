"""The pages of the API in a real Chromium, under a policy of `default-src 'self'` and no more."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import SCREENS, TOO_WIDE, keep_picture
from tests.support.engine import Engine, Web, engine

POLICY = "default-src 'self'; form-action 'self'; base-uri 'none'"
pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture(scope="module")
def idle(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine without a worker: its orders stay pending."""
    with engine(process_database, tmp_path_factory.mktemp("api-pages")) as found:
        yield found


@pytest.fixture(scope="module")
def web(idle: Engine) -> Web:
    return idle.web()


@pytest.fixture
def page(page: Page) -> Iterator[Page]:
    """A page under the policy, whatever the answers say."""

    def under_policy(route: Route) -> None:
        response = route.fetch(max_redirects=0)
        headers = {**response.headers, "content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    page.route("**/*", under_policy)
    yield page
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_is_shown_whole_and_without_a_complaint(
    page: Page, web: Web, screen: str
) -> None:
    order_id = web.post()
    for name, path, sight in [
        ("orders", "/api/orders", "#post-object-form input[name=tokenIn]"),
        ("order", f"/api/orders/{order_id}", "text=Cancel this order"),
        ("events", f"/api/orders/{order_id}/events", "text=Order received and queued"),
        ("health", "/health", "text=degraded"),
        ("swagger", "/api/docs", "#operations-orders-placeOrder"),
        ("sockets", "/api/docs/sockets", "#building pre"),
    ]:
        page.goto(path)
        expect(page.locator(sight).first).to_be_visible()
        keep_picture(page, f"api-{name}-{screen}")
        assert page.evaluate(TOO_WIDE) <= 0, name


def test_the_form_is_filled_in_and_one_press_sends_it(page: Page, idle: Engine) -> None:
    page.goto("/api/orders")
    before = idle.value("SELECT count(*) FROM orders")
    page.locator("#post-object-form").get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")

    assert idle.value("SELECT count(*) FROM orders") == before + 1
    link = page.locator(".response-info a").filter(has_text=re.compile(r"/api/orders/[\w-]{36}$"))
    link.first.click()
    page.get_by_role("button", name="Cancel this order").click()
    expect(page.locator(".response-info")).to_contain_text('"status": "cancelled"')
    assert idle.value("SELECT status FROM orders ORDER BY id DESC LIMIT 1") == "cancelled"


def test_raw_json_is_filled_in_and_sent_too(page: Page) -> None:
    page.goto("/api/orders")
    page.locator("summary", has_text="Raw data").click()
    form = page.locator("#post-generic-content-form")
    expect(form.locator("textarea")).to_have_value(re.compile('"tokenIn": "SOL"'))
    form.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")


def test_an_order_is_tried_out_in_swagger(page: Page) -> None:
    page.goto("/api/docs")
    place = page.locator("#operations-orders-placeOrder")
    place.locator(".opblock-summary-control").click()
    place.get_by_role("button", name="Try it out").click()

    assert place.get_by_label("Examples").or_(place.locator("select")).first.is_visible()
    place.get_by_role("button", name="Execute", exact=True).click()
    expect(place.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(
        "201"
    )
    keep_picture(page, "api-swagger-tried")


def test_the_examples_in_swagger_are_all_dialects(page: Page) -> None:
    page.goto("/api/docs")
    place = page.locator("#operations-orders-placeOrder")
    place.locator(".opblock-summary-control").click()
    told = " ".join(place.locator("select option").all_inner_texts())
    for name in "ABCDE":
        assert f"{name}: " in told
