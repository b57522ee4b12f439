"""A promise of time is eased by the work of strangers alone, never by the engine's own."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import machine
from tests.support.machine import ON_A_BUSY_MACHINE, Watch

TICK = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1
CHILD, GRANDCHILD, STRANGER = 900_001, 900_002, 900_003


class Machine:
    """What the system tells of a machine's cores, and its clock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used = {CHILD: 0.0, GRANDCHILD: 0.0, STRANGER: 0.0}
        self.now = 0.0
        self._write()

    def passes(self, seconds: float, **used: float) -> None:
        """Let time pass in which processes use so many seconds of the cores."""
        self.now += seconds
        for name, more in used.items():
            self._used[globals()[name]] += more
        self._write()

    def _write(self) -> None:
        all_of_it = int(sum(self._used.values()) * TICK)
        (self._folder / "stat").write_text(f"cpu  {all_of_it} 0 0 0 0 0 0 0 0 0\n")
        parents = {CHILD: os.getppid(), GRANDCHILD: CHILD, STRANGER: 1}
        for process, parent in parents.items():
            ticks = int(self._used[process] * TICK)
            place = self._folder / str(process)
            place.mkdir(exist_ok=True)
            words = f"S {parent} {'0 ' * 9}{ticks} 0 0 0"
            (place / "stat").write_text(f"{process} (a (b) c) {words}")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    monkeypatch.setattr(machine, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_a_promise_is_held_to_its_seconds_where_nobody_else_works(host: Machine) -> None:
    watch = Watch()
    host.passes(2.0)
    watch.assert_within(2.1)
    with pytest.raises(AssertionError, match=r"the answer took 2\.00 s; allowed are 1\.90 s"):
        watch.assert_within(1.9, "the answer")


def test_what_the_run_itself_burns_eases_no_promise(host: Machine) -> None:
    watch = Watch()
    host.passes(2.0, CHILD=CORES, GRANDCHILD=CORES)
    assert watch.share_of_others() == 0
    assert watch.allowed(1.0) == 1.0


@pytest.mark.parametrize(("share", "times"), [(0.19, 1.0), (0.21, ON_A_BUSY_MACHINE)])
def test_a_promise_is_eased_where_strangers_have_more_than_a_fifth_of_the_cores(
    host: Machine, share: float, times: float
) -> None:
    watch = Watch()
    host.passes(10.0, STRANGER=10 * CORES * share, CHILD=CORES)
    assert watch.share_of_others() == pytest.approx(share, abs=0.01)
    assert watch.allowed(1.0) == times


def test_what_strangers_did_before_eases_nothing(host: Machine) -> None:
    host.passes(10.0, STRANGER=10 * CORES)
    watch = Watch()
    host.passes(1.0)
    assert watch.allowed(1.0) == 1.0
