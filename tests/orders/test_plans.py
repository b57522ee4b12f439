"""Nothing grows with finished orders: no statement of ours reads the table of them.

Each is explained over 30,000 ended orders, with statistics and before the first ANALYZE, and
counted by the rows it really read.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from config.postgres import connect
from orders import accounts, health, pressure, standing, streams, tickets
from orders import journal_sql as sql
from orders.journal import conninfo
from tests.orders.test_admin_speed import FILL, SIGNATURE

pytestmark = pytest.mark.django_db

MOST_READ = 4_000  # rows of a table, by one statement; an hour of orders is 3,600
GROWING = {"orders", "order_events", "order_transactions", "order_starts"}
STARTS = """
INSERT INTO order_starts (at, orders)
SELECT now() - n * interval '1 minute', 1 FROM generate_series(1, 30000) AS n
"""
ID = "018f0000-0000-7000-8000-000000000001"
CLAIM = {
    **{"room": 10, "statuses": ["pending", "routing", "building", "submitted"], "lease": 10},
    **{"message": "", "data": "{}", "is_limited": True, "limit": 100, "window": 60},
}
KEYS = '[{"ordinal": 0, "owner": 1, "idempotency_key": "k", "client_order_id": "c"}]'
OF_LINKS: dict[str, tuple[str, Any]] = {
    "a claim": (sql.CLAIM_DUE, CLAIM),
    "a claim of one order": (sql.CLAIM_NAMED, CLAIM | {"only": ID}),
    "the last data": (sql.LAST_DATA, (ID, "building")),
    "keys": (sql.ACCEPTED_BEFORE, {"keys": KEYS}),
    "the backlog": (pressure.WAITING, (10_000,)),
    "who is behind": (streams.BEHIND, ([ID], [3])),
    "a log": (streams.HISTORY, (0, ID, False, None)),
    "API keys": (accounts.FIND_KEYS, {"digests": ["x"]}),
    "living workers": (health.ALIVE, (10, 10)),
}
OF_DJANGO: dict[str, tuple[str, Any]] = {
    "what is due": (sql.DUE_KINDS, None),
    "what lies ahead": (sql.BRING_BACK, {"lease": 10, "delay": 61, "most": 10_000}),
    "open orders": (sql.OPEN, {"most": 10_000}),
    "old starts": (sql.PRUNE_STARTS, {"window": 40 * 86_400}),
    "old heartbeats": (health.FORGET, None),
    "old tickets": (tickets.PRUNE, None),
    "the standing": (standing.STANDING, {"window": 60}),
    "the last hour": (standing.LAST_HOUR, None),
}


@pytest.fixture(scope="module", params=["without statistics", "analysed"])
def filled(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("TRUNCATE orders, order_transactions, order_starts CASCADE")
        is_analysed = request.param == "analysed"
        database.execute(FILL if is_analysed else FILL.partition("ANALYZE")[0])
        database.execute(STARTS)
        if is_analysed:
            database.execute("ANALYZE order_starts")
        yield
        database.execute("TRUNCATE orders, order_transactions, order_starts CASCADE")
        database.execute("DELETE FROM auth_user WHERE username = 'many'")


def rows_read(plan: dict[str, Any]) -> dict[str, float]:
    """Return how many rows of each growing table a plan read, by the table."""
    found: dict[str, float] = {}
    if plan.get("Relation Name") in GROWING:
        read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        found[plan["Relation Name"]] = read * plan["Actual Loops"]
    for part in plan.get("Plans", ()):
        for table, count in rows_read(part).items():
            found[table] = found.get(table, 0) + count
    return found


def explained(statement: str) -> str:
    return f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"


def assert_reads_little(plan: dict[str, Any]) -> None:
    read = rows_read(plan)
    assert all(count <= MOST_READ for count in read.values()), read


@pytest.mark.parametrize("name", OF_LINKS)
async def test_a_statement_of_the_engine_reads_no_finished_orders(name: str, filled: None) -> None:
    statement, parameters = OF_LINKS[name]
    link = await connect(conninfo(), "plans")
    try:
        await link.execute("BEGIN")
        cursor = await link.execute(explained(statement), parameters)
        ((plans,),) = await cursor.fetchall()
        await link.execute("ROLLBACK")
    finally:
        await link.close()
    assert_reads_little(plans[0]["Plan"])


@pytest.mark.parametrize("name", OF_DJANGO)
def test_a_job_or_a_page_reads_no_finished_orders(name: str, filled: None) -> None:
    statement, parameters = OF_DJANGO[name]
    with connection.cursor() as cursor:
        cursor.execute(explained(statement), parameters)
        ((plans,),) = cursor.fetchall()
    assert_reads_little(plans[0]["Plan"])


def test_the_count_notices_a_statement_that_reads_the_table(filled: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(explained("SELECT count(*) FROM orders WHERE signature <> %s"), [SIGNATURE])
        ((plans,),) = cursor.fetchall()
    with pytest.raises(AssertionError):
        assert_reads_little(plans[0]["Plan"])
