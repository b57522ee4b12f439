"""The verdict follows the rules of the alarms, and says what heals itself."""

import re
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.utils import timezone

from config.environment.data_folder import PROJECT
from orders.monitoring import verdict as rules
from orders.monitoring.engine_status import EngineStatus
from orders.monitoring.minutes import Minute
from orders.monitoring.operations import Failure, Flagged, Leases, Operations, Postgres, Step
from orders.monitoring.processes import Process
from orders.monitoring.verdict import findings, verdict

OBSERVABILITY = (PROJECT / "docs/observability.md").read_text()
TROUBLESHOOTING = (PROJECT / "docs/troubleshooting.md").read_text()
WELL = {"status": "ok", "state": "active", "database": "ok", "redis": "ok", "worker": "ok"}
ALIVE = {"release": "abc1234", "orders_carried": 9, "orders_put_down": 3}
NOW = timezone.now()


def process(kind: str, heard: float = 1.0, name: str = "", **counts: Any) -> Process:
    return Process(name or f"{kind}:1", kind, heard, ALIVE | counts)


def minute(**figures: Any) -> Minute:
    known = {"accepted": 9, "p50": 2.0, "p95": 3.0, "p99": 4.0, "streams": 1}
    at = int(NOW.timestamp()) // 60 * 60 - 60
    return Minute(at, **known | {"confirmed": 9, "failed": 0, "hints": 90} | figures)


def engine(**known: Any) -> EngineStatus:
    health = WELL | known.pop("health", {})
    found = {"waiting": 0, "in_flight": 0, "resting": 0, "budget": 100, "oldest_waiting": None}
    return EngineStatus(health, **found | known, last_hour={})


def operations(**known: Any) -> Operations:
    found: dict[str, Any] = {
        **{"as_of": NOW, "engine": engine(), "steps": {"routing": Step(1, 0.1, 0.0)}},
        **{"leases": Leases(0, 0, None, 0), "minutes": (minute(),), "outcomes": ()},
        "processes": (process("worker"), process("web"), process("scheduler")),
        "postgres": Postgres("18.4", 1.0, 1, 200, None, 0.1),
        **{"redis": None, "failures": (), "flagged": (), "deeds": ()},
        **{"tick_age": 0.5, "ticks_behind": 0, "halted_by": "", "halted_why": ""},
    }
    return Operations(**found | known)


SCHEDULER, WEB = process("scheduler"), process("web")
FLAG = Flagged(uuid4(), None, None)
CASES: dict[str, dict[str, Any]] = {
    "EngineHalted": {"engine": engine(health={"state": "halted"}), "halted_by": "ada"},
    "EngineNoWorker": {"engine": engine(health={"worker": "down"}), "processes": (SCHEDULER,)},
    "EngineNoScheduler": {"processes": (process("worker"), WEB)},
    "EnginePricesStop": {"engine": engine(resting=3), "tick_age": 16.0},
    "EngineWorkerSilent": {
        "processes": (process("worker", 14.0, "core-2:1"), process("worker"), SCHEDULER)
    },
    "EngineRedisAway": {"engine": engine(health={"redis": "down"})},
    "EngineOrdersFail": {
        "minutes": (minute(confirmed=7, failed=3),),
        "failures": (Failure("slippage_exceeded", 3, 3),),
    },
    "EngineBacklogAges": {"engine": engine(waiting=4, oldest_waiting=61.0, budget=0)},
    "EngineSlow": {"minutes": (minute(p95=31.0),)},
    "EngineLosesWorkers": {"minutes": (minute(taken_over=4),)},
    "EngineTriggersLate": {"ticks_behind": 11},
    "EngineLosesHints": {"minutes": (minute(resynced=10, hints=90),)},
    "EngineNeedsAPerson": {"flagged": (FLAG,)},
    "EngineMixedReleases": {
        "processes": (process("worker"), process("web", release="def5678"), SCHEDULER)
    },
}


def test_an_engine_that_is_well_says_so() -> None:
    assert findings(operations()) == []
    assert verdict(operations()) is rules.WELL


@pytest.mark.parametrize("name", CASES)
def test_each_fault_is_found_and_named_alone(name: str) -> None:
    found = findings(operations(**CASES[name]))
    assert [finding.name for finding in found] == [name]
    assert found[0].text


@pytest.mark.parametrize(
    "known",
    [
        {"engine": engine(resting=0), "tick_age": 60.0},  # nothing rests
        {"engine": engine(waiting=4, oldest_waiting=60.0)},
        {"minutes": (minute(confirmed=1, failed=1),)},  # too few for a share
        {"minutes": (minute(confirmed=8, failed=2),)},
        {"minutes": (minute(taken_over=3),)},
        {"flagged": (Flagged(FLAG.order_id, "ada", 3.0),)},  # a person has seen it
        {"processes": (process("worker", 700.0), process("worker"), SCHEDULER)},  # stopped
        {"minutes": ()},
    ],
)
def test_what_is_no_fault_is_not_told(known: dict[str, Any]) -> None:
    assert findings(operations(**known)) == []


def test_what_keeps_people_from_trading_comes_first() -> None:
    known: dict[str, Any] = {}
    for name in reversed(CASES):
        known |= CASES[name]
    assert verdict(operations(**known)).name == "EngineHalted"
    known["engine"] = engine(health={"worker": "down", "redis": "down"}, resting=1)
    assert verdict(operations(**known)).name == "EngineNoWorker"


def test_a_silent_worker_is_told_with_its_orders_and_who_takes_them() -> None:
    known = CASES["EngineWorkerSilent"] | {"leases": Leases(0, 6, 2.2, 0)}
    found = verdict(operations(**known))
    assert found.title == "Degraded: 1 of 2 workers is gone"
    assert found.text == (
        "core-2:1 was last heard 14 s ago with 6 orders. Its leases end in 2 s; worker:1 takes"
        " them over by itself. Nothing is lost, no order is sent twice."
    )


def test_each_alarm_has_a_rule_and_each_rule_says_what_to_do() -> None:
    block = next(
        found
        for found in re.findall(r"```yaml\n(.*?)```", OBSERVABILITY, re.S)
        if "alert:" in found
    )
    alarms = {rule["alert"] for rule in yaml.safe_load(block)["groups"][0]["rules"]}
    without_a_page = {"EngineDatabaseDown"}  # there is no page without the database
    assert alarms - without_a_page <= CASES.keys()
    headings = set(re.findall(r"^### (\w+)$", TROUBLESHOOTING, re.M))
    assert CASES.keys() | without_a_page == headings
