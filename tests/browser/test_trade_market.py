"""The trading page's market panel, quality strip, chart and top bar, in a real browser."""

import re
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import Complaints, barriers
from tests.browser.conftest import keep_picture, log_in
from tests.support.engine import PATIENCE, Engine, wait_for

expect.set_options(timeout=PATIENCE * 1000)
pytestmark = pytest.mark.usefixtures("complaints")
TRADE = "/trade"
SEND = """
async (order) => {
  const token = document.cookie.match(/csrftoken=([^;]+)/)[1];
  const headers = { "content-type": "application/json", "X-CSRFToken": token };
  const body = JSON.stringify(order);
  return (await fetch("/api/orders/execute", { method: "POST", headers, body })).json();
}
"""
SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}


def send(page: Page, **changes: Any) -> dict[str, Any]:
    """Send an order as the page's own person."""
    found: dict[str, Any] = page.evaluate(SEND, SELL | changes)
    return found


def number_in(element: Locator) -> Decimal:
    """Return the number that an element begins with, once one is there."""
    expect(element).to_have_text(re.compile(r"^\s*[\d,.]*\d"))
    return Decimal((element.text_content() or "").replace(",", "").split()[0])


def chart(page: Page) -> Locator:
    return page.locator("#chart")


def wait_for_chart(page: Page) -> None:
    expect(chart(page)).to_have_attribute("aria-label", re.compile("^SOL/USDC over 5 minutes"))


def test_the_panel_shows_the_market_and_what_each_venue_nets_for_the_ticket(page: Page) -> None:
    page.goto(TRADE)
    market = page.locator("#market")
    expect(market.locator("[data-part=mid]")).to_have_text(re.compile(r"^\d+\.\d{4}$"))
    nets = [market.locator(f"[data-venue={name}]") for name in ("raydium", "meteora")]
    for net in nets:
        expect(net).to_have_text(re.compile(r"^\d+\.\d{4}$"))
    expect(market.locator("[data-part=apart]")).to_have_text(re.compile(r"bps$"))

    page.locator("#pick").select_option("JUP/USDC")
    expect(nets[0]).to_have_text(re.compile(r"^0\.\d{4}$"))
    assert Decimal("0.4") < number_in(nets[0]) < Decimal("0.6")


def test_the_strip_has_figures_after_the_first_fill(page: Page) -> None:
    log_in(page, TRADE)
    strip = page.locator("#quality")
    expect(strip.locator("[data-part=confirmed] dd").first).to_have_text("first after 1 fill")
    send(page)
    send(page, side="buy", tokenIn="USDC", tokenOut="SOL", amountIn="150")
    expect(strip.locator("[data-part=confirmed] .unit")).to_have_text("2 of 2")
    expect(strip.locator("[data-part=won] dd").first).to_have_text(re.compile(r"^\S[\d.]+ bps$"))
    expect(strip.locator("[data-part=won] .unit")).to_have_text(re.compile(r"USDC$"))
    expect(strip.locator("[data-part=time] .unit")).to_have_text(re.compile(r"^p95 "))
    wait_for_chart(page)
    expect(chart(page)).to_have_attribute("aria-label", re.compile(r"2 of your fills\.$"))
    assert [found for found in barriers(page) if "blotter" not in found] == []
    keep_picture(page, "trade-market")


def test_strangers_see_no_strip(page: Page) -> None:
    page.goto(TRADE)
    expect(page.locator("#quality")).to_be_hidden()


def test_the_top_bar_tells_how_the_engine_stands(page: Page) -> None:
    page.goto(TRADE)
    expect(page.locator("#workers b")).to_have_text("1")
    expect(page.locator("#waiting b")).to_have_text("0")


def test_a_resting_order_is_amended_by_dragging_its_line(page: Page, running: Engine) -> None:
    log_in(page, TRADE)
    wait_for_chart(page)
    last = number_in(page.locator("#market [data-part=mid]"))
    order = send_near(page, last)
    assert order["status"] == "open"

    y = line_of(page)
    x = box(page)["x"] + 120
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 12, steps=4)
    page.mouse.up()

    expect(page.locator("#chart-said")).to_have_text(re.compile(r"^Sell limit is now at "))
    price = running.value("SELECT limit_price FROM orders WHERE id = %s", order["orderId"])
    assert last < price < Decimal(order["limitPrice"])
    assert running.value("SELECT seq FROM orders WHERE id = %s", order["orderId"]) == 2


def test_a_line_that_is_let_go_by_escape_amends_nothing(page: Page, running: Engine) -> None:
    log_in(page, TRADE)
    wait_for_chart(page)
    send_near(page, number_in(page.locator("#market [data-part=mid]")))
    moved = "SELECT sum(seq) FROM orders WHERE status = 'open'"
    before = running.value(moved)
    y = line_of(page)  # of one of them
    x = box(page)["x"] + 120
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 12, steps=4)
    page.keyboard.press("Escape")
    page.mouse.up()
    expect(page.locator("#chart-said")).to_have_text("")
    assert running.value(moved) == before


def test_without_the_library_the_price_is_there_as_text(page: Page, complaints: Complaints) -> None:
    page.route("**/charts/*", lambda route: route.abort())
    page.goto(TRADE)
    expect(chart(page)).to_have_attribute("aria-label", re.compile("the price is above"))
    expect(page.locator("#market [data-part=mid]")).to_have_text(re.compile(r"^\d"))
    complaints.expect("net::ERR_FAILED")


def test_the_library_is_asked_for_after_the_first_paint(page: Page) -> None:
    page.goto(TRADE)
    wait_for_chart(page)
    painted, asked = page.evaluate(
        """() => [
          performance.getEntriesByName("first-paint")[0]?.startTime ?? 0,
          performance.getEntriesByType("resource").find(({ name }) => name.includes("/charts/"))
            .startTime]"""
    )
    assert 0 < painted <= asked


def send_near(page: Page, last: Decimal) -> Any:
    """Send an order that rests a little above the market, where the chart shows it."""
    price = (last * Decimal("1.008")).quantize(Decimal("0.01"))
    return send(page, type="limit", limitPrice=str(price))


def box(page: Page) -> Any:
    return chart(page).bounding_box()


def line_of(page: Page) -> float:
    """Look for the height at which a line can be taken hold of, as a person does."""
    found: list[float] = []

    def is_there() -> bool:
        area = box(page)
        for step in range(0, int(area["height"]) - 30, 4):
            page.mouse.move(area["x"] + 120, area["y"] + step)
            if "can-move" in (chart(page).get_attribute("class") or ""):
                found.append(area["y"] + step + 3)
                return True
        return False

    wait_for(is_there)
    return found[0]
