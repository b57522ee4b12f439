"""The system's Chromium, driven by playwright, and what it complains of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, sync_playwright

# The first is the same browser without a window system: a quarter of the processor time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
QUIET = (  # it is root in a container, and asks nobody for updates
    *("--no-sandbox", "--disable-gpu", "--disable-lcd-text"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


AXE = Axe()
"""Axe-core's rules. Their script runs beside the page's policy, not under it."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; CHROMIUM is there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def barriers(page: Page) -> list[str]:
    """Return what keeps people from using the page as it stands: each finding of axe-core."""
    asked = {"resultTypes": ["violations"], "preload": False}  # it preloads by inline styles
    found = AXE.run(page, options=asked).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} ({node['failureSummary']})"
        for rule in found
        for node in rule["nodes"]
    ]


class Complaints:
    """What is wrong with a page: script errors, violated policy, requests to other hosts."""

    def __init__(self, page: Page, host: str) -> None:
        self._host = host
        self.found: list[str] = []
        page.add_init_script(REPORT_VIOLATIONS)
        page.on("console", self._read_console)
        page.on("pageerror", lambda error: self.found.append(str(error)))
        page.on("request", self._check_host)
        page.on("websocket", lambda socket: self._check_url(socket.url))

    def expect(self, text: str) -> None:
        """Leave out what was bound to come, such as a refusal; there has to be one."""
        assert any(text in complaint for complaint in self.found), self.found
        self.allow(text)

    def allow(self, text: str) -> None:
        """Leave out what may come, such as a socket that finds no server."""
        self.found[:] = [complaint for complaint in self.found if text not in complaint]

    def _read_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.found.append(message.text)

    def _check_host(self, request: Request) -> None:
        self._check_url(request.url)

    def _check_url(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self._host:
            self.found.append(f"asked another host: {url}")
