"""Each example that a program would read is read, and each that it would run is run by a test."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.environment.data_folder import PROJECT
from config.environment.variables import Environment
from orders.api.schema.asyncapi import asyncapi, last_name
from routing.pools.constant_product import ConstantProductPool, FeeRates
from routing.pools.pool import Direction
from tests.docs.test_guides import GUIDES, blocks
from tests.support.shapes import validator

RUN = {  # guides with programs, and the test that runs these
    ("docs/sockets.md", "python"): "docs/test_guides.py",
    ("docs/venues.md", "python"): "routing/simulation/test_venues.py",
    ("docs/pools.md", "python"): "below",
    ("client/README.md", "python"): "client/test_real_engine.py",
    ("docs/sockets.md", "js"): "browser/test_examples.py",
    ("docs/api.md", "ts"): "orders/api/test_typescript.py",
}
ORDER_ID = "01a1fc02-2219-7ea8-9f11-ba64b00749af"
OF_LOGS = {"timestamp", "level", "logger", "message"}
SHAPES = ("OrderRequest", "Amendment", "Batch", "CancelMany", "CancelAll", "Problem", "Order")
FRAMES = {last_name(one["payload"]) for one in asyncapi()["components"]["messages"].values()}


def shown(language: str) -> list[Any]:
    return [
        pytest.param(guide, text, id=f"{guide.name}-{number}")
        for guide in GUIDES
        for number, text in enumerate(blocks(guide, language))
    ]


def values_in(text: str) -> Iterator[Any]:
    """Yield each value of a block, which may show several."""
    reader, rest = json.JSONDecoder(), text.strip()
    while rest:
        value, end = reader.raw_decode(rest)
        yield value
        rest = rest[end:].strip()


@pytest.mark.parametrize(("guide", "text"), shown("json"))
def test_each_json_is_what_the_api_takes_or_tells(guide: Path, text: str) -> None:
    for value in values_in(text.replace('"…"', f'"{ORDER_ID}"')):
        is_log = isinstance(value, dict) and value.keys() >= OF_LOGS
        is_frame = any(validator(name, of_sockets=True).is_valid(value) for name in FRAMES)
        is_other = any(validator(name).is_valid(value) for name in SHAPES)
        assert is_log or is_frame or is_other, (guide.name, value)


@pytest.mark.parametrize(("guide", "text"), shown("yaml"))
def test_each_yaml_can_be_read(guide: Path, text: str) -> None:
    assert isinstance(yaml.safe_load(text), dict), guide.name


@pytest.mark.parametrize(("guide", "text"), shown("ini"))
def test_each_file_of_settings_names_settings(guide: Path, text: str) -> None:
    names = [line.partition("=")[0] for line in text.splitlines()]
    assert set(names) <= set(Environment.model_fields), guide.name


@pytest.mark.parametrize(("guide", "text"), shown("python"))
def test_each_program_in_python_can_be_read(guide: Path, text: str) -> None:
    compile(text, guide.name, "exec")


def test_each_program_is_run_by_a_test() -> None:
    found = {
        (str(guide.relative_to(PROJECT)), language)
        for guide in GUIDES
        for language in ("python", "js", "ts", "sql")
        if blocks(guide, language)
    }
    assert found == set(RUN)
    for test in RUN.values():
        assert test == "below" or (Path(__file__).parent.parent / test).exists()


def test_the_example_of_pools_swaps() -> None:
    (program,) = blocks(PROJECT / "docs/pools.md", "python")
    pool = ConstantProductPool(20_000 * 10**9, 2_000_000 * 10**6, FeeRates(2_500, 120_000, 40_000))
    names: dict[str, Any] = {"Direction": Direction, "pool": pool, "amount_in": 10**9, "now": 0}
    exec(program, names)
    assert names["fill"].amount_out == pool.quote_exact_in(10**9, Direction.X_TO_Y).amount_out
    assert names["pool"].reserve_x > pool.reserve_x
