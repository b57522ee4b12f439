"""The trading page's ticket, in a real browser: seen before the press, and sent once."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.browser.chromium import Complaints, barriers
from tests.browser.conftest import SCREENS, TOO_WIDE, held, keep_picture, log_in
from tests.support.engine import Engine, Process, Web, wait_for

MADE_UP = "01a1fc02-2219-7ea8-9f11-ba64b00749af"
REFUSED = "Failed to load resource"
STORED = """
SELECT idempotency_key, username FROM orders LEFT JOIN auth_user ON auth_user.id = owner_id
WHERE orders.id = %s
"""
EXECUTE = "**/api/orders/execute"
WIDTHS = {"1440": (1440, 900), "1024": (1024, 768), "768": (768, 1024), "laptop-low": (1366, 650)}
for name, (width, height) in WIDTHS.items():
    SCREENS.setdefault(name, {"viewport": {"width": width, "height": height}})

expect.set_options(timeout=12_000)
pytestmark = pytest.mark.usefixtures("complaints")


def open_page(page: Page) -> None:
    """Open the page, and wait until it shows what the ticket would bring."""
    page.goto("/")
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    expect(page.locator("#go")).to_be_enabled()


def press(page: Page) -> None:
    page.locator("#go").click()


def rows(page: Page, status: str = "") -> Locator:
    """Return the rows of orders; with a status, of those that have it."""
    return page.locator(
        f"#rows tr[data-id]:has([data-status={status}])" if status else "#rows tr[data-id]"
    )


def choose(page: Page, order_type: str) -> None:
    radio = page.locator(f"[name=type][value={order_type}]")
    if radio.count():
        radio.check()
    else:
        page.locator("#more").select_option(order_type)


def remembered(page: Page) -> Any:
    return json.loads(page.evaluate("localStorage.getItem('orders')") or "[]")


class Line:
    """What the page sent to place orders, and what becomes of it."""

    def __init__(self, page: Page) -> None:
        self.sent: list[Request] = []
        self._lose = 0
        page.route(EXECUTE, self._pass_on)

    def lose_answers(self, count: int) -> None:
        """Have the engine take the next requests, and their answers get lost."""
        self._lose = count

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [request.post_data_json or {} for request in self.sent]

    @property
    def keys(self) -> list[str]:
        return [request.headers["idempotency-key"] for request in self.sent]

    def _pass_on(self, route: Route) -> None:
        self.sent.append(route.request)
        if not self._lose:
            route.continue_()
            return
        self._lose -= 1
        route.fetch()  # it came to the engine
        route.abort("connectionreset")


@pytest.fixture
def line(page: Page) -> Line:
    return Line(page)


# Before the press


def test_both_venues_offers_are_seen_before_anything_is_sent(page: Page, line: Line) -> None:
    open_page(page)
    offers = page.locator("#offers > li")
    expect(offers.locator("b")).to_have_text(["Raydium", "Meteora"])
    expect(page.locator("#why")).to_have_text(
        re.compile(r"^(Raydium|Meteora) nets [\d.]+ USDC more \(\+[\d.]+ bps\)$")
    )
    won = offers.and_(page.locator("[data-state=won]"))
    net = won.locator(".net").text_content() or ""
    expect(page.locator("[data-part=bound]")).to_have_text(re.compile(r"^[\d.,]+ USDC$"))
    expect(page.locator(".terms [data-part=fee]")).to_have_text(re.compile(r"bps · [\d.]+ bps"))
    assert 50 < float(net) < 500
    expect(page.locator("#amount-out")).to_have_value(re.compile(r"^\d+\.\d{4}$"))
    expect(page.locator("#age")).to_have_text(re.compile("now|1 s ago"))
    assert line.sent == []
    assert barriers(page) == []


def test_the_offers_are_asked_for_again_by_themselves(page: Page) -> None:
    open_page(page)
    for _ in range(2):
        with page.expect_request("**/api/orders/preview"):
            pass


def test_what_is_typed_last_is_fixed_and_the_other_amount_follows(page: Page, line: Line) -> None:
    open_page(page)
    page.locator("#amount-out").fill("250")
    expect(page.locator("label[for=amount-out]")).to_have_text("You get")
    expect(page.locator("label[for=amount-in]")).to_have_text("You pay, about")
    expect(page.locator("#amount-in")).to_have_value(re.compile(r"^\d\.\d{4}$"))
    expect(page.locator("[data-part=bound]")).to_contain_text("at most")
    expect(page.locator("#go")).to_contain_text("Sell SOL for 250 USDC")
    press(page)
    expect(rows(page, "confirmed")).to_have_count(1)
    assert line.bodies[0]["amountOut"] == "250"
    assert "amountIn" not in line.bodies[0]


def test_a_change_of_side_keeps_the_amount_with_its_token(page: Page) -> None:
    open_page(page)
    page.locator("[name=side][value=buy]").check()
    expect(page.locator("#go")).to_contain_text("Buy 1.5 SOL")
    expect(page.locator("#why")).to_contain_text("takes")
    page.keyboard.press("x")  # a radio button is no field for letters
    expect(page.locator("#go")).to_contain_text(re.compile(r"Sell [\d.,]+ SOL|Sell SOL for"))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("1.2.3", "This is no number. Use a point: 1.23"),
        ("1e3", "This is no number. Use a point: 1.23"),
        ("1,5", "This is no number. Use a point: 1.23"),
        ("-5", "This is no number. Use a point: 1.23"),
        ("0", "It has to be above zero."),
        ("0.0000000001", "SOL has 9 decimals."),
    ],
)
def test_an_amount_that_cannot_be_is_said_so_while_it_is_typed(
    page: Page, line: Line, typed: str, says: str
) -> None:
    page.goto("/")
    amount = page.locator("#amount-in")
    amount.fill(typed)
    expect(page.locator("#amount-in-error")).to_have_text(says)
    press(page)
    expect(amount).to_be_focused()
    expect(amount).to_have_attribute("aria-invalid", "true")
    assert line.sent == []
    amount.fill("1 000")
    expect(page.locator(".error:visible")).to_have_count(0)
    expect(page.locator("#go")).to_contain_text("Sell 1,000 SOL")


def test_an_empty_amount_is_no_fault_before_the_press(page: Page, line: Line) -> None:
    page.goto("/")
    page.locator("#amount-in").fill("")
    expect(page.locator(".error:visible")).to_have_count(0)
    press(page)
    expect(page.locator("#amount-in-error")).to_have_text("Fill this in.")
    assert line.sent == []


def test_slippage_is_a_percentage_and_never_empty_in_silence(page: Page, line: Line) -> None:
    open_page(page)
    page.locator("[name=slip][value=own]").check()
    slippage = page.locator("#slippage")
    press(page)
    expect(page.locator("#slippage-error")).to_have_text("Fill this in.")
    slippage.fill("90")
    press(page)
    expect(page.locator("#slippage-error")).to_have_text("From 0 to 50 %.")
    slippage.fill("0.25 %")
    press(page)
    expect(rows(page, "confirmed")).to_have_count(1)
    assert line.bodies[0]["slippageBps"] == "25"


def test_limits_of_the_route_are_out_of_the_way_until_they_are_wanted(
    page: Page, line: Line
) -> None:
    open_page(page)
    expect(page.locator("#limits-say")).to_have_text("any venue, any impact")
    page.locator("#limits summary").click()
    page.get_by_label("Meteora", exact=True).uncheck()
    page.locator("#impact").fill("2")
    expect(page.locator("#limits-say")).to_have_text("Raydium only, impact at most 2 %")
    out = page.locator("#offers [data-state=excluded]")
    expect(out).to_contain_text("left out by you")
    press(page)
    expect(rows(page, "confirmed")).to_contain_text("Raydium")
    sent = line.bodies[0]
    assert (sent["excludeVenues"], sent["maxPriceImpactBps"]) == (["meteora"], "200")
    page.get_by_label("Raydium", exact=True).uncheck()
    press(page)
    expect(page.locator("#venues-error")).to_have_text("Leave at least one venue.")


@pytest.mark.parametrize("market", ["JUP/SOL", "JUP/USDT"])
def test_a_market_is_chosen_and_its_prices_have_its_decimals(page: Page, market: str) -> None:
    open_page(page)
    page.locator("#pick").select_option(market)
    base, quote = market.split("/")
    expect(page.locator("#amount-in-unit")).to_have_text(base)
    expect(page.locator("#why")).to_contain_text(quote)
    expect(page.locator("#go")).to_contain_text(f"Sell 1.5 {base}")
    press(page)
    expect(rows(page, "confirmed")).to_contain_text(f"→ {quote}")


# Sending


@pytest.mark.parametrize("who", ["a visitor", "an account"])
def test_an_order_is_placed_seen_confirmed_and_still_there_after_a_reload(
    page: Page, line: Line, who: str, person: str, running: Engine
) -> None:
    has_account = who == "an account"
    if has_account:
        log_in(page, "/", name=person)
    open_page(page)
    with page.expect_response(EXECUTE) as answer:
        press(page)
    order_id = answer.value.json()["orderId"]
    expect(rows(page, "confirmed")).to_have_count(1)
    ((key, owner),) = running.query(STORED, order_id)
    assert key.endswith(line.keys[0])
    assert owner == (person if has_account else None)
    assert remembered(page) == ([] if has_account else [order_id])
    page.reload()
    expect(rows(page, "confirmed")).to_have_attribute("data-id", order_id)


def test_five_at_once_are_five_orders_under_five_keys(page: Page, line: Line) -> None:
    open_page(page)
    page.locator("#five").click()
    expect(rows(page, "confirmed")).to_have_count(5)
    assert len(set(line.keys)) == len(set(remembered(page))) == 5


@pytest.mark.parametrize("who", ["a visitor", "an account"])
def test_an_answer_that_is_lost_makes_no_second_order(
    page: Page, line: Line, who: str, person: str, running: Engine, complaints: Complaints
) -> None:
    before = running.value("SELECT count(*) FROM orders")
    if who == "an account":
        log_in(page, "/", name=person)
    open_page(page)
    line.lose_answers(1)
    press(page)
    expect(rows(page, "confirmed").first).to_be_visible()
    expect(page.locator("#go")).to_be_enabled()  # it was sent again, and answered
    assert len(line.sent) == 2
    assert len(set(line.keys)) == 1
    assert running.value("SELECT count(*) FROM orders") == before + 1
    press(page)  # a new order, for an answer came
    expect(page.locator("#go")).to_be_enabled()
    wait_for(lambda: running.value("SELECT count(*) FROM orders") == before + 2, what="another one")
    assert len(set(line.keys)) == 2
    complaints.expect("ERR_CONNECTION_RESET")


def test_a_ticket_keeps_its_key_until_an_answer_came_even_over_a_reload(
    page: Page, line: Line, running: Engine, complaints: Complaints
) -> None:
    before = running.value("SELECT count(*) FROM orders")
    open_page(page)
    line.lose_answers(2)
    press(page)
    expect(page.locator("#ticket-error")).to_contain_text("under the same key it is placed once")
    expect(page.locator("#go")).to_contain_text("Send again")
    page.reload()
    expect(page.locator("#go")).to_contain_text("Send again")
    press(page)
    expect(page.locator("#go")).to_contain_text("Sell 1.5 SOL")
    assert len(set(line.keys)) == 1
    assert running.value("SELECT count(*) FROM orders") == before + 1
    complaints.expect("ERR_CONNECTION_RESET")


def test_an_edit_after_a_lost_answer_is_another_order(
    page: Page, line: Line, complaints: Complaints
) -> None:
    open_page(page)
    line.lose_answers(2)
    press(page)
    expect(page.locator("#go")).to_contain_text("Send again")
    page.locator("#amount-in").fill("2")
    expect(page.locator("#go")).to_contain_text("Sell 2 SOL")
    press(page)
    expect(rows(page, "confirmed").first).to_be_visible()
    assert len(set(line.keys)) == 2
    complaints.expect("ERR_CONNECTION_RESET")


def test_an_engine_that_does_not_know_is_asked_again_under_the_same_key(
    page: Page, complaints: Complaints
) -> None:
    keys: list[str] = []

    def answer(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        unknown = {"error": "outcome_unknown", "detail": "API words.", "orderId": MADE_UP}
        route.fulfill(status=503, json=unknown) if len(keys) == 1 else route.continue_()

    page.route(EXECUTE, answer)
    open_page(page)
    press(page)
    expect(rows(page, "confirmed")).to_have_count(1)
    assert len(keys) == 2
    assert len(set(keys)) == 1
    complaints.expect(f"{REFUSED}")


def test_too_many_at_once_counts_down_in_the_button(page: Page, complaints: Complaints) -> None:
    refusals = [{"error": "too_many_requests", "detail": "API words.", "retryAfter": 2}]

    def answer(route: Route) -> None:
        if refusals:
            route.fulfill(status=429, json=refusals.pop(), headers={"retry-after": "2"})
        else:
            route.continue_()

    page.route(EXECUTE, answer)
    open_page(page)
    press(page)
    expect(page.locator("#go")).to_have_text(re.compile(r"Wait [12] s"))
    expect(page.locator("#go")).to_be_disabled()
    expect(page.locator("#ticket-error")).not_to_contain_text("API")
    expect(page.locator("#go")).to_contain_text("Sell 1.5 SOL")
    complaints.expect("429")


def test_the_apis_words_are_never_in_the_ticket(page: Page, complaints: Complaints) -> None:
    errors = [
        {"field": field, "code": code, "message": "Give amountIn or amountOut."}
        for field, code in (("amountIn", "never_heard_of"), ("somewhere", "out_of_range"))
    ]
    told = {"error": "invalid_order", "detail": "Give amountIn.", "errors": errors}
    page.route(EXECUTE, lambda route: route.fulfill(status=400, json=told))
    open_page(page)
    press(page)
    expect(page.locator("#amount-in-error")).to_have_text("This is not taken.")
    expect(page.locator("#ticket")).not_to_contain_text("amountIn")
    complaints.expect("400")


def test_what_is_remembered_is_not_trusted(page: Page) -> None:
    page.goto("/")
    written = [MADE_UP, "../../admin", "<img src=x>", 7, None]
    page.evaluate("ids => localStorage.setItem('orders', JSON.stringify(ids))", written)
    page.evaluate("sessionStorage.setItem('ticket', '{\"type\": 7}')")
    page.evaluate("sessionStorage.setItem('ticket-pending', '7')")
    page.reload()
    expect(page.locator("#offers [data-state=won]")).to_have_count(1)
    press(page)
    expect(rows(page, "confirmed")).to_have_count(1)


def test_two_tabs_of_a_browser_show_the_same_orders(page: Page, line: Line) -> None:
    open_page(page)
    other = page.context.new_page()
    other.goto("/")
    press(page)
    expect(rows(page, "confirmed")).to_have_count(1)
    expect(rows(other, "confirmed")).to_have_count(1)
    assert len(line.sent) == 1


# Keyboard


def test_a_key_that_is_held_down_is_one_press(page: Page, line: Line) -> None:
    open_page(page)
    page.locator("#amount-in").focus()
    for _ in range(5):
        page.keyboard.down("Enter")  # the second and later ones are repeats
    page.keyboard.up("Enter")
    expect(rows(page, "confirmed")).to_have_count(1)
    assert len(line.sent) == 1


# How it looks


@pytest.mark.parametrize("screen", [*WIDTHS, "phone", "dark"])
def test_it_fits_and_its_button_is_in_sight(page: Page, screen: str, worker: Process) -> None:
    page.emulate_media(reduced_motion="reduce")
    open_page(page)
    assert page.evaluate(TOO_WIDE) <= 0
    page.locator("#limits summary").evaluate("one => one.parentElement.open = true")
    expect(page.locator("#go")).to_be_in_viewport(ratio=1)
    with held(worker):
        page.locator("#five").click()
        expect(rows(page, "pending")).to_have_count(5)
        moving = "document.getAnimations().filter((one) => one.playState === 'running').length"
        assert page.evaluate(moving) == 0
        assert page.evaluate(TOO_WIDE) <= 0
        if screen not in ("768", "phone"):  # cards there are no table to axe
            assert barriers(page) == []
        keep_picture(page, f"trade-{screen}")
    expect(rows(page, "confirmed")).to_have_count(5)


@pytest.mark.parametrize("screen", ["768", "phone"])
def test_an_empty_table_of_cards_has_no_barriers(page: Page, screen: str) -> None:
    open_page(page)
    expect(page.locator("#blotter-empty")).to_have_count(1)
    assert barriers(page) == []


def test_the_theme_is_chosen_kept_and_there_before_the_first_paint(page: Page) -> None:
    open_page(page)
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_nothing_jumps_while_it_loads(page: Page) -> None:
    page.add_init_script(
        "window.shifted = 0; new PerformanceObserver((list) => list.getEntries().forEach("
        "(one) => (window.shifted += one.value))).observe({type: 'layout-shift', buffered: true})"
    )
    open_page(page)
    assert page.evaluate("window.shifted") < 0.02


@pytest.mark.parametrize(
    "path", ["/", "/test", "/admin/", "/admin/orders/order/", "/accounts/login/", "/api/orders"]
)
def test_a_page_keeps_to_the_strict_policy(path: str, page: Page) -> None:
    log_in(page, "/")
    answer = page.goto(path)

    assert answer is not None
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_scripts_an_order_is_sent_all_the_same(browser: Any, web: Web) -> None:
    context = browser.new_context(base_url=f"http://{web.address}", java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    expect(page.locator("#ticket")).to_be_hidden()
    page.get_by_role("button", name="Place order").click()
    expect(page.locator("body")).to_contain_text("Order received and queued")
    context.close()
