"""What docs/security.md and docs/accounts.md say is what there is."""

import logging
import re
from pathlib import Path

import pytest

from config.environment.data_folder import PROJECT
from config.http.security_log import EVENTS
from orders.api.schema.openapi import openapi
from tests.orders.access.test_own_keys import NEEDED

SECURITY = (PROJECT / "docs/security.md").read_text()
ACCOUNTS = (PROJECT / "docs/accounts.md").read_text()
PAGES = [PROJECT / "SECURITY.md", PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
FILES = list((PROJECT / "tests").rglob("test_*.py"))
DEFINED = set(re.findall(r"def (test_\w+)", "".join(file.read_text() for file in FILES)))
OPERATIONS = {
    "list orders or export them, see one, its events, its route; execution quality": (
        *("listOrders", "exportOrders", "getOrder", "getOrderEvents", "getOrderRoute"),
        "getExecutionQuality",
    ),
    "send orders, over HTTP": ("placeOrder", "sendOrders"),
    "preview orders, ask for quotes": ("previewOrder", "getQuote"),
    "amend, replace and cancel orders": (
        *("amendOrder", "replaceOrder", "cancelOrder", "deleteOrder"),
        *("cancelOrders", "cancelAllOrders"),
    ),
    "see the account's keys": ("listKeys", "getKey"),
    "follow all orders of the account": ("streamEvents", "listEvents"),
    "get a ticket for a socket": ("createSocketTicket",),
    "rotate and revoke itself": ("rotateKey", "revokeKey"),
}
"""What the rows of the table in docs/accounts.md are in the schema; others are told of sockets."""


def row_of(text: str, beginning: str) -> list[str]:
    (row,) = re.findall(rf"^\| ({re.escape(beginning)}.*) \|$", text, re.MULTILINE)
    return [cell.strip() for cell in row.split("|")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`(?:tests/[\w/]+\.py::)?(test_\w+)`", page.read_text()))
    assert named <= DEFINED
    files = set(re.findall(r"\b(test_\w+\.py)\b", page.read_text()))
    assert files <= {file.name for file in FILES}


def test_the_events_that_are_shown_are_those_of_the_code_with_their_levels() -> None:
    """Neither is one missing, nor is there one that is never written."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| (info|warning) \|", SECURITY, re.MULTILINE)
    shown = {
        name: logging.getLevelNamesMapping()[level.upper()]
        for names, level in rows
        for name in re.findall(r"`(\w+)`", names)
    }

    assert shown == EVENTS


@pytest.mark.parametrize("row", OPERATIONS)
def test_what_a_key_may_do_is_what_its_row_says(row: str) -> None:
    """`test_every_operation_asks_for_its_scope` holds the code to the same scopes."""
    _, *told = row_of(ACCOUNTS, row)
    paths = openapi()["paths"].values()
    known = {one["operationId"] for methods in paths for one in methods.values()}
    for operation in OPERATIONS[row]:
        assert operation in known
        needed = NEEDED.get(operation)
        may = ["yes" if needed in (None, scope) else "no" for scope in ("read", "trade")]
        assert told == may, operation


def test_every_operation_that_needs_a_scope_has_its_row() -> None:
    assert set(NEEDED) <= {name for names in OPERATIONS.values() for name in names}
