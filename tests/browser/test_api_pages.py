"""The pages of the API in a real Chromium, under a policy of `default-src 'self'` and no more.

Where the pictures go is said by SCREENSHOTS, a folder; without it none are kept.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.engine import PATIENCE, Engine, Web, engine

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
POLICY = "default-src 'self'; form-action 'self'; base-uri 'none'"
SCREENS: dict[str, dict[str, Any]] = {
    "laptop": {"viewport": {"width": 1200, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1200, "height": 900}, "color_scheme": "dark"},
}
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium: install it (apt install chromium), or say where with CHROMIUM=")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield found
        found.close()


@pytest.fixture(scope="module")
def idle(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine without a worker: its orders stay pending."""
    with engine(process_database, tmp_path_factory.mktemp("api-pages")) as found:
        yield found


@pytest.fixture(scope="module")
def web(idle: Engine) -> Web:
    return idle.web()


class Visitor:
    """A person at a browser, and all that the browser complained about."""

    def __init__(self, chromium: Browser, web: Web, screen: str) -> None:
        self._context = chromium.new_context(base_url=f"http://{web.address}", **SCREENS[screen])
        self._context.set_default_timeout(PATIENCE * 1000)
        self.screen = screen
        self.complaints: list[str] = []
        self.page: Page = self._context.new_page()
        self.page.route("**/*", self._under_policy)
        self.page.on("console", self._read)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def visit(self, path: str) -> Page:
        self.page.goto(path, wait_until="load")
        return self.page

    def keep_picture(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            path = Path(folder) / f"api-{name}-{self.screen}.png"
            self.page.screenshot(path=path, full_page=True)

    def close(self) -> None:
        self.page.unroute_all(behavior="ignoreErrors")
        self._context.close()

    def _under_policy(self, route: Route) -> None:
        response = route.fetch(max_redirects=0)
        headers = {**response.headers, "content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    def _read(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture
def screen() -> str:
    return "laptop"


@pytest.fixture
def visitor(chromium: Browser, web: Web, screen: str) -> Iterator[Visitor]:
    found = Visitor(chromium, web, screen)
    yield found
    found.close()
    assert found.complaints == []


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_is_shown_whole_and_without_a_complaint(visitor: Visitor, web: Web) -> None:
    order_id = web.post()
    for name, path, sight in [
        ("orders", "/api/orders", "#post-object-form input[name=tokenIn]"),
        ("order", f"/api/orders/{order_id}", "text=Cancel this order"),
        ("events", f"/api/orders/{order_id}/events", "text=Order received and queued"),
        ("health", "/health", "text=degraded"),
        ("swagger", "/api/docs", "#operations-orders-placeOrder"),
        ("sockets", "/api/docs/sockets", "#building pre"),
    ]:
        page = visitor.visit(path)
        expect(page.locator(sight).first).to_be_visible()
        visitor.keep_picture(name)
        assert page.evaluate(TOO_WIDE) <= 0, name


def test_the_form_is_filled_in_and_one_press_sends_it(visitor: Visitor, idle: Engine) -> None:
    page = visitor.visit("/api/orders")
    before = idle.value("SELECT count(*) FROM orders")
    page.locator("#post-object-form").get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")
    assert idle.value("SELECT count(*) FROM orders") == before + 1
    link = page.locator(".response-info a").filter(has_text=re.compile(r"/api/orders/[\w-]{36}$"))
    link.first.click()
    page.get_by_role("button", name="Cancel this order").click()
    expect(page.locator(".response-info")).to_contain_text('"status": "cancelled"')
    assert idle.value("SELECT status FROM orders ORDER BY id DESC LIMIT 1") == "cancelled"


def test_raw_json_is_filled_in_and_sent_too(visitor: Visitor) -> None:
    page = visitor.visit("/api/orders")
    page.get_by_role("link", name="Raw data").click()
    form = page.locator("#post-generic-content-form")
    expect(form.locator("textarea")).to_have_value(re.compile('"tokenIn": "SOL"'))
    form.get_by_role("button", name="POST").click()
    expect(page.locator(".response-info")).to_contain_text("HTTP 201 Created")


def test_an_order_is_tried_out_in_swagger(visitor: Visitor) -> None:
    page = visitor.visit("/api/docs")
    place = page.locator("#operations-orders-placeOrder")
    place.locator(".opblock-summary-control").click()
    place.get_by_role("button", name="Try it out").click()
    assert place.get_by_label("Examples").or_(place.locator("select")).first.is_visible()
    place.get_by_role("button", name="Execute", exact=True).click()
    expect(place.locator(".live-responses-table tbody .response-col_status").first).to_contain_text(
        "201"
    )
    visitor.keep_picture("swagger-tried")


def test_the_examples_in_swagger_are_all_dialects(visitor: Visitor) -> None:
    page = visitor.visit("/api/docs")
    place = page.locator("#operations-orders-placeOrder")
    place.locator(".opblock-summary-control").click()
    told = " ".join(place.locator("select option").all_inner_texts())
    for name in "ABCDE":
        assert f"{name}: " in told
