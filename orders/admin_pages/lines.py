"""The small lines of the operators' page, as points of an SVG: no library, no script."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, TOP = 100.0, 40.0, 4.0
MOST = 60


@dataclass(frozen=True, slots=True)
class Line:
    parts: tuple[str, ...]
    """The points of each part: a value that is not known ends a part."""
    areas: tuple[str, ...]
    """What lies below each part."""
    label: str
    """The line in words, for those who do not see it."""


def line_of(values: Sequence[float | None], unit: str, *, from_zero: bool = False) -> Line:
    """Return a line of one value a minute, the newest at the right."""
    shown = list(values)[-MOST:]
    known = [value for value in shown if value is not None]
    if not known:
        return Line((), (), "no minute is known yet")
    low, high = (0.0 if from_zero else min(known)), max(known)
    span = (high - low) or 1.0
    parts: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(shown, start=MOST - len(shown)):
        if value is None:
            parts.append([])
        else:
            height = (value - low) / span * (HEIGHT - 2 * TOP)
            parts[-1].append((place / (MOST - 1) * WIDTH, HEIGHT - TOP - height))
    drawn = [part for part in parts if part]
    label = f"{len(known)} minutes: {min(known):,.4g} to {high:,.4g} {unit}".rstrip()
    return Line(tuple(map(_points, drawn)), tuple(map(_area, drawn)), label)


def _points(part: Sequence[tuple[float, float]]) -> str:
    if len(part) == 1:  # a point of its own is a short dash
        ((x, y),) = part
        part = [(x - 0.4, y), (x + 0.4, y)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in part)


def _area(part: Sequence[tuple[float, float]]) -> str:
    return f"{part[0][0]:.1f},{HEIGHT:g} {_points(part)} {part[-1][0]:.1f},{HEIGHT:g}"
