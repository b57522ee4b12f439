"""The operators' pages in a real Chromium, of an engine that executes: laptop, phone and dark."""

import csv
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import SCREENS, TOO_WIDE, keep_picture, log_in
from tests.support.engine import Engine, Web, wait_for

LIST = "/admin/orders/order/"
LEAST_CONTRAST = 4.5  # WCAG AA for text of this size

# The contrast of each status with its own background, by the formula of WCAG 2.
CONTRASTS = """
() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(".status")].map((element) => {
    const { color, backgroundColor } = getComputedStyle(element);
    const [dark, bright] = [light(color), light(backgroundColor)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  });
}
"""
pytestmark = pytest.mark.usefixtures("complaints")


@pytest.fixture(scope="module")
def web(running: Engine) -> Web:
    """A web process whose engine has executed two orders; others wait, as no worker is left."""
    web = running.web()
    web.post()
    limits = {"venues": ["raydium"], "maxPriceImpactBps": 50}
    web.post(tokenIn="USDC", tokenOut="SOL", amountIn="25", **limits)
    worker = running.worker()
    running.wait_until_all_ended()
    worker.kill()
    return web


@pytest.fixture
def page(page: Page) -> Page:
    """A page of somebody who is signed in."""
    log_in(page, "/admin/")
    return page


def waiting_order(running: Engine, web: Web) -> str:
    order_id = web.post()
    wait_for(lambda: running.value("SELECT count(*) FROM orders WHERE id = %s", order_id))
    return order_id


@pytest.mark.parametrize("screen", SCREENS)
def test_the_pages_fit_the_screen_and_statuses_can_be_read(
    page: Page, web: Web, running: Engine, screen: str
) -> None:
    (executed,) = running.query("SELECT id FROM orders WHERE status = 'confirmed' LIMIT 1")
    pages = {
        "operations": ("/admin/", "Orders under way"),
        "list": (LIST, "confirmed"),
        "case": (f"{LIST}{executed[0]}/change/", "Fill against bound"),
        "venues": ("/admin/routing/venues/", "Meteora"),
        "transactions": ("/admin/orders/transactionbysignature/", "landed"),
    }
    for name, (path, text) in pages.items():
        page.goto(path)
        expect(page.locator("#content")).to_contain_text(text)
        assert page.evaluate(TOO_WIDE) <= 0, name
        contrasts = page.evaluate(CONTRASTS)
        assert all(contrast >= LEAST_CONTRAST for contrast in contrasts), (name, contrasts)
        assert contrasts or name in ("operations", "venues")
        keep_picture(page, f"admin-{screen}-{name}")


def test_a_figure_leads_to_the_orders_it_counts(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_role("link", name="Waiting").click()
    page.wait_for_url("**/admin/orders/order/?status=under_way")


def test_what_the_engine_decided_is_in_the_case_file(page: Page, running: Engine) -> None:
    """The engine's own events, so that the page follows the form in which they are stored."""
    page.goto(f"{LIST}?status=confirmed&side=sell")
    page.locator("#result_list tbody th a").click()
    expect(page.locator("h1")).to_have_text(re.compile("Sell 1.5 SOL for USDC"))
    expect(page.locator(".timeline .status")).to_have_text(
        ["pending", "routing", "building", "submitted", "confirmed"]
    )
    decision = page.locator(".case-part", has_text="Decision")
    expect(decision.locator("tbody tr")).to_have_count(2)
    expect(decision.locator("tr.won")).to_have_count(1)
    expect(decision).to_contain_text(re.compile(r"nets \d+\.\d+ USDC.*bps better than"))
    expect(decision).to_contain_text(re.compile(r"The order accepted at least \d+"))
    expect(decision).to_contain_text("Steps: wrap 1.5 SOL → swap 1.5")
    expect(page.locator(".case")).to_contain_text(re.compile(r"bps better: \d+\.\d+ USDC more"))
    expect(page.locator(".case")).to_contain_text(re.compile("than quoted|exactly as quoted"))
    page.locator(".timeline summary").first.click()
    expect(page.locator(".timeline pre").first).to_be_visible()


def test_what_an_order_asks_of_its_route_is_in_the_list_and_its_case_file(page: Page) -> None:
    limits = "Raydium only, price impact at most 50 bps"
    page.goto(f"{LIST}?status=confirmed&side=buy")
    expect(page.locator("#result_list .limits")).to_have_text(limits)
    page.locator("#result_list tbody th a").click()
    expect(page.locator(".facts").first).to_contain_text(limits)


def test_an_operator_cancels_an_order_by_the_button(page: Page, running: Engine, web: Web) -> None:
    order_id = waiting_order(running, web)
    page.goto(f"{LIST}{order_id}/change/")
    expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    confirm = page.get_by_role("button", name="Yes, cancel this order")
    expect(confirm).to_be_hidden()  # one click cancels nothing
    page.get_by_text("Cancel…").click()
    confirm.click()
    expect(page.locator(".messagelist")).to_contain_text("was cancelled")
    expect(page.locator("h1 .status")).to_have_text("cancelled")
    expect(page.get_by_text("Cancel…")).to_have_count(0)

    assert running.value("SELECT status FROM orders WHERE id = %s", order_id) == "cancelled"


@pytest.fixture
def group(web: Web) -> list[str]:
    """The two orders of a group, which rest far from the price."""
    answer = web.request(
        "/api/orders/execute",
        {
            **{"type": "oco", "baseToken": "SOL", "quoteToken": "USDC", "side": "sell"},
            **{"amountIn": "1.5", "takeProfit": {"limitPrice": "500"}},
            "stopLoss": {"trailBps": 5000},
        },
    )
    assert answer.status == 201, answer.body
    return [one["orderId"] for one in answer.body["orders"]]


@pytest.mark.parametrize("screen", SCREENS)
def test_an_operator_sees_why_an_order_has_not_fired_and_cancels_it_with_its_group(
    page: Page, running: Engine, group: list[str], screen: str
) -> None:
    target, stop = group
    wait_for(lambda: running.value("SELECT count(*) FROM price_ticks"), what="prices")
    for name, order_id in (("target", target), ("stop", stop)):
        page.goto(f"{LIST}{order_id}/change/")
        waiting = page.locator(".case-part", has_text="Why it has not fired")
        expect(waiting).to_contain_text("Last tick")
        assert page.evaluate(TOO_WIDE) <= 0
        keep_picture(page, f"admin-{screen}-{name}")
    expect(page.locator(".case-part", has_text="Orders that belong to it")).to_contain_text(
        target[-8:]
    )
    page.goto(f"{LIST}?phase=waiting&type=limit")
    expect(page.locator("#result_list")).to_contain_text("limit at 500")
    keep_picture(page, f"admin-{screen}-resting")
    page.goto(f"{LIST}{stop}/change/")
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Yes, cancel this order").click()
    for order_id in group:
        expect(page.locator(".messagelist")).to_contain_text(f"Order {order_id} was cancelled")


@pytest.mark.parametrize("screen", SCREENS)
def test_an_operator_halts_trading_by_the_button_and_lets_it_go_on(
    page: Page, web: Web, screen: str
) -> None:
    page.goto("/admin/")
    halt = page.get_by_role("button", name="Yes, halt trading")
    expect(halt).to_be_hidden()  # one click halts nothing
    page.get_by_text("Halt trading…").click()
    expect(page.get_by_label("Why")).to_be_focused()
    page.keyboard.type("a venue that lies")
    keep_picture(page, f"admin-{screen}-halt")
    halt.click()
    expect(page.locator("h1")).to_have_text("Halted: nothing is traded")
    expect(page.locator(".verdict")).to_contain_text("a venue that lies")
    expect(page).to_have_title(re.compile("^Halted · Engine"))
    assert page.evaluate(TOO_WIDE) <= 0
    keep_picture(page, f"admin-{screen}-halted")
    assert web.request("/health").body["state"] == "halted"
    page.get_by_text("Let trading go on…").click()
    page.get_by_role("button", name="Yes, let it go on").click()
    expect(page.locator(".happened")).to_contain_text("let trading go on")
    page.goto("/admin/orders/tradingstate/")
    expect(page.locator("#result_list")).to_contain_text("a venue that lies")
    assert web.request("/health").body["state"] == "active"


def test_an_operator_cancels_ticked_orders(page: Page, running: Engine, web: Web) -> None:
    orders = [waiting_order(running, web) for _ in range(2)]
    page.goto(f"{LIST}?status=pending")
    page.locator("#action-toggle").check()
    page.select_option("select[name=action]", "cancel")
    page.get_by_role("button", name="Go").click()
    expect(page.locator(".outlook")).to_contain_text(f"{len(orders)} can be cancelled")
    keep_picture(page, "admin-confirm")
    page.get_by_role("button", name="Yes, cancel them").click()
    expect(page.locator(".messagelist li")).to_have_count(1)
    expect(page.locator(".messagelist")).to_contain_text(f"{len(orders)} cancelled")


def test_the_filters_keep_each_other(page: Page) -> None:
    page.goto(f"{LIST}?status=confirmed")
    filters = page.locator("#changelist-filter")
    filters.locator("input[name=created_from]").fill("2020-01-01T00:00:00")
    filters.get_by_role("button", name="Show").click()
    page.wait_for_url("**created_from=2020-01-01**")

    assert "status=confirmed" in page.url
    expect(page.locator("#result_list tbody tr")).to_have_count(2)
    filters.get_by_role("link", name="last minute").click()
    page.wait_for_url("**created=minute**")
    assert "created_from" not in page.url


def test_exports_arrive_whole_from_the_real_server(page: Page, tmp_path: Path) -> None:
    page.goto(f"{LIST}?status=confirmed")
    for form, suffix in (("CSV", "csv"), ("JSON", "json")):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Export all as {form}").click()
        assert download.value.suggested_filename == f"orders.{suffix}"
        download.value.save_as(tmp_path / suffix)
    with (tmp_path / "csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    exact = json.loads((tmp_path / "json").read_text())

    assert [row["orderId"] for row in table] == [row["orderId"] for row in exact]
    assert {row["status"] for row in table} == {"confirmed"}
    assert len(table) == 2
