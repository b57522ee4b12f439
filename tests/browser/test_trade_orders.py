"""The trading page's table of orders and its case file: each state, by pointer and keyboard."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import Complaints, barriers
from tests.browser.conftest import TOO_WIDE, keep_picture, log_in
from tests.browser.made_up import Line, MadeUp, decision
from tests.support.engine import PATIENCE, Engine

expect.set_options(timeout=PATIENCE * 1000)
pytestmark = pytest.mark.usefixtures("complaints")
DEAD = {"failureCode": "slippage_exceeded", "reason": "beyond the bound"}


@pytest.fixture
def screen() -> str:
    return "desk"


def row(page: Page, order: MadeUp) -> Locator:
    return page.locator(f"#rows tr[data-id='{order.id}']")


def states(row: Locator) -> list[str | None]:
    return [dot.get_attribute("data-state") for dot in row.locator(".steps li").all()]


def shown(page: Page, *orders: MadeUp) -> Line:
    """Open the page as `ada`, whose orders are these."""
    line = Line(page, *orders)
    log_in(page, "/trade")
    for order in orders:
        expect(row(page, order)).to_be_visible()
    return line


def failing(number: int) -> MadeUp:
    """Return an order whose first transaction was refused, and that then missed its bound twice."""
    order = MadeUp(number, seconds=12)
    order.to_submitted()
    moved = DEAD | {"reason": "The price had moved when it landed", "networkFee": "0.000005"}
    order.add("pending", 3, "retry", data=moved | {"retryInSeconds": "1.000"}, attempt=1)
    for attempt, (at, venue, net) in enumerate(
        [(4.0, "raydium", "145.0"), (7.0, "meteora", "145.11")], 2
    ):
        missed = decision(venue) | {"quote": decision(venue)["quote"] | {"amountOut": net}}
        data = DEAD | {"decision": missed, "networkFee": "0.000005"}
        order.add("routing", at, attempt=attempt)
        if attempt < 3:
            retry = data | {"retryInSeconds": "1.000"}
            order.add("pending", at + 0.2, "retry", data=retry, attempt=attempt)
        else:
            order.add("failed", at + 0.2, data=data | {"error": "beyond"}, attempt=attempt)
    return order


def test_a_real_order_is_seen_from_its_press_to_its_fill_and_explained(
    page: Page, running: Engine
) -> None:
    log_in(page, "/trade")
    expect(page.locator("#blotter-empty")).to_be_visible()
    expect(page.locator("#blotter-empty button")).to_have_count(2)
    order_id = page.evaluate(
        """async () => {
          const token = document.cookie.match(/csrftoken=([^;]+)/)?.[1];
          const sent = await fetch("/api/orders", {method: "POST", headers: {
            "content-type": "application/json", "X-CSRFToken": token ?? ""},
            body: JSON.stringify({tokenIn: "SOL", tokenOut: "USDC", amountIn: "1.5"})});
          return (await sent.json()).orderId;
        }"""
    )
    one = page.locator(f"#rows tr[data-id='{order_id}']")
    expect(one.locator(".progress")).to_have_attribute("data-status", "confirmed")
    expect(one).to_have_attribute("aria-label", re.compile("Sell 1.5 SOL for USDC.*confirmed"))
    assert states(one) == ["done"] * 4 + ["end"]
    data = running.value(
        "SELECT data FROM order_events WHERE order_id = %s AND status = 'building'", order_id
    )
    drawer = page.locator("#drawer")  # where there is room the first order shows itself
    expect(drawer.locator(".why")).to_have_text(re.compile(re.escape(data["reason"][:20])))
    lanes = drawer.locator(".fork > ul > li")
    expect(lanes).to_have_count(2)
    expect(drawer.locator("[data-won=true] em")).to_have_text(f"+{data['marginBps']} bps")
    expect(drawer.locator(".scale .l")).to_contain_text(data["minAmountOut"])
    expect(drawer.locator(".log > li")).to_have_count(5)
    expect(drawer.locator(".log").locator("..")).to_contain_text("seq 1 to 5, no gap")
    drawer.locator(".log summary").nth(1).click()
    expect(drawer.locator(".log pre")).to_contain_text("selectedDex")
    expect(page.locator("#announcer")).to_have_text("Sell 1.5 SOL for USDC: confirmed.")
    expect(drawer.get_by_role("button", name="Cancel", exact=True)).to_be_disabled()
    keep_picture(page, "orders-confirmed")


def test_each_state_is_told_by_words_and_steps(page: Page) -> None:
    sent = MadeUp(1, seconds=2).to_submitted()
    failed = failing(2)
    waits = MadeUp(3, seconds=1)
    waits.add("routing", 0.1)
    slow = {"failureCode": "venues_unavailable", "reason": "both took more than 1 s"}
    waits.add("pending", 0.5, "retry", data=slow | {"retryInSeconds": "600"}, attempt=1)
    cancelled = MadeUp(4, seconds=4)
    cancelled.add("cancelled", 0.31, data={"reason": "user", "by": "user"})
    late = MadeUp(5, seconds=60).to_submitted()
    limit = MadeUp(
        *(6,), seconds=60, type="limit", limitPrice="112", timeInForce="gtc", expiresAt=None
    )
    shown(page, sent, failed, waits, cancelled, late, limit)

    assert states(row(page, sent)) == ["done", "done", "done", "now", "ahead"]
    expect(row(page, sent).locator("[data-act]")).to_have_count(0)
    assert states(row(page, failed))[:3] == ["done", "done", "done"]
    expect(row(page, failed).locator(".note")).to_have_text("price moved")
    expect(row(page, waits).locator(".note")).to_have_text(
        re.compile(r"attempt 2 in .*: both took more than 1 s")
    )
    expect(row(page, cancelled).locator(".note")).to_have_text("by you")
    expect(row(page, late).locator(".note")).to_have_text(re.compile("Not lost: the same bytes"))
    expect(row(page, limit).locator(".way")).to_have_text(re.compile("Rests.*until cancelled"))
    expect(row(page, limit).locator(".cell-price")).to_have_text("112.0000")
    row(page, failed).click()
    expect(page.locator("#drawer .log > li")).to_have_count(len(failed.events))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert barriers(page) == [], scheme
    keep_picture(page, "orders-states")


def test_a_failure_says_attempt_by_attempt_why_and_what_would_have_helped(page: Page) -> None:
    order = failing(1)
    shown(page, order)
    row(page, order).click()
    fault = page.locator("#drawer .fault")
    expect(fault).to_have_text(
        re.compile(
            r"Attempt 1 Meteora: the price had moved when it landed · Attempt 2 Raydium: moved"
            r" \d+ bps beyond the bound · Attempt 3 Meteora: moved .*\."
            r" Nothing was swapped; fee 0\.000015 SOL\."
            r" Allow \d[\d.]* % and it would have filled\."
        )
    )
    tabs = page.locator("#drawer .attempts button")
    expect(tabs).to_have_count(3)
    tabs.nth(0).click()
    expect(page.locator("#drawer .attempts [aria-pressed=true]")).to_contain_text("Attempt 1")
    expect(page.locator("#drawer h3").filter(has_text="Where the time went")).to_contain_text(
        "all 3 attempts together"
    )


def test_what_no_venue_could_do_is_told_for_each_venue(page: Page) -> None:
    order = MadeUp(1, amountIn="500000")
    order.add("routing", 0.1)
    dropped = [
        {"dex": "raydium", "code": "insufficient_liquidity", "reason": "Raydium has too little"},
        {"dex": "meteora", "code": "insufficient_liquidity", "reason": "its bins cannot fill it"},
    ]
    fault = {"failureCode": "insufficient_liquidity", "reason": "too little", "dropped": dropped}
    order.add("failed", 0.3, data=fault | {"error": "too little"})
    shown(page, order)
    row(page, order).click()
    out = page.locator("#drawer .fork [data-out]")
    expect(out).to_have_count(2)
    expect(out.nth(1)).to_contain_text("its bins cannot fill it")
    expect(page.locator("#drawer .fault")).to_contain_text("Raydium has too little; Meteora: its")
    expect(page.locator("#drawer .fault")).to_contain_text("A smaller amount would have filled")


def test_a_split_and_two_hops_are_drawn_as_what_they_are(page: Page) -> None:
    split, hops = MadeUp(1, amountIn="2500"), MadeUp(2, quoteToken="USDT", tokenOut="USDT")
    quotes = decision()["quotes"]
    legs = [
        quote | {"market": "SOL/USDC", "side": "sell", "amountIn": part}
        for quote, part in zip(quotes, ("210", "2290"), strict=True)
    ]
    split.to_submitted(legs=legs, splitGainBps="7.00", bestSingle=quotes[1])
    first = {"market": "SOL/USDC", "side": "sell", **quotes[1]}
    second = {"market": "USDC/USDT", "side": "sell", **quotes[0], "amountOut": "148.0"}
    through = quotes[1] | {"through": "USDC", "amountOut": "148.0"}
    parts = [{**one, "quote": one} for one in (first, second)]
    hops.to_submitted(quote=through, quotes=[through], legs=[first, second], hops=parts)
    shown(page, split, hops)

    expect(row(page, split).locator(".venue")).to_have_text("Split, 2 venues")
    row(page, split).click()
    won = page.locator("#drawer .fork [data-won=true]")
    expect(won.locator("em")).to_have_text(["8.4 %", "91.6 %"])
    expect(page.locator("#drawer .why")).to_contain_text("+7.0 bps on Meteora alone")
    expect(row(page, hops).locator(".venue")).to_have_text("2 hops")
    row(page, hops).click()
    expect(page.locator("#drawer .fork > ul > li")).to_have_count(1)
    expect(page.locator("#drawer .hops li b")).to_have_text(["SOL → USDC", "USDC → USDT"])


def test_a_good_order_is_not_haunted_by_its_first_attempt(page: Page) -> None:
    order = failing(1)
    del order.events[-1]
    order.events[-1]["attempt"] = 3
    order.add("building", 8, data=decision(), attempt=3)
    order.add("submitted", 8.1, data={"selectedDex": "meteora", "txHash": "5N"}, attempt=3)
    line = shown(page, order)
    row(page, order).click()
    expect(page.locator("#drawer .fault")).to_be_hidden()
    filled = {"selectedDex": "meteora", "txHash": "5N", "executedPrice": "98.8"}
    done = filled | {"amountIn": "1.5", "amountOut": "148.2", "networkFee": "0.000005"}
    line.tell(order.add("confirmed", 10, data=done, attempt=3))
    expect(row(page, order).locator(".note")).to_have_text("attempt 3")
    expect(page.locator("#drawer .fault")).to_be_hidden()
    expect(row(page, order).locator("td").nth(5)).to_have_text("+6.4")
    expect(page.locator("#drawer .facts")).to_contain_text("148.2")


def test_rows_keep_their_places_and_only_changed_cells_are_written(page: Page) -> None:
    orders = [MadeUp(number, seconds=3) for number in range(1, 4)]
    line = shown(page, *orders)
    before = page.locator("#rows tbody tr").evaluate_all("rows => rows.map((r) => r.dataset.id)")
    assert before == [order.id for order in orders[::-1]]
    page.evaluate(
        """() => { window.seen = []; new MutationObserver((all) => all.forEach(({target, type}) => {
          const place = (target.closest ? target : target.parentElement).closest("td, tr");
          window.seen.push([type, place?.className || place?.tagName || "out"]);
        })).observe(document.querySelector("#rows tbody"), {subtree: true, childList: true,
          characterData: true, attributes: true}); }"""
    )
    line.tell(orders[0].add("routing", 0.1))
    expect(row(page, orders[0]).locator(".word")).to_have_text("routing")
    line.tell(orders[1].add("cancelled", 0.2, data={"reason": "user"}))
    expect(row(page, orders[1]).locator(".word")).to_have_text("cancelled")
    after = page.locator("#rows tbody tr").evaluate_all("rows => rows.map((r) => r.dataset.id)")
    assert after == before, "a row moved"
    written = {place for _, place in page.evaluate("window.seen")}
    assert not written & {"time", "what", "venue"}, written


def test_new_orders_wait_while_the_pointer_is_over_the_rows(page: Page) -> None:
    known, late = MadeUp(1, seconds=5), MadeUp(2, seconds=1)
    line = shown(page, known)
    row(page, known).hover()
    line.orders[late.id] = late
    line.tell(late.events[0])
    expect(page.locator("#blotter-news")).to_have_text("1 new")
    expect(row(page, late)).to_have_count(0)
    page.mouse.move(5, 5)
    expect(row(page, late)).to_be_visible()
    expect(page.locator("#blotter-news")).to_be_hidden()


def test_a_lost_line_is_told_in_each_row_that_may_have_moved(
    page: Page, complaints: Complaints
) -> None:
    order = MadeUp(1, seconds=3).to_submitted()
    shown(page, order)
    row(page, order).click()
    page.context.set_offline(True)
    expect(row(page, order).locator(".note")).to_have_text(re.compile(r"as of \d\d:\d\d:\d\d"))
    expect(page.locator("#drawer .state")).to_contain_text("as of")
    keep_picture(page, "orders-offline")
    page.context.set_offline(False)
    expect(row(page, order).locator(".note")).not_to_have_text(re.compile("as of"))
    complaints.allow("ERR_INTERNET_DISCONNECTED")


def test_an_order_is_cancelled_in_its_row_and_too_late_is_told_in_words(
    page: Page, complaints: Complaints
) -> None:
    stop, sent = MadeUp(1, type="stop", triggerPrice="88"), MadeUp(2, seconds=2)
    line = shown(page, stop, sent)
    row(page, stop).get_by_role("button", name="Cancel Sell 1.5 SOL for USDC").click()
    ask = row(page, stop).locator(".ask")
    expect(ask).to_contain_text("Cancel? Sell 1.5 SOL for USDC")
    keep_picture(page, "orders-cancel")
    ask.get_by_role("button", name="Keep").click()
    expect(ask).to_have_count(0)
    row(page, sent).get_by_role("button", name=re.compile("Cancel")).click()
    path = f"orders/{sent.id}/cancel"
    refused = {"error": "not_cancellable", "orderStatus": "submitted", "detail": "x"}
    line.answers["POST", path] = (409, refused)
    row(page, sent).get_by_role("button", name="Yes, cancel").click()
    expect(row(page, sent).locator(".ask")).to_contain_text("Too late: it was sent to the network")
    expect(row(page, sent).locator(".ask .unit")).to_have_text("409 not_cancellable")
    complaints.expect("409")


def test_an_order_is_amended_in_its_row_by_the_seq_that_was_seen(
    page: Page, complaints: Complaints
) -> None:
    limit = MadeUp(1, type="limit", limitPrice="112")
    line = shown(page, limit)
    path = f"orders/{limit.id}"
    row(page, limit).get_by_role("button", name="Amend Sell 1.5 SOL for USDC").click()
    price = row(page, limit).get_by_label("Limit")
    expect(price).to_be_focused()
    price.fill("x")
    wrong = {"field": "limitPrice", "code": "invalid_number", "message": "Not a number."}
    line.answers["PATCH", path] = (400, {"error": "invalid_order", "errors": [wrong]})
    price.press("Enter")
    expect(row(page, limit).locator(".error")).to_have_text("Not a number.")
    price.fill("113")
    line.answers["PATCH", path] = (
        *(409,),
        {"error": "order_changed", "orderStatus": "open", "seq": 2},
    )
    price.press("Enter")
    expect(row(page, limit).locator(".ask")).to_contain_text("It changed meanwhile")
    assert [body for _, body in line.sent("PATCH")][-1] == {"seq": 1, "limitPrice": "113"}
    complaints.expect("400")
    complaints.expect("409")


def test_all_open_orders_are_cancelled_after_one_question(page: Page) -> None:
    orders = [MadeUp(number, type="limit", limitPrice="112") for number in (1, 2)]
    line = shown(page, *orders, MadeUp(3, type="stop", triggerPrice="80"))
    line.answers["POST", "orders/cancel-all"] = (200, {"cancelled": 2, "requested": 0})
    page.locator("#filter").fill("limit")
    expect(page.locator("#rows tbody tr[data-id]")).to_have_count(2)
    page.get_by_role("button", name="Cancel all open").click()
    ask = page.locator("#cancel-all-ask")
    expect(ask).to_contain_text("Cancel 2 open orders that match “limit”?")
    ask.get_by_role("button", name="Yes, cancel them").click()
    expect(ask).to_contain_text("2 orders cancelled.")
    assert [body for _, body in line.sent("POST")] == [{"types": ["limit"]}]


def test_the_filter_asks_the_engine_and_says_when_nothing_matches(page: Page) -> None:
    line = shown(page, MadeUp(1), MadeUp(2, baseToken="JUP", tokenIn="JUP"))
    page.get_by_role("tab", name="All").click()
    field = page.locator("#filter")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    field.fill("jup")
    expect(page.locator("#rows tbody tr[data-id]")).to_have_count(1)
    field.fill("failed 5Nx27ainpm buy")
    expect(page.locator("#no-match b")).to_have_text("Nothing matches “failed 5Nx27ainpm buy”")
    asked = [path for path, _ in line.sent("GET") if "q=" in path]
    assert "status=failed" in asked[-1]
    assert "side=buy" in asked[-1]
    assert "q=5Nx27ainpm" in asked[-1]
    keep_picture(page, "orders-no-match")
    page.get_by_role("button", name="Clear the filter").click()
    expect(page.locator("#rows tbody tr[data-id]")).to_have_count(2)


def test_a_groups_legs_stand_together_and_slices_below_their_order(page: Page) -> None:
    group = {"groupId": "01a1fc02-2219-7ea8-9f11-ba64b00749af"}
    legs = [
        MadeUp(1, type="limit", limitPrice="130", **group),
        MadeUp(2, type="stop", triggerPrice="70", phase="held", **group),
    ]
    twap = MadeUp(3, type="twap", slices=12, slicesFilled=5, nextSliceAt=None)
    slice_ = MadeUp(4, parentOrderId=twap.id, slice=4)
    line = Line(page, *legs, twap, slice_)
    log_in(page, "/trade")
    expect(row(page, legs[1])).to_have_attribute("data-group", "first")
    expect(row(page, legs[0])).to_have_attribute("data-group", "last")
    expect(row(page, legs[1]).locator(".way")).to_contain_text("the other order of its group")
    expect(row(page, twap).locator(".way")).to_contain_text("5 of 12 slices")
    expect(row(page, slice_)).to_have_count(0)
    row(page, twap).locator(".word").click()
    expect(row(page, slice_)).to_contain_text("slice 5")
    assert line.sockets


@pytest.mark.parametrize("screen", ["small"])
def test_by_keyboard_alone_rows_are_walked_opened_and_cancelled(page: Page) -> None:
    orders = [MadeUp(number, type="limit", limitPrice="112") for number in (1, 2, 3)]
    line = shown(page, *orders)
    line.answers["POST", f"orders/{orders[1].id}/cancel"] = (200, orders[1].as_json())
    page.keyboard.press("j")
    expect(row(page, orders[2])).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(row(page, orders[1])).to_be_focused()
    tab_stops = page.locator("#rows tr[tabindex='0']")
    expect(tab_stops).to_have_count(1)
    page.keyboard.press("o")
    drawer = page.get_by_role("dialog", name="Sell 1.5 SOL for USDC")
    expect(drawer.get_by_role("button", name="Close")).to_be_focused()
    for _ in range(12):
        page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#drawer').contains(document.activeElement)")
    keep_picture(page, "orders-drawer-small")
    page.keyboard.press("Escape")
    expect(row(page, orders[1])).to_be_focused()
    page.keyboard.press("c")
    expect(row(page, orders[1]).locator(".ask")).to_be_visible()
    page.keyboard.press("c")
    expect(row(page, orders[1]).locator(".ask")).to_have_count(0)
    assert [path for path, _ in line.sent("POST")] == [f"orders/{orders[1].id}/cancel"]


@pytest.mark.parametrize("screen", ["phone"])
def test_on_a_phone_orders_are_cards_and_the_case_file_fills_the_screen(page: Page) -> None:
    order = MadeUp(1, seconds=5).to_submitted()
    page.emulate_media(reduced_motion="reduce")  # it stands at once where it belongs
    shown(page, order, MadeUp(2, type="limit", limitPrice="112"))
    assert page.evaluate(TOO_WIDE) <= 0
    row(page, order).click()
    drawer = page.locator("#drawer")
    expect(drawer).to_have_attribute("role", "dialog")
    box = drawer.bounding_box()
    assert box
    assert (box["x"], box["width"]) == (0, 390)
    keep_picture(page, "orders-phone-drawer")
    drawer.get_by_role("button", name="Close").click()
    expect(row(page, order)).to_be_focused()


def test_without_an_account_the_first_order_is_one_press_and_stays_with_this_browser(
    page: Page,
) -> None:
    page.goto("/trade")
    expect(page.locator("#go")).to_be_enabled()
    page.locator("#blotter-empty").get_by_role("button", name="Sell 1.5 SOL").click()
    one = page.locator("#rows tr[data-id]")
    expect(one.locator(".progress")).to_have_attribute("data-status", "confirmed")
    expect(page.locator("#export")).to_be_hidden()
    page.reload()
    expect(one.locator(".progress")).to_have_attribute("data-status", "confirmed")
