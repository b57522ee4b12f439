"""Sets paths of simulated prices, for the admin and for a command."""

from django.conf import settings

from routing.models import SimulatedPricePath
from routing.registry import look_up
from routing.simulation.price_path import WrittenPath, read_path, seconds_of, text_of
from routing.tokens import UnknownToken


class UnusablePath(ValueError):
    """The path cannot be set. The message says why."""


def read(text: str) -> tuple[WrittenPath, str]:
    """Return a path that somebody wrote, and the mint of its token.

    :raises UnusablePath: the text has another form or leads too far, or there is no such token.
    """
    try:
        written = read_path(text)
        return written, look_up(lambda known: known.token(written.symbol)).mint
    except UnknownToken as unknown:
        raise UnusablePath(f"There is no token {unknown}.") from unknown
    except ValueError as fault:
        raise UnusablePath(f"{str(fault)[:1].upper()}{str(fault)[1:]}.") from fault


def store(written: WrittenPath, mint: str, set_by: str) -> SimulatedPricePath:
    """Store a path. It begins when all processes have read it, or at its own later time.

    :raises SimulatedPricePath.TooSoon: its own time is too near, or over.
    """
    return SimulatedPricePath.store(
        mint,
        text_of(written.steps),
        seconds_of(written.steps),
        settings.SIMULATION.lead_seconds,
        written.begins_at,
        set_by,
    )
