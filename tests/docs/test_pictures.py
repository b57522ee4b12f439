"""The pictures of the order types are what their script draws, and can be read by everybody."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from config.environment.data_folder import PROJECT
from tests.docs.draw_order_types import FOLDER, PICTURES, files
from tests.docs.price_picture import COLOURS, LAST, WIDTH

PAGE = (PROJECT / "docs/order-types.md").read_text()
SVG = "{http://www.w3.org/2000/svg}"
LETTER = 6.8
"""Pixels that a letter of the pictures' font takes at most, on the average of a line."""


@pytest.mark.parametrize(("path", "text"), files().items(), ids=PICTURES)
def test_a_picture_is_what_its_script_draws(path: Path, text: str) -> None:
    assert path.read_text() == text, "make drawings"


def test_each_picture_stands_on_the_page_of_order_types_and_no_other_is_kept() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((pictures/[\w-]+\.svg)\)", PAGE)
    assert sorted(shown) == sorted(f"pictures/{path.name}" for path in FOLDER.iterdir())
    assert len(shown) == len(PICTURES)


@pytest.mark.parametrize("text", files().values(), ids=PICTURES)
def test_a_picture_says_in_words_what_it_shows_and_asks_no_other_host(text: str) -> None:
    root = ElementTree.fromstring(text)
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert set(re.findall(r"https?://[^\"]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in text


@pytest.mark.parametrize("text", files().values(), ids=PICTURES)
def test_no_line_of_a_picture_runs_out_of_it(text: str) -> None:
    for line in ElementTree.fromstring(text).iter(f"{SVG}text"):
        if line.get("class") not in ("quiet end", "end", "quiet middle", "in-number"):
            assert float(line.get("x", 0)) + len(line.text or "") * LETTER <= WIDTH, line.text


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("words", ["ink", "quiet", "accent", "good"])
def test_words_stand_out_from_the_card_in_light_and_dark(words: str, theme: int) -> None:
    lighter, darker = sorted(
        (lightness(COLOURS[name][theme]) for name in (words, "card")), reverse=True
    )
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def lightness(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", PICTURES)
def test_all_that_happens_in_a_picture_happens_within_it(name: str) -> None:
    picture = PICTURES[name]()
    assert len(picture.prices) == LAST + 1
    seconds = [mark.at for mark in picture.marks]
    assert seconds == sorted(set(seconds))
    assert seconds[0] > 0
    assert seconds[-1] < LAST
