"""A TWAP's slots do not drift, and its slices add up to the atom."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orders.terms.slicing import (
    SKIP,
    SPREAD,
    End,
    LastSlice,
    Plan,
    Progress,
    Slice,
    Step,
    Wait,
    most_slices,
    next_step,
)

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def plan_of(total=1_000_003, slices=100, interval=60, catch_up=SPREAD):
    return Plan(total, slices, timedelta(seconds=interval), START, catch_up)


class Run:
    """Plays a TWAP on: each slice fills at once unless it is told otherwise."""

    def __init__(self, plan: Plan, minimum: int = 0) -> None:
        self.plan, self.minimum = plan, minimum
        self.progress = Progress()
        self.made: list[Slice] = []
        self.ended: End | None = None

    def look(self, at: datetime, *, fills: bool = True, is_halted: bool = False) -> Step:
        step = next_step(self.plan, self.progress, at, minimum=self.minimum, is_halted=is_halted)
        if isinstance(step, Slice):
            self.made.append(step)
            filled = self.progress.filled + step.amount * fills
            self.progress = Progress(filled, LastSlice(step.slot, fills))
        elif isinstance(step, End):
            self.ended = step
        return step

    def run(self, slots, **how) -> "Run":
        for slot in slots:
            self.look(self.plan.due_at(slot), **how)
        return self

    @property
    def amounts(self) -> list[int]:
        return [one.amount for one in self.made]


def test_a_grid_of_100_slots_does_not_drift_when_every_slice_is_late():
    plan = plan_of()
    run = Run(plan)
    at, late = START, timedelta(milliseconds=730)

    while not run.ended:
        step = run.look(at)
        if isinstance(step, Slice):
            due = START + step.slot * timedelta(seconds=60)
            assert due <= at < due + SECOND
            assert step.until <= plan.due_at(step.slot + 1)
        at = getattr(step, "until", at) + late

    assert [one.slot for one in run.made] == list(range(100))
    assert sum(run.amounts) == plan.total
    assert run.ended == End(is_cancelled=False, is_complete=True)


def test_stopped_for_7_slots_there_is_no_burst_and_the_sum_is_exact_to_the_atom():
    plan = plan_of(total=1_000_003, slices=20)
    run = Run(plan).run([*range(5), *range(12, 20)])

    assert run.made[5].missed == list(range(5, 12))
    assert max(run.amounts) <= plan.cap
    assert max(run.amounts[5:]) - min(run.amounts[5:]) <= 1
    assert sum(run.amounts) == 1_000_003


def test_what_was_missed_is_capped_at_three_shares_a_slice():
    run = Run(plan_of(total=1_000, slices=10)).run([8, 9])

    assert run.amounts == [300, 300]
    assert run.look(run.plan.due_at(10)) == End(is_cancelled=False, is_complete=False)


def test_what_cannot_be_divided_is_in_the_first_slices():
    assert Run(plan_of(total=1_001, slices=3)).run(range(3)).amounts == [334, 334, 333]


def test_skip_leaves_undone_what_was_missed():
    run = Run(plan_of(total=1_003, slices=10, catch_up=SKIP)).run([0, 1, 7, 8, 9])

    assert run.amounts == [101, 101, 100, 100, 100]
    assert run.look(run.plan.due_at(10)) == End(is_cancelled=False, is_complete=False)


def test_skip_without_a_missed_slot_trades_everything():
    run = Run(plan_of(total=1_003, slices=10, catch_up=SKIP)).run(range(10))

    assert sum(run.amounts) == 1_003


def test_a_slice_that_was_not_filled_stays_in_what_remains():
    run = Run(plan_of(total=1_000, slices=10)).run(range(3), fills=False).run(range(3, 10))

    assert run.made[1].missed == [0]
    assert run.made[3].missed == [2]
    assert sum(run.amounts[3:]) == 1_000


def test_while_a_slice_is_on_its_way_there_is_no_other():
    plan = plan_of()
    on_its_way = Progress(0, LastSlice(0, is_filled=False), is_on_its_way=True)

    assert isinstance(next_step(plan, on_its_way, plan.due_at(1)), Wait)
    late = plan.due_at(2) - SECOND
    step = next_step(plan, on_its_way._replace(is_on_its_way=False), late)
    assert isinstance(step, Slice)
    assert step.slot == 1


def test_the_last_slice_may_come_one_interval_later_and_not_after():
    plan = plan_of(slices=10)
    before = Progress(plan.total // 2, LastSlice(8, is_filled=True))

    assert isinstance(next_step(plan, before, plan.due_at(10) - SECOND), Slice)
    assert next_step(plan, before, plan.due_at(10)) == End(False, False)


def test_a_cancelled_one_makes_no_slice_and_ends_when_its_slice_has():
    plan = plan_of()
    waiting = Progress(5, LastSlice(0, False), is_on_its_way=True, is_cancelled=True)

    assert isinstance(next_step(plan, waiting, plan.due_at(1)), Wait)
    ended = next_step(plan, waiting._replace(is_on_its_way=False), plan.due_at(1))
    assert ended == End(is_cancelled=True, is_complete=False)


def test_halted_nothing_is_sliced_and_the_slots_are_missed():
    plan = plan_of()
    run = Run(plan).run([0]).run([1, 2, 3], is_halted=True).run([4])

    assert [one.slot for one in run.made] == [0, 4]
    assert run.made[1].missed == [1, 2, 3]


def test_before_it_starts_it_waits_for_its_first_slot():
    assert next_step(plan_of(), Progress(), START - timedelta(days=3)) == Wait(START)


def test_a_last_remainder_below_the_minimum_is_added_to_the_slice_before():
    plan = plan_of(total=1_000, slices=4)
    run = Run(plan, minimum=260).run(range(4))

    assert run.amounts == [260, 260, 480]
    assert run.ended == End(is_cancelled=False, is_complete=True)


def test_the_largest_number_of_slices_keeps_each_at_the_minimum():
    assert most_slices(1_000, 33) == 30
    assert plan_of(1_000, 30).share(29) >= 33
    assert plan_of(1_000, 31).share(30) < 33
    assert most_slices(10, 33) == 0


@given(
    total=st.integers(1_000, 2**62),
    slices=st.integers(2, 1_000),
    catch_up=st.sampled_from([SPREAD, SKIP]),
    minimum=st.integers(0, 3),
    data=st.data(),
)
def test_slices_never_exceed_the_total_or_the_cap_whatever_is_missed_or_fails(
    total, slices, catch_up, minimum, data
):
    run = Run(plan_of(total, slices, catch_up=catch_up), minimum)
    slots = sorted(data.draw(st.sets(st.integers(0, slices - 1), max_size=20)))
    for slot in slots:
        run.look(run.plan.due_at(slot), fills=data.draw(st.booleans()))

    assert run.progress.filled <= total
    assert all(0 < amount <= run.plan.cap for amount in run.amounts)
    told = {slot for one in run.made for slot in [*one.missed, one.slot]}
    assert told == set(range(run.made[-1].slot + 1 if run.made else 0))


@given(
    total=st.integers(1_000, 2**62),
    slices=st.integers(2, 300),
    catch_up=st.sampled_from([SPREAD, SKIP]),
)
def test_without_a_missed_slot_the_sum_is_exact_and_slices_differ_by_an_atom(
    total, slices, catch_up
):
    run = Run(plan_of(total, slices, catch_up=catch_up)).run(range(slices))

    assert sum(run.amounts) == total
    assert max(run.amounts) - min(run.amounts) <= 1
