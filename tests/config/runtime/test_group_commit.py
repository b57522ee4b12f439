"""Group commit: every caller gets the answer to its own item, whatever happens to the batch."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import psycopg
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors
from structlog.contextvars import bound_contextvars, get_contextvars

from config.runtime import group_commit
from config.runtime.group_commit import Connection, GroupCommit, OutcomeUnknown, PassingRefusal
from config.runtime.postgres import Link, is_connection_lost
from tests.support.database import ENGINE_ROLE, as_owner
from tests.support.proxy import Cut, proxy_of

Hook = Callable[[Connection, Sequence["Item"]], Awaitable[None]]
TABLE = "CREATE TABLE probes (id int PRIMARY KEY, value int NOT NULL CHECK (value >= 0))"
INSERT = """
INSERT INTO probes SELECT * FROM unnest(%s::int[], %s::int[]) RETURNING id, value * 2
"""
WAITS_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
)
EXPECTED_STATEMENTS = 10  # for a crowd of 300: far fewer than one each


class Refused(Exception):
    """An answer that is an exception."""


class Item(NamedTuple):
    id: int
    value: int


async def nothing(connection: Connection, items: Sequence[Item]) -> None:
    return


class Probes:
    """A table to write to, and hooks before and after the statement that writes."""

    def __init__(self, conninfo: str, admin: Connection) -> None:
        self.conninfo = conninfo
        self.admin = admin
        self.before: list[Hook] = []
        self.after: list[Hook] = []
        self.batches: list[list[Item]] = []

    async def run(self, connection: Connection, items: Sequence[Item]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        await (self.before.pop(0) if self.before else nothing)(connection, items)
        values = [item.id for item in items], [item.value for item in items]
        cursor = await connection.execute(INSERT, values)
        doubled = dict(await cursor.fetchall())
        await (self.after.pop(0) if self.after else nothing)(connection, items)
        return [Refused(str(item.id)) if item.value == 13 else doubled[item.id] for item in items]

    async def recover(self, connection: Connection, items: Sequence[Item]) -> Sequence[int | None]:
        cursor = await connection.execute(
            "SELECT id, value * 2 FROM probes WHERE id = ANY(%s)", [[item.id for item in items]]
        )
        doubled = dict(await cursor.fetchall())
        return [doubled.get(item.id) for item in items]

    async def stored(self) -> set[int]:
        cursor = await self.admin.execute("SELECT id FROM probes")
        return {row[0] for row in await cursor.fetchall()}

    async def terminate(self, connection: Connection, items: Sequence[Item]) -> None:
        """End the session of the batch from outside, and come back when the client knows."""
        await self.admin.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        await connection.execute("SELECT 1")


@pytest_asyncio.fixture
async def probes(database_conninfo: str) -> AsyncIterator[Probes]:
    owner = as_owner(database_conninfo)
    async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as admin:
        await admin.execute(f"{TABLE}; GRANT ALL ON probes TO {ENGINE_ROLE}")
        try:
            yield Probes(database_conninfo, admin)
        finally:
            await admin.execute("DROP TABLE probes")


@asynccontextmanager
async def committing(
    probes: Probes, *, patience: float = 10.0, conninfo: str | None = None
) -> AsyncIterator[GroupCommit[Item, int]]:
    link = Link(conninfo or probes.conninfo, "test")
    try:
        yield GroupCommit(link, probes.run, probes.recover, patience=patience)
    finally:
        await link.close()


async def all_answers(commit: GroupCommit[Item, int], items: Sequence[Item]) -> list[Any]:
    async with asyncio.timeout(120):
        return await asyncio.gather(*(commit(item) for item in items), return_exceptions=True)


def good(count: int, first: int = 0) -> list[Item]:
    return [Item(number, number + 100) for number in range(first, first + count)]


def answers(items: Sequence[Item]) -> list[int]:
    return [item.value * 2 for item in items]


async def test_a_crowd_shares_few_statements_and_each_caller_gets_its_own_answer(
    probes: Probes,
) -> None:
    items = good(300)
    async with committing(probes) as commit:
        assert await all_answers(commit, items) == answers(items)
    assert len(probes.batches) <= EXPECTED_STATEMENTS
    assert await probes.stored() == {item.id for item in items}


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_new_reason_to_refuse_does_not_hide_that_an_earlier_send_may_be_committed(
    probes: Probes, is_lost: bool
) -> None:
    class Halted(PassingRefusal):
        pass

    async def refuse(connection: Connection, items: Sequence[Item]) -> Sequence[int | Exception]:
        if is_lost and not probes.batches:
            return await probes.run(connection, items)
        return [Halted()]

    probes.before = [probes.terminate]
    link = Link(probes.conninfo, "test")
    commit = GroupCommit(link, refuse, probes.recover, patience=10.0)
    with pytest.raises(OutcomeUnknown if is_lost else Halted):
        await commit(Item(1, 1))
    await link.close()


async def test_a_batch_runs_in_the_context_of_none_of_its_callers(probes: Probes) -> None:
    seen: list[Any] = []

    async def note(connection: Connection, items: Sequence[Item]) -> None:
        seen.append(get_contextvars())

    probes.before.append(note)
    with bound_contextvars(request_id="mine"):
        async with committing(probes) as commit:
            await commit(Item(1, 4))
    assert seen == [{}]


async def test_a_lone_caller_waits_for_no_other(probes: Probes) -> None:
    async with committing(probes) as commit:
        assert await commit(Item(1, 4)) == 8
        assert await commit(Item(2, 5)) == 10
    assert [len(batch) for batch in probes.batches] == [1, 1]


@pytest.mark.parametrize("culprit", [0, 7, 19])
async def test_a_constraint_error_hits_only_the_item_that_caused_it(
    probes: Probes, culprit: int
) -> None:
    items = good(20)
    items[culprit] = Item(culprit, -1)
    async with committing(probes) as commit:
        found = await all_answers(commit, items)

    assert isinstance(found.pop(culprit), errors.CheckViolation)
    others = [item for item in items if item.id != culprit]
    assert found == answers(others)
    assert await probes.stored() == {item.id for item in others}


async def test_the_second_of_two_items_that_exclude_each_other_gets_the_error(
    probes: Probes,
) -> None:
    async with committing(probes) as commit:
        first, second, other = await all_answers(commit, [Item(1, 4), Item(1, 5), Item(2, 6)])
    assert (first, other) == (8, 12)
    assert isinstance(second, errors.UniqueViolation)


async def test_an_answer_that_is_an_exception_goes_to_its_own_caller(probes: Probes) -> None:
    items = [Item(1, 4), Item(2, 13), Item(3, 5)]
    async with committing(probes) as commit:
        first, second, third = await all_answers(commit, items)

    assert (first, third) == (8, 10)
    assert isinstance(second, Refused)
    assert str(second) == "2"


async def test_a_connection_killed_before_the_commit_loses_nothing(probes: Probes) -> None:
    items = good(20)
    probes.before = [probes.terminate]
    async with committing(probes) as commit:
        assert await all_answers(commit, items) == answers(items)

    assert await probes.stored() == {item.id for item in items}
    assert len(probes.batches) == 2


async def test_a_connection_killed_after_the_commit_doubles_nothing(probes: Probes) -> None:
    items = good(20)
    probes.after = [probes.terminate]
    async with committing(probes) as commit:
        assert await all_answers(commit, items) == answers(items)

    assert await probes.stored() == {item.id for item in items}
    assert len(probes.batches) == 1, "what had been committed was read, not written again"


async def test_a_connection_killed_again_and_again_loses_and_doubles_nothing(
    probes: Probes,
) -> None:
    items = good(20)
    probes.before = [probes.terminate, nothing, probes.terminate]
    probes.after = [probes.terminate]
    async with committing(probes) as commit:
        assert await all_answers(commit, items) == answers(items)

    assert await probes.stored() == {item.id for item in items}


async def test_a_culprit_is_found_after_a_lost_connection(probes: Probes) -> None:
    items = [*good(5), Item(99, -1)]
    probes.before = [probes.terminate]
    async with committing(probes) as commit:
        *found, culprit = await all_answers(commit, items)

    assert found == answers(items[:-1])
    assert isinstance(culprit, errors.CheckViolation)


@pytest.mark.parametrize("cut", Cut)
async def test_an_answer_lost_on_the_wire_loses_and_doubles_nothing(
    probes: Probes, cut: Cut
) -> None:
    items = good(20)
    async with (
        proxy_of(probes.conninfo) as proxy,
        committing(probes, conninfo=proxy.conninfo) as commit,
    ):
        await commit(Item(1000, 1))
        proxy.cut = cut
        assert await all_answers(commit, items) == answers(items)

    assert proxy.cuts == 1
    assert await probes.stored() == {item.id for item in items} | {1000}


async def test_a_transaction_that_the_server_ended_for_its_length_begins_anew(
    probes: Probes,
) -> None:
    async def take_long(connection: Connection, items: Sequence[Item]) -> None:
        if connection.info.server_version < 17_00_00:
            pytest.skip("PostgreSQL limits transactions from 17 on")
        await connection.execute("SELECT set_config('transaction_timeout', '50', false)")
        async with connection.transaction():
            await connection.execute("SELECT pg_sleep(30)")

    probes.before.append(take_long)
    async with committing(probes) as commit:
        assert await commit(Item(1, 4)) == 8
    assert await probes.stored() == {1}


async def test_a_server_that_comes_back_in_time_is_waited_for(probes: Probes) -> None:
    items = good(20)
    async with (
        proxy_of(probes.conninfo) as proxy,
        committing(probes, conninfo=proxy.conninfo) as commit,
    ):
        await commit(Item(1000, 1))
        await proxy.shut()
        waiting = asyncio.create_task(all_answers(commit, items))
        await asyncio.wait([waiting], timeout=0.5)
        assert not waiting.done()
        await proxy.open()
        assert await waiting == answers(items)


async def test_a_server_away_for_longer_than_the_patience_is_an_error_for_all(
    probes: Probes,
) -> None:
    async with committing(probes, patience=0.5, conninfo="host=/nowhere") as commit:
        found = await all_answers(commit, good(20))
    assert all(isinstance(error, psycopg.OperationalError) for error in found)


async def test_a_crowd_waits_for_an_absent_server_no_longer_than_one_caller(
    probes: Probes,
) -> None:
    clock = asyncio.get_running_loop().time
    async with committing(probes, patience=1.0, conninfo="host=/nowhere") as commit:
        start = clock()
        found = await all_answers(commit, good(300))

    assert all(isinstance(error, psycopg.OperationalError) for error in found)
    assert clock() - start < 30.0, "one after the other they would wait 300 s"


async def test_a_deadlock_is_tried_again(probes: Probes) -> None:
    await probes.admin.execute("INSERT INTO probes VALUES (1, 0), (2, 0)")
    async with await psycopg.AsyncConnection.connect(probes.conninfo, autocommit=True) as rival:
        touched = "UPDATE probes SET value = value + 1 WHERE id = %s"
        rival_is_done: list[asyncio.Task[Any]] = []

        async def lock_crosswise(connection: Connection, items: Sequence[Item]) -> None:
            """Hold row 1 and want row 2, while the rival holds row 2 and wants row 1."""
            await connection.execute("SET deadlock_timeout = '50ms'")
            async with connection.transaction():
                await connection.execute(touched, [1])
                await rival.execute("BEGIN")
                await rival.execute(touched, [2])
                rival_is_done.append(asyncio.create_task(rival.execute(touched, [1])))
                while not await is_waiting(probes.admin, rival):
                    await asyncio.sleep(0.01)
                await connection.execute(touched, [2])

        probes.before = [lock_crosswise]
        owner = as_owner(probes.conninfo)  # who alone may set deadlock_timeout
        async with committing(probes, conninfo=owner) as commit:
            answered = asyncio.create_task(all_answers(commit, [Item(3, 1), Item(4, 2)]))
            while not rival_is_done and not answered.done():
                await asyncio.sleep(0.01)
            await rival_is_done[0]
            await rival.execute("COMMIT")
            assert await answered == [2, 4]
        assert len(probes.batches) == 2


async def test_a_locked_row_holds_up_only_the_item_that_wants_it(probes: Probes) -> None:
    async with await psycopg.AsyncConnection.connect(probes.conninfo) as holder:
        await holder.execute("INSERT INTO probes VALUES (7, 1)")  # not committed
        async with committing(probes) as commit:
            found = await all_answers(commit, good(10))
        await holder.rollback()

    assert isinstance(found.pop(7), errors.LockNotAvailable)
    assert found == answers([item for item in good(10) if item.id != 7])


async def test_what_was_said_not_to_be_written_is_not_written_later(probes: Probes) -> None:
    """The patience of a caller may end while its batch waits for a connection."""
    link = Link(probes.conninfo, "test")
    impatient = GroupCommit(link, probes.run, probes.recover, patience=0.01)
    patient = GroupCommit(link, probes.run, probes.recover, patience=10.0)
    async with link.connection():
        with pytest.raises(psycopg.OperationalError) as refused:
            await impatient(Item(1, 1))
        assert not isinstance(refused.value, OutcomeUnknown)
    assert await patient(Item(2, 2)) == 4  # which waits for its turn behind the other
    await link.close()
    assert await probes.stored() == {2}


async def test_a_waiter_that_gives_up_disturbs_no_other(probes: Probes) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def hold(connection: Connection, items: Sequence[Item]) -> None:
        entered.set()
        await go_on.wait()

    probes.before = [hold]
    async with committing(probes) as commit:
        first = [asyncio.create_task(commit(item)) for item in good(3)]
        await entered.wait()
        later = [asyncio.create_task(commit(item)) for item in good(3, first=10)]
        await asyncio.sleep(0)
        first[1].cancel()
        later[1].cancel()
        go_on.set()
        found = await asyncio.gather(*first, *later, return_exceptions=True)

    assert [found[0], found[2], found[3], found[5]] == answers(
        [Item(0, 100), Item(2, 102), Item(10, 110), Item(12, 112)]
    )
    assert isinstance(found[1], asyncio.CancelledError)
    assert isinstance(found[4], asyncio.CancelledError)


async def is_waiting(admin: Connection, rival: Connection) -> bool:
    cursor = await admin.execute(WAITS_FOR_A_LOCK, [rival.info.backend_pid])
    row = await cursor.fetchone()
    return row is not None and row[0] == 1


class Trouble(NamedTuple):
    """What happens to one run of a batch."""

    error: Exception | None
    is_committed: bool


TROUBLES = [
    Trouble(None, True),
    Trouble(psycopg.OperationalError("the connection was lost"), False),
    Trouble(psycopg.OperationalError("the connection was lost"), True),
    Trouble(errors.DeadlockDetected(), False),
    Trouble(errors.LockNotAvailable(), False),
    Trouble(errors.QueryCanceled(), False),
]


class FakeServer:
    """Stands for the link and the server: applies batches whole or not at all, and counts."""

    def __init__(self, troubles: list[Trouble]) -> None:
        self._troubles = troubles
        self.applied: Counter[int] = Counter()

    @asynccontextmanager
    async def connection(self, seconds: float) -> AsyncIterator["FakeServer"]:
        await asyncio.sleep(0)
        yield self

    async def execute(self, statement: str) -> None:
        """Take a change of the session."""

    async def run(self, connection: Any, items: Sequence[Item]) -> Sequence[int | Exception]:
        await asyncio.sleep(0)
        if any(item.value < 0 for item in items):
            raise errors.CheckViolation
        trouble = self._troubles.pop() if self._troubles else TROUBLES[0]
        if trouble.is_committed:
            self.applied.update(item.id for item in items)
        if trouble.error:
            raise trouble.error
        return [Refused(str(item.id)) if item.value == 13 else item.value * 2 for item in items]

    async def recover(self, connection: Any, items: Sequence[Item]) -> Sequence[int | None]:
        await asyncio.sleep(0)
        return [item.value * 2 if self.applied[item.id] else None for item in items]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 20), st.integers(0, 5), st.booleans()), max_size=40),
    st.lists(st.sampled_from(TROUBLES), max_size=12),
    st.integers(1, 7),
)
def test_whatever_happens_every_caller_gets_its_own_answer_and_nothing_is_written_twice(
    wishes: list[tuple[int, int, bool]], troubles: list[Trouble], limit: int
) -> None:
    server = FakeServer(list(troubles))

    async def wish(commit: GroupCommit[Item, int], item: Item, pause: int) -> int:
        for _ in range(pause):
            await asyncio.sleep(0)
        return await commit(item)

    async def run() -> list[Any]:
        commit = GroupCommit[Item, int](
            server,  # type: ignore[arg-type]
            server.run,
            server.recover,
            patience=5.0,
            limit=limit,
        )
        tasks = [
            asyncio.create_task(wish(commit, Item(number, value), pause))
            for number, (value, pause, _) in enumerate(wishes)
        ]
        for _ in range(4):
            await asyncio.sleep(0)
        for task, (_, _, gives_up) in zip(tasks, wishes, strict=True):
            if gives_up:
                task.cancel()
        async with asyncio.timeout(120):
            return await asyncio.gather(*tasks, return_exceptions=True)

    pause, group_commit.RECONNECT_PAUSE = group_commit.RECONNECT_PAUSE, 0.0
    try:
        found = asyncio.run(run())
    finally:
        group_commit.RECONNECT_PAUSE = pause

    for number, ((value, _, gives_up), answer) in enumerate(zip(wishes, found, strict=True)):
        if isinstance(answer, asyncio.CancelledError):
            assert gives_up
        elif isinstance(answer, errors.CheckViolation):
            assert value < 0
        elif isinstance(answer, Refused):
            assert value == 13
            assert str(answer) == str(number)
        elif isinstance(answer, OutcomeUnknown):  # sent, lost, and then kept from a second look
            assert any(is_connection_lost(one.error) for one in troubles if one.error)
        elif isinstance(answer, psycopg.Error):  # its own trouble, when it ran alone
            assert isinstance(
                answer, errors.LockNotAvailable | errors.QueryCanceled | errors.DeadlockDetected
            )
            assert server.applied[number] == 0
        else:
            assert answer == value * 2
            assert server.applied[number] == 1
    assert all(times == 1 for times in server.applied.values())
