"""What the tests of the API share."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.support.order_types import ASK, BID


@pytest.fixture
def prices(database_conninfo: str) -> Iterator[None]:
    """Fresh ticks for as long as the test takes: bid 100, ask 100.4, reference 100.2."""
    with psycopg.connect(database_conninfo, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO price_ticks (pair, tick, bid, ask, reference)"
            " SELECT 'SOL/USDC', extract(epoch FROM now())::bigint + second, %s, %s, 100.2"
            " FROM generate_series(-1, 60) AS second",
            (BID, ASK),
        )
    yield
    with psycopg.connect(database_conninfo, autocommit=True) as connection:
        connection.execute("DELETE FROM price_ticks")
