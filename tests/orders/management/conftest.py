"""What the tests of commands leave as it was."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Have the engine's loggers as loud as before: `place_order` silences them for its process."""
    orders = logging.getLogger("orders")
    before = orders.level
    yield
    orders.setLevel(before)
