"""A terminal that is recorded: a command runs in it, and what it shows becomes an animated SVG."""

import os
import pty
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

COLUMNS, ROWS = 80, 19
CHARACTER, LINE, MARGIN = 8.43, 19, 16  # pixels
APART_SECONDS = 0.06
"""What is written within this time is one frame."""
HELD_SECONDS = 5.0
"""How long the last frame stays."""
PARTS = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")
STYLES = {"1": "b", "2": "q", "31": "r", "32": "g", "33": "y"}
SHEET = """
text {
  font: 14px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #e8e6df; white-space: pre;
}
.b { font-weight: 700; } .q { fill: #8f9ba8; }
.r { fill: #f59c8b; } .g { fill: #7bd39c; } .y { fill: #f0c56b; }
"""

Cell = tuple[str, str]
"""A character and the name of its style."""
Row = tuple[Cell, ...]


class Frame(NamedTuple):
    at: float
    """Seconds from the beginning."""
    rows: tuple[Row, ...]


class Screen:
    """What a terminal shows, of the few control sequences that the engine's commands write."""

    def __init__(self) -> None:
        self._rows: list[list[Cell]] = [[]]
        self._row = self._column = 0
        self._style = ""

    def write(self, text: str) -> None:
        for values, letter, back, down, plain in PARTS.findall(text):
            if letter == "m":
                self._style = STYLES.get(values.split(";")[0], "")
            elif letter == "K":
                self._rows[self._row] = []
            elif letter == "F":
                self._row, self._column = max(0, self._row - int(values or 1)), 0
            elif back:
                self._column = 0
            elif down:
                self._down()
            for character in plain:
                self._put(character)

    def shown(self) -> tuple[Row, ...]:
        return tuple(tuple(row) for row in self._rows[-ROWS:])

    def _down(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append([])

    def _put(self, character: str) -> None:
        row = self._rows[self._row]
        row += [(" ", "")] * (self._column - len(row))
        row[self._column : self._column + 1] = [(character, self._style)]
        self._column += 1


class Recording:
    """Commands one after the other in one terminal, and the frames that they made."""

    def __init__(self) -> None:
        self._screen = Screen()
        self._frames: list[Frame] = []
        self._began_at = time.monotonic()

    def run(self, shown: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a command, below a prompt with the words by which a person would start it.

        :raises CalledProcessError: it failed.
        """
        self._write(f"\x1b[2m$\x1b[0m \x1b[1m{shown}\x1b[0m\n")
        ours, theirs = pty.openpty()
        size = {"COLUMNS": str(COLUMNS), "LINES": str(ROWS), "TERM": "xterm-256color"}
        with subprocess.Popen(command, env={**environment, **size}, stdout=theirs) as running:
            os.close(theirs)
            try:
                while part := os.read(ours, 65_536):
                    self._write(part.decode().replace("\r\n", "\n"))
            except OSError:  # how Linux says that the other end is closed
                pass
            os.close(ours)
        if running.returncode:
            raise subprocess.CalledProcessError(running.returncode, list(command))
        self._write("\n")

    def as_svg(self, title: str) -> str:
        """Return the recording as an SVG that begins anew for ever; still, it shows its end."""
        ends_at = self._frames[-1].at + HELD_SECONDS
        rows = {row for frame in self._frames for row in frame.rows if row}
        names = {row: f"r{number}" for number, row in enumerate(sorted(rows))}
        width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), ROWS * LINE + 2 * MARGIN
        lines = "".join(f'<text id="{names[row]}">{spans(row)}</text>\n' for row in names)
        frames = "".join(self._frame(number, names, ends_at) for number in range(len(self._frames)))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-label="{escape(title)}">\n'
            f"<style>{SHEET}</style>\n<defs>\n{lines}</defs>\n"
            f'<rect width="{width}" height="{height}" rx="10" fill="#12171d"/>\n{frames}</svg>\n'
        )

    def _frame(self, number: int, names: dict[Row, str], ends_at: float) -> str:
        frame, is_last = self._frames[number], number == len(self._frames) - 1
        until = ends_at if is_last else self._frames[number + 1].at
        uses = "".join(
            f'<use href="#{names[row]}" x="{MARGIN}" y="{MARGIN + LINE * line + 14}"/>'
            for line, row in enumerate(frame.rows)
            if row
        )
        begin, end = frame.at / ends_at, until / ends_at
        times, values = [f"{begin:.4f}"], ["visible"]
        if number:
            times, values = ["0", *times], ["hidden", *values]
        if not is_last:
            times, values = [*times, f"{end:.4f}"], [*values, "hidden"]
        return (
            f'<g visibility="{"visible" if is_last else "hidden"}">{uses}'
            f'<animate attributeName="visibility" dur="{ends_at:.2f}s" calcMode="discrete"'
            f' repeatCount="indefinite" keyTimes="{";".join(times)}"'
            f' values="{";".join(values)}"/></g>\n'
        )

    def _write(self, text: str) -> None:
        at = time.monotonic() - self._began_at
        self._screen.write(text)
        frame = Frame(at if self._frames else 0.0, self._screen.shown())
        if self._frames and at - self._frames[-1].at < APART_SECONDS:
            frame = frame._replace(at=self._frames.pop().at)
        self._frames.append(frame)


def spans(row: Row) -> str:
    """Return a line's text, each stretch of one style as a span."""
    found = []
    for style, cells in groupby(row, key=lambda cell: cell[1]):
        text = escape("".join(character for character, _ in cells))
        found.append(
            f'<tspan class="{style}">{text}</tspan>' if style else f"<tspan>{text}</tspan>"
        )
    return "".join(found)
