"""docs/sockets.md has the close codes, problem codes and frames of the code, in its tables."""

import re
from pathlib import Path

import pytest
from django.core.management import call_command

from config.environment.data_folder import PROJECT
from orders.api.schema.asyncapi import asyncapi, last_name
from orders.api.schema.close_codes import Close
from orders.api.schema.problem_codes import problem_codes
from orders.api.schema.tables import tables, with_tables

DOCS = PROJECT / "docs"
PAGE = (DOCS / "sockets.md").read_text()


def test_the_tables_are_those_of_the_code() -> None:
    assert with_tables(PAGE) == PAGE, "write them anew: manage.py describe_api"


def test_the_tables_have_each_close_code_problem_code_and_message() -> None:
    text = tables()
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", text, re.MULTILINE)} == {*Close}
    codes = re.findall(r"^\| [\d, ]+ \| `(\w+)` \|", text, re.MULTILINE)
    assert codes == [one.code for one in problem_codes()]
    rows = re.findall(r"^\| .* \| (you|engine) \| (.*) \| .* \|$", text, re.MULTILINE)
    sides = {
        (operation["action"], last_name(one))
        for operation in asyncapi()["operations"].values()
        for one in operation["messages"]
    }
    assert len(rows) == len(sides)
    assert {name for _, name in sides} == set(asyncapi()["components"]["messages"])
    assert {side for side, _ in rows} == {"you", "engine"}


@pytest.mark.parametrize("page", ["api.md", "orders.md", "accounts.md"])
def test_no_other_page_repeats_the_tables(page: str) -> None:
    text = (DOCS / page).read_text()
    assert not re.search(r"^\| 4[04]\d\d \|", text, re.MULTILINE)
    assert not re.search(r"^\| status \| `error` \|$", text, re.MULTILINE)


def test_the_command_writes_what_is_committed(tmp_path: Path) -> None:
    (tmp_path / "sockets.md").write_text(PAGE.replace("| 1013 |", "| 1313 |"))
    call_command("describe_api", docs=tmp_path)
    for name in ("sockets.md", "asyncapi.yaml"):
        assert (tmp_path / name).read_text() == (DOCS / name).read_text()


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        with_tables("# A page\n")
