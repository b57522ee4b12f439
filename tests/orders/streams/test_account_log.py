"""Pages of an account's log: what they hold, where they end, what they cost."""

import json
from typing import Any

import psycopg
import pytest

from config.database.conninfo import conninfo
from orders.streams.account_log import READ, AccountLog, account_log_of_this_loop
from orders.streams.cursor import Position
from tests.support.accounts import Account, make_account
from tests.support.database import Database

pytestmark = pytest.mark.usefixtures("engine_loop")

WRITE = """
INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
SELECT %(order)s, %(owner)s, seq, 'routing', 1, '', '{}', clock_timestamp()
FROM unnest(%(seqs)s::int[]) AS seq
"""
ONE, TWO, THREE = (f"01a22883-38ee-7dd3-b3c5-80d1820daa4{letter}" for letter in "cde")


async def write(owner: int, order: str, *seqs: int) -> None:
    """Write events in one transaction."""
    async with await psycopg.AsyncConnection.connect(conninfo()) as connection:
        await connection.execute(WRITE, {"order": order, "owner": owner, "seqs": list(seqs)})


async def read(log: AccountLog, owner: int, since: Position, most: int) -> list[list[Any]]:
    """Return the pages from a position to the end, each as orders' last letters and seqs."""
    pages = []
    while True:
        page = await log.page((owner,), since, most)
        pages.append([(row.event.order_id[-1], row.event.seq) for row in page.events])
        since = page.position
        if page.is_whole:
            return pages


@pytest.fixture
def account() -> Account:
    return make_account()


async def test_pages_follow_each_other_without_a_gap(account: Account) -> None:
    log = account_log_of_this_loop()
    start = await log.now()
    for seq in range(1, 8):
        await write(account.id, ONE, seq)
        await write(account.id + 1, TWO, seq)
    assert await read(log, account.id, start, 3) == [
        [("c", 1), ("c", 2), ("c", 3)],
        [("c", 4), ("c", 5), ("c", 6)],
        [("c", 7)],
    ]


async def test_what_one_transaction_wrote_is_not_divided(account: Account) -> None:
    log = account_log_of_this_loop()
    start = await log.now()
    await write(account.id, ONE, 1, 2)
    await write(account.id, ONE, 3, 4, 5, 6, 7)
    await write(account.id, ONE, 8)
    pages = await read(log, account.id, start, 3)
    assert [len(page) for page in pages] == [2, 5, 1]
    assert [seq for page in pages for _, seq in page] == list(range(1, 9))


async def test_a_transaction_that_was_running_comes_first_once_it_is_committed(
    account: Account,
) -> None:
    log = account_log_of_this_loop()
    async with await psycopg.AsyncConnection.connect(conninfo()) as late:
        await late.execute(WRITE, {"order": TWO, "owner": account.id, "seqs": [1]})
        await write(account.id + 1, THREE, 1)
        start = await log.now()
        assert start.running
        await write(account.id, ONE, 1, 2)
        page = await log.page((account.id,), start, 10)
        assert [row.event.seq for row in page.events] == [1, 2]
        await late.commit()
    assert await read(log, account.id, page.position, 10) == [[("d", 1)]]
    assert await read(log, account.id, start, 10) == [[("d", 1), ("c", 1), ("c", 2)]]


async def test_a_page_that_ends_between_two_events_has_both_if_the_later_one_began_first(
    account: Account,
) -> None:
    """Its transaction has the lower id: it had one before it waited for the order's row."""
    log = account_log_of_this_loop()
    start = await log.now()
    async with await psycopg.AsyncConnection.connect(conninfo()) as early:
        await early.execute("SELECT pg_current_xact_id()")
        await write(account.id, ONE, 1)
        await early.execute(WRITE, {"order": ONE, "owner": account.id, "seqs": [2]})
        await early.commit()
    await write(account.id, ONE, 3)
    pages = await read(log, account.id, start, 1)
    assert pages[0] == [("c", 1), ("c", 2)]
    assert [("c", 3)] in pages


@pytest.mark.parametrize("described", [False, True])
async def test_a_page_costs_what_it_has(
    account: Account, database: Database, *, described: bool
) -> None:
    """It reads no events of before, and none of other accounts."""
    other = make_account()
    for owner in (account.id, other.id):
        await database.rows(
            "INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)"
            " SELECT gen_random_uuid(), %s, 1, 'pending', 0, repeat('x', 200), '{}', now()"
            " FROM generate_series(1, 5000)",
            owner,
        )
    start = await account_log_of_this_loop().now()
    await write(other.id, TWO, *range(1, 500))
    await write(account.id, ONE, 1, 2, 3)
    asked = {
        "owners": [account.id],
        "running": [],
        "following": str(start.following),
        "most": 200,
    }
    async with await psycopg.AsyncConnection.connect(conninfo()) as connection:
        cursor = await connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {READ[described]}", asked
        )
        ((plan,),) = await cursor.fetchall()
    touched = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    assert touched < 60, json.dumps(plan)


async def test_a_cursor_ends_with_an_event_and_not_with_what_a_crash_may_undo(
    account: Account,
) -> None:
    """PostgreSQL gives the id of a transaction anew that no commit had written to disk."""
    log = account_log_of_this_loop()
    start = await log.end_of(account.id)
    await write(account.id, ONE, 1)
    async with await psycopg.AsyncConnection.connect(conninfo()) as undone:
        await undone.execute("SELECT pg_current_xact_id()")
        await undone.rollback()
    page = await log.page((account.id,), start, 10)
    assert page.position.following == page.events[-1].transaction + 1
    assert await log.end_of(account.id) == page.position
    assert page.seen is not None
    assert page.seen.following > page.position.following
