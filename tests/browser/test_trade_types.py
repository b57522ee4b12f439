"""Orders that wait, on the live page: placed near the price, shown with its distance, cancelled."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import SCREENS, TOO_WIDE, keep_picture
from tests.browser.test_live_page import (
    MADE_UP,
    REFUSED,
    STEPS,
    log_of,
    orders,
    part,
    press,
    remembered,
    wait_for_status,
)
from tests.support.engine import Engine

pytestmark = pytest.mark.usefixtures("complaints")


class Market:
    """Plays the prices of every market, as the engine would send them."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self._sockets: list[WebSocketRoute] = []
        self._now = {"bid": "100", "ask": "99.5", "reference": "99.8"}
        page.route_web_socket(re.compile("/ws/prices"), self._connect)

    def moves(self, **prices: str) -> None:
        """Tell new prices to all who look."""
        self._now |= prices
        for socket in self._sockets:
            self._tell(socket)

    def breaks(self) -> None:
        for socket in self._sockets:
            socket.close(code=1012)
        self._sockets.clear()

    def _connect(self, socket: WebSocketRoute) -> None:
        self.asked.append(socket.url.split("market=")[1].replace("%2F", "/"))
        self._sockets.append(socket)
        self._tell(socket)

    def _tell(self, socket: WebSocketRoute) -> None:
        market = socket.url.split("market=")[1].replace("%2F", "/")
        socket.send(json.dumps({"market": market, "at": "2026-11-21T10:00:00Z"} | self._now))


@pytest.fixture
def market(page: Page) -> Market:
    return Market(page)


def choose(page: Page, word: str) -> None:
    page.get_by_text(word, exact=True).click()


def test_a_limit_is_filled_in_near_the_price_rests_and_is_cancelled(
    page: Page, market: Market, running: Engine
) -> None:
    page.goto("/")
    expect(page.get_by_label("Limit price")).to_be_hidden()
    choose(page, "Limit")
    price = page.get_by_label("Limit price")
    expect(price).to_have_value("100.2")
    expect(page.locator("#price-hint")).to_have_text("Bid now 100, 20 bps away")
    expect(page.get_by_label("Slippage")).to_be_hidden()
    price.fill("170")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "open")

    (order_id,) = remembered(page)
    ((order_type, limit, slippage),) = running.query(
        "SELECT type, limit_price, slippage_bps FROM orders WHERE id = %s", order_id
    )
    assert (order_type, int(limit), slippage) == ("limit", 170, None)
    expect(part(order, "limits")).to_contain_text("170 USDC per SOL or better")
    waits = "Waits for the bid to be 170 or higher. Bid now 100, 70 % away."
    expect(part(order, "waits")).to_have_text(waits)
    expect(page.locator("#tally")).to_have_text("1 resting, 0 under way, 0 ended")
    keep_picture(page, "live-limit")
    press(page, "Cancel")
    wait_for_status(order, "cancelled")
    expect(part(order, "waits")).to_be_hidden()
    assert log_of(order) == [(1, "open"), (2, "cancelled")]


def test_a_resting_order_tells_how_far_its_price_is_as_that_moves(
    page: Page, market: Market
) -> None:
    page.goto("/")
    choose(page, "Limit")
    page.get_by_label("Limit price").fill("170")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "open")
    market.moves(bid="169")
    expect(part(order, "waits")).to_contain_text("Bid now 169, 59 bps away.")
    page.reload()
    expect(part(order, "waits")).to_contain_text("Bid now 169, 59 bps away.")
    market.breaks()
    expect(part(order, "waits")).to_contain_text("There is no bid now.")
    expect(part(order, "waits")).to_contain_text("Bid now 169, 59 bps away.")  # it came back
    press(page, "Cancel")
    wait_for_status(order, "cancelled")


def test_a_price_that_was_typed_stays_and_a_price_for_another_side_does_not(
    page: Page, market: Market
) -> None:
    page.goto("/")
    choose(page, "Limit")
    price = page.get_by_label("Limit price")
    expect(price).to_have_value("100.2")
    price.fill("101.25")
    market.moves(bid="100.5")
    expect(page.locator("#price-hint")).to_have_text("Bid now 100.5, 75 bps away")
    expect(price).to_have_value("101.25")
    price.fill("")
    market.moves(bid="100.6")
    expect(page.locator("#price-hint")).to_have_text("In quote tokens for one base token")
    market.moves(bid="100.7")
    expect(price).to_have_value("")
    choose(page, "Buy")
    expect(price).to_have_value("99.301")
    expect(page.locator("#price-hint")).to_contain_text("Ask now 99.5, 20 bps away")
    choose(page, "Stop")
    expect(page.get_by_label("Trigger price")).to_have_value("101.49")
    page.get_by_role("combobox", name="Market").select_option("JUP/USDC")
    expect(page.locator("#price-unit")).to_have_text("USDC per JUP")
    assert market.asked == ["SOL/USDC", "JUP/USDC"]


def test_prices_are_asked_for_only_while_something_waits_for_them(
    page: Page, market: Market
) -> None:
    page.goto("/")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")
    assert market.asked == []


def test_an_order_that_waits_is_placed_by_keyboard(page: Page, market: Market) -> None:
    page.goto("/")
    page.locator("[name=type][value=market]").focus()
    page.keyboard.press("ArrowRight")
    for _ in range(4):  # market, fixed amount, amount, and the price
        page.keyboard.press("Tab")
    expect(page.get_by_label("Limit price")).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.type("165")
    page.keyboard.press("Enter")
    order = orders(page)
    wait_for_status(order, "open")
    expect(page.get_by_role("status")).to_have_text("Order received")
    press(page, "Cancel")
    wait_for_status(order, "cancelled")


def test_a_price_that_cannot_be_is_shown_beside_its_field(
    page: Page, market: Market, complaints: Complaints
) -> None:
    page.goto("/")
    choose(page, "Limit")
    price = page.get_by_label("Limit price")
    for typed in ("-1", "x", ""):
        price.fill(typed)
        press(page, "Place order")
        expect(page.locator("#price-error")).to_be_visible()
        expect(price).to_be_focused()
        expect(price).to_have_attribute("aria-invalid", "true")
    complaints.expect(REFUSED)
    assert orders(page).count() == 0


def test_a_limit_is_filled_in_from_the_real_market_and_fills(page: Page) -> None:
    page.goto("/")
    choose(page, "Limit")
    price = page.get_by_label("Limit price")
    expect(price).to_have_value(re.compile(r"^\d+(\.\d+)?$"))
    expect(page.locator("#price-hint")).to_have_text(re.compile(r"^Bid now [\d.]+, \d+"))
    price.fill(str(float(price.input_value()) * 0.95))
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "confirmed")
    expect(part(order, "waits")).to_be_hidden()
    assert [status for _, status in log_of(order)][-4:] == STEPS[1:]


# Events that take a market to come about, played.


def event(seq: int, status: str, happened: str, **data: Any) -> str:
    return json.dumps(
        {
            **{"orderId": MADE_UP, "seq": seq, "status": status, "event": happened, "attempt": 0},
            **{"timestamp": f"2026-11-21T10:00:0{seq}.000000Z", "message": f"{happened} {seq}"},
            "data": data,
        }
    )


def resting(order_type: str, **prices: Any) -> str:
    order = {
        **{"type": order_type, "side": "sell", "baseToken": "SOL", "quoteToken": "USDC"},
        **{"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5", "amountOut": None},
        "summary": f"A {order_type}.",
    }
    return event(1, "open", "accepted", order=order | prices)


Played = Callable[..., Any]


@pytest.fixture
def played(page: Page, market: Market) -> Played:
    """Show an order whose events are these."""

    def play(*events: str) -> Any:
        def say(socket: WebSocketRoute) -> None:
            for text in events:
                socket.send(text)

        page.route_web_socket(re.compile("/ws/orders/"), say)
        page.add_init_script(f"localStorage.setItem('orders', '[\"{MADE_UP}\"]')")
        page.goto("/")
        return orders(page)

    return play


def test_a_stop_limit_that_was_triggered_waits_for_its_limit(played: Played) -> None:
    order = played(
        resting("stopLimit", triggerPrice="95", limitPrice="94"), event(2, "open", "triggered")
    )
    expect(part(order, "waits")).to_contain_text("Waits for the bid to be 94 or higher")
    assert log_of(order) == [(1, "open"), (2, "open")]


def test_an_amended_order_waits_for_its_new_price(played: Played) -> None:
    order = played(
        resting("stop", triggerPrice="95"),
        event(2, "open", "amended", before={"triggerPrice": "95"}, after={"triggerPrice": "97"}),
    )
    expect(part(order, "waits")).to_have_text(
        "Waits for the bid to be 97 or lower. Bid now 100, 300 bps away."
    )


def test_an_order_that_came_back_says_why_and_stands_at_its_beginning(played: Played) -> None:
    order = played(
        resting("limit", limitPrice="101"),
        event(2, "pending", "released"),
        event(3, "routing", "routing"),
        event(4, "open", "returned", reason="the price moved"),
    )
    expect(part(order, "fault")).to_have_text("returned 4")
    expect(part(order, "waits")).to_contain_text("Bid now 100, 100 bps away")
    expect(order.locator("[aria-current=step]")).to_contain_text("open")
    expect(order.locator("[data-step=routing]")).to_have_attribute("data-state", "ahead")


def test_an_order_that_waits_for_no_price_says_what_it_waits_for(played: Played) -> None:
    order = played(resting("trailingStop", trailBps=300))
    expect(part(order, "waits")).to_have_text("accepted 1")


@pytest.mark.parametrize("screen", SCREENS)
def test_a_ticket_for_a_stop_fits_every_screen(
    page: Page, market: Market, screen: str, complaints: Complaints
) -> None:
    page.goto("/")
    choose(page, "Stop")
    expect(page.get_by_label("Trigger price")).to_have_value("98")
    expect(page.get_by_label("Slippage")).to_have_value("500")
    assert page.evaluate(TOO_WIDE) <= 0
    keep_picture(page, f"live-stop-{screen}")
