"""Orders that wait, on the trading page: filled in near the price, placed, told when they fire."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.test_trade_page import Line, choose, open_page, press, rows
from tests.support.engine import Engine

pytestmark = pytest.mark.usefixtures("complaints")


class Market:
    """Plays the prices of every market, as the engine would send them."""

    def __init__(self, page: Page) -> None:
        self._sockets: list[WebSocketRoute] = []
        self._now = {"bid": "100", "ask": "99.5", "reference": "99.8"}
        page.route_web_socket(re.compile("/ws/prices"), self._connect)

    def moves(self, **prices: str) -> None:
        """Tell new prices to all who look."""
        self._now |= prices
        for socket in self._sockets:
            self._tell(socket)

    def _connect(self, socket: WebSocketRoute) -> None:
        self._sockets.append(socket)
        self._tell(socket)

    def _tell(self, socket: WebSocketRoute) -> None:
        market = socket.url.split("market=")[1].replace("%2F", "/")
        socket.send(json.dumps({"market": market, "at": "2026-11-21T10:00:00Z"} | self._now))


@pytest.fixture
def market(page: Page) -> Market:
    return Market(page)


@pytest.fixture
def line(page: Page) -> Line:
    return Line(page)


def test_prices_are_filled_in_near_the_market_and_stay_once_typed(
    page: Page, market: Market
) -> None:
    open_page(page)
    choose(page, "limit")
    price = page.get_by_label("Limit price")
    expect(price).to_have_value("100.2")
    price.fill("101.25")
    market.moves(bid="100.5")
    expect(page.locator("[data-part=mid]")).to_have_text("99.8000")
    expect(price).to_have_value("101.25")
    page.locator("[name=side][value=buy]").check()
    expect(price).to_have_value("99.301")
    choose(page, "stop")
    expect(page.get_by_label("Trigger price")).to_have_value("101.49")
    expect(page.locator("[name=slip]:checked")).to_have_value("500")
    choose(page, "limit")
    expect(page.locator("#tolerance")).to_be_hidden()


def test_a_limit_rests_says_so_and_is_cancelled(page: Page, line: Line, running: Engine) -> None:
    open_page(page)
    choose(page, "limit")
    page.get_by_label("Limit price").fill("170")
    expect(page.locator("#why")).to_contain_text("Sell 1.5 SOL at 170 USDC per SOL or better")
    expect(page.locator(".terms [data-part=price]")).to_contain_text("% away")
    page.locator("#till").select_option("3600")
    press(page)
    one = rows(page, "open")
    expect(one).to_contain_text("limit")
    sent = line.bodies[0]
    assert (sent["type"], sent["limitPrice"], sent["expiresInSeconds"]) == ("limit", "170", "3600")
    assert "slippageBps" not in sent
    one.locator("[data-act=cancel]").click()
    page.get_by_role("button", name="Yes, cancel").click()
    expect(page.locator("#rows [data-status=cancelled]")).to_have_count(1)


SENT: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "stop": ({"Trigger price": "50"}, {"triggerPrice": "50", "slippageBps": "500"}),
    "stopLimit": (
        {"Trigger price": "50", "Limit price": "49"},
        {"triggerPrice": "50", "limitPrice": "49"},
    ),
    "takeProfit": ({"Trigger price": "180"}, {"triggerPrice": "180", "slippageBps": "100"}),
    "trailingStop": ({"Trails": "12.5"}, {"trailBps": "1250", "slippageBps": "500"}),
    "oco": (
        {"Target": "180", "Stop": "50"},
        {"takeProfit": {"limitPrice": "180"}, "stopLoss": {"triggerPrice": "50"}},
    ),
    "twap": (
        {"Slices": "3"},
        {"slices": "3", "intervalSeconds": "3600", "slippageBps": "100"},
    ),
}


@pytest.mark.parametrize("order_type", SENT)
def test_each_type_is_previewed_and_taken_as_it_was_filled_in(
    page: Page, line: Line, order_type: str
) -> None:
    typed, wanted = SENT[order_type]
    open_page(page)
    choose(page, order_type)
    for label, value in typed.items():
        page.locator("#prices").get_by_label(label).fill(value)
    if order_type == "twap":
        page.get_by_label("One every").select_option("3600")
    expect(page.locator("#why")).to_contain_text("Sell 1.5 SOL")
    expect(page.locator(".error:visible")).to_have_count(0)
    press(page)
    expect(page.locator("#rows tr [data-status=open]").first).to_be_visible()
    sent = line.bodies[0]
    assert sent["type"] == order_type
    assert {name: sent[name] for name in wanted} == wanted
    for button in page.locator("#cancel-all").all():
        button.click()
    page.get_by_role("button", name=re.compile("Yes, cancel")).click()
    expect(page.locator("#rows tr [data-status=open]")).to_have_count(0)


@pytest.mark.parametrize(
    ("order_type", "label", "typed", "says"),
    [
        ("limit", "Limit price", "x", "This is no number"),
        ("limit", "Limit price", "0", "above zero"),
        ("stop", "Trigger price", "500", "would go off at once"),
        ("trailingStop", "Trails", "1.01", "steps of 0.05"),
        ("twap", "Slices", "1", "Out of range"),
    ],
)
def test_a_price_that_cannot_be_is_said_beside_its_field_in_a_persons_words(
    page: Page, line: Line, order_type: str, label: str, typed: str, says: str, complaints: Any
) -> None:
    open_page(page)
    choose(page, order_type)
    field = page.locator("#prices").get_by_label(label)
    field.fill(typed)
    expect(page.locator("#prices .error:visible")).to_contain_text(says)
    press(page)
    expect(field).to_have_attribute("aria-invalid", "true")
    complaints.allow("400")


def test_a_waiting_order_that_fires_is_told_in_the_title_and_by_a_notification(
    page: Page, line: Line
) -> None:
    page.add_init_script(
        "window.told = []; window.Notification = class { static permission = 'granted';"
        " static requestPermission() { return Promise.resolve('granted'); }"
        " constructor(text) { window.told.push(text); } };"
        " document.hasFocus = () => window.isLookedAt !== false;"
    )
    open_page(page)
    page.evaluate("window.isLookedAt = false")
    choose(page, "limit")
    price = page.get_by_label("Limit price")
    expect(price).to_have_value(re.compile(r"\d"))
    price.fill(str(round(float(price.input_value()) * 0.9, 2)))
    press(page)
    expect(page.locator("#rows [data-status=confirmed]")).to_have_count(1)
    expect(page).to_have_title(re.compile(r"^Sell 1.5 SOL for USDC: confirmed"))
    assert any("confirmed" in text for text in page.evaluate("window.told"))
    page.evaluate("window.isLookedAt = true; dispatchEvent(new Event('focus'))")
    expect(page).to_have_title(re.compile(r"^SOL/USDC"))
