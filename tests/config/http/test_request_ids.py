import logging
import re
from typing import Any

import pytest
import structlog

from config.runtime.counters import counts
from orders.urls import entry_paths
from tests.support.client import SELL_SOL, connected, get, post, request

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

MADE = re.compile(r"[0-9a-f]{32}").fullmatch


@pytest.fixture
def ids(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The (message, request id) of each line that is logged."""
    found: list[tuple[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            context = structlog.contextvars.get_contextvars()
            found.append((record.getMessage(), context.get("request_id")))

    monkeypatch.setattr(logging.getLogger("orders"), "handlers", [Keeping()])
    monkeypatch.setattr(logging.getLogger("orders"), "level", logging.INFO)
    logging.getLogger("orders.engine.submission").manager._clear_cache()  # type: ignore[attr-defined]
    return found


@pytest.mark.parametrize("path", ["/livez", "/health", "/api/orders", "/nothing", "/admin/login/"])
async def test_every_answer_names_its_request(path: str) -> None:
    first, second = await get(path), await get(path)
    assert MADE(first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(
    "given", ["a", "0af7651916cd43dd-8448eb", "Root=1-67891233:a/b+c", "x" * 64]
)
async def test_an_id_that_came_with_the_request_is_kept(given: str) -> None:
    assert (await get("/livez", x_request_id=given)).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", " ", "x" * 65, "a b", "a\nb", "<b>", 'a"b', "\xff", "a,b"])
async def test_an_id_that_is_none_is_replaced(given: str) -> None:
    assert MADE((await get("/livez", x_request_id=given)).headers["x-request-id"])


@pytest.mark.parametrize("path", entry_paths())
async def test_an_order_is_accepted_in_the_name_of_its_request(
    path: str, ids: list[tuple[str, Any]]
) -> None:
    answer = await post(path, SELL_SOL, x_request_id="mine")
    assert (answer.status, answer.headers["x-request-id"]) == (201, "mine")
    assert ids == [("order accepted", "mine")]


async def test_a_request_leaves_its_name_to_none_that_comes_later(
    ids: list[tuple[str, Any]],
) -> None:
    await post("/execute", SELL_SOL, x_request_id="first")
    await post("/execute", SELL_SOL)
    assert ids[0] == ("order accepted", "first")
    assert MADE(ids[1][1])


async def test_the_orders_of_a_socket_are_accepted_in_its_name(
    ids: list[tuple[str, Any]],
) -> None:
    async with connected("/execute", **{"x-request-id": "socket-1"}) as socket:
        await socket.send(SELL_SOL)
        await socket.message()
    assert ids == [("order accepted", "socket-1")]


async def test_a_refused_body_names_its_request_too() -> None:
    answer = await request("POST", "/execute", b"x" * 70_000, x_request_id="large")
    assert (answer.status, answer.headers["x-request-id"]) == (413, "large")


async def test_requests_are_counted_by_class_and_orders_by_themselves() -> None:
    before = counts.copy()
    await post("/execute", SELL_SOL)
    await post("/execute", {})
    found = counts - before

    assert (found["http_requests:2xx"], found["http_requests:4xx"]) == (1, 1)
    assert found["orders_accepted"] == 1
