"""Arguments of the benchmarks: what is wrong with one is a sentence, and exit code 2."""

import argparse
import signal
import sys
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import urlsplit

WRONG_ARGUMENT = 2


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        end_with(f"{message[:1].upper()}{message[1:]}.")


def end_with(sentence: str, code: int = WRONG_ARGUMENT) -> NoReturn:
    print(sentence, file=sys.stderr)
    sys.exit(code)


def run(
    main: Callable[[list[str]], int], faults: tuple[type[Exception], ...], nothing: str
) -> NoReturn:
    """Run a benchmark to its exit code. Ctrl-C and these faults end it with a sentence."""
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        end_with("Stopped: nothing is left of it.", 130)
    except faults as error:
        end_with(f"{nothing}: {error or 'something was not done in time'}", 1)


def stop_cleanly() -> None:
    """Let SIGTERM end us as Ctrl-C does: by way of everything that cleans up."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return int(text)


def address(text: str) -> str:
    """Take the URL of an engine."""
    parts = urlsplit(text)
    try:
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as http://127.0.0.1:8000")
    return text.rstrip("/")
