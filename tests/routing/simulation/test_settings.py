from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.base58 import base58
from routing.simulation.faults import Faults
from routing.simulation.settings import VENUES, Simulation, read_faults, read_price_ranges
from routing.venues import SIMULATED_VENUES, simulated_exchange


def test_faults_are_read_by_name_and_a_venues_own_wins() -> None:
    faults = Faults.parse(" raydium.quote_timeout=1, quote_timeout=0.5 ,send_dropped=0.2,")

    assert faults.rate("quote_timeout", "raydium") == 1
    assert faults.rate("quote_timeout", "meteora") == 0.5
    assert faults.rate("send_dropped") == 0.2
    assert faults.rate("reply_lost") == 0
    assert Faults.parse("") == Faults()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quote_timeuot=1", "unknown fault 'quote_timeuot'; known are quote_timeout"),
        ("quote_timeout", "needs a probability from 0 to 1"),
        ("quote_timeout=2", "needs a probability from 0 to 1"),
        ("quote_timeout=-0.1", "needs a probability from 0 to 1"),
        ("quote_timeout=nan", "needs a probability from 0 to 1"),
        ("quote_timeout=often", "needs a probability from 0 to 1"),
        ("raydium.send_dropped=1", "is the network's"),
    ],
)
def test_a_wrong_fault_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faults.parse(text)


@pytest.mark.parametrize(
    "simulation",
    [
        Simulation(faults=Faults.parse("nowhere.quote_refused=1")),
        Simulation(price_ranges={"nowhere": (Decimal(1), Decimal(1))}),
    ],
)
def test_an_unknown_venue_is_named(simulation: Simulation) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        simulated_exchange("", simulation)


def test_ranges_of_prices_are_read_by_venue() -> None:
    assert read_price_ranges("raydium=0.98-1.02, meteora=1") == {
        "raydium": (Decimal("0.98"), Decimal("1.02")),
        "meteora": (Decimal(1), Decimal(1)),
    }


@pytest.mark.parametrize(
    "text",
    [
        *("raydium", "raydium=1.02-0.98", "raydium=nan", "raydium=1e3", "raydium=0", "=1"),
        *("nowhere=1", "raydium=1-", "raydium=-1", "raydium=1-2-3", "raydium=1;meteora=1", ""),
    ],
)
def test_ranges_of_prices_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="raydium"):
        read_price_ranges(text)


def test_faults_are_those_of_venues_that_there_are() -> None:
    assert read_faults("price_moved=0.1") == Faults((("price_moved", 0.1),))
    with pytest.raises(ValueError, match="nowhere"):
        read_faults("nowhere.quote_refused=1")


def test_the_venues_of_the_settings_are_all_that_there_are() -> None:
    assert tuple(venue.name for venue in SIMULATED_VENUES) == VENUES


@pytest.mark.parametrize(
    "wrong",
    [
        {"quote_latency": -1},
        {"quote_latency": float("nan")},
        {"landing_latency": (3, 2)},
        {"landing_latency": (1, float("inf"))},
        {"block_seconds": 0},
        {"expiry_blocks": 0},
        {"depth": 0},
        {"volatility_bps": Decimal(-1)},
        {"volatility_bps": Decimal(51)},
        {"volatility_bps": Decimal("nan")},
    ],
)
def test_a_simulation_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|not negative"):
        Simulation(**wrong)


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"Hello World!", "2NEpo7TZRRrLZSi2U"), (b"\0\0\x28\x7f\xb4\xcd", "11233QC4")],
)
def test_base58_agrees_with_known_values(data: bytes, text: str) -> None:
    assert base58(data) == text


@given(st.lists(st.binary(min_size=64, max_size=64), min_size=2, max_size=20, unique=True))
def test_base58_tells_all_signatures_apart(values: list[bytes]) -> None:
    assert all(one != other for one, other in pairwise(sorted(map(base58, values))))
