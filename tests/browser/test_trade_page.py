"""The live page, in a real browser on a real engine."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, WebSocket, WebSocketRoute, expect

from tests.browser.chromium import Complaints
from tests.browser.conftest import SCREENS, TOO_WIDE, held, keep_picture, log_in
from tests.support.engine import PATIENCE, Engine, Process, Web, wait_for

STEPS = ["pending", "routing", "building", "submitted", "confirmed"]
MADE_UP = "01a1fc02-2219-7ea8-9f11-ba64b00749af"
REFUSED = "Failed to load resource: the server responded with a status of"

expect.set_options(timeout=PATIENCE * 1000)
pytestmark = pytest.mark.usefixtures("complaints")


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def orders(page: Page) -> Locator:
    return page.locator("article.order")


def wait_for_status(order: Locator, status: str) -> None:
    expect(order).to_have_attribute("data-status", status)


def part(order: Locator, name: str) -> Locator:
    return order.locator(f"[data-part={name}]")


def log_of(order: Locator) -> list[tuple[int, str]]:
    """Return the seq and the status of each line."""
    lines = order.locator("[data-part=log] > li").all()
    return [
        (
            int(line.locator("[data-part=seq]").text_content() or 0),
            line.locator("[data-part=status]").text_content() or "",
        )
        for line in lines
    ]


def remembered(page: Page) -> Any:
    return json.loads(page.evaluate("localStorage.getItem('orders')") or "null")


def test_an_order_is_placed_and_seen_confirmed_with_all_that_was_decided(
    page: Page, running: Engine
) -> None:
    page.goto("/")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "confirmed")

    assert log_of(order) == list(enumerate(STEPS, start=1))
    (order_id,) = remembered(page)
    ((signature, venue),) = running.query(
        "SELECT signature, venue FROM orders WHERE id = %s", order_id
    )
    data = running.value(
        "SELECT data FROM order_events WHERE order_id = %s AND status = 'building'", order_id
    )
    assert part(order, "transaction").text_content() == signature
    assert part(order, "title").text_content() == "Sell 1.5 SOL for USDC"
    assert part(order, "reason").text_content() == data["reason"]
    assert part(order, "bound").text_content() == f"at least {data['minAmountOut']} USDC"
    rows = order.locator("[data-part=venues] > li")
    assert part(rows, "net").all_text_contents() == [
        f"{quote['amountOut']} USDC" for quote in data["quotes"]
    ]
    winner = order.locator("[data-state=winner]")
    assert (part(winner, "venue").text_content() or "").lower() == venue
    assert part(winner, "margin").text_content() == f"+{data['marginBps']} bps"
    assert re.fullmatch(r"[\d.]+ USDC at [\d.]+", part(order, "fill").text_content() or "")
    times = order.locator(".rail time").all_text_contents()
    assert all(re.fullmatch(r"\+\d+\.\d\d s", time) for time in times[1:])


def test_a_fixed_output_is_bound_by_what_goes_in(page: Page) -> None:
    page.goto("/test")
    page.get_by_text("Buy", exact=True).click()
    page.get_by_role("combobox", name="Market").select_option("JUP/USDC")
    page.get_by_text("I get JUP").click()
    page.get_by_label("Amount", exact=True).fill("25")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "confirmed")
    expect(part(order, "title")).to_have_text("Buy 25 JUP with USDC")
    expect(part(order, "bound")).to_have_text(re.compile(r"at most [\d.]+ USDC"))
    expect(part(order, "fill")).to_have_text(re.compile(r"[\d.]+ USDC at [\d.]+"))


def test_five_at_once_are_five_orders_each_seen_to_its_end(page: Page) -> None:
    page.goto("/")
    press(page, "Five at once")
    expect(orders(page)).to_have_count(5)
    expect(page.locator("#tally")).to_have_text("0 under way, 5 ended")
    for order in orders(page).all():
        assert log_of(order) == list(enumerate(STEPS, start=1))

    assert len(set(remembered(page))) == 5


def test_bad_input_is_shown_beside_its_field_and_nothing_is_placed(
    page: Page, complaints: Complaints
) -> None:
    page.goto("/")
    amount, slippage = page.get_by_label("Amount", exact=True), page.get_by_label("Slippage")
    amount.fill("-5")
    slippage.fill("9000")
    press(page, "Place order")
    expect(page.locator("#amount-error")).to_have_text("The amount must be above zero.")
    expect(page.locator("#slippage-error")).to_have_text("From 0 to 5000 bps: 100 is 1 %.")
    expect(amount).to_have_attribute("aria-invalid", "true")
    expect(amount).to_be_focused()
    assert orders(page).count() == 0
    complaints.expect(REFUSED)

    amount.fill("1")
    slippage.fill("")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")
    expect(page.locator(".error:visible")).to_have_count(0)


def test_who_is_logged_in_places_orders_too(page: Page) -> None:
    log_in(page, "/")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")


def test_an_engine_that_does_not_answer_is_said_so(page: Page, complaints: Complaints) -> None:
    page.goto("/")
    page.context.set_offline(True)
    press(page, "Place order")
    expect(page.locator("#ticket-error")).to_contain_text("did not answer")
    complaints.expect("ERR_INTERNET_DISCONNECTED")


def test_an_order_that_may_be_stored_is_named_by_its_id(page: Page, complaints: Complaints) -> None:
    found = {"error": "outcome_unknown", "detail": "It may be stored.", "orderId": MADE_UP}
    page.route("**/api/orders/execute", lambda asked: asked.fulfill(status=503, json=found))
    page.goto("/")
    press(page, "Place order")
    expect(page.locator("#ticket-error")).to_have_text(
        f"It may be stored. Its orderId is {MADE_UP}."
    )
    complaints.expect(f"{REFUSED} 503")


@pytest.mark.parametrize("who", ["a visitor", "ada"])
def test_an_order_is_cancelled_before_it_is_submitted(
    who: str, page: Page, worker: Process
) -> None:
    log_in(page, "/") if who == "ada" else page.goto("/")
    with held(worker):
        press(page, "Place order")
        press(page, "Cancel")
        wait_for_status(orders(page), "cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_a_cancellation_that_comes_too_late_is_told(page: Page, complaints: Complaints) -> None:
    page.goto("/")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")
    page.evaluate("document.querySelector('[data-part=cancel]').click()")
    expect(part(orders(page), "fault")).to_contain_text("can no longer be cancelled")
    complaints.expect(REFUSED)


def test_a_killed_web_server_is_outlived_without_gap_or_repeat(
    page: Page, running: Engine, web: Web, worker: Process, complaints: Complaints
) -> None:
    sockets: list[str] = []
    frames: list[tuple[str, int]] = []

    def read_frame(frame: str | bytes) -> None:
        event = json.loads(frame)
        frames.append((event["orderId"], event["seq"]))

    def listen(socket: WebSocket) -> None:
        sockets.append(socket.url)
        socket.on("framereceived", read_frame)

    page.on("websocket", listen)
    page.goto("/")
    with held(worker):
        press(page, "Five at once")
        expect(page.locator("[data-status=pending]")).to_have_count(5)
        expect(page.locator("[data-part=log] > li")).to_have_count(5)
        web.kill()
    try:
        expect(page.get_by_text("reconnecting…").first).to_be_visible()
        running.wait_until_all_ended()
    finally:  # the tests after this one want a web process
        running.web(port=web.port)

    expect(page.locator("#tally")).to_have_text("0 under way, 5 ended")
    for order in orders(page).all():
        assert log_of(order) == list(enumerate(STEPS, start=1))
    expect(page.get_by_text("reconnecting…")).to_have_count(0)
    assert len(frames) == len(set(frames)) == 5 * len(STEPS)
    assert any(not url.endswith("after=0") for url in sockets)
    complaints.allow("WebSocket connection")


def event(seq: int, status: str, attempt: int = 1, **data: Any) -> str:
    """Return a stream's message, with what the page reads of it."""
    return json.dumps(
        {
            **{"orderId": MADE_UP, "seq": seq, "status": status, "attempt": attempt},
            **{"timestamp": f"2026-11-21T10:00:0{seq}.000000Z", "message": f"{status} {seq}"},
            "data": data,
        }
    )


def received() -> str:
    order = {"side": "sell", "baseToken": "SOL", "quoteToken": "USDC", "tokenIn": "SOL"}
    rest = {"tokenOut": "USDC", "amountIn": "1.5", "amountOut": None}
    return event(1, "pending", 0, order=order | rest)


def follow_made_up(page: Page, say: Callable[[WebSocketRoute, int], None]) -> Locator:
    """Show an order whose stream is played by `say`, which is told the socket and its `after`."""
    page.route_web_socket(
        re.compile("/ws/orders/"), lambda socket: say(socket, int(socket.url.split("after=")[1]))
    )
    page.add_init_script(f"localStorage.setItem('orders', '[\"{MADE_UP}\"]')")
    page.goto("/")
    return orders(page)


def test_a_failed_attempt_is_told_while_the_next_one_runs(page: Page) -> None:
    def say(socket: WebSocketRoute, after: int) -> None:
        socket.send(received())
        socket.send(event(2, "routing"))
        socket.send(event(3, "pending", reason="no quotes", retryInSeconds="1.034"))
        socket.send(event(4, "routing", 2))

    order = follow_made_up(page, say)
    expect(part(order, "fault")).to_have_text("pending 3; the next one after 1.0 s")
    wait_for_status(order, "routing")
    expect(order.locator("[aria-current=step]")).to_contain_text("routing")


@pytest.mark.parametrize("code", [1006, 1012, 1013, 4408, 4429])
def test_a_stream_that_breaks_is_resumed_where_it_was(page: Page, code: int) -> None:
    asked: list[int] = []

    def say(socket: WebSocketRoute, after: int) -> None:
        asked.append(after)
        if len(asked) == 1:
            socket.send(received())
            socket.send(event(2, "routing"))
            socket.send(event(2, "routing"))
            socket.close(code=code) if code != 1006 else socket.close()
        else:
            socket.send(event(3, "failed", error="no quotes"))
            socket.close(code=1000)

    order = follow_made_up(page, say)
    wait_for_status(order, "failed")
    assert asked == [0, 2]
    assert log_of(order) == [(1, "pending"), (2, "routing"), (3, "failed")]
    expect(part(order, "fault")).to_have_text("failed 3")
    expect(part(order, "total")).to_have_text("after 2.00 s")


def test_a_gap_in_a_stream_is_asked_for_again(page: Page) -> None:
    asked: list[int] = []

    def say(socket: WebSocketRoute, after: int) -> None:
        asked.append(after)
        if len(asked) == 1:
            socket.send(received())
            socket.send(event(3, "failed"))
        else:
            socket.send(event(2, "routing"))
            socket.send(event(3, "failed"))

    order = follow_made_up(page, say)
    wait_for_status(order, "failed")
    assert asked == [0, 1]
    assert log_of(order) == [(1, "pending"), (2, "routing"), (3, "failed")]


def test_recent_orders_survive_a_reload_until_they_are_cleared(page: Page) -> None:
    page.goto("/")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")
    page.get_by_role("combobox", name="Market").select_option("JUP/SOL")
    press(page, "Place order")
    expect(page.locator("#tally")).to_have_text("0 under way, 2 ended")
    shown = orders(page).all_text_contents()

    page.reload()
    expect(page.locator("#tally")).to_have_text("0 under way, 2 ended")
    assert orders(page).all_text_contents() == shown

    press(page, "Clear ended")
    expect(orders(page)).to_have_count(0)
    assert remembered(page) == []


def test_what_is_remembered_is_not_trusted(page: Page) -> None:
    page.goto("/")
    written = [MADE_UP, "../../admin", "<img src=x>", 7, None]
    page.evaluate("ids => localStorage.setItem('orders', JSON.stringify(ids))", written)
    page.reload()
    wait_for(lambda: remembered(page) == [], what="what is no order is forgotten")
    expect(orders(page)).to_have_count(0)

    page.evaluate("localStorage.setItem('orders', '{')")
    page.reload()
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")


def test_an_order_is_placed_by_keyboard_and_its_end_is_announced(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Amount", exact=True).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("2.5")
    page.keyboard.press("Enter")
    wait_for_status(orders(page), "confirmed")
    expect(page.get_by_role("status")).to_have_text(
        re.compile("Sell 2.5 SOL for USDC: Order executed at ")
    )


@pytest.mark.parametrize("screen", ["phone"])
def test_a_phone_shows_all_without_scrolling_sideways(page: Page, worker: Process) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto("/")
    page.get_by_text("Route limits").click()
    with held(worker):
        press(page, "Five at once")
        expect(page.locator("[data-state=now]").first).to_be_visible()
        moving = "document.getAnimations().filter((one) => one.playState === 'running').length"
        assert page.evaluate(moving) == 0
    expect(page.locator("#tally")).to_have_text("0 under way, 5 ended")
    orders(page).first.locator("summary").click()
    assert_nothing_sticks_out(page)


def assert_nothing_sticks_out(page: Page) -> None:
    assert page.evaluate(TOO_WIDE) <= 0
    assert page.viewport_size is not None
    for element in page.locator("main *:visible").all():
        box = element.bounding_box()
        assert box is None or box["x"] + box["width"] <= page.viewport_size["width"], element


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


# Limits of the route


def tick(page: Page, *venues: str) -> None:
    """Leave just these venues ticked."""
    page.locator("#ticket details").evaluate("details => details.open = true")
    for venue in ("Raydium", "Meteora"):
        page.get_by_label(venue).set_checked(venue in venues)


def stored(running: Engine, order_id: str, status: str) -> Any:
    """Return the data of the order's latest event with this status."""
    statement = (
        "SELECT data FROM order_events WHERE order_id = %s AND status = %s ORDER BY seq DESC"
    )
    return running.value(statement, order_id, status)


def test_limits_are_out_of_the_way_until_they_are_wanted(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_label("Raydium")).to_be_hidden()
    with page.expect_request("**/api/orders/execute") as sent:
        press(page, "Place order")

    assert set(sent.value.post_data_json) == {
        *("side", "baseToken", "quoteToken", "amountIn", "slippageBps")
    }
    wait_for_status(orders(page), "confirmed")
    expect(part(orders(page), "limits")).to_be_hidden()


def test_an_order_is_limited_by_keyboard_and_its_card_says_so(page: Page, running: Engine) -> None:
    page.goto("/")
    page.get_by_label("Slippage").focus()
    for key in ("Tab", "Enter", "Tab", "Tab", "Space", "Tab"):  # open; past Raydium; untick Meteora
        page.keyboard.press(key)
    page.keyboard.type("500")
    page.keyboard.press("Enter")
    order = orders(page)
    wait_for_status(order, "confirmed")
    (order_id,) = remembered(page)

    assert running.value("SELECT constraints FROM orders WHERE id = %s", order_id) == {
        "excludeVenues": ["meteora"],
        "maxPriceImpactBps": 500,
    }
    limits = "Raydium only, price impact at most 500 bps"
    expect(part(order, "limits")).to_have_text(limits)
    expect(part(order.locator("[data-state=winner]"), "venue")).to_have_text("Raydium")
    excluded = order.locator("[data-state=excluded]")
    expect(part(excluded, "venue")).to_have_text("Meteora")
    expect(part(excluded, "net")).to_have_text("the order excludes it")
    page.locator("#ticket summary").click()
    expect(page.locator("#ticket summary")).to_have_text(f"Route limits {limits}")


@pytest.mark.parametrize(
    ("venues", "impact", "field", "message"),
    [
        (["Raydium"], "x", "impact", "Not a number."),
        (["Raydium"], "10001", "impact", "From 0 to 10000 bps: 100 is 1 %."),
        (["Raydium", "Meteora"], "1.5", "impact", "A whole number of bps: 100 is 1 %."),
        ([], "", "venues", "That leaves no venue to trade at."),
    ],
)
def test_limits_that_cannot_be_are_shown_beside_their_field(
    *, page: Page, venues: list[str], impact: str, field: str, message: str, complaints: Complaints
) -> None:
    page.goto("/")
    tick(page, *venues)
    page.get_by_label("Largest price impact").fill(impact)
    page.locator("#ticket summary").click()  # folded: it opens to show what is wrong
    expect(page.locator("#impact")).to_be_hidden()
    press(page, "Place order")
    expect(page.locator(f"#{field}-error")).to_have_text(message)
    expect(page.locator(f"#{field}-error")).to_be_visible()
    focused = page.get_by_label("Raydium" if field == "venues" else "Largest price impact")
    expect(focused).to_be_focused()
    expect(focused).to_have_attribute("aria-invalid", "true")
    complaints.expect(REFUSED)
    tick(page, "Raydium", "Meteora")
    page.get_by_label("Largest price impact").fill("")
    press(page, "Place order")
    wait_for_status(orders(page), "confirmed")
    expect(page.locator("#ticket [aria-invalid]")).to_have_count(0)


def test_what_no_venue_may_fill_fails_and_says_why(page: Page) -> None:
    page.goto("/")
    tick(page, "Raydium")
    page.get_by_label("Largest price impact").fill("0")
    page.get_by_label("Amount", exact=True).fill(HUGE["amountIn"])
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "failed")
    expect(part(order, "limits")).to_have_text("Raydium only, price impact at most 0 bps")
    expect(part(order, "fault")).to_have_text(
        re.compile(
            r"raydium: the price impact of [\d.]+ bps is above 0 bps;\s*meteora: the order excl"
        )
    )
    rows = order.locator("[data-part=venues] > li")

    assert part(rows, "net").all_text_contents() == ["", "the order leaves it out"]  # none is asked


# Routes of several legs

HUGE = {"amountIn": "300000000", "amountOut": "30000000000"}  # a third of what the pools hold


def shares(rows: Locator) -> list[float]:
    return [float(text.removesuffix(" %")) for text in part(rows, "margin").all_text_contents()]


@pytest.mark.parametrize("fixed", ["amountIn", "amountOut"])
def test_a_split_is_shown_leg_by_leg_with_its_shares(
    fixed: str, page: Page, running: Engine
) -> None:
    page.goto("/")
    page.locator(f"[name=fixed][value={fixed}]").check(force=True)
    page.get_by_label("Amount", exact=True).fill(HUGE[fixed])
    page.get_by_label("Slippage").fill("5000")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "confirmed")
    decision = stored(running, remembered(page)[0], "building")
    legs = sorted(decision["legs"], key=lambda leg: leg["dex"] == "meteora")

    assert [leg["dex"] for leg in legs] == ["raydium", "meteora"]
    rows = order.locator("[data-part=venues] > li")
    expect(rows).to_have_count(2)
    assert part(rows, "venue").all_text_contents() == ["Raydium", "Meteora"]
    counted, token = ("amountOut", "USDC") if fixed == "amountIn" else ("amountIn", "SOL")
    assert part(rows, "net").all_text_contents() == [f"{leg[counted]} {token}" for leg in legs]
    expect(order.locator("[data-state=winner]")).to_have_count(2)
    for leg, share in zip(legs, shares(rows), strict=True):
        assert abs(100 * float(leg[fixed]) / float(HUGE[fixed]) - share) <= 0.05
        assert f" {share:.1f} %" in f" {decision['reason']}"
    expect(part(order, "reason")).to_have_text(decision["reason"])


def test_a_pair_in_two_hops_is_chosen_like_any_other(page: Page) -> None:
    page.goto("/")
    page.select_option("#market", "JUP/USDT")
    page.fill("#amount", "200")
    press(page, "Place order")
    order = orders(page)
    wait_for_status(order, "confirmed")

    assert part(order, "title").text_content() == "Sell 200 JUP for USDT"
    assert order.locator("[data-state=winner]").count() == 2


@pytest.mark.parametrize("screen", SCREENS)
def test_two_hops_are_shown_leg_by_leg_beside_the_way_that_lost(
    page: Page, running: Engine, web: Web, screen: str
) -> None:
    order_id = web.post(
        tokenIn="JUP", tokenOut="USDT", amountIn="30000000000", slippageBps=5000, venues=["meteora"]
    )
    page.add_init_script(f"localStorage.setItem('orders', '[\"{order_id}\"]')")
    page.goto("/")
    order = orders(page)
    wait_for_status(order, "confirmed")
    decision = stored(running, order_id, "building")

    assert len(decision["hops"]) == len(decision["legs"]) == 2
    legs = order.locator("[data-state=winner]")
    assert part(legs, "venue").all_text_contents() == [
        f"{number}. {leg['market']} at Meteora"
        for number, leg in enumerate(decision["legs"], start=1)
    ]
    first, last = decision["legs"]
    assert part(legs, "net").all_text_contents() == [
        f"{first['amountOut']} {decision['quote']['through']}",
        f"{last['amountOut']} USDT",
    ]
    assert shares(legs) == [100, 100]
    beaten = order.locator("[data-state=beaten]")
    (lost,) = (one for one in decision["quotes"] if one["through"] != decision["quote"]["through"])
    expect(part(beaten, "venue")).to_have_text(f"through {lost['through']}")
    expect(part(beaten, "net")).to_have_text(f"{lost['amountOut']} USDT")
    assert_nothing_sticks_out(page)
    keep_picture(page, f"live-hops-{screen}")
