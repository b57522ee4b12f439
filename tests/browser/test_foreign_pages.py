"""Pages of other systems, from an origin of their own, in a real browser on a real engine."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.engine import PATIENCE, Engine, Process, Web

PAGES = Path(__file__).with_name("pages")
STEPS = ["PENDING", "ROUTING", "BUILDING", "SUBMITTED", "CONFIRMED"]

expect.set_options(timeout=PATIENCE * 1000)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Another origin, which serves the pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(PAGES))) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def web(running: Engine, worker: Process, host: str) -> Web:
    """An engine whose operator lists that origin."""
    return running.web(ALLOWED_ORIGINS=host)


@pytest.fixture
def faults(page: Page) -> Iterator[list[str]]:
    """The errors of the page's scripts, of which there are none at the end."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    yield found
    assert found == []


@pytest.mark.usefixtures("faults")
def test_the_page_of_system_a_buys_and_sees_every_step(page: Page, host: str, web: Web) -> None:
    page.goto(f"{host}/a.html?engine={web.address}")
    page.get_by_role("button", name="Buy").click()
    lines = page.locator("#log > li")
    expect(lines.last).to_have_text("closed 1000")
    told = lines.all_text_contents()

    assert told[0].startswith("Order received and queued: ")
    steps = [line[1:].partition("]") for line in told if line.startswith("[")]
    assert [status for status, _, _ in steps] == STEPS
    assert steps[-1][2].split()[0] in ("Raydium", "Meteora")
    order_id = told[0].rpartition(" ")[2]
    assert f"tx {web.request(f'/api/orders/{order_id}').body['txHash']}" in told


@pytest.mark.usefixtures("faults")
def test_the_page_of_system_c_subscribes_by_message_and_shows_the_price(
    page: Page, host: str, web: Web
) -> None:
    page.goto(f"{host}/c.html?engine={web.address}")
    for number in range(3):  # on one socket
        page.get_by_role("button", name="Swap").click()
        expect(page.locator("tr")).to_have_count(number + 1)
    rows = page.locator("tr")
    for row in rows.all():
        order_id, steps, price, signature = row.locator("td").all()
        expect(steps).to_have_text(" ".join(STEPS) + " ", use_inner_text=False)
        order = web.request(f"/api/orders/{order_id.text_content()}").body
        assert price.text_content() == f"{float(order['executedPrice']):.4f}"
        assert signature.text_content() == order["txHash"]


def test_a_page_that_no_operator_listed_places_no_order(
    page: Page, host: str, running: Engine, worker: Process
) -> None:
    closed = running.web()
    before = running.value("SELECT count(*) FROM orders")
    page.goto(f"{host}/c.html?engine={closed.address}")
    with page.expect_event("pageerror") as refused:
        page.get_by_role("button", name="Swap").click()

    assert "fetch" in str(refused.value)
    assert running.value("SELECT count(*) FROM orders") == before
