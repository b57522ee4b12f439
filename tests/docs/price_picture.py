"""Draw a line of prices, second by second, with what an order does along it, as SVG.

A picture has the line, the prices that the order names, a number where something happens, a strip
for the statuses of each order below, and a sentence for each number. Its colours follow the
reader's light or dark.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

WIDTH, LEFT, RIGHT, AFTER = 760, 64, 150, 60
TOP, CHART, STRIP, SENTENCE = 34, 200, 26, 21
LAST = 60
"""Seconds that a picture shows; a line has a price for each of them, the first and the last too."""

COLOURS = {  # name: light, dark; those of the trading page
    "card": ("#fffefb", "#171c22"),
    "ink": ("#1b232c", "#e9e6de"),
    "quiet": ("#5b6470", "#9ba5b0"),
    "track": ("#c9c3b4", "#3a444f"),
    "accent": ("#0b5f66", "#63c5c4"),
    "good": ("#176b3d", "#77cf98"),
    "bad": ("#a8321f", "#f39a88"),
    "well": ("#f1eee6", "#11161b"),
}
STYLE = """
svg {{ {light} }}
@media (prefers-color-scheme: dark) {{ svg {{ {dark} }} }}
text {{ font: 13px "Segoe UI", "Helvetica Neue", Arial, sans-serif; fill: var(--ink); }}
.quiet {{ fill: var(--quiet); }}
.card {{ fill: var(--card); stroke: var(--track); }}
.line, .other {{ fill: none; stroke: var(--ink); stroke-width: 2; stroke-linejoin: round; }}
.other {{ stroke: var(--quiet); stroke-width: 1.2; }}
.level, .moving {{ fill: none; stroke: var(--accent); stroke-width: 1.5; stroke-dasharray: 6 4; }}
.number {{ fill: var(--accent); }}
.in-number {{ fill: var(--card); font-weight: 700; text-anchor: middle; }}
.slot {{ stroke: var(--track); stroke-dasharray: 2 3; }}
.open {{ fill: var(--well); stroke: var(--accent); }}
.filled {{ fill: var(--good); }}
.ended {{ fill: var(--well); stroke: var(--quiet); }}
.on-filled {{ fill: var(--card); font-weight: 700; }}
.middle {{ text-anchor: middle; }}
.end {{ text-anchor: end; }}
"""

Prices = Sequence[float]


@dataclass(frozen=True)
class Level:
    """A price that an order names, from one second on."""

    price: float
    label: str
    since: int = 0
    until: int = LAST


@dataclass(frozen=True)
class Mark:
    """Something that happens: a number on the line, and its sentence below."""

    at: int
    price: float
    sentence: str


@dataclass(frozen=True)
class Stay:
    """A status of an order, until one second; `look` is `open`, `filled` or `ended`."""

    until: int
    words: str
    look: str = "open"


@dataclass(frozen=True)
class Strip:
    """The statuses of one order, from the second in which it was stored."""

    name: str
    stays: Sequence[Stay]
    since: int = 0


@dataclass(frozen=True)
class Picture:
    title: str
    prices: Prices
    line: str
    """What the prices are."""
    marks: Sequence[Mark]
    strips: Sequence[Strip]
    levels: Sequence[Level] = ()
    others: Sequence[tuple[str, Prices]] = ()
    """Other lines, drawn thinner."""
    moving: tuple[str, Prices, int] | None = None
    """A price that moves with the line, from one second on."""
    slots: Sequence[tuple[int, str]] = field(default=())
    """Seconds that are marked from top to bottom, with a word above."""


def line_through(*corners: tuple[int, float], wobble: float = 0.12) -> Prices:
    """Return a price for each second, straight between the corners but for a small wobble."""
    prices = []
    for (begin, first), (end, last) in pairwise(corners):
        for second in range(begin, end):
            share = (second - begin) / (end - begin)
            shake = wobble * ((second * second * 37 + second * 17) % 11 - 5) / 5
            prices.append(first + (last - first) * share + (shake if share else 0))
    return [*prices, corners[-1][1]]


def mark(prices: Prices, second: int, sentence: str) -> Mark:
    """Return a mark on a line."""
    return Mark(second, prices[second], sentence)


def first_second(prices: Prices, holds: Callable[[float], bool], since: int = 0) -> int:
    """Return the first second from one on in which this holds of the price."""
    return next(second for second in range(since, len(prices)) if holds(prices[second]))


def drawn(picture: Picture) -> str:
    """Return the picture as SVG."""
    scale = _Scale(picture)
    below = TOP + CHART + 14
    sentences = below + STRIP * len(picture.strips) + 20
    height = sentences + SENTENCE * len(picture.marks)
    said = " ".join(mark.sentence for mark in picture.marks)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="title description">',
        f'<title id="title">{escape(picture.title)}</title>',
        f'<desc id="description">{escape(said)}</desc>',
        f"<style>{_style()}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(16, 22, picture.title, "quiet"),
        *_slots(picture, scale),
        *_levels(picture, scale),
        *_lines(picture, scale),
        *_numbers(picture, scale),
    ]
    for row, strip in enumerate(picture.strips):
        parts += _strip(strip, below + STRIP * row, scale)
    for row, mark in enumerate(picture.marks, start=1):
        y = sentences + SENTENCE * (row - 1)
        parts += [*_number(24, y - 4, row), _text(42, y, mark.sentence)]
    return "\n".join([*parts, "</svg>\n"])


class _Scale:
    """Where a second and a price stand in the picture."""

    def __init__(self, picture: Picture) -> None:
        lines = [picture.prices, *(prices for _, prices in picture.others)]
        moving = picture.moving[1] if picture.moving else []
        every = [price for prices in [*lines, moving] for price in prices]
        every += [level.price for level in picture.levels]
        margin = (max(every) - min(every)) * 0.08
        self._lowest = min(every) - margin
        self._unit = CHART / (max(every) + margin - self._lowest)

    def x(self, second: float) -> str:
        return f"{LEFT + (WIDTH - LEFT - RIGHT) * second / LAST:.1f}"

    def y(self, price: float) -> str:
        return f"{TOP + CHART - (price - self._lowest) * self._unit:.1f}"

    def points(self, prices: Prices, since: int = 0) -> str:
        return " ".join(
            f"{self.x(second)},{self.y(price)}"
            for second, price in enumerate(prices)
            if second >= since
        )


def _style() -> str:
    themes = [
        "; ".join(f"--{name}: {theme[which]}" for name, theme in COLOURS.items())
        for which in (0, 1)
    ]
    return STYLE.format(light=themes[0], dark=themes[1])


def _text(x: float | str, y: float | str, words: str, look: str = "") -> str:
    named = f' class="{look}"' if look else ""
    return f'<text x="{x}" y="{y}"{named}>{escape(words)}</text>'


def _beside(price: float, words: str, scale: _Scale, look: str = "") -> str:
    return _text(WIDTH - RIGHT + 8, f"{float(scale.y(price)) + 4:.1f}", words, look)


def _slots(picture: Picture, scale: _Scale) -> list[str]:
    return [
        part
        for second, word in picture.slots
        for part in (
            f'<path class="slot" d="M{scale.x(second)} {TOP + 14}V{TOP + CHART}"/>',
            _text(scale.x(second), TOP + 8, word, "quiet middle"),
        )
    ]


def _levels(picture: Picture, scale: _Scale) -> list[str]:
    parts = []
    for level in picture.levels:
        way = f"M{scale.x(level.since)} {scale.y(level.price)}H{scale.x(level.until)}"
        parts += [f'<path class="level" d="{way}"/>', _beside(level.price, level.label, scale)]
    if picture.moving:
        label, prices, since = picture.moving
        parts.append(f'<polyline class="moving" points="{scale.points(prices, since)}"/>')
        parts.append(_beside(prices[-1], label, scale))
    return parts


def _lines(picture: Picture, scale: _Scale) -> list[str]:
    parts = []
    for label, prices in picture.others:
        parts.append(f'<polyline class="other" points="{scale.points(prices)}"/>')
        parts.append(_beside(prices[-1], label, scale, "quiet"))
    parts.append(f'<polyline class="line" points="{scale.points(picture.prices)}"/>')
    begin = float(scale.y(picture.prices[0])) + 4
    return [*parts, _text(LEFT - 8, f"{begin:.1f}", picture.line, "end")]


def _numbers(picture: Picture, scale: _Scale) -> list[str]:
    parts = []
    for number, mark in enumerate(picture.marks, start=1):
        parts += _number(scale.x(mark.at), scale.y(mark.price), number)
    return parts


def _number(x: float | str, y: float | str, number: int) -> list[str]:
    return [
        f'<circle class="number" cx="{x}" cy="{y}" r="9"/>',
        _text(x, f"{float(y) + 4.5:.1f}", str(number), "in-number"),
    ]


def _strip(strip: Strip, y: int, scale: _Scale) -> list[str]:
    parts, begin = [_text(LEFT - 8, y + 16, strip.name, "quiet end")], strip.since
    for stay in strip.stays:
        is_last = stay is strip.stays[-1]
        left = float(scale.x(begin))
        right = WIDTH - AFTER if is_last else float(scale.x(stay.until))
        parts.append(
            f'<rect class="{stay.look}" x="{left:.1f}" y="{y + 2}" width="{right - left:.1f}"'
            f' height="{STRIP - 6}" rx="4"/>'
        )
        look = "on-filled" if stay.look == "filled" else ""
        parts.append(_text(f"{left + 7:.1f}", y + 17, stay.words, look))
        begin = stay.until
    return parts
