"""Nothing grows with finished orders: no statement of ours reads the table of them.

Each is explained over 30,000 ended orders, with statistics and before the first ANALYZE, and
counted by the rows it really read.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from config.database.conninfo import conninfo
from config.runtime.postgres import connect
from orders.monitoring import metrics_sql
from orders.quality import measuring
from tests.support.database import as_owner, rewrite
from tests.support.ended_orders import (
    ANALYZE,
    FORGET_STATISTICS,
    OF_DJANGO,
    OF_LINKS,
    OF_METRICS,
    fill,
)

pytestmark = pytest.mark.django_db

MOST_READ = 4_000  # rows of a table, by one statement; an hour of orders is 3,600
GROWING = {"orders", "order_events", "order_transactions", "order_starts"}
EMPTY = "TRUNCATE orders, order_transactions, order_starts"
STARTS = """
INSERT INTO order_starts (at, orders)
SELECT now() - n * interval '1 minute', 1 FROM generate_series(1, 30000) AS n
"""


@pytest.fixture(scope="module")
def full_tables(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[psycopg.Connection]:
    rewrite(conninfo(), EMPTY)
    with psycopg.connect(as_owner(conninfo()), autocommit=True) as database:
        database.execute(fill(30_000))
        database.execute(STARTS)
        yield database
        rewrite(conninfo(), EMPTY)
        database.execute("DELETE FROM auth_user WHERE username = 'many'")


@pytest.fixture(scope="module", params=["without statistics", "analysed"])
def filled(request: pytest.FixtureRequest, full_tables: psycopg.Connection) -> None:
    is_analysed = request.param == "analysed"
    full_tables.execute(f"{ANALYZE}, order_starts" if is_analysed else FORGET_STATISTICS)


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


def test_measuring_reads_one_batch_of_what_has_ended(filled: None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(measuring.IN_ORDER)
        cursor.execute(explained(measuring.ENDED), measuring.BOUNDS)
        ((plans,),) = cursor.fetchall()
    assert_reads_little(plans[0]["Plan"])


@pytest.mark.parametrize("name", OF_METRICS)
def test_a_question_of_the_metrics_reads_no_finished_orders(name: str, filled: None) -> None:
    statement, parameters = OF_METRICS[name]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(metrics_sql.PLANS)
        cursor.execute(explained(statement), parameters)
        ((plans,),) = cursor.fetchall()
    assert_reads_little(plans[0]["Plan"])


def test_the_count_notices_a_statement_that_reads_the_table(filled: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(explained("SELECT count(*) FROM orders WHERE signature <> %s"), ["none"])
        ((plans,),) = cursor.fetchall()
    with pytest.raises(AssertionError):
        assert_reads_little(plans[0]["Plan"])
