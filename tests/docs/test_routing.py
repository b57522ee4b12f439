"""The figures of docs/routing.md are those that its script prints."""

import pytest

from config.environment.data_folder import PROJECT
from routing.quoting import CODES
from tests.bench.routing import DEPTHS, size_table

DOCS = (PROJECT / "docs" / "routing.md").read_text()


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_table_of_sizes_is_what_the_script_prints(depth: int) -> None:
    assert "\n".join(size_table(depth)) in DOCS


def test_every_code_of_a_dropped_quote_is_explained() -> None:
    assert all(f"`{code}`" in DOCS for code in [*CODES.values(), "internal_error"])
