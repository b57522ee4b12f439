"""What docs/reliability.md and its evidence name is what there is."""

import json
import re
from typing import Any

import pytest

from config.environment.data_folder import PROJECT
from orders.engine.crash_points import CRASH_POINTS
from routing.simulation.faults import FAULTS
from tests.chaos.kinds import KINDS
from tests.chaos.stack import EVERY_NETWORK_FAULT
from tests.chaos.verdict import Verdict

PROMISES = (PROJECT / "docs/reliability.md").read_text()
PAGE = (PROJECT / "docs/reliability-evidence.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))
LINES = [json.loads(line) for line in (PROJECT / "docs/chaos-runs.jsonl").read_text().splitlines()]
"""What each run printed: the page has a row for each."""
RUNS = (
    "seed | orders stored | lost | doubled | gaps | wrong transcripts | mis-told | drain, s"
    " | restarts | POSTs sent again | longest answer, s | longest until orders went on, s"
)
ABLATIONS = (
    "without | seed | orders answered | lost | doubled | wrong transcripts | other | mis-told"
    " | answers of 500 | refused by constraints | drain, s"
)
SHOWN_OF_RUNS = (
    *("seed", "accepted", "lost", "doubled", "gaps", "wrong_transcripts", "mis_told"),
    *("drain_seconds", "restarts", "retried_posts"),
)
SHOWN_OF_ABLATIONS = (
    *("seed", "answered", "lost", "doubled", "wrong_transcripts", "other", "mis_told"),
    *("internal_errors", "refused_by_constraints", "drain_seconds"),
)
LINK_TO_A_TEST = re.compile(r"\[test\]\(\.\./(tests/[\w/]+\.py) \"(test_\w+)\"\)")


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


def test_every_promise_is_one_sentence_with_the_test_that_holds_it() -> None:
    (table,) = re.findall(r"^\| promise \| held by \|\n\|[-|]+\|\n((?:\|.*\n)+)", PROMISES, re.M)
    rows = str(table).splitlines()

    assert len(rows) >= len(rows_under("promise | how it is kept | held by"))
    for row in rows:
        _, promise, held, _ = row.split("|")
        assert re.fullmatch(r" [A-Z][^.]*(?:1\.\.n[^.]*)?\. ", promise), row
        assert len(LINK_TO_A_TEST.findall(held)) == 1, row


def test_every_kind_of_fault_is_explained_and_no_other() -> None:
    rows = rows_under("fault | what it does")
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(explained) == sorted(KINDS)


def test_every_case_has_its_row() -> None:
    rows = rows_under("# | case | held by")
    cases = [int(number) for row in rows for number in row.split("|")[1].split(", ")]
    assert cases == list(range(1, 26))


def test_every_run_has_its_row_and_no_other() -> None:
    rows = [row for heading in (RUNS, ABLATIONS) for row in rows_under(heading)]
    assert rows == [row_of(line) for line in sorted(LINES, key=lambda line: bool(line["without"]))]


def row_of(line: dict[str, Any]) -> str:
    """Return a run's row: copy it from here when the runs are made anew."""
    if line["without"]:
        names = " ".join(f"`{name}`" for name in line["without"])
        shown = [names, *(line.get(name) for name in SHOWN_OF_ABLATIONS)]
    else:
        worst = [line[name][1] for name in ("answer_seconds", "went_on_seconds")]
        shown = [*(line[name] for name in SHOWN_OF_RUNS), *worst]
    return f"| {' | '.join(cell(value) for value in shown)} |"


def cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


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
