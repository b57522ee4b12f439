"""Real processes: one order is followed through their logs, and each is told of in /metrics."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.engine import SELL, Engine, Process, Web, engine, wait_for


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("observability")
    with engine(process_database, logs, LOG_FORMAT="json", LOG_LEVEL="INFO") as found:
        yield found


@pytest.fixture(scope="module")
def processes(running: Engine) -> dict[str, Process]:
    return {
        "worker": running.worker(),
        "scheduler": running.scheduler(),
        "web": running.web(),
    }


def post(web: Process, request_id: str) -> str:
    assert isinstance(web, Web)
    request = urllib.request.Request(
        f"http://{web.address}/api/orders/execute",
        json.dumps(SELL).encode(),
        {"content-type": "application/json", "x-request-id": request_id},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["x-request-id"] == request_id
        order_id: str = json.load(answer)["orderId"]
        return order_id


def lines(process: Process) -> list[dict[str, Any]]:
    """Return what the process wrote: every line of it is a JSON object."""
    return [json.loads(line) for line in process.output.splitlines()]


def scrape(web: Process) -> dict[tuple[str, str], float]:
    """Return the figures of all processes, by name and kind."""
    assert isinstance(web, Web)
    with urllib.request.urlopen(f"http://{web.address}/metrics") as answer:
        text = answer.read().decode()
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if "kind" in sample.labels:
                key = sample.name.removeprefix("engine_"), sample.labels["kind"]
                found[key] = found.get(key, 0) + sample.value
    return found


def test_an_order_is_followed_from_its_request_into_the_worker(
    running: Engine, processes: dict[str, Process]
) -> None:
    order_id = post(processes["web"], "followed-1")
    running.wait_until_all_ended()

    (accepted,) = [one for one in lines(processes["web"]) if one.get("order_id") == order_id]
    assert (accepted["message"], accepted["request_id"]) == ("order accepted", "followed-1")
    carried = [one for one in lines(processes["worker"]) if one.get("order_id") == order_id]
    assert [one["logger"] for one in carried] == ["orders.engine.execution"]
    assert "nets" in carried[0]["message"]
    assert lines(processes["scheduler"]) == []


def test_every_process_is_shown_with_what_it_did(
    running: Engine, processes: dict[str, Process]
) -> None:
    post(processes["web"], "counted-1")
    running.wait_until_all_ended()

    def is_told() -> bool:
        found = scrape(processes["web"])
        return (
            found.get(("process_orders_accepted_total", "web"), 0) >= 1
            and found.get(("process_orders_carried_total", "worker"), 0) >= 1
            and found[("processes_alive", "scheduler")] >= 1
        )

    wait_for(is_told, what="heartbeats told")
    found = scrape(processes["web"])
    for kind in processes:
        assert found["process_cpu_seconds_total", kind] > 0
    assert ("process_orders_accepted_total", "worker") not in found
