"""`GET /api/orders/stream`: an account's log as server-sent events."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.test import override_settings

from config.asgi import application
from config.database.conninfo import conninfo
from config.http import door
from config.http.line import LINE, Line
from orders.api.following import event_stream
from orders.api.following.door import EventsDoor
from orders.api.following.event_stream import written
from orders.events import Event
from orders.lifecycle import Status
from orders.streams import account_log, account_reader, open_orders
from orders.streams.account_tail import Told
from orders.streams.renumbering import RENUMBER
from tests.support.accounts import Account, make_account
from tests.support.client import connected, database_away, post, request, submit
from tests.support.database import rewrite
from tests.support.event_stream import STREAM, EventSource, scope_of, streaming
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

WANTED = {"tokenIn": "JUP", "tokenOut": "USDC", "amountIn": "5", "tags": {"bot": "a"}}


@asynccontextmanager
async def following(query: str = "", **headers: Any) -> AsyncIterator[EventSource]:
    """Open the stream and read its greeting."""
    async with streaming(query, **headers) as source:
        assert source.status == 200, await source.problem()
        frame = await source.message()
        assert (frame["type"], frame["heartbeatSeconds"]) == ("hello", 5)
        yield source


async def events(source: EventSource, count: int) -> list[tuple[str, int]]:
    """Return the next events; checkpoints are passed over."""
    found = []
    while len(found) < count:
        frame = await source.message()
        assert frame["type"] in ("status_update", "checkpoint"), frame
        if frame["type"] == "status_update":
            found.append((frame["orderId"], frame["seq"]))
    return found


async def checkpoint(source: EventSource) -> str:
    while (frame := await source.message())["type"] != "checkpoint":
        pass
    return str(frame["cursor"])


async def cursor_of_now() -> str:
    return (await account_log.account_log_of_this_loop().now()).as_cursor()


async def ticket_of(account: Account) -> str:
    answer = await request("POST", "/api/ws-tickets", **account.headers)
    return str(answer.json["ticket"])


async def test_every_event_of_every_order_of_the_account_comes(account: Account) -> None:
    async with following() as source:
        assert source.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert source.headers["cache-control"] == "no-store"
        assert source.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in source.headers
        assert source.parser.retry == 1000
        one, two = await submit(), await submit()
        assert sorted(await events(source, 2)) == sorted([(one, 1), (two, 1)])
        await Walker(one).walk(Status.ROUTING, Status.FAILED)
        assert await events(source, 2) == [(one, 2), (one, 3)]


async def test_an_event_is_the_message_of_its_orders_own_socket(account: Account) -> None:
    async with following() as source:
        order_id = await submit()
        told = await source.message()
    async with connected(f"/ws/orders/{order_id}") as socket:
        assert await socket.message() == told


@pytest.mark.parametrize("by", ["cursor", "last_event_id"])
async def test_a_client_that_comes_again_misses_nothing(account: Account, by: str) -> None:
    order_id = await submit()
    async with following() as source:
        walker = Walker(order_id)
        await walker.walk(Status.ROUTING)
        assert await events(source, 1) == [(order_id, 2)]
        cursor = await checkpoint(source)
        assert source.parser.last_id == cursor
    await walker.walk(Status.FAILED)
    query, headers = (f"?cursor={cursor}", {}) if by == "cursor" else ("", {by: cursor})
    async with following(query, **headers) as source:
        assert await events(source, 1) == [(order_id, 3)]


async def test_last_event_id_wins_over_the_cursor_of_the_address(account: Account) -> None:
    old = await cursor_of_now()
    first = await submit()
    new = await cursor_of_now()
    second = await submit()
    async with following(f"?cursor={old}", last_event_id=new) as source:
        assert await events(source, 1) == [(second, 1)]
    async with following(f"?cursor={old}", last_event_id="") as source:
        assert await events(source, 2) == [(first, 1), (second, 1)]


async def test_filters_choose_orders_live_and_in_the_log(account: Account) -> None:
    start, query = await cursor_of_now(), "?market=JUP/USDC&type=market&tag.bot=a"
    async with following(query) as source:
        other, found = await submit(), await submit(WANTED)
        await Walker(other).walk(Status.ROUTING)
        await Walker(found).walk(Status.ROUTING)
        assert await events(source, 2) == [(found, 1), (found, 2)]
    async with following(f"{query}&cursor={start}") as source:
        assert await events(source, 2) == [(found, 1), (found, 2)]


async def test_a_snapshot_has_the_open_orders_in_pages(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_orders, "PAGE", 2)
    waiting = [await submit() for _ in range(3)]
    async with following("?snapshot=open") as source:
        pages = [await source.message() for _ in range(2)]
        assert [page["more"] for page in pages] == [True, False]
        shown = [order["orderId"] for page in pages for order in page["orders"]]
        assert shown == sorted(waiting, reverse=True)
        another = await submit()
        assert await events(source, 1) == [(another, 1)]


@pytest.mark.parametrize("cursor", ["x", "00000000.1", "{database}.99999999999", "."])
async def test_a_cursor_of_no_state_of_this_database_is_refused(
    account: Account, cursor: str
) -> None:
    named = cursor.format(database=(await cursor_of_now()).split(".")[0])
    async with streaming(f"?cursor={named}") as by_query, streaming(last_event_id=named) as by_id:
        for source in (by_query, by_id):
            assert (source.status, (await source.problem())["error"]) == (400, "cursor_unknown")
            assert source.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?snapshot=all", "snapshot"),
        ("?market=SOL/NONE", "market"),
        ("?type=none", "type"),
        ("?tag.a%20b=1", "tag.a b"),
        ("?order=1", "order"),
        ("?key=oee_x", "key"),
        ("?limit=1", "limit"),
        ("?market=SOL/USDC&market=JUP/USDC", "market"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_name(
    account: Account, query: str, field: str
) -> None:
    async with streaming(query) as source:
        found = await source.problem()
    assert (source.status, [error["field"] for error in found["errors"]]) == (400, [field])


@override_settings(ALLOW_ANONYMOUS_ORDERS=True)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer oee_x"}, {"authorization": "x"}])
async def test_without_an_account_there_is_no_stream(headers: dict[str, str]) -> None:
    async with streaming(**headers) as source:
        assert (source.status, (await source.problem())["error"]) == (401, "not_authenticated")
        assert source.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_that_may_not_read_follows_nothing(account: Account) -> None:
    rewrite(conninfo(), "UPDATE api_keys SET may_read = false")
    async with streaming() as source:
        assert (source.status, (await source.problem())["error"]) == (403, "insufficient_scope")


async def test_a_key_that_only_reads_follows(account: Account) -> None:
    rewrite(conninfo(), "UPDATE api_keys SET may_trade = false")
    async with following():
        pass


async def test_a_ticket_opens_one_stream_once() -> None:
    owner = make_account()
    query = f"?ticket={await ticket_of(owner)}"
    async with following(query) as source, streaming(query) as again:
        assert (again.status, (await again.problem())["error"]) == (401, "not_authenticated")
        answer = await post("/api/orders/execute", WANTED, **owner.headers)
        assert await events(source, 1) == [(answer.json["orderId"], 1)]


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"origin": "http://testserver"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"origin": "https://other.example"}, False),
    ],
)
async def test_a_session_counts_for_our_own_pages_alone(
    headers: dict[str, str], is_own: bool
) -> None:
    owner = make_account()
    async with streaming(**await owner.log_in(), **headers) as source:
        assert source.status == (200 if is_own else 401)


async def test_a_stream_ends_with_its_key_and_says_so(account: Account) -> None:
    async with following() as source:
        account.revoke()
        *_, last = await source.rest()
    assert (last["type"], last["error"], last["httpStatus"]) == ("error", "not_authenticated", 401)


async def test_a_stream_ends_with_its_session() -> None:
    owner = make_account()
    async with following(**await owner.log_in()) as source:
        owner.log_out()
        assert (await source.rest())[-1]["error"] == "not_authenticated"


async def test_a_stream_ends_at_once_when_the_server_is_to_stop(account: Account) -> None:
    line = Line()
    async with following(line=line) as source:
        line.stop()
        assert await source.rest() == []


async def test_a_stream_that_begins_while_the_server_stops_ends_at_once(account: Account) -> None:
    line = Line()
    line.stop()
    async with streaming(line=line) as source:
        assert [one["type"] for one in await source.rest()] in ([], ["hello"])


async def test_a_client_that_says_no_more_is_told_as_before(account: Account) -> None:
    line = Line()
    async with following(line=line) as source:
        line.end_input()
        order_id = await submit()
        assert await events(source, 1) == [(order_id, 1)]


async def test_streams_have_the_places_of_sockets(account: Account) -> None:
    other = make_account()
    with override_settings(MAX_SOCKETS=2):
        async with following(), connected("/ws/orders") as socket:
            assert (await socket.message())["type"] == "hello"
            async with streaming() as third, following(**other.headers):
                assert (third.status, (await third.problem())["error"]) == (429, "too_many_sockets")
                assert third.headers["retry-after"] == "5"
        async with following():
            pass
    assert len(door.sockets) == 0


async def test_an_address_has_places_for_those_that_are_not_known(account: Account) -> None:
    with override_settings(MAX_SOCKETS=1):
        place = door.Place(f"address:{door.site_of('127.0.0.1')}")
        async with streaming() as source:
            assert (source.status, (await source.problem())["error"]) == (429, "too_many_sockets")
        place.leave()
        async with following():
            pass


async def test_head_asks_all_and_opens_nothing(account: Account) -> None:
    async with streaming(method="HEAD") as source:
        assert source.status == 200
        assert source.headers["content-type"].startswith("text/event-stream")
        assert await source.rest() == []
        assert len(door.sockets) == 0
    async with streaming("?order=1", method="HEAD") as source:
        assert source.status == 400


@pytest.mark.parametrize("path", [STREAM, "/api/events"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(account: Account, path: str, method: str) -> None:
    answer = await request(method, path)
    assert (answer.status, answer.json["error"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", [STREAM, STREAM + "/"])
async def test_the_path_is_no_orders(account: Account, path: str) -> None:
    async with streaming(path=path) as source:
        assert source.status == 200


@override_settings(ALLOWED_HOSTS=["orders.example.com"])
async def test_a_strange_host_is_not_served(account: Account) -> None:
    async with streaming() as source:
        assert (source.status, (await source.problem())["error"]) == (400, "bad_request")


@override_settings(SECURE_SSL_REDIRECT=True)
@pytest.mark.parametrize("path", [STREAM, "/api/events"])
async def test_clear_text_is_sent_to_https_and_a_key_in_it_refused(path: str) -> None:
    answer = await request("GET", path, authorization="Bearer oee_x")
    assert (answer.status, answer.json["error"]) == (403, "https_required")
    asked: list[str] = []

    async def stock(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])

    entry = EventsDoor(stock, ([path], event_stream.answer_by_stream))
    await entry(scope_of(f"{path}?ticket=x", "GET", {}), None, None)  # type: ignore[arg-type]
    assert asked == [path], "Django's redirect"


@override_settings(ALLOWED_ORIGINS=["https://desk.example"])
async def test_pages_of_allowed_origins_may_read_it(account: Account) -> None:
    async with following(origin="https://desk.example") as source:
        assert source.headers["access-control-allow-origin"] == "https://desk.example"
        assert "access-control-allow-credentials" not in source.headers
    async with streaming("?order=1", origin="https://desk.example") as source:
        assert source.headers["access-control-allow-origin"] == "https://desk.example"


async def test_no_event_of_another_account_comes_by_whatever_cursor(account: Account) -> None:
    other = make_account()
    start, theirs = await cursor_of_now(), await submit()
    async with following() as source:
        mine = await submit()
        await events(source, 1)
        cursor = await checkpoint(source)
    for one in (start, cursor, f"{start.split('.')[0]}.1"):
        async with following(f"?cursor={one}", **other.headers) as source:
            own = (await post("/api/orders/execute", WANTED, **other.headers)).json["orderId"]
            found: list[tuple[str, int]] = []
            while not found or found[-1][0] != own:
                found += await events(source, 1)
            assert {order_id for order_id, _ in found}.isdisjoint({theirs, mine})


async def test_a_stream_says_something_while_the_database_is_away(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_reader, "HEARTBEAT_SECONDS", 0)
    async with streaming() as source:

        async def away(*_: Any, **__: Any) -> Any:
            raise psycopg.OperationalError("away")

        with monkeypatch.context() as patched:
            patched.setattr(account_log.AccountLog, "page", away)
            while (await source.message())["type"] != "ping":
                pass
        order_id = await submit()
        while (frame := await source.message())["type"] != "status_update":
            pass
        assert frame["orderId"] == order_id


async def test_without_a_database_no_stream_begins(account: Account) -> None:
    await account_log.account_log_of_this_loop().close()
    with database_away():
        async with streaming() as source:
            found = await source.problem()
    assert (source.status, found["error"]) == (503, "database_unavailable")
    assert source.headers["retry-after"] == "1"


async def test_a_log_that_came_from_a_dump_ends_the_stream(account: Account) -> None:
    async with following() as source:
        rewrite(conninfo(), "UPDATE transaction_numbering SET cluster = 'another'")
        *_, last = await source.rest()
        assert (last["type"], last["error"], last["httpStatus"]) == ("error", "log_not_ready", 503)
    async with streaming() as source:
        assert (source.status, (await source.problem())["error"]) == (503, "log_not_ready")
    rewrite(conninfo(), RENUMBER)
    async with following():
        pass


async def test_a_reader_of_more_than_is_kept_for_it_reads_the_log(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MOST_KEPT", 1)
    monkeypatch.setattr(account_reader, "PAGE", 2)
    async with following() as source:
        orders = [await submit() for _ in range(7)]
        found: set[tuple[str, int]] = set()
        while len(found) < len(orders):
            found.update(await events(source, 1))
        assert found == {(order_id, 1) for order_id in orders}


class Cuttable(asyncio.Transport):
    def __init__(self, was_cut: asyncio.Event) -> None:
        super().__init__()
        self._was_cut = was_cut

    def abort(self) -> None:
        self._was_cut.set()


async def test_a_client_that_takes_nothing_is_cut(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_SECONDS", 0.01)
    was_cut = asyncio.Event()

    async def deaf(message: dict[str, Any]) -> None:
        if message.get("more_body"):
            await asyncio.Event().wait()

    async def gone() -> dict[str, Any]:
        await was_cut.wait()
        return {"type": "http.disconnect"}

    scope = scope_of(STREAM, "GET", {}) | {"extensions": {LINE: Line(Cuttable(was_cut))}}
    async with asyncio.timeout(10):
        await application(scope, gone, deaf)
    assert was_cut.is_set()
    assert len(door.sockets) == 0


async def test_a_stream_and_a_wait_have_a_silent_line_noticed(account: Account) -> None:
    for target in (STREAM, f"/api/events?cursor={await cursor_of_now()}"):
        with socket.socket() as connected:
            line = Line(Networked(connected))
            async with streaming(path=target, line=line) as source:
                assert source.status == 200
                assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


class Networked(asyncio.Transport):
    def __init__(self, connected: socket.socket) -> None:
        super().__init__({"socket": connected})


async def test_no_more_is_kept_for_a_slow_client_than_a_bound(account: Account) -> None:
    now = await account_log.account_log_of_this_loop().now()
    stream = event_stream.EventStream(never, account.id, account_log.EVERYTHING, now)
    told = Told(Event("1", 1, Status.PENDING, 0, "", datetime(2026, 1, 2, tzinfo=UTC), {}))
    kept = [stream._tell(told) for _ in range(event_stream.MOST_KEPT + 2)]
    assert kept == [True] * event_stream.MOST_KEPT + [False] * 2


async def never(message: Any) -> None:
    await asyncio.Event().wait()


def test_the_ends_of_lines_in_a_message_are_no_end_of_its_line() -> None:
    assert written("{\n}", "ping") == b"event: ping\ndata: {\ndata: }\n\n"
    assert written("\r1\r\n2", "ping") == b"event: ping\ndata: \ndata: 1\ndata: 2\n\n"
    assert written('"\u2028"', "ping", "c.1") == 'event: ping\nid: c.1\ndata: "\u2028"\n\n'.encode()
