"""Faults that the simulation can be set to have, each with a probability."""

from collections.abc import Iterable
from dataclasses import dataclass

VENUE_FAULTS = ("quote_timeout", "quote_refused", "absurd_quote")
"""Never answers; is unavailable; quotes NaN, a negative or a tenfold price."""

SEND_FAULTS = ("send_dropped", "reply_lost")
"""Drawn anew for each send: nothing is recorded; or it is recorded and the answer is lost."""

LANDING_FAULTS = ("landing_late", "price_moved", "expiry")
"""Drawn once for each signature: lands late, beyond its bound, or never."""

FAULTS = VENUE_FAULTS + SEND_FAULTS + LANDING_FAULTS


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities from 0 to 1 by name. One for a single venue, `raydium.quote_refused`, wins."""

    rates: tuple[tuple[str, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Read a list such as `raydium.quote_timeout=1,send_dropped=0.2`; empty means none.

        :raises ValueError: a name is unknown, or a probability is outside 0 to 1.
        """
        return cls(tuple(_rate(part.strip()) for part in text.split(",") if part.strip()))

    def rate(self, fault: str, venue: str = "") -> float:
        """Return the probability of `fault` at this venue."""
        rates = dict(self.rates)
        return rates.get(f"{venue}.{fault}", rates.get(fault, 0.0))

    def check_venues(self, known: Iterable[str]) -> None:
        """:raises ValueError: a fault names a venue that is not known."""
        names = sorted(known)
        for name, _ in self.rates:
            venue, dot, _fault = name.rpartition(".")
            if dot and venue not in names:
                raise ValueError(f"fault {name}: no venue {venue}, only {', '.join(names)}")


def _rate(part: str) -> tuple[str, float]:
    name, _, probability = (piece.strip() for piece in part.partition("="))
    venue, dot, fault = name.rpartition(".")
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {name!r}; known are {', '.join(FAULTS)}")
    if dot and fault not in VENUE_FAULTS:
        raise ValueError(f"fault {fault} is the network's; write it without {venue!r}")
    try:
        rate = float(probability)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"fault {name} needs a probability from 0 to 1, as in {name}=0.2")
    return name, rate
