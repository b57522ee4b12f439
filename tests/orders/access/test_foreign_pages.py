"""Pages of ALLOWED_ORIGINS may call each path and open each socket, without a visitor's session."""

import re
from typing import Any

import pytest
from django.test import override_settings
from django.urls import get_resolver

from config.http.cors import METHODS
from orders.sockets.urls import websocket_routes
from orders.urls import entry_paths
from tests.orders.access.test_tenancy import OPEN_SOCKETS, SOCKET_PATHS, patterns
from tests.support.accounts import Account, make_account
from tests.support.client import (
    HOST,
    SELL_SOL,
    Refused,
    connected,
    count_stored,
    get,
    post,
    request,
)
from tests.support.resting_orders import rest_limit

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

PAGE, OTHER = "https://app.example", "https://another.example"
SENT = {"authorization", "content-type", "idempotency-key", "if-match", "last-event-id"}
READ = {"ETag", "Location", "Retry-After"} | {
    f"RateLimit-{word}" for word in ("Limit", "Remaining", "Reset")
}
VALUES = {"order_id": "0194a7de-0000-7000-8000-000000000001", "prefix": "oee_x"}
CHANGING = ("POST", "PATCH", "PUT", "DELETE")


def samples() -> list[str]:
    """Return a path of each pattern that is served, by its text."""
    found = []
    for pattern in patterns(get_resolver().url_patterns):
        text = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", lambda group: VALUES[group[1]], pattern)
        text = re.sub(r"<(?:\w+:)?\w+>", "1", text)
        found.append("/" + text.replace("^", "").replace("$", "").replace("/?", ""))
    return sorted(set(found))


PATHS = samples()
SOCKETS = sorted(
    {
        *(path.format(VALUES["order_id"]) for path in SOCKET_PATHS),
        *(f"/{path}" for path in OPEN_SOCKETS),
        *entry_paths(),
        "/ws/orders",
    }
)


def shared(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("access-control-")}


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize("path", PATHS)
async def test_a_browser_is_told_what_a_listed_page_may_send(path: str) -> None:
    for method in METHODS.decode().split(", "):
        asked = {"origin": PAGE, "access_control_request_method": method}
        answer = await request("OPTIONS", path, **asked)
        told = shared(answer.headers)
        assert (answer.status, answer.body) == (204, b"")
        assert told["access-control-allow-origin"] == PAGE
        assert method in told["access-control-allow-methods"].split(", ")
        assert set(told["access-control-allow-headers"].lower().split(", ")) >= SENT
        assert "access-control-allow-credentials" not in told
        foreign = await request("OPTIONS", path, **(asked | {"origin": OTHER}))
        assert shared(foreign.headers) == {}


def test_what_may_be_sent_is_what_is_served() -> None:
    assert set(METHODS.decode().split(", ")) == {"GET", "HEAD", "POST", "PATCH", "DELETE"}


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize("path", PATHS)
async def test_a_listed_page_reads_each_answer_and_what_its_headers_say(path: str) -> None:
    for method in ("GET", "POST"):
        answer = await request(method, path, origin=PAGE)
        told = shared(answer.headers)
        assert told.keys() == {"access-control-allow-origin", "access-control-expose-headers"}
        assert told["access-control-allow-origin"] == PAGE
        assert set(told["access-control-expose-headers"].split(", ")) >= READ
        assert "Origin" in answer.headers["vary"]
    foreign = await get(path, origin=OTHER)
    assert shared(foreign.headers) == {}


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize("path", PATHS)
async def test_a_listed_page_changes_nothing_with_a_visitors_session(path: str) -> None:
    """A browser sends no cookie for it. If one came all the same, it would not be enough."""
    visitor = make_account()
    cookie, stored = await visitor.log_in(), count_stored()
    answer = await post(path, SELL_SOL, **cookie, origin=PAGE)
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.status not in (200, 201, 202, 207) or "preview" in path, answer.text
    assert count_stored() == stored


@override_settings(ALLOWED_ORIGINS=[PAGE])
@pytest.mark.parametrize("path", SOCKETS)
async def test_a_listed_page_opens_each_socket_and_another_none(path: str) -> None:
    async with connected(path, origin=PAGE):
        pass
    with pytest.raises(Refused):
        async with connected(path, origin=OTHER):
            pass


def test_each_socket_is_walked_here() -> None:
    for route in websocket_routes[:-1]:  # the last one serves nothing
        assert any(route.pattern.match(path.partition("?")[0][1:]) for path in SOCKETS)


@override_settings(ALLOWED_ORIGINS=[PAGE])
async def test_an_accounts_stream_is_not_a_listed_pages_by_its_visitors_session() -> None:
    visitor = make_account()
    cookie = await visitor.log_in()
    async with connected("/ws/orders", **cookie, origin=f"http://{HOST}") as socket:
        assert (await socket.message())["type"] == "hello"
    async with connected("/ws/orders", **cookie, origin=PAGE) as socket:
        messages, code = await socket.rest()
    assert ([one["error"] for one in messages], code) == (["not_authenticated"], 4401)
    ticket = (await request("POST", "/api/ws-tickets", **visitor.headers, origin=PAGE)).json
    async with connected(f"/ws/orders?ticket={ticket['ticket']}", origin=PAGE) as socket:
        assert (await socket.message())["type"] == "hello"


# --- what a key may that only reads, by each door ------------------------------------------------


def reader_of(account: Account) -> dict[str, str]:
    return {"authorization": f"Bearer {account.reading_key()}"}


async def test_a_key_that_only_reads_enters_nothing_by_any_path() -> None:
    account = make_account()
    order_id, reader = await rest_limit(account.id, 112), reader_of(account)
    stored = count_stored()
    paths = [path.replace(VALUES["order_id"], order_id) for path in PATHS]
    for path in (one for one in paths if one.startswith("/api/orders") or one in entry_paths()):
        for method in CHANGING:
            answer = await sent_by(method, path, **reader)
            if (method, path) == ("POST", "/api/orders/preview"):
                assert answer.status == 200, answer.text
            else:
                assert answer.status in (403, 404, 405), (method, path, answer.text)
                assert answer.json["error"] in (
                    *("insufficient_scope", "method_not_allowed", "not_found"),
                )
    assert count_stored() == stored
    own = await get(f"/api/orders/{order_id}", **reader)
    assert (own.status, own.json["status"], own.json["seq"]) == (200, "open", 1)


async def sent_by(method: str, path: str, **headers: str) -> Any:
    body = b'{"tokenIn":"SOL","tokenOut":"USDC","amountIn":"1"}'
    return await request(method, path, body, content_type="application/json", **headers)


@pytest.mark.parametrize("path", [*entry_paths()])
async def test_a_key_that_only_reads_opens_no_socket_of_order_entry(path: str) -> None:
    account = make_account()
    order_id, reader = await rest_limit(account.id, 112), reader_of(account)
    async with connected(path, **reader) as socket:
        messages, code = await socket.rest()
        assert ([one["error"] for one in messages], code) == (["insufficient_scope"], 4403)
    stored = count_stored()
    async with connected(f"{path}?orderId={order_id}", **reader) as socket:
        await socket.messages(2)
        await socket.send(SELL_SOL)
        messages, code = await socket.rest()
    assert ([one["error"] for one in messages], code) == (["insufficient_scope"], 4403)
    assert count_stored() == stored
