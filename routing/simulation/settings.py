"""The settings of the simulated venues and network."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from routing.simulation.faults import Faults
from routing.simulation.price_path import LEAD_SECONDS, WrittenPath

PriceRange = tuple[Decimal, Decimal]

MOST_VOLATILE = 50
VENUES = ("raydium", "meteora")
"""The names of `SIMULATED_VENUES`: to import these takes long."""
PRICE = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"


@dataclass(frozen=True, slots=True)
class Simulation:
    """How the simulated venues and network behave. Durations are in seconds; 0 means at once."""

    quote_latency: float = 0.2
    landing_latency: tuple[float, float] = (2.0, 3.0)
    """The least and the most time from the first send to the landing."""
    late_by: float = 10.0
    """How much later a transaction with the fault `landing_late` lands, unless it expires."""
    block_seconds: float = 0.4
    expiry_blocks: int = 150
    """For how many blocks after it was built a transaction may land."""
    depth: int = 10_000_000
    """The value of each side of a new pool, in US dollars."""
    volatility_bps: Decimal = Decimal(2)
    """About how far a token's price goes in a second; in t seconds it goes sqrt(t) times as far."""
    price_ranges: Mapping[str, PriceRange] = field(default_factory=dict)
    """By venue: the least and the most of its price, in the market's, if not the usual ones."""
    seed: int | str | None = None
    """The same seed gives the same prices at the same times. None: the database draws one."""
    faults: Faults = field(default_factory=Faults)
    price_paths: tuple[WrittenPath, ...] = ()
    """Paths of tokens' prices, beside those that operators have set; each with its beginning."""

    @property
    def lead_seconds(self) -> int:
        """How long before its beginning a path has to be stored, so that all processes know it."""
        return LEAD_SECONDS + math.ceil(2 * self.block_seconds)

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


def read_price_ranges(text: str) -> dict[str, PriceRange]:
    """Read `raydium=0.98-1.02,meteora=1`.

    :raises ValueError: the text has another form, or names no venue.
    """
    ranges: dict[str, PriceRange] = {}
    for part in text.split(","):
        match = re.fullmatch(rf"\s*([a-z]+)={PRICE}(?:-{PRICE})?\s*", part)
        if match is None:
            raise ValueError("a range is written as in raydium=0.98-1.02")
        venue, low, high = match.groups()
        ranges[venue] = (Decimal(low), Decimal(high or low))
    Simulation(price_ranges=ranges)
    check_venues(ranges)
    return ranges


def read_faults(text: str) -> Faults:
    """Read a list of faults as `Faults.parse` does. Its venues have to exist."""
    faults = Faults.parse(text)
    faults.check_venues(VENUES)
    return faults


def check_venues(names: Iterable[str]) -> None:
    """:raises ValueError: a name is no venue's."""
    for name in names:
        if name not in VENUES:
            raise ValueError(f"no venue {name}, only {', '.join(VENUES)}")
