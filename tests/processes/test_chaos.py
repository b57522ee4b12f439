"""A short run of `make chaos`, and that its judgement can fail. The long ones are run by hand."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
import redis

from orders.api.problems import said_of_order
from orders.events import Event
from orders.lifecycle import Status
from tests.chaos.cases import cases
from tests.chaos.clients import NOTHING_STORED, Clients, Follower, Told
from tests.chaos.kinds import DEEDS, KEYLESS, KINDS, kinds_that_show, kinds_without
from tests.chaos.plan import LAST, LAST_HINTS, Fault, Options, errands_of, faults_of
from tests.chaos.run import run
from tests.chaos.servers import may_mount, some_postgres
from tests.chaos.stack import Stack
from tests.chaos.verdict import (
    Verdict,
    judge_answers,
    judge_clients,
    judge_orders,
    seconds_until_all_moved,
)
from tests.support.accounts import Account, make_account
from tests.support.checker import OrderFacts
from tests.support.database import Database, MakeJournal
from tests.support.engine import own_redis
from tests.support.forked import run_program
from tests.support.proxy import (
    READY_FOR_QUERY,
    Connections,
    Cut,
    Stream,
    proxy_of,
    proxy_of_port,
)
from tests.support.samples import new_order

SLOW = {"black_hole", "block_worker", "fill_disk", "promote_standby", "share_redis_with_a_stranger"}
SHORT = Options(  # patient with slow machines
    seed=7, orders=40, seconds=12, faults=12, drain=90, only=frozenset(KINDS) - SLOW, bot=True
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "0194a7de-0000-7000-8000-000000000001"
ANONYMOUS = Account(0, "", "", "")
GOOD = ("pending", "routing", "building", "submitted", "confirmed")


async def test_a_short_run_breaks_no_promise(tmp_path: Path) -> None:
    verdict, evidence = await run(SHORT, tmp_path)

    assert verdict.broken == [], "\n".join([verdict.as_line(), *evidence])
    # An order without a key whose answer was cut off is sent again, and is another order.
    assert verdict.accepted - verdict.exits - verdict.unclaimed == verdict.answered
    assert verdict.answered > SHORT.orders  # of a group both are answered
    assert verdict.confirmed > SHORT.orders / 2
    ended = verdict.confirmed + verdict.failed + verdict.cancelled + verdict.expired
    assert ended == verdict.accepted
    assert verdict.exits > 0
    assert verdict.bot["orders"] > 0
    # The faults were done, and felt.
    done = (tmp_path / "faults.log").read_text().splitlines()
    assert [line for line in done if not line.endswith(": done")] == []
    assert len(done) == verdict.faults == SHORT.faults
    assert verdict.restarts > 0


def test_what_a_run_does_follows_from_its_seed_alone() -> None:
    options = Options(seed=7)

    assert faults_of(options, KINDS) == faults_of(options, KINDS)
    assert errands_of(options) == errands_of(options)
    other = replace(options, seed=8)
    assert faults_of(options, KINDS) != faults_of(other, KINDS)
    assert errands_of(options) != errands_of(other)


def test_a_long_run_has_every_kind_of_fault_and_ends_with_lost_hints_and_workers() -> None:
    faults = faults_of(Options(seed=7), KINDS)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert [fault.kind for fault in faults[-2:]] == [LAST_HINTS, LAST]
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    assert len(faults) == 60


def test_every_kind_of_fault_is_in_a_run_of_a_hundred_whatever_its_seed() -> None:
    for seed in range(20):
        faults = faults_of(Options(seed=seed, faults=100), KINDS)
        assert {fault.kind for fault in faults} == set(KINDS)
        assert len(faults) == 100


def test_every_kind_of_fault_is_a_case_that_is_done_once() -> None:
    found = [faults_of(case, KINDS) for _, case in cases(Options(seed=7), KINDS)]
    assert found[0] == []  # the control
    assert {len(faults) for faults in found[1:]} == {1}
    assert {fault.kind for faults in found for fault in faults} == set(KINDS)
    assert {fault.at for faults in found for fault in faults} == {3.0}


def test_a_run_of_the_last_fault_alone_has_it_once() -> None:
    options = Options(seed=7, only=frozenset({LAST}))
    assert [fault.kind for fault in faults_of(options, KINDS)] == [LAST]


@pytest.mark.parametrize(
    ("without", "kinds"),
    [
        ([], set()),
        (["scheduler"], set()),
        (["fitness"], {"change_settings"}),
        (["outcome"], {"lose_commit_answers"}),
        (["fitness", "outcome"], {"change_settings", "lose_commit_answers"}),
        (["fitness", "look"], set()),  # any fault may show it
    ],
)
def test_an_ablation_has_the_faults_that_show_it(without: list[str], kinds: set[str]) -> None:
    assert kinds_that_show(frozenset(without)) == kinds


def test_of_an_order_without_a_key_it_is_said_that_nothing_was_stored() -> None:
    """Else what was said of them, and whether it was true, could not be compared."""
    clients = Clients(0, ANONYMOUS)
    for side in ("sell", "buy"):
        errands = [one for one in errands_of(SHORT) if one.order["side"] == side]
        sent = [clients.with_a_name(errand.order) for errand in errands for _ in range(2)]
        assert len({name for name, _ in sent}) == len({body["amountIn"] for _, body in sent})
        assert len({name for name, _ in sent}) == 2 * len(errands)
        assert {said_of_order(body).count(NOTHING_STORED) for _, body in sent} == {1}


async def test_the_statement_that_stores_an_order_without_a_key_is_known(
    make_journal: MakeJournal, database: Database
) -> None:
    async with proxy_of(database.conninfo) as proxy:
        proxy.cut, proxy.cut_of = Cut.AFTER, KEYLESS
        journal = make_journal(proxy.conninfo)
        await journal.accept(new_order(owner=make_account().id, idempotency_key="mine"))
        assert proxy.cuts == 0
        await journal.accept(new_order())
        assert proxy.cuts == 1


def test_what_is_switched_off_is_not_broken() -> None:
    kinds = kinds_without(frozenset({"scheduler"}))
    missing = {"kill_scheduler", "crash_scheduler", "freeze_scheduler", "stop_scheduler"}
    assert set(KINDS) - set(kinds) - {"fill_disk"} == missing
    assert ("fill_disk" in kinds) == may_mount()


async def test_what_a_fault_changed_is_whole_again_when_it_is_cut_short() -> None:
    kinds = [
        *("fill_redis", "make_redis_read_only", "drop_hints", "spoil_redis"),
        *("make_postgres_read_only", "change_settings", "use_up_connections", "lock_table"),
        *(["fill_disk"] if may_mount() else []),
    ]
    async with AsyncExitStack() as exits:
        stack = Stack(exits)
        stack.redis, stack.redis_url = exits.enter_context(own_redis())
        stack.postgres, stack.database, stack.disk = exits.enter_context(
            some_postgres(small=may_mount())
        )
        with psycopg.connect(stack.database) as connection:
            connection.execute("CREATE TABLE orders AS SELECT 1 AS id, NULL::text AS finished_at")
            connection.execute("CREATE TABLE order_events AS SELECT 1 AS id")
        before = _state(stack)
        for kind in kinds:
            for pick in (0.0, 0.99):
                doing = asyncio.create_task(DEEDS[kind](stack, Fault(0, kind, pick, 60)))
                await asyncio.wait([doing], timeout=0.1)
                doing.cancel()
                await asyncio.wait([doing])
                assert _state(stack) == before, kind


def _state(stack: Stack) -> list[Any]:
    """Return what a new connection finds, having written to both servers."""
    with psycopg.connect(stack.database) as connection:
        connection.execute("INSERT INTO orders VALUES (2)")
        connection.execute("DELETE FROM orders WHERE id = 2")
        session = connection.execute("SELECT name, setting FROM pg_settings ORDER BY 1").fetchall()
        others = connection.execute("SELECT count(*) FROM pg_db_role_setting").fetchall()
    with redis.Redis.from_url(stack.redis_url) as client:
        client.set("chaos", 1)
        client.delete("chaos")
        found = [client.config_get("maxmemory"), client.info("replication")["role"]]
        return [session, others, *found, client.acl_list(), client.keys()]


@asynccontextmanager
async def echo_behind_a_proxy() -> AsyncIterator[tuple[Connections, int]]:
    serving: set[asyncio.Task[None]] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(cast("asyncio.Task[None]", asyncio.current_task()))
        while data := await reader.read(100):
            writer.write(data)
        await _close(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with proxy_of_port(server.sockets[0].getsockname()[1]) as found:
        yield found
    server.close()
    await asyncio.gather(*serving)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def _says(connection: Stream, text: bytes, seconds: float = 5.0) -> bytes:
    reader, writer = connection
    writer.write(text)
    async with asyncio.timeout(seconds):
        return await reader.read(100)


async def test_a_silent_connection_hears_nothing_more_and_a_new_one_works() -> None:
    async with echo_behind_a_proxy() as (proxy, port):
        old = await asyncio.open_connection("127.0.0.1", port)
        assert await _says(old, b"a") == b"a"
        assert proxy.silence() == 1
        new = await asyncio.open_connection("127.0.0.1", port)
        assert await _says(new, b"b") == b"b"
        with pytest.raises(TimeoutError):
            await _says(old, b"c", 0.05)
        assert await proxy.cut_all() == 1  # nobody hears of the end of a silent one either
        with pytest.raises(TimeoutError):
            await _says(old, b"d", 0.05)
        await _close(old[1])
        await asyncio.gather(_close(new[1]), return_exceptions=True)  # it was reset


async def test_what_is_sent_into_a_hole_gets_through_at_its_end() -> None:
    async with echo_behind_a_proxy() as (proxy, port):
        old = await asyncio.open_connection("127.0.0.1", port)
        assert await _says(old, b"a") == b"a"
        with proxy.hole():
            new = await asyncio.open_connection("127.0.0.1", port)
            for connection in (old, new):
                with pytest.raises(TimeoutError):
                    await _says(connection, b"b", 0.05)
        for reader, writer in (old, new):
            assert await reader.read(100) == b"b"
            await _close(writer)
        async with asyncio.timeout(120):
            while not proxy.are_closed():  # it closes its own ends too
                await asyncio.sleep(0.01)


async def test_the_answer_to_what_is_meant_is_cut_off_and_no_other() -> None:
    other, meant = b"other" + READY_FOR_QUERY, b"meant" + READY_FOR_QUERY
    async with echo_behind_a_proxy() as (proxy, port):
        proxy.cut, proxy.cut_of = Cut.AFTER, (b"me", b"nt")
        connection = await asyncio.open_connection("127.0.0.1", port)
        assert await _says(connection, other) == other
        assert await _says(connection, meant) == b""
        assert (proxy.cut, proxy.cuts) == (None, 1)
        await _close(connection[1])


@pytest.mark.parametrize(
    "switches", ["resync", "token", "fencing", "poison", "deadline", "fitness", "outcome", "look"]
)
def test_a_switch_finds_what_it_takes_away(switches: str, tmp_path: Path) -> None:
    """A switch that changes nothing would make its ablation prove nothing."""
    environment = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": switches}
    ended = run_program(["manage.py", "check"], {**os.environ, **environment}, tmp_path)
    assert ended.returncode == 0, ended.stderr


def facts(*statuses: str, landings: int = 0, **changes: Any) -> dict[str, OrderFacts]:
    log = [
        Event(ID, seq, Status(status), 1, status, NOON, {})
        for seq, status in enumerate(statuses, start=1)
    ]
    found = OrderFacts(statuses[-1], len(log), statuses.count("routing"), log, landings)
    return {ID: replace(found, **changes)}


def told(*seqs: int, is_complete: bool) -> Follower:
    (order,) = facts(*GOOD).values()
    return Follower(ID, [order.log[seq - 1].as_message() for seq in seqs], is_complete)


def judged(
    orders: dict[str, OrderFacts],
    followers: tuple[Follower, ...] = (),
    cancelled: tuple[str, ...] = (),
    closes: tuple[int, ...] = (),
) -> Verdict:
    clients = Clients(0, ANONYMOUS)
    clients.answered.append(ID)
    clients.followers += followers
    clients.cancelled += cancelled
    clients.closes.update(closes)
    verdict = Verdict(seed=0, drain_seconds=1.0)
    broken = judge_orders(verdict, orders, clients) + judge_clients(verdict, orders, clients)
    assert bool(verdict.broken) == bool(broken)
    return verdict


def test_a_run_that_kept_everything_is_not_broken() -> None:
    followers = (told(1, 2, 3, 4, 5, is_complete=True),)
    assert judged(facts(*GOOD, landings=1), followers).broken == []


NAME = "mine"


@pytest.mark.parametrize(
    ("said", "stored", "mis_told"),
    [
        (Told(NAME, ""), {}, 0),
        (Told(NAME, ""), {NAME: ID}, 1),
        (Told(NAME, ID), {}, 0),  # nobody knew, and either is true
        (Told(NAME, ID), {NAME: ID}, 0),
        (Told(NAME, "0194a7de-0000-7000-8000-000000000002"), {NAME: ID}, 1),
    ],
)
def test_what_was_said_of_an_order_is_compared_with_what_is_stored(
    said: Told, stored: dict[str, str], mis_told: int
) -> None:
    clients = Clients(0, ANONYMOUS)
    clients.told.append(said)
    verdict = Verdict(seed=0, drain_seconds=1.0, accepted=len(stored))
    broken = judge_answers(verdict, facts(*GOOD), clients, stored)

    assert verdict.mis_told == len(broken) == mis_told
    assert verdict.broken == ["mis_told"] * mis_told


def test_orders_whose_outcome_nobody_knew_are_looked_up() -> None:
    clients = Clients(0, ANONYMOUS)
    clients.unknown += [ID, "0194a7de-0000-7000-8000-000000000002"]
    verdict = Verdict(seed=0)
    judge_answers(verdict, facts(*GOOD), clients, {})
    assert (verdict.unknown_stored, verdict.unknown_not_stored) == (1, 1)


def test_the_evidence_tells_when_an_order_that_has_not_ended_moved_last() -> None:
    broken = judge_orders(
        Verdict(seed=0),
        facts("pending", "routing"),
        Clients(0, ANONYMOUS),
        NOON + timedelta(seconds=9),
    )

    assert [one.sentence for one in broken] == [
        f"order {ID}: still routing; it moved last 9.0 s before the end"
    ]


def test_orders_have_gone_on_when_the_last_that_was_open_has_moved() -> None:
    def order(*seconds: float) -> OrderFacts:
        (found,) = facts(*GOOD[: len(seconds)]).values()
        times = [NOON + timedelta(seconds=one) for one in seconds]
        log = [event._replace(at=at) for event, at in zip(found.log, times, strict=True)]
        return replace(found, log=log)

    ended, stuck, new = order(-5, -4, -3), order(-3, -2, 7), order(1, 2, 30)
    assert seconds_until_all_moved({"1": ended, "2": stuck, "3": new}, NOON) == 7
    assert seconds_until_all_moved({"1": ended, "3": new}, NOON) == 2


@pytest.mark.parametrize(
    ("verdict", "broken"),
    [
        (lambda: judged({}), ["lost"]),
        (lambda: judged(facts("pending", "routing")), ["lost"]),
        (lambda: judged(facts(*GOOD, landings=2)), ["doubled"]),
        (lambda: judged(facts(*GOOD, landings=0)), ["other"]),
        (lambda: judged(facts("pending", "cancelled", landings=1)), ["other"]),
        (lambda: judged(facts(*GOOD, landings=1), cancelled=(ID,)), ["other"]),
        (
            lambda: judged(facts(*GOOD, landings=1, log=facts(*GOOD)[ID].log[1:])),
            ["gaps", "other"],
        ),
        (
            lambda: judged(facts(*GOOD, landings=1), (told(1, 3, is_complete=False),)),
            ["wrong_transcripts"],
        ),
        (
            lambda: judged(facts(*GOOD, landings=1), (told(1, 2, 3, 4, is_complete=False),)),
            ["wrong_transcripts"],
        ),
        (lambda: judged(facts(*GOOD, landings=1), closes=(1011,)), ["wrong_transcripts"]),
        (lambda: Verdict(seed=0), ["drain_seconds"]),
        (lambda: Verdict(seed=0, accepted=2, answered=1, drain_seconds=1.0), ["repeated"]),
        (lambda: Verdict(seed=0, drain_seconds=1.0, late_stops=1), ["late_stops"]),
        (lambda: Verdict(seed=0, drain_seconds=1.0, unanswered=1), ["unanswered"]),
        (
            lambda: Verdict(seed=0, drain_seconds=1.0, taken_from_stranger=1),
            ["taken_from_stranger"],
        ),
        (lambda: Verdict(seed=0, drain_seconds=1.0, internal_errors=1), ["internal_errors"]),
        (
            lambda: Verdict(seed=0, drain_seconds=1.0, refused_by_constraints=1),
            ["refused_by_constraints"],
        ),
    ],
)
def test_whatever_is_broken_is_named(verdict: Any, broken: list[str]) -> None:
    assert verdict().broken == broken
