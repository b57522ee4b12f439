"""The limits that one order sets to its route, besides its market and its amount."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Constraints:
    """They are stored with the order, so every attempt keeps them. They name venues."""

    venues: tuple[str, ...] = ()
    """Only these, if any are named."""
    exclude_venues: tuple[str, ...] = ()
    max_price_impact_bps: int | None = None

    def why_not(self, venue: str) -> str:
        """Return why this venue may take no part; empty if it may."""
        if venue in self.exclude_venues:
            return "the order excludes it"
        if self.venues and venue not in self.venues:
            return f"the order is for {' or '.join(self.venues)} only"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Return the limits under the names that clients write; empty if there are none."""
        asked: dict[str, Any] = {}
        if self.venues:
            asked["venues"] = list(self.venues)
        if self.exclude_venues:
            asked["excludeVenues"] = list(self.exclude_venues)
        if self.max_price_impact_bps is not None:
            asked["maxPriceImpactBps"] = self.max_price_impact_bps
        return asked

    @classmethod
    def from_json(cls, asked: dict[str, Any]) -> "Constraints":
        return cls(
            tuple(asked.get("venues", ())),
            tuple(asked.get("excludeVenues", ())),
            asked.get("maxPriceImpactBps"),
        )


UNCONSTRAINED = Constraints()
