"""What the tests of this folder share."""

from collections.abc import Iterator

import psycopg
import pytest
from django.apps import apps
from pytest_django.plugin import DjangoDbBlocker

from orders.journal import conninfo
from routing.models import Market, Token
from tests.accounts import Account, make_account
from tests.orders.client import CREDENTIALS

TABLES = [
    model._meta.db_table
    for app in ("orders", "routing")
    for model in apps.get_app_config(app).get_models()
    if model not in (Token, Market)
]
ANY_ROW = " OR ".join(f"EXISTS (TABLE {table})" for table in TABLES)


@pytest.fixture
def account(engine_loop: None, monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account as which all requests of the test are sent that say nothing else."""
    found = make_account()
    monkeypatch.setitem(CREDENTIALS, "authorization", f"Bearer {found.key}")
    return found


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """As pytest-django's, but empties the engine's own tables alone, and only if need be.

    Most tests of a door store nothing, and Django's flush of all tables takes a tenth of a second.
    """
    with django_db_blocker.unblock():
        yield
        with psycopg.connect(conninfo()) as connection:
            if connection.execute(f"SELECT {ANY_ROW}").fetchone() == (True,):
                connection.execute(f"TRUNCATE {', '.join(TABLES)}")
