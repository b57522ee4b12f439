"""What the benchmark says of two commits, of processes and of a run's memory is so."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import pytest

from tests.bench import against, steady, wire
from tests.bench.against import CPU, Figure, NotComparable, Turn, compared, print_part
from tests.bench.engine import command_of
from tests.bench.machine import Loop, has_moved, loop, speed_of
from tests.bench.processes import Held, cpu_ms, memory_mb, told
from tests.bench.ratios import Ratios

RATE, COST = Figure("drain", "/s"), Figure("drain: worker", CPU)
SAME, MOVED = Loop(10.0, 10.0), Loop(13.0, 13.0)
CROWDED = Loop(40.0, 10.0)
"""Others use the cores, which are as quick as before."""
BURNS = 0.1  # seconds of CPU
BURNER = f"""
import os, sys, time
for line in sys.stdin:
    child = os.fork()
    if not child:
        while time.process_time() < {BURNS}: pass
        if line == "stay\\n":
            print("burnt", flush=True)
            sys.stdin.readline()
        os._exit(0)
    os.wait()
    print("ended", flush=True)
"""


def turn(first: float, second: float, after: Loop = SAME) -> Turn:
    figures = ({RATE: first, COST: first}, {RATE: second, COST: second})
    return Turn(figures, SAME, after)


@contextmanager
def burner() -> Iterator[tuple[int, Callable[[str], str]]]:
    """A process that has a child burn CPU when it is told to: its id, and how to tell it."""
    command = [sys.executable, "-S", "-c", BURNER]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1) as running:
        told, says = running.stdin, running.stdout
        assert told is not None
        assert says is not None
        yield running.pid, lambda line: _ask(told, says, line)
        told.close()


def _ask(told: IO[str], says: IO[str], line: str) -> str:
    told.write(f"{line}\n")
    return says.readline().strip()


def test_a_machine_has_moved_when_its_loop_took_more_than_a_quarter_longer() -> None:
    assert not has_moved([10.0, 12.5, 11.0])
    assert has_moved([12.6, 11.0, 10.0])


def test_a_run_says_when_the_machine_moved_under_it() -> None:
    assert "compare nothing" in speed_of(SAME, MOVED)
    assert "compare CPU alone" in speed_of(SAME, CROWDED)
    assert "compare" not in speed_of(SAME, SAME)


def test_the_loop_is_measured_by_both_clocks() -> None:
    found = loop()
    assert min(found) > 0


def test_nothing_is_compared_when_the_machine_moved_in_half_of_the_turns() -> None:
    turns = [turn(1, 2, MOVED), turn(1, 2), turn(1, 2, MOVED), turn(1, 2)]
    with pytest.raises(NotComparable, match="more than a quarter in 2 of 4 turns: no CPU is"):
        compared(turns, COST)
    with pytest.raises(NotComparable, match="no rate or time is compared"):
        compared(turns, RATE)


def test_a_refusal_is_one_sentence_and_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert not print_part([turn(1, 2, MOVED)])
    said = capsys.readouterr().out
    assert said.count("The machine's speed moved") == 2  # of CPU, and of rates and times
    assert "x2.00" not in said
    assert print_part([turn(1, 2)])
    assert capsys.readouterr().out.count("x2.00") == 2


def test_where_others_took_the_cores_cpu_is_compared_and_no_rate_is() -> None:
    turns = [turn(1, 2, CROWDED), turn(1, 2, CROWDED), turn(1, 2)]
    assert compared(turns, COST)[2].of_turns == (2, 2, 2)
    with pytest.raises(NotComparable):
        compared(turns, RATE)


def test_a_turn_in_which_the_machine_moved_does_not_count() -> None:
    first, second, ratios = compared([turn(2, 4), turn(1, 9, MOVED), turn(4, 8)], RATE)
    assert (first, second) == (3, 6)
    assert ratios.of_turns == (2, 2)


def test_a_ratio_is_of_the_figures_of_one_turn() -> None:
    ratios = Ratios.of([20.0, 300.0, 1.0], [10.0, 100.0, 1.0])
    assert ratios.of_turns == (2.0, 3.0, 1.0)
    assert ratios.median == 2.0


def test_a_ratios_spread_is_its_middle_half_and_its_ends() -> None:
    ratios = Ratios((5.0, 1.0, 3.0, 2.0, 4.0))
    assert ratios.quartiles == (2.0, 4.0)
    assert str(ratios) == "x3.00  (2.00 .. 4.00; 1.00 .. 5.00)"
    assert Ratios((2.0,)).quartiles == (2.0, 2.0)


def test_what_a_process_used_counts_its_children_that_ended() -> None:
    with burner() as (process_id, ask):
        before = cpu_ms({"it": [process_id]})["it"]
        assert ask("burn") == "ended"
        after = cpu_ms({"it": [process_id]})["it"]
    assert after - before >= BURNS * 900  # the clock of the ended has ticks


def test_a_child_that_ended_between_two_readings_counts_once() -> None:
    with burner() as (process_id, ask):
        assert ask("stay") == "burnt"
        before = cpu_ms({"it": [process_id]})["it"]
        assert before >= BURNS * 1000
        assert ask("end") == "ended"
        after = cpu_ms({"it": [process_id]})["it"]
    assert -20 < after - before < BURNS * 500


def test_a_process_that_is_gone_costs_and_holds_nothing() -> None:
    with burner() as (process_id, _):
        pass
    assert cpu_ms({"it": [process_id]}) == {"it": 0}
    assert memory_mb({"it": [process_id]}) == {"it": Held(0, 0)}


def test_costs_are_told_by_process_and_in_all() -> None:
    costs = {"web": 50.0, "Redis": 10.0, "all": 60.0}
    assert told(costs, 100) == "web 0.50 + Redis 0.10 = 0.60 ms CPU"


def test_memory_that_grows_in_the_second_half_is_told() -> None:
    middle = {"web": Held(100, 120), "worker": Held(100, 120), "Redis": Held(5, 10)}
    end = {"web": Held(109, 130), "worker": Held(111, 130), "Redis": Held(9, 14)}
    assert steady.grown(middle, end) == ["worker grew from 100 to 111 MB in the second half"]
    assert steady.grown({"PostgreSQL": Held(50, 60)}, {"PostgreSQL": Held(150, 160)}) == []


def test_a_machine_that_does_not_keep_up_is_told() -> None:
    readings = [steady.Reading(in_flight, {}) for in_flight in (5_000, 5_900, 6_100)]
    assert steady.overrun(readings[:2]) == []
    (said,) = steady.overrun(readings)
    assert said == "the machine did not keep up: in flight were 5,000, and 6,100 at the end"


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (wire.arguments, ["--orders", "0"]),
        (wire.arguments, ["--url", "ftp://localhost"]),
        (wire.arguments, ["--url", "http://localhost:port"]),
        (wire.arguments, ["--body", "{"]),
        (wire.arguments, ["--header", "nothing"]),
        (wire.arguments, ["--nonsense"]),
        (against.arguments, []),
        (against.arguments, ["no-such-commit"]),
        (against.arguments, ["HEAD", "--parts", "z"]),
        (steady.arguments, ["--seconds", "five"]),
        (steady.arguments, ["--open", "-1"]),
    ],
)
def test_a_wrong_argument_is_one_sentence_and_exit_code_2(
    read: Callable[[Sequence[str]], object],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith(".\n")


def test_another_interpreter_runs_every_kind_of_process() -> None:
    for kind in ("release", "web", "worker", "scheduler"):
        assert command_of(kind, python="/other/python")[0] == "/other/python"
