"""`GET /api/events`: an account's log in pages, which may be waited for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import override_settings

from config.asgi import application
from config.database.conninfo import conninfo
from config.http import door
from config.http.line import LINE, Line
from config.runtime.rate import Rate
from orders.access import read_limits
from orders.api.following import feed
from orders.lifecycle import Status
from orders.streams import account_log, account_tail
from orders.streams.renumbering import RENUMBER
from tests.support.accounts import Account, make_account
from tests.support.client import (
    PATIENCE,
    Answer,
    connected,
    database_away,
    get,
    post,
    request,
    submit,
)
from tests.support.database import rewrite
from tests.support.event_stream import scope_of
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

FEED = "/api/events"
WANTED = {"tokenIn": "JUP", "tokenOut": "USDC", "amountIn": "5", "tags": {"bot": "a"}}


async def page(query: str = "", **headers: str) -> Any:
    answer = await get(FEED + query, **headers)
    assert answer.status == 200, answer.text
    return answer.json


def keys(found: Any) -> list[tuple[str, int]]:
    return [(event["orderId"], event["seq"]) for event in found["events"]]


async def cursor_of_now() -> str:
    return str((await page())["cursor"])


async def pages(cursor: str, query: str = "") -> list[list[tuple[str, int]]]:
    """Read to the end of the log."""
    found = []
    while True:
        one = await page(f"?cursor={cursor}{query}")
        found.append(keys(one))
        if not one["more"]:
            return found
        cursor = one["cursor"]


class Waiting:
    """A request that has not been answered yet."""

    def __init__(self, communicator: ApplicationCommunicator, line: Line) -> None:
        self._communicator = communicator
        self.line = line

    async def answer(self) -> Answer:
        start = await self._communicator.receive_output(PATIENCE)
        body = (await self._communicator.receive_output(PATIENCE))["body"]
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, {}, body)

    async def hang_up(self) -> None:
        await self._communicator.send_input({"type": "http.disconnect"})
        await self._communicator.wait(PATIENCE)


FOR_EVER = 3_600
"""Seconds that no test waits: only the thing ends such a wait."""


@asynccontextmanager
async def waiting(query: str, seconds: int = FOR_EVER, **headers: str) -> AsyncIterator[Waiting]:
    """Ask for a page, and yield once the request waits at the end of the log."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feed, "MAX_WAIT", FOR_EVER)
        async with asked_to_wait(query, seconds, **headers) as asked:
            yield asked


@asynccontextmanager
async def asked_to_wait(query: str, seconds: int, **headers: str) -> AsyncIterator[Waiting]:
    line = Line()
    scope = scope_of(f"{FEED}{query}&wait={seconds}", "GET", headers)
    communicator = ApplicationCommunicator(application, scope | {"extensions": {LINE: line}})
    tail = account_tail.account_tail_of_this_loop()
    before = readers(tail)
    await communicator.send_input({"type": "http.request", "body": b""})
    async with asyncio.timeout(PATIENCE):
        while readers(tail) == before:
            await asyncio.sleep(0.002)
    try:
        yield Waiting(communicator, line)
    finally:
        await communicator.send_input({"type": "http.disconnect"})
        await communicator.wait(PATIENCE)
    assert len(door.sockets) == 0


def readers(tail: account_tail.AccountTail) -> int:
    return sum(len(one.joining | one.joined) for one in tail._accounts.values())


async def test_a_page_has_what_happened_since_a_cursor(account: Account) -> None:
    first = await page()
    assert (first["events"], first["more"]) == ([], False)
    one, two = await submit(), await submit()
    await Walker(one).walk(Status.ROUTING)
    found = await page(f"?cursor={first['cursor']}")
    assert sorted(keys(found)) == sorted([(one, 1), (one, 2), (two, 1)])
    assert found["more"] is False
    after = await page(f"?cursor={found['cursor']}")
    assert after["events"] == []


async def test_an_event_is_the_message_of_its_orders_own_socket(account: Account) -> None:
    cursor = await cursor_of_now()
    order_id = await submit()
    (told,) = (await page(f"?cursor={cursor}"))["events"]
    async with connected(f"/ws/orders/{order_id}") as socket:
        assert await socket.message() == told


async def test_an_answer_is_not_kept_by_caches(account: Account) -> None:
    answer = await get(FEED)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_pages_have_all_once_in_the_order_of_seq(account: Account) -> None:
    cursor = await cursor_of_now()
    orders = [await submit() for _ in range(5)]
    for order_id in orders:
        await Walker(order_id).walk(Status.ROUTING, Status.FAILED)
    found = await pages(cursor, "&limit=2")
    flat = [key for one in found for key in one]
    assert len(found) > 5
    assert sorted(flat) == sorted((one, seq) for one in orders for seq in (1, 2, 3))
    for order_id in orders:
        assert [seq for one, seq in flat if one == order_id] == [1, 2, 3]


async def test_a_page_may_be_empty_and_have_more(account: Account) -> None:
    cursor = await cursor_of_now()
    for _ in range(3):
        await submit()
    wanted = await submit(WANTED)
    query = "&limit=1&market=JUP/USDC&type=market&tag.bot=a"
    found = await pages(cursor, query)
    assert found[0] == []
    assert [key for one in found for key in one] == [(wanted, 1)]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
        ("?wait=26", "wait"),
        ("?wait=-1", "wait"),
        ("?wait=0.5", "wait"),
        ("?snapshot=open", "snapshot"),
        ("?market=SOL/NONE", "market"),
        ("?order=1", "order"),
        ("?api_key=oee_x", "api_key"),
        ("?cursor=", "cursor"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_name(
    account: Account, query: str, field: str
) -> None:
    answer = await get(FEED + query)
    assert answer.status == 400
    assert [error["field"] for error in answer.json["errors"]] == [field]


@pytest.mark.parametrize("cursor", ["x", "00000000.1", "{database}.99999999999", "."])
async def test_a_cursor_of_no_state_of_this_database_is_refused(
    account: Account, cursor: str
) -> None:
    database = (await cursor_of_now()).split(".")[0]
    answer = await get(f"{FEED}?cursor={cursor.format(database=database)}&wait=25")
    assert (answer.status, answer.json["error"]) == (400, "cursor_unknown")


@override_settings(ALLOW_ANONYMOUS_ORDERS=True)
async def test_without_an_account_there_is_no_feed() -> None:
    for headers in ({}, {"authorization": "Bearer oee_x"}):
        answer = await get(FEED, **headers)
        assert (answer.status, answer.json["error"]) == (401, "not_authenticated")


async def test_a_ticket_and_a_session_count_as_well() -> None:
    owner = make_account()
    ticket = (await request("POST", "/api/ws-tickets", **owner.headers)).json["ticket"]
    assert [(await get(f"{FEED}?ticket={ticket}")).status for _ in range(2)] == [200, 401]
    assert (await get(FEED, **await owner.log_in())).status == 200


async def test_no_event_of_another_account_comes_by_whatever_cursor(account: Account) -> None:
    start, other = await cursor_of_now(), make_account()
    await submit()
    own = (await post("/api/orders/execute", WANTED, **other.headers)).json["orderId"]
    for cursor in (start, f"{start.split('.')[0]}.1"):
        assert keys(await page(f"?cursor={cursor}", **other.headers)) == [(own, 1)]


async def test_a_wait_ends_with_the_first_event(account: Account) -> None:
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        order_id = await submit()
        assert keys((await asked.answer()).json) == [(order_id, 1)]


async def test_a_wait_ends_with_an_event_that_no_hint_told_of(account: Account) -> None:
    order_id = await submit()
    walker = Walker(order_id, in_silence=True)
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        await walker.walk(Status.ROUTING)
        assert keys((await asked.answer()).json) == [(order_id, 2)]
    await walker.close()


async def test_a_wait_is_for_an_order_that_was_chosen(account: Account) -> None:
    query = f"?cursor={await cursor_of_now()}&market=JUP/USDC"
    async with waiting(query) as asked:
        await submit()
        wanted = await submit(WANTED)
        assert keys((await asked.answer()).json) == [(wanted, 1)]


async def test_a_wait_is_over_after_its_time(account: Account) -> None:
    cursor = await cursor_of_now()
    async with waiting(f"?cursor={cursor}", 1) as asked:
        found = (await asked.answer()).json
    assert (found["events"], found["more"]) == ([], False)
    order_id = await submit()
    assert keys(await page(f"?cursor={found['cursor']}")) == [(order_id, 1)]


async def test_what_others_did_while_a_request_waited_is_not_read_again(account: Account) -> None:
    other = make_account()
    async with waiting(f"?cursor={await cursor_of_now()}", 3) as asked:
        await post("/api/orders/execute", WANTED, **other.headers)
        after = account_log.Position.of_cursor(await cursor_of_now())
        found = (await asked.answer()).json
    assert account_log.Position.of_cursor(found["cursor"]).covers(after)


async def test_a_wait_without_a_cursor_is_answered_at_once(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_WAIT", FOR_EVER)
    found = await page(f"?wait={FOR_EVER}")
    assert found["events"] == []


async def end_of_input(asked: Waiting) -> None:
    asked.line.end_input()


async def stop(asked: Waiting) -> None:
    asked.line.stop()


@pytest.mark.parametrize("end", [end_of_input, stop])
async def test_a_wait_ends_when_the_server_stops_or_the_client_says_no_more(
    account: Account, end: Callable[[Waiting], Awaitable[None]]
) -> None:
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        await end(asked)
        answer = await asked.answer()
    assert (answer.status, answer.json["events"]) == (200, [])


async def test_a_wait_ends_when_the_client_goes(account: Account) -> None:
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        await asked.hang_up()
        assert len(door.sockets) == 0
        assert account_tail.account_tail_of_this_loop()._accounts == {}


async def test_a_wait_ends_with_its_key(account: Account) -> None:
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        account.revoke()
        answer = await asked.answer()
    assert (answer.status, answer.json["error"]) == (401, "not_authenticated")


async def test_a_wait_has_a_sockets_place(account: Account) -> None:
    cursor = await cursor_of_now()
    with override_settings(MAX_SOCKETS=1):
        async with waiting(f"?cursor={cursor}"):
            answer = await get(FEED)
            assert (answer.status, answer.json["error"]) == (429, "too_many_sockets")
            assert answer.headers["retry-after"] == "5"
        assert (await get(FEED)).status == 200


async def test_a_wait_costs_no_thread_and_few_queries(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    read = account_log.AccountLog.page

    async def counting(self: Any, owners: Any, *args: Any, **options: Any) -> Any:
        asked.append("page")
        return await read(self, owners, *args, **options)

    cursor = await cursor_of_now()
    async with waiting(f"?cursor={cursor}") as one, waiting(f"?cursor={cursor}") as two:
        monkeypatch.setattr(account_log.AccountLog, "page", counting)
        monkeypatch.setattr(feed, "sync_to_async", None)
        order_id = await submit()
        for each in (one, two):
            assert keys((await each.answer()).json) == [(order_id, 1)]
    assert len(asked) < 6


async def test_without_a_database_the_feed_says_so(account: Account) -> None:
    await account_log.account_log_of_this_loop().close()
    with database_away():
        answer = await get(FEED)
    assert (answer.status, answer.json["error"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_wait_outlasts_a_database_that_is_away_for_a_while(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("away")

    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        waited = asyncio.Event()
        with monkeypatch.context() as patched:
            patched.setattr(account_log.AccountLog, "page", away)
            patched.setattr(feed.Waiter, "wait", lambda _: waited.set())
            async with asyncio.timeout(PATIENCE):
                await waited.wait()
        order_id = await submit()
        assert keys((await asked.answer()).json) == [(order_id, 1)]


async def test_a_log_that_came_from_a_dump_is_told(account: Account) -> None:
    async with waiting(f"?cursor={await cursor_of_now()}") as asked:
        rewrite(conninfo(), "UPDATE transaction_numbering SET cluster = 'another'")
        answer = await asked.answer()
        assert (answer.status, answer.json["error"]) == (503, "log_not_ready")
    answer = await get(FEED)
    assert (answer.status, answer.json["error"]) == (503, "log_not_ready")
    assert answer.headers["retry-after"] == "30"
    rewrite(conninfo(), RENUMBER)
    assert (await get(FEED)).status == 200


async def test_pages_are_counted_as_reads(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = read_limits.ReadLimit(settings.REDIS_URL, Rate(30, 60))
    monkeypatch.setattr(read_limits, "limit_of_this_process", lambda: limit)
    first = await get(FEED)
    assert (first.status, first.headers["ratelimit-remaining"]) == (200, "25")
    assert (await get(f"{FEED}?limit=1000")).headers["ratelimit-remaining"] == "4"
    refused = await get(FEED)
    assert (refused.status, refused.json["error"]) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 0


async def test_head_does_not_wait(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_WAIT", FOR_EVER)
    answer = await request("HEAD", f"{FEED}?cursor={await cursor_of_now()}&wait={FOR_EVER}")
    assert answer.status == 200


async def test_a_bug_is_answered_as_one(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "body_of", None)
    answer = await get(FEED)
    assert (answer.status, answer.json["error"]) == (500, "internal_error")
    assert "Traceback" in caplog.text
