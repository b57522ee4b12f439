"""What the tests of this folder share."""

from typing import Any

import pytest

from orders.api.lists import export
from tests.support.accounts import Account, make_account
from tests.support.client import CREDENTIALS


@pytest.fixture
def account(engine_loop: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account as which all requests of the test are sent that say nothing else."""
    found = make_account()
    monkeypatch.setitem(CREDENTIALS, "authorization", f"Bearer {found.key}")
    return found


@pytest.fixture
def pieces_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many orders each piece of an export had, as they are read."""
    read: list[int] = []
    read_piece = export.read_piece

    def counted(*arguments: Any) -> Any:
        found = read_piece(*arguments)
        read.append(len(found[0]))
        return found

    monkeypatch.setattr(export, "read_piece", counted)
    return read
