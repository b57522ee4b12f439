"""Take the pictures of the README from a real run: the trading page, and the terminal.

`docs/picture.png` is the page with orders that were placed on it, `docs/recording.webp` the same
page while an order is filled in, sent and confirmed, `docs/terminal.svg` two commands.

`python -m tests.browser left-open --minutes 30` leaves the trading page open instead
(`tests/browser/left_open.py`).
"""

import io
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from config.environment.data_folder import PROJECT
from tests.browser import left_open
from tests.browser.chromium import chromium
from tests.browser.terminal import Recording
from tests.support.engine import Engine, engine, migrated_database

PICTURE, MOVING, TERMINAL = (
    PROJECT / "docs" / name for name in ("picture.png", "recording.webp", "terminal.svg")
)
MOST_BYTES = {PICTURE: 300_000, MOVING: 1_000_000, TERMINAL: 1_000_000}
AS_DEFAULT = {"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "2-3"}
WINDOW = {"width": 1440, "height": 900}
SHOWN = (1080, 675)  # pixels, as wide as a README
COLOURS = 128
QUALITIES = (60, 45, 30, 20)
STILL_SECONDS = 2.5
"""How long the recording stays at its end."""
PRICES_SECONDS = 20
"""Prices that the chart of a new engine has when the picture is taken."""
ORDERS = (("buy", "SOL/USDT", "300"), ("buy", "JUP/USDC", "250"), ("sell", "SOL/USDC", "40"))
"""Side, market, and what is paid."""


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
        page = browser.new_page(viewport=WINDOW, locale="en-GB", color_scheme="dark")
        page.goto(f"http://{web.address}/")
        page.wait_for_timeout(PRICES_SECONDS * 1000)
        for order in ORDERS:
            fill_in(page, *order)
            send(page)
        running.wait_until_all_ended()
        move(page)
        take(page)
        write(TERMINAL, terminal(running, f"http://{web.address}").encode())


def fill_in(page: Page, side: str, market: str, amount: str) -> None:
    page.locator("#pick").select_option(market)
    page.locator(f"[name=side][value={side}]").check(force=True)
    page.locator("#amount-in").fill(amount)


def send(page: Page) -> None:
    with page.expect_response("**/api/orders/execute"):
        page.locator("#amount-in").press("Enter")


def take(page: Page) -> None:
    """Take the still picture: the last order is chosen, so its case file is shown."""
    page.locator("#rows tbody tr").first.click()
    page.mouse.move(0, 0)
    whole = picture_of(page)
    write(PICTURE, as_bytes(whole.quantize(COLOURS), "PNG", optimize=True))


def move(page: Page) -> None:
    """Record an order from its amount to its end."""
    film = Film(page)
    fill_in(page, "sell", "SOL/USDC", "")
    film.shoot(0.4)
    for digits in ("1", "1.", "1.5"):
        page.locator("#amount-in").fill(digits)
        film.shoot(0.25)
    film.shoot(1.6)  # both venues' offers come
    send(page)
    film.shoot(4.5)  # it is confirmed in two to three seconds
    write(MOVING, film.developed())


class Film:
    """Pictures of a page, as quickly as they can be taken, and when each was."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._pictures: list[Image.Image] = []
        self._taken_at: list[float] = []

    def shoot(self, seconds: float) -> None:
        """Take pictures for so long."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self._taken_at.append(time.monotonic())
            self._pictures.append(picture_of(self._page).resize(SHOWN, Image.Resampling.LANCZOS))

    def developed(self) -> bytes:
        """Return the pictures as one that moves, in the best quality that is small enough."""
        moments = [*self._taken_at, self._taken_at[-1] + STILL_SECONDS]
        durations = [round((after - before) * 1000) for before, after in pairwise(moments)]
        first, *others = self._pictures
        found = b""
        for quality in QUALITIES:
            found = as_bytes(
                *(first, "WEBP"),
                **{"save_all": True, "append_images": others, "duration": durations},
                **{"loop": 0, "quality": quality, "method": 4},
            )
            if len(found) <= MOST_BYTES[MOVING]:
                break
        return found


def picture_of(page: Page) -> Image.Image:
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def as_bytes(picture: Image.Image, form: str, **options: object) -> bytes:
    stored = io.BytesIO()
    picture.save(stored, form, **options)
    return stored.getvalue()


def terminal(running: Engine, url: str) -> str:
    """Return a terminal in which an order is placed and watched, and then the demo runs."""
    recording = Recording()
    python, environment = [sys.executable, "manage.py"], running.environment()
    order = ("place_order", "sell", "1.5", "SOL/USDC", "--watch")
    recording.run(f"manage.py {' '.join(order)}", [*python, *order], environment)
    recording.run("make demo", [*python, "demo", "--url", url], environment)
    return recording.as_svg("An order is placed and watched; then the demo runs")


def write(path: Path, content: bytes) -> None:
    """Write a file.

    :raises SystemExit: it is larger than a README's should be.
    """
    if len(content) > MOST_BYTES[path]:
        sys.exit(f"{path} would have {len(content)} bytes.")
    path.write_bytes(content)
    print(f"{path.relative_to(PROJECT)}: {len(content):,} bytes")


if __name__ == "__main__":
    # Processes are forked from one that imports the main module, unless that is called __main__.
    sys.exit(left_open.main(sys.argv[2:]) if sys.argv[1:2] == ["left-open"] else main())
