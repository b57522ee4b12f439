"""The settings of the simulated venues and network."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from routing.faults import Faults

PriceRange = tuple[Decimal, Decimal]

MOST_VOLATILE = 50


@dataclass(frozen=True, slots=True)
class Simulation:
    """How the simulated venues and network behave; durations in seconds, 0 means at once."""

    quote_latency: float = 0.2
    landing_latency: tuple[float, float] = (2.0, 3.0)
    """The least and the most time from the first send to the landing."""
    late_by: float = 10.0
    """How much later a transaction with the fault `landing_late` lands, if not expired before."""
    block_seconds: float = 0.4
    expiry_blocks: int = 150
    """For how many blocks after it was built a transaction may land."""
    depth: int = 10_000_000
    """What each side of a new pool is worth, in US dollars."""
    volatility_bps: Decimal = Decimal(2)
    """How far a token's price goes in a second, about; in t seconds sqrt(t) times as far."""
    price_ranges: Mapping[str, PriceRange] = field(default_factory=dict)
    """By venue: the least and the most of its price, in the market's, if not its usual ones."""
    seed: int | str | None = None
    """The same seed gives the same prices at the same times. None: one drawn by the database."""
    faults: Faults = field(default_factory=Faults)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Simulation":
        """Read the settings whose names are given in `_VARIABLES`; those not set stay as they are.

        :raises ValueError: a value cannot be read or makes no sense; the message names it.
        """
        values: dict[str, Any] = {}
        for variable, (name, read) in _VARIABLES.items():
            text = environment.get(variable, "").strip()
            if not text:
                continue
            try:
                values[name] = read(text)
            except (ValueError, ArithmeticError) as error:
                raise ValueError(f"{variable}={text}: {error}") from None
        return cls(**values)

    def __post_init__(self) -> None:
        low, high = self.landing_latency
        if not all(
            map(math.isfinite, (self.quote_latency, self.late_by, self.block_seconds, high))
        ):
            raise ValueError("latencies and block_seconds must be finite")
        if self.quote_latency < 0 or self.late_by < 0 or not 0 <= low <= high:
            raise ValueError("latencies are seconds, not negative, and the least comes first")
        if self.block_seconds <= 0 or self.expiry_blocks < 1:
            raise ValueError("block_seconds and expiry_blocks must be positive")
        if self.depth < 1:
            raise ValueError("depth must be at least one dollar")
        if not (self.volatility_bps.is_finite() and 0 <= self.volatility_bps <= MOST_VOLATILE):
            raise ValueError(f"volatility_bps must be from 0 to {MOST_VOLATILE}")
        for venue, (least, most) in self.price_ranges.items():
            if not (least.is_finite() and most.is_finite() and 0 < least <= most):
                raise ValueError(f"price range of {venue}: two positive numbers, the least first")


def _pair(text: str) -> tuple[str, str]:
    """Split `2-3` in two; `2` means `2-2`."""
    low, dash, high = text.partition("-")
    return low, high if dash else low


def _seconds_range(text: str) -> tuple[float, float]:
    low, high = _pair(text)
    return float(low), float(high)


def _price_ranges(text: str) -> dict[str, PriceRange]:
    """Read `raydium=0.98-1.02,meteora=1`."""
    ranges: dict[str, PriceRange] = {}
    for part in text.split(","):
        venue, _, prices = part.partition("=")
        low, high = _pair(prices)
        ranges[venue.strip()] = (Decimal(low), Decimal(high))
    return ranges


_VARIABLES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "SIMULATION_QUOTE_LATENCY": ("quote_latency", float),
    "SIMULATION_LANDING_LATENCY": ("landing_latency", _seconds_range),
    "SIMULATION_LATE_BY": ("late_by", float),
    "SIMULATION_BLOCK_SECONDS": ("block_seconds", float),
    "SIMULATION_EXPIRY_BLOCKS": ("expiry_blocks", int),
    "SIMULATION_DEPTH": ("depth", int),
    "SIMULATION_VOLATILITY_BPS": ("volatility_bps", Decimal),
    "SIMULATION_PRICE_RANGES": ("price_ranges", _price_ranges),
    "SIMULATION_SEED": ("seed", str),
    "SIMULATION_FAULTS": ("faults", Faults.parse),
}
