"""Two commits' figures, taken in turns, as ratios with their spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Ratios:
    """How one commit's figure stands to the other's, turn by turn."""

    of_turns: tuple[float, ...]

    @classmethod
    def of(cls, figures: Sequence[float], bases: Sequence[float]) -> "Ratios":
        """Divide each turn's figure by the same turn's of the other."""
        return cls(tuple(figure / base for figure, base in zip(figures, bases, strict=True)))

    @property
    def median(self) -> float:
        return median(self.of_turns)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Return between which two the middle half of the turns lies."""
        if len(self.of_turns) == 1:
            return self.of_turns[0], self.of_turns[0]
        low, _, high = quantiles(self.of_turns, n=4, method="inclusive")
        return low, high

    def __str__(self) -> str:
        low, high = self.quartiles
        least, most = min(self.of_turns), max(self.of_turns)
        return f"x{self.median:.2f}  ({low:.2f} .. {high:.2f}; {least:.2f} .. {most:.2f})"
