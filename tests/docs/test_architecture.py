"""docs/architecture.md draws the floors that the import contracts hold."""

import re
import tomllib
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT

PAGE = (PROJECT / "docs/architecture.md").read_text()
CONTRACTS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
HOUSES = ("config", "orders", "routing")


def floors_in_contracts(house: str) -> list[set[str]]:
    (contract,) = [one for one in CONTRACTS if one.get("containers") == [house]]
    assert contract["exhaustive"]
    return [set(layer.split(" | ")) for layer in contract["layers"]]


def floors_drawn(house: str) -> list[set[str]]:
    drawing = PAGE.partition("```text\n")[2].partition("```")[0]
    floors: dict[str, list[set[str]]] = {}
    current = ""
    for line in drawing.splitlines():
        current = line[:10].strip() or current
        floors.setdefault(current, []).append(set(re.split(r" \| ", line[10:48].strip())))
    return floors[house]


@pytest.mark.parametrize("house", HOUSES)
def test_the_drawing_shows_the_floors_of_the_contracts(house: str) -> None:
    assert floors_drawn(house) == floors_in_contracts(house)


@pytest.mark.parametrize("house", HOUSES)
def test_no_room_is_larger_than_one_can_look_over(house: str) -> None:
    folders = {
        path.parent for path in (PROJECT / house).rglob("*.py") if "migrations" not in path.parts
    }
    sizes = {str(one): sum(file.suffix == ".py" for file in one.iterdir()) for one in folders}
    assert {name: size for name, size in sizes.items() if size > 18} == {}


def test_every_room_says_what_it_is_for() -> None:
    rooms = [
        Path(house, name)
        for house in HOUSES
        for floor in floors_drawn(house)
        for name in floor
        if (PROJECT / house / name).is_dir()
    ]
    silent = [
        str(room) for room in rooms if not (PROJECT / room / "__init__.py").read_text().strip()
    ]

    assert silent == []
