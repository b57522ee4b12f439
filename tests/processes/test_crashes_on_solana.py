"""An order with a real transaction, killed at each gap between two effects and carried on."""

import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from config.celery import app
from orders.engine import bell
from tests.support.engine import Engine, Process
from tests.support.on_solana import Cluster, Judgement, cluster_process, engine_on, judge
from tests.support.samples import new_order

BUILT = ["pending", "routing", "building"]
STRAIGHT = [*BUILT, "submitted", "confirmed"]
ANOTHER = ["pending", "routing", *STRAIGHT]
SENT_TWICE = [*STRAIGHT[:4], *STRAIGHT]
AWAY, DROPS = "away", "drops"
"""Nodes that answer nothing, and that lose what is sent to them."""


class Case(NamedTuple):
    """A death at a point, on a node with a fault or on those of all, and the log at the end."""

    point: str
    log: list[str] = STRAIGHT
    node: str = ""


CASES = {
    "claim": Case("after_claim"),
    "quotes": Case("after_quotes"),
    "building": Case("after_building"),
    "build": Case("after_build"),
    "submitted": Case("after_submitted"),
    "send": Case("after_send"),
    "fill seen": Case("after_fill_seen"),
    "confirmed": Case("after_confirmed"),
    "fault of the venues": Case("after_fault", node=AWAY),
    "attempt over": Case("after_attempt", ANOTHER, AWAY),
    "proof of death": Case("after_fault", SENT_TWICE, DROPS),
    "transaction dead": Case("after_attempt", SENT_TWICE, DROPS),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_process(tmp_path_factory.mktemp("chain")) as found:
        found.set_faults(AWAY, {"kind": "unavailable"})
        found.set_faults(DROPS, {"kind": "drop"})
        yield found


@pytest.fixture(scope="module")
def running(
    cluster: Cluster, process_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    logs = tmp_path_factory.mktemp("crashes-on-solana")
    # No worker looks for itself: each has the order it is rung for, and dies of that.
    deaf = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "SWITCHES": "look"}
    with engine_on(cluster, process_database, logs, **deaf) as found:
        yield found


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> Counter[str]:
    return cluster.holdings()


@pytest.fixture(scope="module")
def crashed(running: Engine, cluster: Cluster, before: Counter[str]) -> Mapping[str, str]:
    """One worker died in each case; returns the id of the order it had, by case."""
    orders = {name: new_order(slippage_bps=5000) for name in CASES}
    running.store(*orders.values())
    dying: list[Process] = []
    for name, order in orders.items():
        case = CASES[name]
        faulty = {"SOLANA_RPC_URLS": cluster.node(case.node)} if case.node else {}
        dying.append(running.worker("-Q", name, CRASH_AT=case.point, **faulty))
        app.send_task(bell.EXECUTE_ONE, kwargs={"order_id": order.id}, queue=name)
    for process in dying:
        assert process.wait() == -signal.SIGKILL, process.output
    return {name: str(order.id) for name, order in orders.items()}


@pytest.fixture(scope="module")
def judged(
    running: Engine, cluster: Cluster, before: Counter[str], crashed: Mapping[str, str]
) -> Judgement:
    running.worker()
    running.scheduler()
    running.wait_until_all_ended()
    return judge(running, cluster, before)


def test_each_order_has_traded_once_and_the_wallet_has_the_sum_to_the_lamport(
    judged: Judgement,
) -> None:
    assert judged.statuses == {"confirmed": len(CASES)}
    assert judged.landed == len(CASES)


@pytest.mark.parametrize("name", CASES)
def test_an_order_whose_worker_died_there_went_this_way(
    running: Engine, judged: Judgement, crashed: Mapping[str, str], name: str
) -> None:
    log = "SELECT status FROM order_events WHERE order_id = %s ORDER BY seq"
    went = [status for (status,) in running.query(log, crashed[name])]
    # What was not sent before the death may have expired meanwhile.
    assert went in ([CASES[name].log, SENT_TWICE] if name == "submitted" else [CASES[name].log])
