"""One order killed at each gap between two effects; another process carries it on."""

import http.client
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import pytest

from config.celery import app
from orders.engine import bell
from orders.engine.crash_points import CRASH_POINTS
from orders.terms.terms import Terms
from tests.processes.test_killed_groups import RELEASED
from tests.processes.test_sliced import LEFT
from tests.support.checker import load, violations
from tests.support.engine import SELL, Engine, Process, Web, engine
from tests.support.resting import order_of_type
from tests.support.samples import new_order

LEASE_SECONDS = "1"
STRAIGHT = ["pending", "routing", "building", "submitted", "confirmed"]
ANOTHER = ["pending", "routing", *STRAIGHT]
SENT_TWICE = [*STRAIGHT[:4], *STRAIGHT]
NO_VENUE = {"SIMULATION_FAULTS": "quote_refused=1"}
BUILT_LATE = {"SWITCHES": "look,build"}
NO_PRICE = {"SIMULATION_FAULTS": "price_moved=1"}
STORED = "SELECT count(*) FROM order_transactions WHERE order_id = %s"


class Left(NamedTuple):
    """How an order stands: its log, and how many of its transactions are stored and have landed."""

    log: list[str]
    stored: int
    landings: int


class Case(NamedTuple):
    """A death at a point, what it leaves behind, and the log at the end."""

    point: str
    left: Left
    log: list[str] = STRAIGHT
    environment: Mapping[str, str] = {}


CASES = {
    "accept": Case("after_accept", Left(STRAIGHT[:1], 0, 0)),
    "ring": Case("after_ring", Left(STRAIGHT[:1], 0, 0)),
    "cancel": Case("after_cancel", Left(["pending", "cancelled"], 0, 0), ["pending", "cancelled"]),
    "amend": Case("after_amend", Left(["open", "open"], 0, 0), ["open", "open", "expired"]),
    "replace": Case("after_replace", Left(["open", "cancelled"], 0, 0), ["open", "cancelled"]),
    "heard": Case("after_heard", Left(STRAIGHT[:1], 0, 0)),
    "claim": Case("after_claim", Left(STRAIGHT[:2], 0, 0)),
    "quotes": Case("after_quotes", Left(STRAIGHT[:2], 0, 0)),
    "building": Case("after_building", Left(STRAIGHT[:3], 0, 0), environment=BUILT_LATE),
    "build": Case("after_build", Left(STRAIGHT[:2], 0, 0)),
    "late build": Case("after_build", Left(STRAIGHT[:3], 0, 0), environment=BUILT_LATE),
    "submitted": Case("after_submitted", Left(STRAIGHT[:4], 1, 0)),
    "send": Case("after_send", Left(STRAIGHT[:4], 1, 1)),
    "fill seen": Case("after_fill_seen", Left(STRAIGHT[:4], 1, 1)),
    "confirmed": Case("after_confirmed", Left(STRAIGHT, 1, 1)),
    "fault of the venues": Case("after_fault", Left(STRAIGHT[:2], 0, 0), environment=NO_VENUE),
    "attempt over": Case("after_attempt", Left(ANOTHER[:3], 0, 0), ANOTHER, NO_VENUE),
    "proof of death": Case("after_fault", Left(STRAIGHT[:4], 1, 0), SENT_TWICE, NO_PRICE),
    "moved": Case("after_moved", Left(STRAIGHT[:2], 0, 0)),
    "effects": Case("after_effects", Left(STRAIGHT[:2], 0, 0)),
    "transaction dead": Case("after_attempt", Left(SENT_TWICE[:5], 1, 0), SENT_TWICE, NO_PRICE),
}
OF_WEB = {"accept", "ring", "cancel", "amend", "replace"}
RESTS_SECONDS = 8.0
WITH_TERMS = {"moved", "effects"}


@pytest.fixture(scope="module")
def running(process_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("crashes")
    # No worker looks for itself: each has the order it is rung for, and dies of that.
    deaf = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": "look"}
    with engine(process_database, logs, LEASE_SECONDS=LEASE_SECONDS, **deaf) as found:
        yield found


@pytest.fixture(scope="module")
def crashed(running: Engine) -> dict[str, str]:
    """One process died in each case; returns the id of the order it had, by case."""
    # Wide enough for the price to move on until another attempt.
    orders = {
        name: new_order(slippage_bps=5000, terms=Terms("ioc") if name in WITH_TERMS else None)
        for name in CASES
        if name not in OF_WEB
    }
    running.store(*orders.values())
    dying: list[Process] = []
    for name, order in orders.items():
        case = CASES[name]
        # A queue of its own, so that each worker takes the order that is meant for it.
        dying.append(running.worker("-Q", name, CRASH_AT=case.point, **case.environment))
        if name == "heard":  # it dies before it has taken any
            app.send_task(bell.ROUTE_AND_EXECUTE, queue=name)
        else:
            app.send_task(bell.EXECUTE_ONE, kwargs={"order_id": order.id}, queue=name)
    found = {name: str(order.id) for name, order in orders.items()}
    for name in sorted(OF_WEB):
        web = running.web(CRASH_AT=CASES[name].point)
        dying.append(web)
        found[name] = crash_web(running, web, name)
    for process in dying:
        assert process.wait() == -signal.SIGKILL, process.output
    return found


def crash_web(running: Engine, web: Web, name: str) -> str:
    """Have the process die over an order, and return the order's id."""
    died = http.client.RemoteDisconnected, ConnectionResetError
    if name == "cancel":
        order = new_order()
        running.store(order)
        with pytest.raises(died):
            web.request(f"/api/orders/{order.id}/cancel", {})
        return order.id
    if name in ("amend", "replace"):
        order = order_of_type(
            "limit", limit_price="900", time_in_force="gtd", expires_in=RESTS_SECONDS
        )
        running.store(order)
        path, body, method = {
            "amend": ("", {"limitPrice": "901", "seq": 1}, "PATCH"),
            "replace": ("/replace", SELL | {"slippageBps": 5000}, "POST"),
        }[name]
        with pytest.raises(died):
            web.request(f"/api/orders/{order.id}{path}", body, method=method)
        return order.id
    # The bell is rung beside the answer, so either may come first.
    with pytest.raises(died) if name == "accept" else suppress(*died):
        web.post(slippageBps=5000)
    return str(running.value("SELECT id FROM orders ORDER BY created_at DESC LIMIT 1"))


@pytest.fixture(scope="module")
def left(running: Engine, crashed: dict[str, str]) -> dict[str, Left]:
    """How the orders stood after the deaths."""
    facts = load(running.conninfo)
    assert violations(facts) == []
    return {
        name: Left(
            [str(event.status) for event in facts[order_id].log],
            running.value(STORED, order_id),
            facts[order_id].landings,
        )
        for name, order_id in crashed.items()
    }


@pytest.fixture(scope="module")
def recovered(running: Engine, left: object) -> Engine:
    running.worker()
    running.scheduler()
    running.wait_until_all_ended()
    return running


def test_every_crash_point_is_tried() -> None:
    assert {case.point for case in CASES.values()} | set(LEFT) | RELEASED == set(CRASH_POINTS)


@pytest.mark.parametrize("name", CASES)
def test_a_process_that_died_there_left_this_behind(left: dict[str, Left], name: str) -> None:
    assert left[name] == CASES[name].left


@pytest.mark.parametrize("name", CASES)
def test_an_order_whose_process_died_there_is_executed_once(
    recovered: Engine, crashed: dict[str, str], name: str
) -> None:
    case = CASES[name]
    orders = load(recovered.conninfo, [crashed[name]])

    (order,) = orders.values()
    assert [event.status for event in order.log] == case.log
    assert order.landings == int(case.log[-1] == "confirmed")
    assert order.attempts == case.log.count("routing")
    assert recovered.value(STORED, crashed[name]) == case.log.count("submitted")
    assert violations(orders) == []
