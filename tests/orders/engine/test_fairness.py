"""Senders take turns: nobody's orders wait for the many of another."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connections
from django.test import override_settings

from config.runtime.rate import Rate
from orders.access.accounts import Principal
from orders.access.admission import sender_of
from orders.engine.journal import Journal
from orders.engine.moves import NewOrder
from orders.engine.submission import cancel_order
from orders.lifecycle import Status
from tests.support.accounts import make_account
from tests.support.client import SELL_SOL, connected, count_stored, post
from tests.support.database import Database, MakeJournal
from tests.support.samples import new_order

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

UNSUBMITTED = (Status.PENDING, Status.ROUTING, Status.BUILDING)
OF_SENDER = "SELECT sender, id::text FROM orders WHERE id = ANY(%s::uuid[])"
EMPTY_LINE = "UPDATE orders SET started_at = created_at WHERE started_at IS NULL"
ADDRESSES = ("192.0.2.1", "198.51.100.77", "2001:db8::1", "/run/socket")


async def send(journal: Journal, sender: int, count: int = 1) -> list[str]:
    """Have a stranger send so many orders at once; return their ids, the oldest first."""
    return await send_all(journal, [new_order(stranger=sender) for _ in range(count)])


async def send_all(journal: Journal, orders: Sequence[NewOrder]) -> list[str]:
    await asyncio.gather(*(journal.accept(order) for order in orders))
    return [order.id for order in orders]


async def start(journal: Journal, count: int) -> list[str]:
    return [order.id for order in await journal.claim(count, UNSUBMITTED)]


def cancel_all(ids: Iterable[str]) -> None:
    for order_id in ids:
        cancel_order(UUID(order_id))
    connections.close_all()


async def senders_of(database: Database, ids: Iterable[str]) -> Counter[int]:
    return Counter(row[0] for row in await database.rows(OF_SENDER, list(ids)))


def jain(shares: Iterable[int]) -> float:
    """Return Jain's index: 1 if all shares are equal, 1/n if one has all."""
    found = list(shares)
    return sum(found) ** 2 / (len(found) * sum(share * share for share in found))


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> Rate:
    """A limit of which five starts are kept."""
    rate = Rate(100, 60)
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", rate)
    return rate


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", None)


@pytest.mark.parametrize("kind", ["stranger", "account", "account with a key"])
async def test_an_order_of_a_newcomer_is_next_however_many_of_another_wait(
    kind: str, journal: Journal
) -> None:
    await send(journal, -1, 60)
    await start(journal, 20)
    owner = None if kind == "stranger" else make_account().id
    name = "mine" if kind == "account with a key" else None
    (own,) = await send_all(
        journal, [new_order(owner=owner, stranger=-2 if owner is None else 0, client_order_id=name)]
    )

    assert own in await start(journal, 2)


async def test_fifty_senders_with_different_backlogs_get_equal_shares(
    journal: Journal, database: Database
) -> None:
    chance = random.Random(7)
    waiting = [-1 - place for place in range(50) for _ in range(chance.randint(10, 60))]
    chance.shuffle(waiting)
    await send_all(journal, [new_order(stranger=sender) for sender in waiting])
    started: list[str] = []
    while len(started) < 500:
        started += await start(journal, 10)
        await send(journal, chance.choice(waiting), 3)  # those who have many send more
    shares = await senders_of(database, started)

    assert len(shares) == 50
    assert jain(shares.values()) >= 0.98


async def test_a_sender_who_comes_late_shares_equally_from_then_on(
    journal: Journal, database: Database
) -> None:
    await send(journal, -1, 100)
    await start(journal, 40)
    await send(journal, -2, 30)
    await start(journal, 10)
    await send(journal, -3, 30)
    started = [one for _ in range(6) for one in await start(journal, 10)]
    shares = await senders_of(database, started)

    assert max(shares.values()) - min(shares.values()) <= 2


async def test_the_orders_of_one_sender_start_in_the_order_of_their_arrival(
    journal: Journal, database: Database
) -> None:
    own: list[str] = []
    for _ in range(5):
        own += await send(journal, -1, 3)
        await send(journal, -2, 4)
    started: list[str] = []
    while found := await start(journal, 3):
        started += sorted((one for one in found if one in own), key=own.index)

    assert started == own


async def test_one_statement_gives_the_orders_of_each_sender_their_turns(
    journal: Journal, database: Database
) -> None:
    await send(journal, -3)  # the connection is open
    orders = [new_order(stranger=-1 - place % 3) for place in range(30)]
    await send_all(journal, orders)
    query = "SELECT turn FROM orders WHERE id = ANY(%s::uuid[]) ORDER BY turn"
    for sender, first in ((-1, 0), (-2, 0), (-3, 1)):
        own = [order.id for order in orders if order.sender == sender]
        turns = [row[0] for row in await database.rows(query, own)]
        assert turns == list(range(first, first + 10))


async def test_what_two_web_processes_take_at_once_is_no_more_than_two_in_a_turn(
    make_journal: MakeJournal, database: Database
) -> None:
    journals = [make_journal(), make_journal()]
    for _ in range(10):
        await asyncio.gather(*(send(journal, -1, 3) for journal in journals))
    await send(journals[0], -2, 5)
    most = await database.rows(
        "SELECT max(n) FROM (SELECT count(*) AS n FROM orders GROUP BY turn) t"
    )

    assert most[0][0] <= 3
    started = await start(journals[0], 12)
    assert (await senders_of(database, started))[-2] >= 4


async def test_a_line_that_was_worked_off_begins_anew(journal: Journal, database: Database) -> None:
    await send(journal, -1, 30)
    await database.rows(EMPTY_LINE)
    await send(journal, -1, 2)
    await send(journal, -2, 2)

    assert await database.rows("SELECT DISTINCT turn FROM orders WHERE started_at IS NULL") == [
        (0,),
        (1,),
    ]


async def test_who_cancels_stands_in_line_as_if_nothing_had_been_sent(
    journal: Journal, database: Database
) -> None:
    await send(journal, -2, 20)
    sent = await send(journal, -1, 10)
    await asyncio.to_thread(cancel_all, sent)
    (own,) = await send(journal, -1)
    assert own in await start(journal, 2)


@pytest.mark.parametrize("by", ["- interval '1 day'", "+ interval '1 day'"])
async def test_a_clock_that_is_set_changes_no_turn(
    by: str, journal: Journal, database: Database
) -> None:
    await send(journal, -1, 20)
    await database.rows(
        f"UPDATE orders SET next_check = next_check {by}, created_at = created_at {by}"
    )
    await send(journal, -2, 20)
    started = await start(journal, 10)

    assert await senders_of(database, started) == {-1: 5, -2: 5}


# The twentieth that is kept


async def test_a_twentieth_of_the_starts_is_kept_for_those_who_had_none(
    journal: Journal, minute: Rate
) -> None:
    await send(journal, -1, 600)
    started = [one for _ in range(12) for one in await start(journal, 10)]

    assert len(started) == 95
    for sender in (-2, -3, -4, -5, -6):
        first, _ = await send(journal, sender, 2)
        assert await start(journal, 10) == [first]
    await send(journal, -7)
    assert await start(journal, 10) == []


async def test_of_many_who_had_none_those_in_front_get_what_is_kept(
    journal: Journal, minute: Rate
) -> None:
    await send(journal, -1, 200)
    assert len(await start(journal, 200)) == 95
    first = [(await send(journal, sender, 3))[0] for sender in range(-2, -22, -1)]
    assert sorted(await start(journal, 3)) == sorted(first[:3])
    assert sorted(await start(journal, 3)) == sorted(first[3:5])


async def test_what_is_kept_comes_back_with_the_window(
    journal: Journal, database: Database, minute: Rate
) -> None:
    await send(journal, -1, 300)

    assert len(await start(journal, 300)) == 95
    await send(journal, -2, 300)
    assert len(await start(journal, 300)) == 1
    await database.rows("UPDATE order_starts SET at = at - interval '61 seconds'")
    assert len(await start(journal, 300)) == 95
    await send(journal, -3)
    assert len(await start(journal, 300)) == 1


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (19, 0), (20, 1), (59, 2)])
async def test_of_few_starts_few_or_none_are_kept(
    count: int, kept: int, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_RATE_LIMIT", Rate(count, 60))
    await send(journal, -1, 70)

    assert len(await start(journal, 70)) == count - kept
    for sender in (-2, -3, -4):
        await send(journal, sender)
    assert len(await start(journal, 70)) == kept


async def test_starts_that_an_older_version_counted_name_no_sender(
    journal: Journal, database: Database, minute: Rate
) -> None:
    await database.rows("INSERT INTO order_starts (at, orders) VALUES (now(), 97)")
    await send(journal, -1, 5)
    await send(journal, -2, 5)
    assert len(await start(journal, 10)) == 2
    assert len(await start(journal, 10)) == 0


# The share of what may wait


@override_settings(MAX_BACKLOG=40, SENDER_BACKLOG_SHARE=0.25)
async def test_a_sender_fills_its_share_of_what_may_wait_and_others_theirs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner, other = make_account(), make_account()
    headers = owner.headers
    answers = [await post("/execute", SELL_SOL, **headers) for _ in range(12)]
    taken = [answer.status for answer in answers].count(201)

    assert 5 <= taken <= 10  # one that was counted and stored just now counts twice
    refused = answers[-1]
    assert (refused.status, refused.json["error"]) == (429, "too_many_waiting")
    assert refused.headers["retry-after"] == "5"
    line = next(one for one in caplog.records if one.getMessage() == "limit_hit")
    assert (line.__dict__["limit"], line.__dict__["account"]) == ("waiting", owner.id)
    stored = count_stored()
    async with connected("/execute", **headers) as stream:
        await stream.send(SELL_SOL)
        assert (await stream.message())["error"] == "too_many_waiting"
    assert count_stored() == stored
    assert (await post("/execute", SELL_SOL, **other.headers)).status == 201
    assert (await post("/execute", SELL_SOL)).status == 201


@override_settings(MAX_BACKLOG=8, SENDER_BACKLOG_SHARE=0.25)
async def test_nobody_has_the_share_of_one_address() -> None:
    answers = [await post("/execute", SELL_SOL) for _ in range(4)]
    assert {answer.status for answer in answers} == {201, 429}
    assert (await post("/execute", SELL_SOL, **make_account().headers)).status == 201


@override_settings(ACCOUNT_RATE_LIMIT=None)
async def test_three_hundred_orders_at_once_from_one_client_are_all_taken() -> None:
    headers = make_account().headers
    answers = await asyncio.gather(*(post("/execute", SELL_SOL, **headers) for _ in range(300)))
    assert Counter(answer.status for answer in answers) == {201: 300}


# Strangers


def test_strangers_have_numbers_that_are_no_accounts_and_tell_no_address() -> None:
    numbers = {sender_of(Principal(), address) for address in ADDRESSES}

    assert len(numbers) == len(ADDRESSES)
    assert all(-(2**48) <= number < 0 for number in numbers)
    assert sender_of(Principal(7), ADDRESSES[0]) == 7
    assert sender_of(Principal(), "2001:db8::ffff:9") in numbers  # the same network
    assert sender_of(Principal(), "2001:db8:0:1::1") not in numbers
