"""One order killed at each gap between two effects; another process carries it on."""

import http.client
import signal
from collections.abc import Iterator

import pytest

from config.celery import app
from orders import bell
from orders.crash_points import CRASH_POINTS
from tests.checker import load, violations
from tests.engine import Engine, Process, engine
from tests.samples import new_order

LEASE_SECONDS = "1"
LEFT_IN = {  # status, seq, and how many transactions are stored and have landed
    "after_accept": ("pending", 1, 0, 0),
    "after_claim": ("routing", 2, 0, 0),
    "after_quotes": ("routing", 2, 0, 0),
    "after_building": ("building", 3, 0, 0),
    "after_build": ("building", 3, 0, 0),
    "after_submitted": ("submitted", 4, 1, 0),
    "after_send": ("submitted", 4, 1, 1),
    "after_fill_seen": ("submitted", 4, 1, 1),
    "after_confirmed": ("confirmed", 5, 1, 1),
}
IN_WORKERS = [point for point in CRASH_POINTS if point != "after_accept"]
STORED = "SELECT count(*) FROM order_transactions WHERE order_id = %s"


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("crashes")
    with engine(process_database, logs, LEASE_SECONDS=LEASE_SECONDS) as found:
        yield found


@pytest.fixture(scope="module")
def crashed(running: Engine) -> dict[str, str]:
    """One process died at each point; returns the id of the order it had, by point."""
    orders = {point: new_order() for point in IN_WORKERS}
    running.store(*orders.values())
    dying: list[Process] = []
    for point, order in orders.items():
        # A queue of its own, so that each worker takes the order that is meant for it.
        dying.append(running.worker("-Q", point, CRASH_AT=point))
        app.send_task(bell.EXECUTE_ONE, kwargs={"order_id": order.id}, queue=point)
    web = running.web(CRASH_AT="after_accept")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        web.post()
    for process in (web, *dying):
        assert process.wait() == -signal.SIGKILL, process.output
    ((accepted,),) = running.query("SELECT id::text FROM orders WHERE status = 'pending'")
    return {"after_accept": accepted} | {point: str(order.id) for point, order in orders.items()}


@pytest.fixture(scope="module")
def left(running: Engine, crashed: dict[str, str]) -> dict[str, tuple[str, int, int, int]]:
    """How the orders stood after the deaths."""
    facts = load(running.conninfo)
    assert violations(facts) == []
    return {
        point: (
            facts[order_id].status,
            facts[order_id].seq,
            running.value(STORED, order_id),
            facts[order_id].landings,
        )
        for point, order_id in crashed.items()
    }


@pytest.fixture(scope="module")
def recovered(running: Engine, left: object) -> Engine:
    running.worker()
    running.scheduler()
    running.wait_until_all_ended()
    return running


def test_every_crash_point_is_tried() -> None:
    assert set(LEFT_IN) == set(CRASH_POINTS)


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_process_that_died_there_left_this_behind(
    left: dict[str, tuple[str, int, int, int]], point: str
) -> None:
    assert left[point] == LEFT_IN[point]


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_an_order_whose_process_died_there_is_executed_once(
    recovered: Engine, crashed: dict[str, str], point: str
) -> None:
    orders = load(recovered.conninfo, [crashed[point]])

    (order,) = orders.values()
    assert order.status == "confirmed"
    assert order.landings == 1
    assert order.attempts == 1
    assert [event.seq for event in order.log] == [1, 2, 3, 4, 5]
    assert recovered.value(STORED, crashed[point]) == 1
    assert violations(orders) == []
