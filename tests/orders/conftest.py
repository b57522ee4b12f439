"""What the tests of this folder share."""

import pytest

from tests.support.accounts import Account, make_account
from tests.support.client import CREDENTIALS


@pytest.fixture
def account(engine_loop: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account as which all requests of the test are sent that say nothing else."""
    found = make_account()
    monkeypatch.setitem(CREDENTIALS, "authorization", f"Bearer {found.key}")
    return found
