import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.solana.transactions.costs import FeePolicy, costs_of, percentile
from tests.routing.solana.trades import TIP

POLICY = FeePolicy(least_price=1_000, most_lamports=100_000)


@pytest.mark.parametrize(
    ("numbers", "percent", "expected"),
    [
        ([], 75, 0),
        ([7], 75, 7),
        ([4, 1, 3, 2], 75, 3),
        ([4, 1, 3, 2], 76, 4),
        ([4, 1, 3, 2], 0, 1),
        ([4, 1, 3, 2], 100, 4),
    ],
)
def test_the_percentile_is_one_of_the_numbers(
    numbers: list[int], percent: int, expected: int
) -> None:
    assert percentile(numbers, percent) == expected


def test_the_limit_is_what_was_used_and_a_fifth_more() -> None:
    assert costs_of(40_000, [], POLICY).unit_limit == 49_000
    assert costs_of(1_390_000, [], POLICY).unit_limit == 1_400_000
    assert costs_of(40_000, [], POLICY, tip=TIP).tip == TIP


def test_the_price_follows_what_others_paid_and_doubles_with_each_attempt() -> None:
    paid = [2_000, 4_000, 6_000, 8_000]

    assert costs_of(40_000, paid, POLICY).unit_price == 6_000
    assert costs_of(40_000, [], POLICY).unit_price == 1_000
    assert costs_of(40_000, paid, POLICY, attempt=3).unit_price == 24_000


@given(st.integers(1, 1_400_000), st.lists(st.integers(1, 10**12)), st.integers(1, 9))
def test_no_transaction_pays_more_than_the_limit(units: int, paid: list[int], attempt: int) -> None:
    assert costs_of(units, paid, POLICY, attempt=attempt).priority_fee <= POLICY.most_lamports
