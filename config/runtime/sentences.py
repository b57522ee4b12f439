"""How a process ends that cannot do what its operator wants: one sentence for each cause."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

WRONG = 2
"""The exit code of whatever an operator has to put right before it is started again."""


def say(text: str) -> None:
    """Print a line for the person at the terminal, who may have left."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def end_with(sentences: Iterable[str]) -> NoReturn:
    """Say each sentence and end this process with the code `WRONG`, without a traceback.

    :raises SystemExit: always.
    """
    for sentence in sentences:
        say(sentence)
    sys.exit(WRONG)
