from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.faults import Faults
from routing.simulation import Simulation
from routing.venues import simulated_exchange
from routing.wallet import base58


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
def test_a_venue_nobody_knows_is_named(simulation: Simulation) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        simulated_exchange("", simulation)


def test_settings_come_from_the_environment() -> None:
    assert Simulation.from_environment({}) == Simulation()
    assert Simulation.from_environment(
        {
            "SIMULATION_QUOTE_LATENCY": "0",
            "SIMULATION_LANDING_LATENCY": "0.5-1",
            "SIMULATION_DEPTH": "5000",
            "SIMULATION_VOLATILITY_BPS": "1.5",
            "SIMULATION_PRICE_RANGES": "raydium=0.98-1.02,meteora=1",
            "SIMULATION_SEED": "7",
            "SIMULATION_FAULTS": "price_moved=0.1",
        }
    ) == Simulation(
        quote_latency=0,
        landing_latency=(0.5, 1),
        depth=5_000,
        volatility_bps=Decimal("1.5"),
        price_ranges={
            "raydium": (Decimal("0.98"), Decimal("1.02")),
            "meteora": (Decimal(1), Decimal(1)),
        },
        seed="7",
        faults=Faults((("price_moved", 0.1),)),
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIMULATION_QUOTE_LATENCY", "fast"),
        ("SIMULATION_EXPIRY_BLOCKS", "1.5"),
        ("SIMULATION_PRICE_RANGES", "raydium"),
        ("SIMULATION_FAULTS", "nonsense=1"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{variable}={value}"):
        Simulation.from_environment({variable: value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SIMULATION_QUOTE_LATENCY", "-1"),
        ("SIMULATION_QUOTE_LATENCY", "nan"),
        ("SIMULATION_LANDING_LATENCY", "3-2"),
        ("SIMULATION_LANDING_LATENCY", "inf"),
        ("SIMULATION_BLOCK_SECONDS", "0"),
        ("SIMULATION_EXPIRY_BLOCKS", "0"),
        ("SIMULATION_DEPTH", "0"),
        ("SIMULATION_VOLATILITY_BPS", "-1"),
        ("SIMULATION_VOLATILITY_BPS", "51"),
        ("SIMULATION_VOLATILITY_BPS", "nan"),
        ("SIMULATION_PRICE_RANGES", "raydium=1.02-0.98"),
        ("SIMULATION_PRICE_RANGES", "raydium=nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"must be|not negative|two positive"):
        Simulation.from_environment({variable: value})


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"Hello World!", "2NEpo7TZRRrLZSi2U"), (b"\0\0\x28\x7f\xb4\xcd", "11233QC4")],
)
def test_base58_agrees_with_known_values(data: bytes, text: str) -> None:
    assert base58(data) == text


@given(st.lists(st.binary(min_size=64, max_size=64), min_size=2, max_size=20, unique=True))
def test_base58_tells_all_signatures_apart(values: list[bytes]) -> None:
    assert all(one != other for one, other in pairwise(sorted(map(base58, values))))
