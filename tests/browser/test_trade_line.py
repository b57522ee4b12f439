"""The trading page's line to the engine: cut, silent, slow, asleep; and a worker that died."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import held, log_in
from tests.browser.test_trade_page import open_page, press, rows
from tests.support.engine import Process

pytestmark = pytest.mark.usefixtures("complaints")
STEPS = ["pending", "routing", "building", "submitted", "confirmed"]
LINK = "#link"


class Wire:
    """What goes over the page's sockets of orders; it can fall silent without being closed."""

    def __init__(self, page: Page, path: str) -> None:
        self.urls: list[str] = []
        self.told: list[Any] = []
        self.pings = 0
        self.is_silent = False
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket(re.compile(path), self._connect)

    def break_off(self, code: int) -> None:
        for socket in self._sockets:
            socket.close(code=code)
        self._sockets.clear()

    @property
    def events(self) -> list[tuple[str, int]]:
        return [(one["orderId"], one["seq"]) for one in self.told if "seq" in one]

    def _connect(self, socket: WebSocketRoute) -> None:
        self.urls.append(socket.url)
        self._sockets.append(socket)
        server = socket.connect_to_server()

        def ask(text: Any) -> None:
            self.pings += "ping" in str(text)
            if not self.is_silent:
                server.send(text)

        def tell(text: Any) -> None:
            if self.is_silent:
                return
            self.told.append(json.loads(text))
            socket.send(text)

        socket.on_message(ask)
        server.on_message(tell)


def log_of(page: Page, order_id: str) -> list[str]:
    answer = page.request.get(f"/api/orders/{order_id}/events").json()
    return [event["status"] for event in answer["events"]]


def test_one_socket_serves_all_orders_of_an_account_and_is_kept_alive(page: Page) -> None:
    wire = Wire(page, r"/ws/orders\?")
    log_in(page, "/")
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    expect(page.locator(LINK)).to_contain_text(re.compile(r"Live \d+ ms"))
    page.locator("#five").click()
    expect(rows(page, "confirmed")).to_have_count(5)
    assert len(wire.urls) == 1
    assert wire.pings >= 1
    assert len(set(wire.events)) == 5 * len(STEPS)


@pytest.mark.parametrize("who", ["a visitor"])
def test_a_line_that_falls_silent_is_noticed_said_and_resumed_without_a_gap(
    page: Page, who: str, worker: Process
) -> None:
    wire = Wire(page, r"/ws/orders\?" if who == "ada" else r"/ws$")
    page.clock.install()
    log_in(page, "/") if who == "ada" else page.goto("/")
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    with held(worker):
        press(page)
        expect(rows(page, "pending")).to_have_count(1)
        wire.is_silent = True
        page.clock.run_for(11_000)
        expect(page.locator(LINK)).to_have_attribute("data-state", "lost")
        expect(page.locator("#rows .note")).to_contain_text("as of")
        page.clock.run_for(3_000)
        expect(page.locator("#banner")).to_contain_text("The line to the engine is lost")
    wire.is_silent = False
    page.clock.run_for(11_000)
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    expect(rows(page, "confirmed")).to_have_count(1)
    expect(page.locator("#banner")).to_be_hidden()
    if who == "ada":
        assert "cursor=" in wire.urls[-1]


def test_offline_is_said_at_once_and_back_online_catches_up(
    page: Page, worker: Process, complaints: Complaints
) -> None:
    open_page(page)
    with held(worker):
        press(page)
        expect(rows(page, "pending")).to_have_count(1)
        page.context.set_offline(True)
        expect(page.locator("#banner")).to_contain_text("You are offline. The engine goes on")
        expect(page.locator("#go")).to_be_disabled()
        expect(page.locator("#go")).to_contain_text("Offline")
        expect(page.locator("#rows .note")).to_contain_text("as of")
    page.context.set_offline(False)
    expect(rows(page, "confirmed")).to_have_count(1)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#go")).to_be_enabled()
    complaints.allow("ERR_INTERNET_DISCONNECTED")


def test_a_session_that_ended_is_said_and_nothing_pretends_to_be_live(page: Page) -> None:
    log_in(page, "/")
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/")
    other.locator("#account summary").click()
    other.get_by_role("button", name="Log out").click()
    expect(page.locator("#banner")).to_contain_text("Your session has ended")
    expect(page.locator(LINK)).to_contain_text("Logged out")
