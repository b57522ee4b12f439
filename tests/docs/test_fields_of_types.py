"""docs/api.md says which fields each type of order takes, as the one table of the code does."""

from config.environment.data_folder import PROJECT
from orders.terms.type_rules import RULES, SPECIAL

PAGE = (PROJECT / "docs" / "api.md").read_text()


def table() -> list[list[str]]:
    """Return the cells of the first table of the section."""
    section = PAGE.partition("## Fields of the types")[2]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[: next(n for n, row in enumerate(rows) if row[0] == "field" and n)]


def test_the_table_of_fields_is_that_of_the_code() -> None:
    head, _, *rows = table()
    assert set(head[1:]) == set(RULES)
    for column, order_type in enumerate(head[1:], start=1):
        told = {
            name.strip("` ")
            for row in rows
            if row[column]
            for name in row[0].split(",")
            if name.strip().startswith("`")
        }
        assert told & SPECIAL == RULES[order_type].fields, order_type


def test_the_times_in_force_are_those_of_the_code() -> None:
    head, _, *rows = table()
    (row,) = [row for row in rows if row[0].startswith("`timeInForce`")]
    for column, order_type in enumerate(head[1:], start=1):
        assert tuple(row[column].replace("`", "").split()) == RULES[order_type].times
