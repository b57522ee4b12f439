"""The recorded terminal shows what a real one would."""

import os
import re
import sys
from xml.etree import ElementTree

import pytest

from tests.browser.terminal import COLUMNS, Recording, Screen


def text_of(screen: Screen) -> list[str]:
    return ["".join(character for character, _ in row) for row in screen.shown()]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a\nb\n", ["a", "b", ""]),
        ("one\r\x1b[2Ktwo", ["two"]),
        ("one\ntwo\n\x1b[2F\x1b[2KONE\n\x1b[2KTWO\n", ["ONE", "TWO", ""]),
        ("\x1b[32mgood\x1b[0m and \x1b[1;31mbad\x1b[0m", ["good and bad"]),
    ],
)
def test_lines_are_written_over_as_on_a_terminal(written: str, shown: list[str]) -> None:
    screen = Screen()
    screen.write(written)
    assert text_of(screen) == shown


def test_a_recording_shows_each_frame_in_its_time_and_its_end_when_still() -> None:
    recording = Recording()
    program = "import os, time; print(os.environ['COLUMNS']); time.sleep(0.2); print('<end>')"
    recording.run("program", [sys.executable, "-c", program], os.environ)
    svg = recording.as_svg("A program")

    root = ElementTree.fromstring(svg)
    frames = root.findall("{http://www.w3.org/2000/svg}g")
    assert [frame.get("visibility") for frame in frames] == ["hidden"] * (len(frames) - 1) + [
        "visible"
    ]
    assert "&lt;end&gt;" in svg
    assert f"<tspan>{COLUMNS}</tspan>" in svg
    for times in re.findall(r'keyTimes="([^"]*)"', svg):
        moments = [float(time) for time in times.split(";")]
        assert moments[0] == 0
        assert moments == sorted(moments)
