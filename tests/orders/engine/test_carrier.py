"""The carrier: many orders at once, none carried by two, none kept when it has to stop."""

import asyncio
import logging
import threading
from typing import Any

import psycopg
import pytest
import structlog
from django.conf import settings

from config.database.conninfo import conninfo
from config.runtime.counters import counts
from orders.engine import bell
from orders.engine import carrier as carrier_module
from orders.engine.journal_sql import GIVEN_UP_AFTER, SUSPECT_AFTER
from orders.engine.lookout import PATIENCE, Lookout
from orders.engine.moves import ClaimedOrder
from orders.lifecycle import ACTIVE, Status
from tests.support.carriers import (
    DEADLINE,
    Gate,
    Run,
    Running,
    assert_all_confirmed_once,
    listeners,
    query,
    ring,
    store_many,
    value,
    with_journal,
)
from tests.support.checker import load, violations
from tests.support.engine import wait_for
from tests.support.stubs import ScriptedNetwork, Sending
from tests.support.task_queue import Queue

OPEN = "SELECT count(*) FROM orders WHERE finished_at IS NULL"
CONFIRMED = "SELECT count(*) FROM orders WHERE status = 'confirmed'"
SENT = "SELECT count(*) FROM orders WHERE status = 'submitted'"
EXPIRE = "UPDATE orders SET lease_until = clock_timestamp() - interval '1 second'"
TRIED_BEFORE = "started_at = created_at, next_check = clock_timestamp() + interval '1 hour'"


def carrying_at(run: Run, gate: Gate, count: int) -> tuple[Running, threading.Thread]:
    """Start a carrier; so many orders stand at the gate, and its thread goes on with them."""
    running = run(gate)
    carrying = running.carry()
    wait_for(lambda: gate.waiting == count)
    return running, carrying


def test_what_is_due_is_carried_and_then_the_call_returns(run: Run) -> None:
    store_many(25)
    running = run(ScriptedNetwork(then=Sending.LANDS))

    running.carry().join(DEADLINE)

    assert running.errors == []
    assert_all_confirmed_once(running.network, 25)


def test_no_more_are_carried_at_once_than_the_setting_says(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_CONCURRENCY", 4)
    store_many(10)
    _, carrying = carrying_at(run, gate, 4)
    assert value(SENT) == 4
    gate.open()
    carrying.join(DEADLINE)

    assert gate.most == 4
    assert_all_confirmed_once(gate, 10)


def test_a_second_call_wakes_the_carrier_and_returns_at_once(run: Run, gate: Gate) -> None:
    store_many(1)
    running, carrying = carrying_at(run, gate, 1)
    store_many(2)

    running.carry().join(DEADLINE)

    assert carrying.is_alive()
    wait_for(lambda: gate.waiting == 3)
    gate.open()
    carrying.join(DEADLINE)
    assert_all_confirmed_once(gate, 3)


def test_a_call_that_comes_as_the_carrier_ends_is_never_lost(run: Run) -> None:
    running = run(ScriptedNetwork(then=Sending.LANDS))
    for _ in range(30):
        store_many(1)
        running.carry()
    wait_for(lambda: value(OPEN) == 0)

    assert running.errors == []


def test_a_named_order_is_carried_before_it_is_due(run: Run) -> None:
    named, other = store_many(2)
    query(f"UPDATE orders SET {TRIED_BEFORE}")
    running = run(ScriptedNetwork(then=Sending.LANDS))

    running.carry(*(), named=(named, False)).join(DEADLINE)

    orders = load(conninfo())
    assert orders[named].status == "confirmed"
    assert orders[other].status == "pending"


def test_a_suspect_is_carried_alone(run: Run, gate: Gate) -> None:
    first, suspect, later = store_many(3)
    query(f"UPDATE orders SET {TRIED_BEFORE} WHERE id <> %s", first)
    query("UPDATE orders SET lost_leases = %s WHERE id = %s", SUSPECT_AFTER, suspect)
    running, carrying = carrying_at(run, gate, 1)

    running.carry(named=(suspect, True)).join(DEADLINE)
    query("UPDATE orders SET next_check = now() WHERE id = %s", later)
    running.carry().join(DEADLINE)

    gate.open()
    carrying.join(DEADLINE)
    assert gate.most == 1
    log = query("SELECT order_id::text, status FROM order_events WHERE seq IN (2, 5) ORDER BY at")
    assert log == [
        (order_id, status)
        for order_id in (first, suspect, later)
        for status in ("routing", "confirmed")
    ]


def test_an_order_that_took_down_every_worker_is_given_up(run: Run) -> None:
    (poison,) = store_many(1)
    query("UPDATE orders SET lost_leases = %s", GIVEN_UP_AFTER)
    running = run(ScriptedNetwork())

    running.carry(named=(poison, True)).join(DEADLINE)

    assert query("SELECT status, failure_code FROM orders") == [("failed", "worker_lost")]
    assert violations(load(conninfo())) == []


def test_an_order_that_meets_a_bug_is_put_down_and_disturbs_no_other(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bad, *_ = store_many(5)
    running = run(ScriptedNetwork(then=Sending.LANDS))
    carry_order = carrier_module.Execution.carry_order

    async def meet_a_bug(self: Any, order: ClaimedOrder) -> None:
        if order.id == bad:
            raise ZeroDivisionError
        await carry_order(self, order)

    monkeypatch.setattr(carrier_module.Execution, "carry_order", meet_a_bug)
    running.carry().join(DEADLINE)

    assert query("SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 1") == [
        ("confirmed", 4),
        ("routing", 1),
    ]
    assert "was put down by an error" in caplog.text


def test_every_line_about_an_order_carries_its_id(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[str, Any]] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            context = structlog.contextvars.get_contextvars()
            found.append((record.getMessage(), context.get("order_id")))

    async def meet_a_bug(self: Any, order: ClaimedOrder) -> None:
        await asyncio.gather(say(order.id))
        raise ZeroDivisionError

    async def say(order_id: str) -> None:
        logging.getLogger("orders.engine.execution").error("carrying %s", order_id)

    ids = store_many(3)
    running = run(ScriptedNetwork())
    monkeypatch.setattr(carrier_module.Execution, "carry_order", meet_a_bug)
    monkeypatch.setattr(logging.getLogger("orders"), "handlers", [Keeping()])
    running.carry().join(DEADLINE)

    assert sorted(found) == sorted(
        (text.format(order_id), order_id)
        for order_id in ids
        for text in ("carrying {}", "order {} was put down by an error")
    )


def test_what_is_carried_is_counted_and_what_was_lost_by_another(run: Run) -> None:
    _, lost = store_many(2)
    query("UPDATE orders SET lost_leases = 1 WHERE id = %s", lost)
    running = run(ScriptedNetwork(then=Sending.LANDS))
    before = counts.copy()

    running.carry().join(DEADLINE)

    found = counts - before
    assert (found["orders_carried"], found["leases_taken_over"]) == (2, 1)


def test_leases_are_renewed_for_as_long_as_an_order_is_carried(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LEASE_SECONDS", 0.6)
    store_many(3)
    _, carrying = carrying_at(run, gate, 3)
    ends = value("SELECT max(lease_until) FROM orders")
    wait_for(lambda: value("SELECT min(lease_until) > %s FROM orders", ends))

    wait_for(lambda: value("SELECT clock_timestamp() > %s", ends))
    assert with_journal(lambda journal: journal.claim(5, ACTIVE)) == []

    gate.open()
    carrying.join(DEADLINE)
    assert value("SELECT max(lost_leases) FROM orders") == 0
    assert_all_confirmed_once(gate, 3)


def test_an_order_whose_lease_was_lost_is_put_down(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "LEASE_SECONDS", 1.0)
    store_many(1)
    _, carrying = carrying_at(run, gate, 1)
    monkeypatch.setattr(settings, "LEASE_SECONDS", 60.0)

    def take() -> list[ClaimedOrder]:
        query(EXPIRE)  # again if its holder was quicker, and renewed it
        return with_journal(lambda journal: journal.claim(1, ACTIVE))

    (taken,) = wait_for(take, what="the lease is taken away")

    wait_for(lambda: gate.waiting == 0, what="the carrier lets go of it")
    carrying.join(DEADLINE)

    assert query("SELECT status, lease_token FROM orders") == [("submitted", taken.lease_token)]


def test_a_carrier_told_to_stop_finishes_what_ends_within_the_grace(run: Run, gate: Gate) -> None:
    store_many(3)
    running, carrying = carrying_at(run, gate, 3)
    store_many(1)

    running.carrier.stop()
    gate.open()
    carrying.join(DEADLINE)

    statuses = query("SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 1")
    assert statuses == [("confirmed", 3), ("pending", 1)]


def test_a_carrier_told_to_stop_gives_back_what_does_not_end_within_the_grace(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "STOP_GRACE_SECONDS", 0.1)
    store_many(3)
    running, carrying = carrying_at(run, gate, 3)

    running.carrier.stop()
    carrying.join(DEADLINE)

    assert query("SELECT DISTINCT status, lease_until, lost_leases FROM orders") == [
        ("submitted", None, 0)
    ]
    again = run(ScriptedNetwork(then=Sending.LANDS))
    again.carry().join(DEADLINE)
    assert_all_confirmed_once(again.network, 3)


def test_a_carrier_that_was_told_to_stop_claims_nothing_more(run: Run) -> None:
    store_many(1)
    running = run(ScriptedNetwork())
    running.carrier.stop()
    running.carry().join(DEADLINE)
    assert value("SELECT status FROM orders") == "pending"


def test_a_database_that_is_away_is_an_error_for_celery_to_retry(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_many(1)
    running = run(ScriptedNetwork(then=Sending.LANDS))
    with monkeypatch.context() as away:
        away.setattr("orders.engine.journal.conninfo", lambda: "host=/nowhere dbname=none")
        running.carry().join(DEADLINE)
        (error,) = running.errors
        assert isinstance(error, psycopg.OperationalError)

    assert value("SELECT status FROM orders") == "pending"


@pytest.mark.usefixtures("lingering")
def test_a_carrier_that_lingers_hears_the_bell_without_celery(run: Run, queue: Queue) -> None:
    running = run(ScriptedNetwork(then=Sending.LANDS))
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    for count in (1, 2, 3):
        store_many(1)
        ring()
        wait_for(lambda count=count: value(CONFIRMED) == count)

    assert queue.tasks() == []
    assert_all_confirmed_once(running.network, 3)


def test_a_carrier_that_stopped_lingering_leaves_the_bells_to_celery(
    run: Run, queue: Queue
) -> None:
    run(ScriptedNetwork()).carry().join(DEADLINE)
    wait_for(lambda: listeners(queue) == 0)
    ring()
    assert queue.tasks() == [bell.ROUTE_AND_EXECUTE]


@pytest.mark.usefixtures("lingering")
def test_a_carrier_that_hears_the_bell_in_vain_leaves_it_to_the_other_that_lingers(
    run: Run, queue: Queue
) -> None:
    carrying = run(ScriptedNetwork()).carry()
    wait_for(lambda: listeners(queue) == 1)
    ring()
    carrying.join(DEADLINE)

    assert not carrying.is_alive()
    assert queue.tasks() == []


@pytest.mark.usefixtures("lingering")
def test_a_full_carrier_that_hears_the_bell_calls_others_through_celery(
    run: Run, gate: Gate, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ORDER_CONCURRENCY", 2)
    monkeypatch.setattr(carrier_module, "RING_SECONDS", 0.0)
    running = run(gate)
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    for count in (1, 2):
        store_many(1)
        ring()
        wait_for(lambda count=count: gate.waiting == count)
    queue.client.flushdb()
    store_many(1)
    ring()
    wait_for(lambda: queue.tasks() == [bell.ROUTE_AND_EXECUTE])


@pytest.mark.usefixtures("lingering")
def test_an_order_that_came_while_the_carrier_began_to_listen_is_found(
    run: Run, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = bell.Listener.start

    async def started_late(listener: bell.Listener) -> bool:
        await asyncio.to_thread(store_many, 1)  # nobody rings for it
        return await start(listener)

    monkeypatch.setattr(bell.Listener, "start", started_late)
    running = run(ScriptedNetwork(then=Sending.LANDS))
    running.carry()
    wait_for(lambda: value(CONFIRMED) == 1)


@pytest.mark.usefixtures("lingering")
def test_a_carrier_that_lingers_outlives_redis(run: Run, queue: Queue) -> None:
    running = run(ScriptedNetwork(then=Sending.LANDS))
    running.carry()
    wait_for(lambda: listeners(queue) == 1)
    queue.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    store_many(1)
    ring()
    running.carry()  # as Celery does if the bell found nobody listening
    wait_for(lambda: value(CONFIRMED) == 1)
    wait_for(lambda: listeners(queue) == 1)


def test_a_worker_that_hears_no_bell_finds_what_is_due(run: Run) -> None:
    store_many(3)
    running = run(ScriptedNetwork(then=Sending.LANDS))
    Lookout(running.carrier).look()
    wait_for(lambda: value(CONFIRMED) == 3)
    assert_all_confirmed_once(running.network, 3)


def test_a_look_at_nothing_wakes_no_carrier(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    running = run(ScriptedNetwork())
    monkeypatch.setattr(running.carrier, "carry", lambda *_: pytest.fail("woken"))
    Lookout(running.carrier).look()


def test_orders_of_a_worker_that_is_stuck_are_taken_over_though_it_swallows_all_bells(
    run: Run, gate: Gate
) -> None:
    store_many(2)
    stuck = run(gate)
    stuck.carry()
    wait_for(lambda: gate.waiting == 2)
    hang = threading.Event()
    stuck.carrier.loop.call_soon_threadsafe(hang.wait)
    stuck.carrier.carry({Status.SUBMITTED})  # a bell, taken for the carrier that does not move
    query(EXPIRE)

    Lookout(run(ScriptedNetwork(then=Sending.LANDS)).carrier).look()
    try:
        wait_for(lambda: value(CONFIRMED) == 2)
    finally:
        hang.set()
        gate.open()


def test_a_suspect_that_no_bell_names_is_carried(run: Run) -> None:
    store_many(1)
    query("UPDATE orders SET started_at = created_at, lost_leases = 3")
    Lookout(run(ScriptedNetwork(then=Sending.LANDS)).carrier).look()
    wait_for(lambda: value(CONFIRMED) == 1)


def test_a_busy_worker_leaves_a_suspect_to_others_for_some_looks(
    run: Run, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_many(1)
    running, carrying = carrying_at(run, gate, 1)
    (suspect,) = store_many(1)
    query(
        "UPDATE orders SET started_at = created_at, lost_leases = 3 WHERE id = %s",
        suspect,
    )
    named: list[object] = []
    lookout = Lookout(running.carrier)
    monkeypatch.setattr(running.carrier, "carry", lambda _, name: named.append(name))
    for _ in range(PATIENCE):
        assert named == []
        lookout.look()
        lookout.wait()

    assert named == [(suspect, True)]
    gate.open()
    carrying.join(DEADLINE)
