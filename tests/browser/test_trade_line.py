"""The trading page's line to the engine: cut, silent, slow, asleep; and a worker that died."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import held, log_in
from tests.browser.test_trade_page import open_page, press, rows
from tests.support.engine import Engine, Process, Web

pytestmark = pytest.mark.usefixtures("complaints")
STEPS = ["pending", "routing", "building", "submitted", "confirmed"]
LINK = "#link"
LEFT_EARLY = "closed before the connection is established"
"""Where the page's clock jumps, a socket that opens is late for the page, which opens another."""


class Wire:
    """What goes over the page's sockets of orders.

    Those that were open while it was silent stay silent for good, as a line that died does.
    """

    def __init__(self, page: Page, path: str) -> None:
        self.urls: list[str] = []
        self.told: list[Any] = []
        self.pings = 0
        self.is_silent = False
        self.lose_seq: int | None = None
        """The number of the next event that gets lost."""
        self._sockets: list[WebSocketRoute] = []
        self._dead: set[int] = set()
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
            if not self._is_dead(socket):
                server.send(text)

        def tell(text: Any) -> None:
            message = json.loads(text)
            if self._is_dead(socket) or self._is_lost(message):
                return
            self.told.append(message)
            socket.send(text)

        socket.on_message(ask)
        server.on_message(tell)

    def _is_dead(self, socket: WebSocketRoute) -> bool:
        if self.is_silent:
            self._dead.update(map(id, self._sockets))
        return id(socket) in self._dead

    def _is_lost(self, message: Any) -> bool:
        is_lost = self.lose_seq is not None and message.get("seq") == self.lose_seq
        if is_lost:
            self.lose_seq = None
        return is_lost


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


@pytest.mark.parametrize("who", ["a visitor", "an account"])
def test_a_line_that_falls_silent_is_noticed_said_and_resumed_without_a_gap(
    page: Page, who: str, person: str, worker: Process, complaints: Complaints
) -> None:
    has_account = who == "an account"
    wire = Wire(page, r"/ws/orders\?" if has_account else r"/ws$")
    page.clock.install()
    log_in(page, "/", name=person) if has_account else page.goto("/")
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
    complaints.allow(LEFT_EARLY)
    if has_account:
        assert "cursor=" in wire.urls[-1]
        assert len(set(wire.events)) == len(STEPS)


def test_a_line_that_was_cut_comes_again_by_itself_from_where_it_was(
    page: Page, person: str, worker: Process
) -> None:
    wire = Wire(page, r"/ws/orders\?")
    log_in(page, "/", name=person)
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    with held(worker):
        press(page)
        expect(rows(page, "pending")).to_have_count(1)
        expect(page.locator(LINK)).to_contain_text(re.compile(r"Live \d+ ms"))
        wire.break_off(1012)
    expect(rows(page, "confirmed")).to_have_count(1)
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    assert "cursor=" in wire.urls[1]
    assert len(wire.urls) == 2
    assert len(set(wire.events)) == len(STEPS)


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


def test_a_laptop_that_slept_looks_at_once_when_it_wakes(
    page: Page, person: str, worker: Process, complaints: Complaints
) -> None:
    wire = Wire(page, r"/ws/orders\?")
    page.clock.install()
    log_in(page, "/", name=person)
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    with held(worker):
        press(page)
        expect(rows(page, "pending")).to_have_count(1)
        wire.is_silent = True  # the line dies while it sleeps
        page.clock.fast_forward(1_800_000)
        expect(page.locator(LINK)).to_have_attribute("data-state", "lost")
    wire.is_silent = False
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(rows(page, "confirmed")).to_have_count(1)
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    complaints.allow(LEFT_EARLY)
    complaints.allow("400")  # only the page's clock went on: it asks for prices of the future


def test_an_event_that_got_lost_on_the_way_is_asked_for(page: Page, person: str) -> None:
    wire = Wire(page, r"/ws/orders\?")
    wire.lose_seq = STEPS.index("building") + 1
    log_in(page, "/", name=person)
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    with page.expect_response(re.compile(r"/api/orders/[\w-]+/events")):
        press(page)
    one = rows(page, "confirmed")
    expect(one).to_have_count(1)
    expect(one.locator(".venue")).to_have_text(re.compile("Raydium|Meteora"))
    assert wire.lose_seq is None


def test_a_killed_web_server_is_outlived_without_gap_or_repeat(
    page: Page, person: str, running: Engine, web: Web, worker: Process, complaints: Complaints
) -> None:
    log_in(page, "/", name=person)
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    with held(worker):
        page.locator("#five").click()
        expect(rows(page, "pending")).to_have_count(5)
        web.kill()
    try:
        expect(page.locator(LINK)).to_have_attribute("data-state", "lost")
        running.wait_until_all_ended()
    finally:  # the tests after this one want a web process
        running.web(port=web.port)
    expect(rows(page, "confirmed")).to_have_count(5)
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    ids = page.locator("#rows tr[data-id]").evaluate_all("all => all.map((row) => row.dataset.id)")
    assert len(set(ids)) == 5
    complaints.allow("WebSocket connection")
    complaints.allow("Failed to load resource")


def test_a_session_that_ended_is_said_and_nothing_pretends_to_be_live(
    page: Page, complaints: Complaints
) -> None:
    log_in(page, "/")
    expect(page.locator(LINK)).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/")
    other.locator("#account summary").click()
    other.get_by_role("button", name="Log out").click()
    expect(page.locator("#banner")).to_contain_text("Your session has ended")
    expect(page.locator(LINK)).to_contain_text("Logged out")
    complaints.allow("401")  # what it was just asking for
