import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.simulation.price import LIMIT, MILLION, deviation, noise, seeded_walk

NOW = 1_760_000_000
times = st.integers(0, 2**33)


@given(st.text(max_size=5), times, st.integers(0, 5_000))
def test_a_price_stays_near_its_reference(seed: str, now: int, volatility: int) -> None:
    assert abs(seeded_walk(seed, volatility)("mint", now) - MILLION) <= LIMIT


@given(times)
def test_the_same_seed_gives_the_same_price_everywhere(now: int) -> None:
    assert seeded_walk("7", 200)("mint", now) == seeded_walk("7", 200)("mint", now)


def test_another_seed_and_another_token_have_another_price() -> None:
    walk = [seeded_walk(seed, 200)(mint, NOW) for seed in "12" for mint in ("one", "other")]
    assert len(set(walk)) == 4


@pytest.mark.parametrize(("volatility", "stable"), [(0, frozenset()), (200, frozenset({"mint"}))])
def test_a_price_may_stand_still(volatility: int, stable: frozenset[str]) -> None:
    walk = seeded_walk("7", volatility, stable)
    assert {walk("mint", now) for now in range(NOW, NOW + 5_000)} == {MILLION}


@pytest.mark.parametrize("seconds", [1, 16, 256])
def test_a_price_goes_as_far_as_a_random_walk(seconds: int) -> None:
    """Within a factor of two of volatility * sqrt(seconds), in the mean square."""
    walk = seeded_walk("7", 200)
    starts = range(NOW, NOW + 40 * 2_000, 40)
    squares = [(walk("mint", now + seconds) - walk("mint", now)) ** 2 for now in starts]
    moved = (sum(squares) / len(squares)) ** 0.5
    assert 0.5 < moved / (200 * seconds**0.5) < 2


def test_a_venue_visits_all_of_its_range_and_nothing_else() -> None:
    seen = [deviation("7:raydium", 980_000, 1_020_000, NOW + 60 * n) for n in range(4_000)]
    assert 980_000 <= min(seen) < 980_500
    assert 1_019_500 < max(seen) <= 1_020_000


@given(st.sampled_from([1, 2, 120, 4096]), times)
def test_noise_never_jumps(period: int, now: int) -> None:
    """A second's step is at most the steepest of the smooth curve between the two ends."""
    step = abs(noise("7", period, now + 1) - noise("7", period, now))
    assert step <= 2 * MILLION * 3 // (2 * period) + 2 if period > 1 else step <= 2 * MILLION
