"""The limit of orders a minute, here a second, over real workers."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.orders.engine.test_journal import most_in_a_window
from tests.support.checker import load, violations
from tests.support.engine import Engine, engine, wait_for
from tests.support.machine import Watch
from tests.support.samples import new_order

LIMIT = 30  # a second
BACKLOG = 70
STARTS = """
SELECT started_at FROM orders WHERE id = ANY(%s::uuid[]) AND started_at IS NOT NULL
ORDER BY started_at
"""
IN_ORDER_OF_ARRIVAL = STARTS.replace("ORDER BY started_at", "ORDER BY created_at, turn")
WORKERS = "SELECT count(*) FROM heartbeats WHERE kind = 'worker'"


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("rate")
    with engine(process_database, logs, ORDER_RATE_LIMIT=f"{LIMIT}/s", LEASE_SECONDS="1") as found:
        found.worker()
        found.worker()
        found.scheduler()
        yield found


def starts(running: Engine, ids: list[str]) -> list[datetime]:
    return [row[0] for row in running.query(STARTS, ids)]


def test_in_no_window_more_orders_start_than_the_limit(running: Engine) -> None:
    orders = [new_order() for _ in range(BACKLOG)]
    running.store(*orders)
    running.wait_until_all_ended()

    ids = [str(order.id) for order in orders]
    started = starts(running, ids)
    assert len(started) == BACKLOG
    assert most_in_a_window(started, 1.0) <= LIMIT
    facts = load(running.conninfo, ids)
    assert violations(facts) == []
    assert {order.status for order in facts.values()} == {"confirmed"}


def test_ten_that_arrive_together_in_a_quiet_engine_start_together(running: Engine) -> None:
    orders = [new_order() for _ in range(10)]
    watch = Watch()
    running.store(*orders)
    running.wait_until_all_ended()

    started = starts(running, [str(order.id) for order in orders])
    assert (started[-1] - started[0]).total_seconds() < watch.allowed(0.25)


def test_the_limit_and_the_order_of_arrival_hold_while_workers_come_and_go(
    running: Engine,
) -> None:
    orders = [new_order() for _ in range(BACKLOG)]
    ids = [str(order.id) for order in orders]
    third = running.worker()
    wait_for(lambda: running.value(WORKERS) >= 3, what="all workers have started")
    running.store(*orders)
    wait_for(lambda: len(starts(running, ids)) > 10, what="some have started")
    third.kill()
    running.worker()
    running.wait_until_all_ended()

    facts = load(running.conninfo, ids)
    assert violations(facts) == []
    assert {order.status for order in facts.values()} == {"confirmed"}
    started = [row[0] for row in running.query(IN_ORDER_OF_ARRIVAL, ids)]
    assert most_in_a_window(started, 1.0) <= LIMIT
    by_start = sorted(range(BACKLOG), key=lambda place: (started[place], place))
    assert max(abs(place - rank) for rank, place in enumerate(by_start)) <= LIMIT
