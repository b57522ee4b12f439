"""`/ws/orders`: an account's log on one socket, from a cursor on, live and after a break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from config.runtime.counters import counts
from orders.engine.hints import hints_of_this_loop
from orders.events import Event
from orders.lifecycle import Status
from orders.streams import account_log, account_reader, account_tail, followers, open_orders
from orders.streams.renumbering import RENUMBER
from tests.support.accounts import Account, make_account
from tests.support.client import PATIENCE, SELL_SOL, Socket, connected, post, submit
from tests.support.database import GRANTS, Database, rewrite
from tests.support.walker import Walker

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

ALL = "/ws/orders"
EVENT = """
INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
VALUES (%s, %s, %s, 'routing', 1, 'by hand', '{}', clock_timestamp())
"""

# As `pg_restore --clean` does to each table.
RESTORED = f"""
ALTER TABLE transaction_numbering RENAME TO old;
CREATE TABLE transaction_numbering (LIKE old INCLUDING ALL);
INSERT INTO transaction_numbering SELECT * FROM old;
DROP TABLE old;
{GRANTS};
"""


async def frames(socket: Socket, count: int) -> list[dict[str, Any]]:
    """Return the next events of a stream; checkpoints are passed over."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = await socket.message()
        assert frame["type"] in ("status_update", "checkpoint"), frame
        if frame["type"] == "status_update":
            found.append(frame)
    return found


async def events(socket: Socket, count: int) -> list[tuple[str, int]]:
    return [(frame["orderId"], frame["seq"]) for frame in await frames(socket, count)]


async def checkpoint(socket: Socket) -> str:
    """Return the cursor of the next checkpoint."""
    while (frame := await socket.message())["type"] != "checkpoint":
        pass
    return str(frame["cursor"])


@asynccontextmanager
async def following(query: str = "", **headers: str) -> AsyncIterator[Socket]:
    """Open the stream and read its greeting."""
    async with connected(ALL + query, **headers) as socket:
        frame = await socket.message()
        assert frame["type"] == "hello", frame
        yield socket


async def cursor_of_now() -> str:
    return (await account_log.account_log_of_this_loop().now()).as_cursor()


async def test_every_event_of_every_order_of_the_account_comes(account: Account) -> None:
    async with connected(ALL) as socket:
        hello = await socket.message()
        assert (hello["type"], hello["heartbeatSeconds"]) == ("hello", 5)
        one, two = await submit(), await submit()
        assert sorted(await events(socket, 2)) == sorted([(one, 1), (two, 1)])
        await Walker(one).walk(Status.ROUTING, Status.FAILED)
        assert await events(socket, 2) == [(one, 2), (one, 3)]


async def test_a_reader_that_comes_back_with_a_cursor_misses_nothing(account: Account) -> None:
    order_id = await submit()
    async with following() as socket:
        walker = Walker(order_id)
        await walker.walk(Status.ROUTING)
        assert await events(socket, 1) == [(order_id, 2)]
        cursor = await checkpoint(socket)
    await walker.walk(Status.FAILED)
    another = await submit()
    async with following(f"?cursor={cursor}") as socket:
        assert await events(socket, 2) == [(order_id, 3), (another, 1)]


async def test_an_event_is_the_message_of_its_orders_own_stream(account: Account) -> None:
    async with following() as socket:
        order_id = await submit()
        (told,) = await frames(socket, 1)
    async with connected(f"/ws/orders/{order_id}") as socket:
        assert await socket.message() == told


async def test_events_come_without_hints_a_second_later(account: Account) -> None:
    order_id = await submit()
    async with following() as socket:
        await checkpoint(socket)
        walker = Walker(order_id, in_silence=True)
        await walker.walk(Status.ROUTING, Status.FAILED)
        await walker.close()
        assert await events(socket, 2) == [(order_id, 2), (order_id, 3)]


async def test_a_transaction_that_is_open_for_long_is_not_jumped_over(account: Account) -> None:
    slow, cursor = await submit(), await cursor_of_now()
    async with (
        following(f"?cursor={cursor}") as socket,
        await psycopg.AsyncConnection.connect(conninfo()) as late,
    ):
        await late.execute(EVENT, (slow, account.id, 2))
        quick = [await submit() for _ in range(3)]
        assert sorted(await events(socket, 3)) == sorted((one, 1) for one in quick)
        cursor = await checkpoint(socket)
        await late.commit()
        assert await events(socket, 1) == [(slow, 2)]
    async with following(f"?cursor={cursor}") as socket:
        assert await events(socket, 1) == [(slow, 2)], "nothing twice: the others were told"
        another = await submit()
        assert await events(socket, 1) == [(another, 1)]


async def test_no_event_of_another_account_comes_by_whatever_cursor(account: Account) -> None:
    other = make_account()
    start, theirs = await cursor_of_now(), await submit()
    async with following(**other.headers) as socket:
        await checkpoint_after_one(other, socket)
        cursor = await checkpoint(socket)
    mine = await submit()
    for query in (f"?cursor={start}", f"?cursor={cursor}", f"?cursor={start.split('.')[0]}.1"):
        async with following(query, **other.headers) as socket:
            own = await submit_as(other)
            found = await frames(socket, 2) if "." in query else []
            while found[-1]["orderId"] != own:
                found += await frames(socket, 1)
            assert {frame["orderId"] for frame in found}.isdisjoint({theirs, mine})


async def submit_as(account: Account) -> str:
    answer = await post("/api/orders/execute", SELL_SOL, **account.headers)
    return str(answer.json["orderId"])


async def checkpoint_after_one(account: Account, socket: Socket) -> None:
    order_id = await submit_as(account)
    assert await events(socket, 1) == [(order_id, 1)]


@pytest.mark.parametrize(
    "cursor",
    ["x", "00000000.1", "{database}.99999999999", "{database}.5.6", "{database}.5.1-", "."],
)
async def test_a_cursor_of_no_state_of_this_database_is_refused(
    account: Account, cursor: str
) -> None:
    database = (await cursor_of_now()).split(".")[0]
    async with connected(f"{ALL}?cursor={cursor.format(database=database)}") as socket:
        said, code = await socket.rest()
    assert ([frame["error"] for frame in said], code) == (["cursor_unknown"], 4400)


async def test_without_an_account_there_is_no_stream() -> None:
    async with connected(ALL) as socket:
        said, code = await socket.rest()
    assert ([frame["error"] for frame in said], code) == (["not_authenticated"], 4401)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?snapshot=all", "snapshot"),
        ("?market=SOL/NONE", "market"),
        ("?type=none", "type"),
        ("?tag.a%20b=1", "tag.a b"),
        ("?order=1", "order"),
    ],
)
async def test_what_cannot_be_read_is_refused_by_its_name(
    account: Account, query: str, field: str
) -> None:
    async with connected(ALL + query) as socket:
        said, code = await socket.rest()
    assert ([error["field"] for error in said[0]["errors"]], code) == ([field], 4400)


async def test_filters_choose_orders_live_and_in_the_log(account: Account) -> None:
    start = await cursor_of_now()
    wanted = {"tokenIn": "JUP", "tokenOut": "USDC", "amountIn": "5", "tags": {"bot": "a"}}
    query = "?market=JUP/USDC&type=market&tag.bot=a"
    async with following(query) as socket:
        other = await submit()
        found = await submit(wanted)
        await Walker(other).walk(Status.ROUTING)
        await Walker(found).walk(Status.ROUTING)
        assert await events(socket, 2) == [(found, 1), (found, 2)]
    async with following(f"{query}&cursor={start}") as socket:
        assert await events(socket, 2) == [(found, 1), (found, 2)]


async def test_a_snapshot_has_the_open_orders_in_pages(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_orders, "PAGE", 2)
    limit = {"type": "limit", "side": "sell", "amountIn": "1", "limitPrice": "900"}
    begun = await submit()
    await Walker(begun).walk(Status.ROUTING)
    ended = await submit()
    await Walker(ended).walk(Status.ROUTING, Status.FAILED)
    waiting = [begun, await submit(), await submit(limit)]
    async with following("?snapshot=open") as socket:
        pages = [await socket.message() for _ in range(2)]
        assert [page["more"] for page in pages] == [True, False]
        shown = [order["orderId"] for page in pages for order in page["orders"]]
        assert shown == sorted(waiting, reverse=True)
        another = await submit()
        assert await events(socket, 1) == [(another, 1)]


async def test_a_snapshot_of_nothing_is_one_page(account: Account) -> None:
    async with following("?snapshot=open") as socket:
        assert await socket.message() == {"type": "snapshot", "orders": [], "more": False}


async def test_a_reader_of_more_than_is_kept_for_it_reads_the_log(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.sockets.account.MOST_KEPT", 1)
    monkeypatch.setattr(account_reader, "PAGE", 2)
    async with following() as socket:
        orders = [await submit() for _ in range(7)]
        found: set[tuple[str, int]] = set()
        while len(found) < len(orders):
            found.update(await events(socket, 1))
        assert found == {(order_id, 1) for order_id in orders}


async def test_more_events_than_one_query_tells_are_read_from_the_log(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_tail, "MOST_EVENTS", 1)
    order_id = await submit()
    async with following() as socket:
        await checkpoint(socket)
        walker = Walker(order_id, in_silence=True)
        await walker.walk(Status.ROUTING, Status.BUILDING, Status.FAILED)
        await walker.close()
        assert await events(socket, 3) == [(order_id, 2), (order_id, 3), (order_id, 4)]


async def test_an_event_without_its_account_is_told_with_the_next_one(
    account: Account, database: Database
) -> None:
    order_id = await submit()
    async with following() as socket:
        walker = Walker(order_id)
        await walker.walk(Status.ROUTING)
        assert await events(socket, 1) == [(order_id, 2)]
        await checkpoint(socket)
        silent = Walker(order_id, in_silence=True)
        vars(silent).update(_id=walker._id, _token=walker._token, seq=walker.seq)
        silent._status = Status.ROUTING
        await silent.walk(Status.BUILDING)
        rewrite(conninfo(), "UPDATE order_events SET owner_id = NULL WHERE seq = 3")
        await silent.walk(Status.FAILED)
        await silent.close()
        assert await events(socket, 2) == [(order_id, 3), (order_id, 4)]


async def test_a_socket_says_something_while_the_database_is_away(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_reader, "HEARTBEAT_SECONDS", 0)
    async with following() as socket:

        async def away(*_: Any, **__: Any) -> Any:
            raise psycopg.OperationalError("away")

        with monkeypatch.context() as patched:
            patched.setattr(account_log.AccountLog, "page", away)
            while (await socket.message())["type"] != "ping":
                pass
        order_id = await submit()
        while (frame := await socket.message())["type"] != "status_update":
            pass
        assert frame["orderId"] == order_id


async def test_a_database_that_came_from_a_dump_is_told_until_it_is_released(
    account: Account,
) -> None:
    cursor = await cursor_of_now()
    async with following() as socket:
        await checkpoint_or_event(socket)
        rewrite(conninfo(), "UPDATE transaction_numbering SET cluster = 'another'")
        said, code = await socket.rest()
        assert (said[-1]["error"], code) == ("log_not_ready", 1013)
    async with connected(ALL) as socket:
        said, code = await socket.rest()
        assert (said[-1]["error"], code) == ("log_not_ready", 1013)
    rewrite(conninfo(), RENUMBER)
    async with following(f"?cursor={cursor}") as socket:
        order_id = await submit()
        assert await events(socket, 1) == [(order_id, 1)]


async def checkpoint_or_event(socket: Socket) -> None:
    order_id = await submit()
    assert await events(socket, 1) == [(order_id, 1)]


async def test_a_hint_of_what_never_happened_is_kept_no_longer_than_to_the_next_query(
    account: Account,
) -> None:
    order_id = await submit()
    at = datetime(2026, 1, 2, tzinfo=UTC)
    false = Event(order_id, 1, Status.PENDING, 0, "Never", at, {}, None, account.id)._replace(
        order_id="01a1fc02-2219-7ea8-9f11-ba64b00749af"
    )
    async with following() as socket:
        await checkpoint_or_event(socket)
        (kept,) = account_tail.account_tail_of_this_loop()._accounts.values()
        await has_joined(kept)
        hints_of_this_loop()._unfollowed.clear()  # the account was not followed a moment ago
        hints_of_this_loop().publish(false)
        assert await events(socket, 1) == [(false.order_id, 1)]
        while kept.hinted:
            await checkpoint(socket)


async def has_joined(account: account_tail.Account) -> None:
    async with asyncio.timeout(PATIENCE):
        while not account.joined:
            await asyncio.sleep(0.005)


async def test_nothing_is_kept_for_an_account_whose_only_reader_is_behind(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, holes = make_account(), counts["account_stream_holes"]
    async with following() as socket, following(**other.headers) as others:
        await checkpoint_or_event(socket)
        await checkpoint_after_one(other, others)
        tail = account_tail.account_tail_of_this_loop()
        mine = tail._accounts[account.id]
        await has_joined(mine)
        (reader,) = mine.joined
        mine.joined.clear()  # it is told nothing more, as one that takes nothing
        before = dict(mine.hinted)
        orders = [await submit() for _ in range(3)]
        await checkpoint_after_one(other, others)
        await checkpoint(others)
        assert (mine.hinted, mine.is_followed) == (before, False)
        reader.fall_behind()
        orders.append(await submit())
        found: set[tuple[str, int]] = set()
        while not found >= {(one, 1) for one in orders}:
            found.update(await events(socket, 1))
        assert counts["account_stream_holes"] == holes


async def end_of(socket: Socket) -> tuple[list[dict[str, Any]], int]:
    """Return the rest of a stream that ends, although it never falls silent."""
    async with asyncio.timeout(PATIENCE):
        return await socket.rest()


async def test_a_reader_of_a_log_without_end_is_heard_and_its_key_may_end_it(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = account_log.AccountLog.page

    async def page(*args: Any, **options: Any) -> account_log.Page:
        return (await read(*args, **options))._replace(seen=None)

    monkeypatch.setattr(account_log.AccountLog, "page", page)
    async with following() as socket:
        await checkpoint(socket)
        await socket.send({"type": "ping"})
        async with asyncio.timeout(PATIENCE):
            while (await socket.message())["type"] != "pong":
                pass
        account.revoke()
        said, code = await end_of(socket)
        assert (said[-1]["error"], code) == ("not_authenticated", 4401)


async def test_frames_are_answered_while_the_log_cannot_be_read(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(account_reader, "PAUSE", 0.01)
    monkeypatch.setattr(account_log.AccountLog, "page", away)
    async with following() as socket:
        await socket.send({"action": "execute", "requestId": "1", "order": SELL_SOL})
        async with asyncio.timeout(PATIENCE):
            while (frame := await socket.message())["type"] == "ping":
                pass
        assert (frame["type"], frame["requestId"]) == ("ack", "1")


async def test_a_bug_in_the_telling_costs_no_event(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, is_broken = account_log.AccountLog.page, asyncio.Event()

    async def page(*args: Any, **options: Any) -> account_log.Page:
        if not is_broken.is_set():
            is_broken.set()
            raise ValueError("nothing that is expected")
        return await read(*args, **options)

    async with following() as socket:
        before = await submit()
        assert await events(socket, 1) == [(before, 1)]
        (kept,) = account_tail.account_tail_of_this_loop()._accounts.values()
        await has_joined(kept)
        monkeypatch.setattr(account_log.AccountLog, "page", page)
        await is_broken.wait()
        order_id = await submit()
        walker = Walker(order_id, in_silence=True)
        await walker.walk(Status.ROUTING, Status.FAILED)
        await walker.close()
        missed = {(order_id, 1), (order_id, 2), (order_id, 3)}
        while missed:
            (event,) = await events(socket, 1)
            assert event == (before, 1) or event[0] == order_id  # it may be told once more
            missed.discard(event)


async def test_hints_come_although_redis_was_away_when_the_stream_began(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise OSError("away")

    join = followers.Followers.join
    monkeypatch.setattr(followers.Followers, "join", away)
    async with following() as socket:
        await checkpoint_or_event(socket)
        (kept,) = account_tail.account_tail_of_this_loop()._accounts.values()
        assert not kept.is_listened_to
        monkeypatch.setattr(followers.Followers, "join", join)
        async with asyncio.timeout(PATIENCE):
            while not kept.is_listened_to:
                await checkpoint(socket)
        await has_joined(kept)
        heard = counts["hints_received"]
        hints_of_this_loop()._unfollowed.clear()  # the account was not followed a moment ago
        await checkpoint_or_event(socket)
        assert counts["hints_received"] > heard


async def test_a_dump_that_was_restored_in_place_ends_all_cursors(account: Account) -> None:
    cursor = await cursor_of_now()
    async with following() as socket:
        await checkpoint_or_event(socket)
        rewrite(conninfo(), RESTORED)
        said, code = await end_of(socket)
        assert (said[-1]["error"], code) == ("cursor_unknown", 4400)
    async with connected(f"{ALL}?cursor={cursor}") as socket:
        said, code = await end_of(socket)
        assert (said[-1]["error"], code) == ("cursor_unknown", 4400)
