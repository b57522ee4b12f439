"""Positions in the log, and their texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.streams.cursor import Position, UnknownCursor, name_of

HERE = name_of("1/5")


@st.composite
def positions(draw: st.DrawFn) -> Position:
    following = draw(st.integers(1, 60))
    running = draw(st.frozensets(st.integers(1, following - 1) if following > 1 else st.nothing()))
    return Position(HERE, following, running)


@given(positions())
def test_a_cursor_is_read_back(position: Position) -> None:
    assert Position.of_cursor(position.as_cursor()) == position


@given(positions(), positions())
def test_a_position_covers_another_if_it_was_told_all_that_the_other_was(
    one: Position, two: Position
) -> None:
    told = [{number for number in range(1, 61) if of.has_told(number)} for of in (one, two)]
    assert one.covers(two) == (told[0] >= told[1] and one.following >= two.following)


@given(positions(), st.integers(1, 60))
def test_a_position_up_to_a_transaction_was_told_no_later_one(
    position: Position, last: int
) -> None:
    part = position.up_to(min(last, position.following - 1))
    for number in range(1, 61):
        assert part.has_told(number) == (position.has_told(number) and number <= last)


def test_a_snapshot_is_read_as_postgresql_writes_it() -> None:
    read = Position.of_snapshot("1/5", "10:20:10,14,15", "a")
    assert read == Position(HERE, 20, frozenset({10, 14, 15}), "a")
    assert Position.of_snapshot("1/5", "20:20:", "a") == Position(HERE, 20, frozenset(), "a")


def test_what_one_lifetime_of_the_server_has_seen_is_not_covered_by_the_next() -> None:
    before, after = (Position(HERE, 20, frozenset(), lifetime) for lifetime in "ab")
    assert before.covers(before)
    assert not after.covers(before)
    assert after.covers(before.up_to(19)), "which was committed"


def test_nothing_of_another_database_is_covered() -> None:
    assert not Position(HERE, 9, frozenset()).covers(Position(name_of("1/6"), 5, frozenset()))


@pytest.mark.parametrize(
    "text",
    ["", "x", f"{HERE}", f"{HERE}.", f"{HERE}.-1", f"{HERE}.5.", f"{HERE}.5.6", f"{HERE}.5.0",
     f"{HERE}.99999999999999999999", f"{HERE}.9223372036854775808", f"{HERE}.5.1-",
     f"{HERE}.5." + "-".join(["1"] * 2_001), f"{HERE.upper()}.5 ", "'; DROP TABLE orders",
     f"{HERE}.\u0665"],
)  # fmt: skip
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(UnknownCursor):
        Position.of_cursor(text)
