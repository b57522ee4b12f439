"""Leave the trading page open while orders come, and tell whether it stays as light as it was.

`python -m tests.browser left-open --minutes 30`: 20 orders a minute. Each minute its heap (after a
collection), its nodes and listeners are told. At the end the frames that came are compared with the
API's log, event by event, and what the rows say with the API's orders. First of all, the work of
the page's main thread is measured while 20 orders move at once. Exit code 1: something grew, was
missed or is shown wrongly.
"""

import argparse
import json
import re
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import quantiles
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, WebSocket, expect

from tests.browser.chromium import Complaints, chromium
from tests.browser.conftest import PASSWORD, log_in
from tests.support.engine import engine, migrated_database

AT_ONCE = 20
EACH_MINUTE = 20
FRAME = 1000 / 60  # milliseconds
CATEGORIES = ["toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline"]
WORK = frozenset(
    (
        *("FunctionCall", "FireAnimationFrame", "TimerFire", "EventDispatch", "EvaluateScript"),
        *("UpdateLayoutTree", "Layout", "PrePaint", "MinorGC", "MajorGC"),
    )
)
SELL = {"tokenIn": "SOL", "tokenOut": "USDC", "amountIn": "1.5"}
AS_DEFAULT = {
    **{"SIMULATION_QUOTE_LATENCY": "0.2", "SIMULATION_LANDING_LATENCY": "2-3"},
    **{"ORDER_RATE_LIMIT": "1000/m", "READ_RATE_LIMIT": "unlimited"},
}
MOST_GROWTH = 1.15
"""Of the heap, the nodes and the listeners. In the first minutes rows come until a page is full."""


class Heard:
    """The events that came over the page's sockets."""

    def __init__(self, page: Page) -> None:
        self.seen: dict[str, set[int]] = defaultdict(set)
        page.on("websocket", self._listen)

    def _listen(self, socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: self._read(str(frame)))

    def _read(self, frame: str) -> None:
        if '"status_update"' in frame:
            message = json.loads(frame)
            self.seen[message["orderId"]].add(message["seq"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args(arguments).minutes
    with (
        tempfile.TemporaryDirectory() as folder,
        migrated_database(Path(folder)) as database,
        engine(database, Path(folder), DJANGO_SUPERUSER_PASSWORD=PASSWORD, **AS_DEFAULT) as running,
        chromium() as browser,
    ):
        running.manage("createsuperuser", "--noinput", "--username=ada", "--email=a@example.com")
        running.worker()
        running.scheduler()
        web = running.web()
        web.post()
        running.wait_until_all_ended()
        context = browser.new_context(
            base_url=f"http://{web.address}", viewport={"width": 1440, "height": 900}
        )
        page = context.new_page()
        return watch(browser, context, page, web.address, minutes)


def watch(
    browser: Browser, context: BrowserContext, page: Page, address: str, minutes: float
) -> int:
    complaints, heard = Complaints(page, address), Heard(page)
    log_in(page, "/trade")
    sent = measure_frames(browser, context, page)
    session = context.new_cdp_session(page)
    samples = [tell(0, weigh(session))]
    for minute in range(1, round(minutes) + 1):
        end = time.monotonic() + 60
        for _ in range(EACH_MINUTE):
            sent.append(send(context, page))
            page.wait_for_timeout(max(0, end - time.monotonic()) * 1000 / EACH_MINUTE)
        page.wait_for_timeout(max(0, end - time.monotonic()) * 1000)
        samples.append(tell(minute, weigh(session)))
    wait_until_ended(context, sent)
    wrong = [*missed(context, heard, sent), *shown_wrongly(context, page), *complaints.found]
    print(f"{len(sent)} orders, {sum(map(len, heard.seen.values()))} events; wrong: {wrong or 0}")
    return 1 if wrong or has_grown(samples) else 0


def send(context: BrowserContext, page: Page) -> str:
    cookies: Any = context.cookies()
    token = next(one["value"] for one in cookies if one["name"] == "csrftoken")
    headers = {"X-CSRFToken": token, "Referer": page.url}
    answer = context.request.post("/api/orders", data=SELL, headers=headers)
    assert answer.status == 201, answer.text()
    order_id: str = answer.json()["orderId"]
    return order_id


def measure_frames(browser: Browser, context: BrowserContext, page: Page) -> list[str]:
    """Tell how long the page's main thread works in a frame while 20 orders move."""
    browser.start_tracing(page=page, categories=CATEGORIES)
    sent = [send(context, page) for _ in range(AT_ONCE)]
    expect(page.locator(".progress[data-status=confirmed]")).to_have_count(AT_ONCE, timeout=60_000)
    work = work_by_frame(json.loads(browser.stop_tracing()))
    busy = sorted(work.values())
    p99 = quantiles(busy, n=100)[-1]
    print(f"20 orders: {len(busy)} frames with work, p99 {p99:.1f} ms, longest {busy[-1]:.1f} ms")
    return sent


def work_by_frame(trace: dict[str, Any]) -> dict[int, float]:
    """Return by the number of a frame how many milliseconds the page's scripts and layout took."""
    events = trace["traceEvents"]
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    work: dict[tuple[Any, Any], dict[int, float]] = {main: defaultdict(float) for main in mains}
    ends = dict.fromkeys(mains, 0.0)
    found = [one for one in events if one["name"] in WORK and one.get("ph") == "X"]
    for one in sorted(found, key=lambda one: (one["ts"], -one["dur"])):
        thread = (one["pid"], one["tid"])
        if thread not in mains or one["ts"] < ends[thread]:
            continue  # within one that is counted
        ends[thread] = one["ts"] + one["dur"]
        took = one.get("tdur", one["dur"])  # of the processor, which others use as well
        work[thread][int(one["ts"] / 1000 / FRAME)] += took / 1000
    return max(work.values(), key=lambda found: sum(found.values()))


def weigh(session: CDPSession) -> dict[str, float]:
    """Return the page's megabytes of heap, nodes and listeners, after a collection."""
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = session.send("Performance.getMetrics")["metrics"]
    values = {one["name"]: one["value"] for one in found}
    return {
        "heap": values["JSHeapUsedSize"] / 1e6,
        "nodes": values["Nodes"],
        "listeners": values["JSEventListeners"],
    }


def tell(minute: int, weight: dict[str, float]) -> dict[str, float]:
    print(
        f"{minute:3} min: {weight['heap']:.2f} MB, {weight['nodes']:.0f} nodes,"
        f" {weight['listeners']:.0f} listeners",
        flush=True,
    )
    return weight


def has_grown(samples: list[dict[str, float]]) -> bool:
    """Return whether the last third is heavier than the one before."""
    third = len(samples) // 3
    if third < 3:
        return False
    for name in samples[0]:
        early = max(one[name] for one in samples[third : 2 * third])
        late = max(one[name] for one in samples[-third:])
        if late > MOST_GROWTH * early:
            print(f"{name}: from {early:.1f} to {late:.1f}")
            return True
    return False


def wait_until_ended(context: BrowserContext, sent: list[str]) -> None:
    last = time.monotonic() + 60
    while context.request.get("/api/orders?state=active").json()["results"]:
        assert time.monotonic() < last, f"of {len(sent)} orders some do not end"
        time.sleep(0.5)


def missed(context: BrowserContext, heard: Heard, sent: list[str]) -> list[str]:
    """Return the events of the API's log that never came."""
    found = []
    for order_id in sent:
        log = context.request.get(f"/api/orders/{order_id}/events").json()["events"]
        if lost := {event["seq"] for event in log} - heard.seen[order_id]:
            found.append(f"{order_id}: {sorted(lost)} never came")
    return found


def shown_wrongly(context: BrowserContext, page: Page) -> list[str]:
    """Return the rows whose status is not the API's."""
    page.get_by_role("tab", name="All").click()
    page.locator("#rows tr[data-id]").nth(1).wait_for()
    rows = page.locator("#rows tr[data-id]").evaluate_all(
        "rows => rows.map((row) => [row.dataset.id, row.getAttribute('aria-label')])"
    )
    found = []
    for order_id, label in rows:
        status = context.request.get(f"/api/orders/{order_id}").json()["status"]
        if not re.search(rf", {status}, ", label):
            found.append(f"{order_id}: {label!r}, but it is {status}")
    return found
