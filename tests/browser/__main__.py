"""Take the picture of the README: three confirmed orders, as the live page shows them.

`python -m tests.browser left-open --minutes 30` leaves the trading page open instead
(`tests/browser/left_open.py`).
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page

from config.environment.data_folder import PROJECT
from tests.browser import left_open
from tests.browser.chromium import chromium
from tests.support.engine import engine, migrated_database

PICTURE = PROJECT / "docs/picture.png"
AS_DEFAULT = {"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "2-3"}
WINDOW = {"width": 1280, "height": 1080}  # as high as three orders
ORDERS = (  # side, market, what is fixed, amount
    ("buy", "SOL/USDT", "amountIn", "300"),
    ("buy", "JUP/USDC", "amountOut", "250"),
    ("sell", "SOL/USDC", "amountIn", "1.5"),
)


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        migrated_database(Path(folder)) as database,
        engine(database, Path(folder), **AS_DEFAULT) as running,
        chromium() as browser,
    ):
        running.worker()
        running.scheduler()
        web = running.web()
        web.post()  # the first one waits for the processes to start
        running.wait_until_all_ended()
        # As wide as a README is shown, and with times of 24 hours.
        page = browser.new_page(viewport=WINDOW, device_scale_factor=0.68, locale="en-GB")
        page.goto(f"http://{web.address}/")
        take(page)


def take(page: Page) -> None:
    for order in ORDERS:
        place(page, *order)
    page.locator("[data-status=confirmed]").nth(2).wait_for()
    page.screenshot(path=PICTURE)


def place(page: Page, side: str, market: str, fixed: str, amount: str) -> None:
    page.locator(f"[name=side][value={side}]").check(force=True)
    page.locator("[name=market]").select_option(market)
    page.locator(f"[name=fixed][value={fixed}]").check(force=True)
    page.locator("[name=amount]").fill(amount)
    with page.expect_response("**/api/orders/execute"):
        page.get_by_role("button", name="Place order").click()


if __name__ == "__main__":
    # Processes are forked from one that imports the main module, unless that is called __main__.
    sys.exit(left_open.main(sys.argv[2:]) if sys.argv[1:2] == ["left-open"] else main())
