"""Ends a process that cannot do what its operator wants, and says one sentence for each cause."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

WRONG = 2
"""The exit code of a process that can start again only after its operator has acted."""


def say(text: str) -> None:
    """Print a line to the terminal. The terminal may have been closed."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def end_with(sentences: Iterable[str]) -> NoReturn:
    """Say each sentence and end this process with the code `WRONG`, without a traceback.

    :raises SystemExit: always.
    """
    for sentence in sentences:
        say(sentence)
    sys.exit(WRONG)
