"""What docs/reliability.md names is what there is."""

import json
import re

import pytest

from config.environment.data_folder import PROJECT
from orders.engine.crash_points import CRASH_POINTS
from routing.simulation.faults import FAULTS
from tests.chaos.kinds import KINDS
from tests.chaos.stack import EVERY_NETWORK_FAULT
from tests.chaos.verdict import Verdict

PAGE = (PROJECT / "docs/reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))
LINES = [json.loads(line) for line in re.findall(r"^\{.*\}$", PAGE, re.MULTILINE)]


def rows_under(heading: str) -> list[str]:
    """Return the rows of the table with this heading."""
    pattern = rf"^\| {re.escape(heading)} \|\n\|[-|]+\|\n((?:\|.*\n)+)"
    (table,) = re.findall(pattern, PAGE, re.MULTILINE)
    return str(table).splitlines()


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    defined = re.findall(r"^(?:async )?def (test_\w+)", (PROJECT / file).read_text(), re.MULTILINE)
    assert test in defined


def test_no_test_is_named_without_its_file() -> None:
    alone = set(re.findall(r"`(test_\w+)`", PAGE))
    assert alone == set()
    assert len(NAMED) > 25


def test_every_kind_of_fault_is_explained_and_no_other() -> None:
    rows = rows_under("fault | what it does")
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(KINDS)


def test_every_case_has_its_row() -> None:
    rows = re.findall(r"^\| (\d+(?:, \d+)?) \|", PAGE, re.MULTILINE)
    cases = [int(number) for row in rows for number in row.split(", ")]
    assert cases == list(range(1, 26))


def test_every_fault_of_the_network_is_on_in_a_run() -> None:
    assert set(EVERY_NETWORK_FAULT) == set(FAULTS)
    assert all(rate > 0 for rate in EVERY_NETWORK_FAULT.values())


def test_the_runs_that_are_shown_were_long_and_broke_nothing() -> None:
    whole = [line for line in LINES if not line["without"]]
    assert len({line["seed"] for line in whole}) >= 7
    for line in whole:
        assert Verdict(**line).broken == []
        assert line["accepted"] >= line["answered"] == 1000
        assert line["faults"] >= 100
        assert line["drain_seconds"] <= 30


def test_the_ablations_that_are_shown_broke_something() -> None:
    ablated = [line for line in LINES if line["without"]]
    assert {name for line in ablated for name in line["without"]} >= {
        "scheduler",
        "fencing",
        "resync",
        "deadline",
        "look",
        "fitness",
        "outcome",
    }
    for line in ablated:
        assert Verdict(**line).broken != []


def test_there_are_as_many_crash_points_as_are_described() -> None:
    rows = rows_under("died | left behind | then")
    described = [part for row in rows for part in row.split("|")[1].split(";")]
    assert len(described) == len(CRASH_POINTS)
