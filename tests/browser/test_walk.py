"""A walk over every page in a real Chromium: for everybody, in light and dark, on every width.

On each page axe-core finds nothing, the policy is not violated, and nothing scrolls sideways. On a
phone, what is pressed is at least 44 px high.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.chromium import Complaints, barriers
from tests.browser.conftest import TOO_WIDE, give_name_and_password, keep_picture, log_in
from tests.support.engine import Web

WIDTHS = (390, 768, 1024, 1440)
REFUSED = "Failed to load resource: the server responded with a status of"
SMALL = """
() => [...document.querySelectorAll("button, select, summary, nav a, a.btn, input")]
  .filter((element) => !["hidden", "checkbox", "radio"].includes(element.type))
  .filter((element) => element.checkVisibility())
  .filter((element) => element.getBoundingClientRect().height < 43.9)
  .map((element) => element.outerHTML.slice(0, 120))
"""
WORDING = """
() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = node.textContent.trim();
    if (node.parentElement.closest("pre, code, script, style, #swagger-ui, .mono")) continue;
    if (/(?<![\\w.:/-])\\d{5,}(?![\\w:/-])/.test(text)) found.push(`no groups: ${text}`);
    if (/\\d (a|p)\\.?m\\b/i.test(text)) found.push(`12 hours: ${text}`);
    if (/\\d UTC/.test(text)) found.push(`not the reader's clock: ${text}`);
    if (/[0-9a-f]{8}-[0-9a-f]{4}-/.test(text)) found.push(`a whole id: ${text}`);
  }
  return found;
}
"""
ELSEWHERE = ("start", "swagger")
"""Pages whose fingers are looked after in other tests, or by others."""
OF_STRANGERS = {
    "log-in": "/accounts/login/",
    "start": "/",
    "not-found": "/nothing-here",
    "swagger": "/api/docs#/orders/placeOrder",
    "sockets": "/api/docs/sockets",
}
OF_PEOPLE = {
    "orders": "/api/orders",
    "orders-refused": "/api/orders?limit=0",
    "markets": "/api/markets",
    "prices": "/api/prices?market=SOL/USDC",
    "quotes": "/api/quotes?tokenIn=SOL&tokenOut=USDC&amountIn=1.5",
    "health": "/health",
    "tickets": "/api/ws-tickets",
    "key-api": "/api/account/keys",
    "keys": "/account/keys",
    "sessions": "/accounts/sessions/",
    "factor": "/accounts/second-factor/",
    "enrol": "/accounts/second-factor/enrol/",
    "password": "/accounts/password/",
}


class Walk:
    """Looks at pages, and notes what is wrong with each."""

    def __init__(self, page: Page, complaints: Complaints) -> None:
        self._page, self._complaints = page, complaints
        self.found: list[str] = []
        self.seen: list[str] = []

    def to(self, path: str, name: str = "") -> None:
        self._page.set_viewport_size({"width": 1440, "height": 900})
        self._page.goto(path)
        self.look(name or path)

    def look(self, name: str) -> None:
        page = self._page
        page.wait_for_load_state("networkidle")
        self.seen.append(name)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            self._note(name, scheme, barriers(page))
            keep_picture(page, f"walk-{name.strip('/').replace('/', '-')}-{scheme}")
        self._note(name, "figures", page.evaluate(WORDING))
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 844})
            if (beyond := page.evaluate(TOO_WIDE)) > 0:
                self._note(name, f"{width} px", [f"scrolls sideways by {beyond} px"])
            if width == min(WIDTHS) and name not in ELSEWHERE:
                self._note(name, "too low for a finger", page.evaluate(SMALL))
        self._complaints.allow(REFUSED)
        self._note(name, "complaint", self._complaints.found)
        self._complaints.found.clear()

    def _note(self, name: str, where: str, said: list[str]) -> None:
        self.found += [f"{name} ({where}): {one}" for one in said]


@pytest.fixture
def walk(page: Page, complaints: Complaints) -> Iterator[Walk]:
    walk = Walk(page, complaints)
    yield walk
    assert walk.found == []


def test_every_page_of_strangers_is_for_everybody(walk: Walk, page: Page) -> None:
    for name, path in OF_STRANGERS.items():
        walk.to(path, name)
    page.goto("/accounts/login/")
    give_name_and_password(page, "wrong")
    page.get_by_role("alert").wait_for()
    assert page.evaluate("document.activeElement.id") == "password"
    walk.look("log-in-refused")
    page.locator("[name=csrfmiddlewaretoken]").evaluate("(field) => (field.value = 'x')")
    give_name_and_password(page)
    page.get_by_role("heading", name="Not allowed").wait_for()
    walk.look("csrf")


def test_every_page_of_people_is_for_everybody_and_says_who_they_are(
    walk: Walk, page: Page, web: Web
) -> None:
    log_in(page, "/api/orders")
    order = f"/api/orders/{web.post()}"
    of_an_order = {name: f"{order}/{name}" for name in ("events", "route", "cancel")}
    for name, path in (OF_PEOPLE | of_an_order | {"order": order, "lost": "/nothing-here"}).items():
        walk.to(path, name)
        assert page.locator("header").get_by_text("ada").count() > 0, path
        assert page.get_by_role("button", name="Log out", include_hidden=True).count() > 0, path
