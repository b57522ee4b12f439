"""Paths that operators set for a token's price, such as "SOL falls 8 % over the next minute".

While a path is in force, the token's own walk and its venues' distance from the market stand still.
So the price moves as the path says and in no other way. Afterwards both come back smoothly. A price
stays a pure function of the second, and of the paths: a path begins when all processes know it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from routing.simulation.price import MILLION, PriceSource

RETURN_SECONDS = 120
"""In which prices and venues come back after a path."""
LONGEST_SECONDS = 3_600
MOST_STEPS = 20
LEAST, MOST = MILLION // 10, 10 * MILLION
"""How far a path may take a price, in millionths of what it was."""
LEAD_SECONDS = 5
"""A path begins so much later than it was stored, or more: until then all processes read it."""

FORM = "a path is written as in SOL=-8%/60 +0%/120 @2026-11-29T15:00:00Z"
_STEP = re.compile(r"([+-]?[0-9]{1,3}(?:\.[0-9]{1,4})?)%/([0-9]{1,4})")
_PATH = re.compile(
    r"\s*(?P<symbol>[A-Za-z0-9][\w.$-]{0,15})=(?P<steps>[^@]+)(?:\s@(?P<time>\S+)\s*)?", re.ASCII
)
_UNIX = re.compile(r"[0-9]{9,10}")


class Step(NamedTuple):
    """The price moves by `change` millionths of what it was, evenly in so many seconds."""

    change: int
    seconds: int


class WrittenPath(NamedTuple):
    """A path as somebody wrote it: of a token by its symbol, perhaps without a beginning."""

    symbol: str
    steps: tuple[Step, ...]
    begins_at: int | None


class PricePath(NamedTuple):
    """A path of a token, by mint, from a unix second on."""

    mint: str
    steps: tuple[Step, ...]
    begins_at: int

    @property
    def ends_at(self) -> int:
        return self.begins_at + seconds_of(self.steps)


class Stretch(NamedTuple):
    """A time in which something does not wander. With steps it moves by them."""

    begins_at: int
    ends_at: int
    steps: tuple[Step, ...] = ()

    def factor(self, now: int) -> int:
        """Return what the value has become at `now`, in millionths of what it was."""
        return factor_of(self.steps, now - self.begins_at)


class PricePaths:
    """All paths that matter. Of two paths of a token, the one that began later holds."""

    def __init__(self, paths: Iterable[PricePath] = ()) -> None:
        self._of: dict[str, list[Stretch]] = {}
        for path in sorted(paths, key=lambda path: path.begins_at):
            stretch = Stretch(path.begins_at, path.ends_at, path.steps)
            self._of.setdefault(path.mint, []).append(stretch)

    def price(self, mint: str, walk: Callable[[int], int], now: int) -> int:
        """Return the token's price at `now`, where `walk` says what it would be without paths."""
        stretches = self._of.get(mint)
        return walk(now) if stretches is None else value_at(stretches, walk, now)

    def deviation(self, mints: Collection[str], wander: Callable[[int], int], now: int) -> int:
        """Return a venue's distance in a market of these tokens, still while one has a path."""
        own = [self._of[mint] for mint in mints if mint in self._of]
        return value_at(joined(own), wander, now) if own else wander(now)


NO_PATHS = PricePaths()


def following(walk: PriceSource, paths: PricePaths) -> PriceSource:
    """Return the prices of `walk`, but for the tokens that have a path."""

    @lru_cache(maxsize=1_024)
    def price(mint: str, now: int) -> int:
        return paths.price(mint, lambda then: walk(mint, then), now)

    return price


def value_at(stretches: Sequence[Stretch], own: Callable[[int], int], now: int) -> int:
    """Return a value at `now` that is `own` but in these stretches, which are in order.

    It has no jump: each stretch begins with what the value was, and `own` comes back smoothly.
    """
    begun = [stretch for stretch in stretches if stretch.begins_at <= now]
    if not begun:
        return own(now)
    *earlier, last = begun
    since = now - last.ends_at
    if since >= RETURN_SECONDS:
        return own(now)
    before = value_at(earlier, own, last.begins_at)
    kept = before * last.factor(now) // MILLION
    if since <= 0:
        return kept
    smooth = since * since * (3 * RETURN_SECONDS - 2 * since)  # a part of RETURN_SECONDS ** 3
    return kept + (own(now) - kept) * smooth // RETURN_SECONDS**3


def joined(stretches: Iterable[Sequence[Stretch]]) -> list[Stretch]:
    """Return the times in which at least one of several tokens has a path, in order."""
    times = sorted(time for own in stretches for time in _in_force(own))
    together: list[Stretch] = []
    for begins_at, ends_at in times:
        if together and begins_at <= together[-1].ends_at:
            ends_at = max(ends_at, together[-1].ends_at)
            begins_at = together.pop().begins_at
        together.append(Stretch(begins_at, ends_at))
    return together


def _in_force(stretches: Sequence[Stretch]) -> Iterable[tuple[int, int]]:
    """Yield from when to when each path of a token holds: the next one ends it."""
    for stretch, following in pairwise(stretches):
        yield stretch.begins_at, min(stretch.ends_at, following.begins_at)
    yield stretches[-1].begins_at, stretches[-1].ends_at


def factor_of(steps: Sequence[Step], elapsed: int) -> int:
    """Return what a price has become after so many seconds, in millionths of what it was."""
    factor = MILLION
    for change, seconds in steps:
        if elapsed <= 0:
            break
        factor += factor * change * min(elapsed, seconds) // (seconds * MILLION)
        elapsed -= seconds
    return factor


def seconds_of(steps: Iterable[Step]) -> int:
    return sum(step.seconds for step in steps)


def read_path(text: str) -> WrittenPath:
    """Read `SOL=-8%/60 +0%/120 @2026-11-29T15:00:00Z`: steps, and when the first begins.

    The time may also be a unix second, and may be left out.

    :raises ValueError: the text has another form, or leads too far.
    """
    match = _PATH.fullmatch(text)
    if match is None:
        raise ValueError(FORM)
    steps = read_steps(match["steps"].strip())
    begins_at = None if match["time"] is None else _read_time(match["time"])
    return WrittenPath(match["symbol"].upper(), steps, begins_at)


def read_steps(text: str) -> tuple[Step, ...]:
    """Read `-8%/60 +0%/120`.

    :raises ValueError: the text has another form, or leads too far.
    """
    steps = tuple(map(_read_step, text.split()))
    if any(step.seconds == 0 for step in steps):
        raise ValueError("each step takes at least a second")
    if not 1 <= len(steps) <= MOST_STEPS or seconds_of(steps) > LONGEST_SECONDS:
        raise ValueError(f"a path has at most {MOST_STEPS} steps and {LONGEST_SECONDS} seconds")
    for count in range(1, len(steps) + 1):
        if not LEAST <= factor_of(steps[:count], seconds_of(steps[:count])) <= MOST:
            raise ValueError("a path goes at most to a tenth of the price, or to ten times it")
    return steps


def read_paths(text: str) -> tuple[WrittenPath, ...]:
    """Read paths for the settings: separated by commas, each with its beginning.

    :raises ValueError: one has another form, leads too far, or has no beginning.
    """
    paths = tuple(read_path(part) for part in text.split(","))
    if any(path.begins_at is None for path in paths):
        raise ValueError("in a setting each path says when it begins, as in @2026-11-29T15:00:00Z")
    return paths


def text_of(steps: Iterable[Step]) -> str:
    """Return steps as `read_steps` reads them."""
    return " ".join(
        f"{(Decimal(change) * 100 / MILLION).normalize():+f}%/{seconds}"
        for change, seconds in steps
    )


def _read_step(text: str) -> Step:
    match = _STEP.fullmatch(text)
    if match is None:
        raise ValueError(FORM)
    change, seconds = match.groups()
    return Step(int(Decimal(change) * MILLION / 100), int(seconds))


def _read_time(text: str) -> int:
    if _UNIX.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(FORM) from None
    if moment.tzinfo is None:
        raise ValueError("a time has a zone, as in @2026-11-29T15:00:00Z")
    return int(moment.timestamp())
