"""Whether anything is slower over many ended orders than over ten thousand.

`make bench BENCH_ARGS=g10000000` fills its database with ten million as well. Each order has its
transaction and its first event; the newest have all events, as nothing reads those of others but
by the order's id.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from config.database.conninfo import conninfo
from config.runtime.postgres import connect
from orders.monitoring import metrics_sql
from tests.support.ended_orders import (
    ANALYZE,
    API_QUERIES,
    FORGET_STATISTICS,
    LIST_PAGES,
    OF_DJANGO,
    OF_LINKS,
    OF_METRICS,
    TRANSACTION_QUERIES,
    Asked,
    fill,
)

FEW = 10_000
COUNTS = (FEW, 300_000)  # the second is beyond every bound on what one statement reads
RUNS = 9
PAGE_RUNS = 5
TABLES = ["orders", "order_transactions", "order_events", "order_starts"]
EVENTS = f"""
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at)
SELECT id, step, CASE step WHEN 5 THEN status
    ELSE (ARRAY['pending', 'routing', 'building', 'submitted'])[step] END,
  1, 'As the benchmark has it.', '{{}}', created_at + step * interval '0.2 seconds'
FROM orders, generate_series(1, CASE WHEN created_at > now() - {FEW} * interval '1 second'
  THEN 5 ELSE 1 END) AS step
"""
STARTS = """
INSERT INTO order_starts (at, orders)
SELECT now() - n * interval '1 second', 1 FROM generate_series(1, 60) AS n
"""
# Indexes are made anew from all rows: to fill them row by row takes several times as long.
SKIP_INDEXES = """
UPDATE pg_index SET indisready = false
WHERE indrelid = ANY(%s::regclass[]) AND NOT indisprimary
"""
FORGET_SIZES = """
UPDATE pg_class SET relpages = 0, reltuples = -1
WHERE oid = ANY(%(tables)s::regclass[])
  OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = ANY(%(tables)s::regclass[]))
"""

Times = dict[str, float]
"""Milliseconds by what was asked, of the quickest of some runs: a busy machine only adds."""


def growth_rows(*counts: int) -> Iterator[tuple[str, str]]:
    """Yield what was asked, and its times over so many orders, before ANALYZE and after."""
    counts = COUNTS + counts
    found = {}
    for count in counts:
        yield f"{count:,} orders stored in", f"{fill_tables(count):,.0f} s"
        found[count, "before"] = times()
        analyze()
        found[count, "after"] = times()
    names = ", ".join(f"{count:,}" for count in counts)
    yield f"ms over {names} orders", "before ANALYZE  |  after it"
    for name in found[counts[0], "before"]:
        yield (
            name,
            "  |  ".join(
                compared([found[count, step][name] for count in counts])
                for step in ("before", "after")
            ),
        )


def compared(took: list[float]) -> str:
    return " ".join(f"{ms:8.2f}" for ms in took) + f"  x{took[-1] / took[0]:.1f}"


def fill_tables(count: int) -> float:
    """Empty the tables and store so many orders; return the seconds that took."""
    begun = time.monotonic()
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("SET session_replication_role = replica")  # past the triggers
        database.execute("TRUNCATE orders, order_transactions, order_events, order_starts")
        User.objects.filter(username="many").delete()
        for table in TABLES:
            database.execute(f"ALTER TABLE {table} SET UNLOGGED")
            database.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        database.execute(SKIP_INDEXES, [TABLES])
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute("SET statement_timeout = 0")
        database.execute("SET maintenance_work_mem = '1GB'")
        database.execute("SET session_replication_role = replica")
        database.execute(fill(count))
        database.execute(EVENTS)
        database.execute(STARTS)
        for table in TABLES:
            database.execute(f"REINDEX TABLE {table}")
        database.execute(FORGET_STATISTICS)
        database.execute(FORGET_SIZES, {"tables": TABLES})
    User.objects.filter(username="many").update(is_staff=True, is_superuser=True)
    return time.monotonic() - begun


def analyze() -> None:
    with psycopg.connect(conninfo(), autocommit=True) as database:
        database.execute(f"{ANALYZE}, order_events, order_starts")


def times() -> Times:
    found = asyncio.run(times_of_links())
    for name, asked in OF_DJANGO.items():
        found[name] = time_in_django(asked, plans="")
    for name, asked in OF_METRICS.items():
        found[name] = time_in_django(asked, plans=metrics_sql.PLANS)
    return found | times_of_pages()


async def times_of_links() -> Times:
    """Time each as the engine asks it, with a plan kept after the first few times."""
    found = {}
    link = await connect(conninfo(), "benchmark")
    for name, (statement, parameters) in OF_LINKS.items():
        took = []
        for _ in range(2 * RUNS):
            await link.execute("BEGIN")
            begun = time.perf_counter()
            cursor = await link.execute(statement, parameters)
            if cursor.description:
                await cursor.fetchall()
            took.append(time.perf_counter() - begun)
            await link.execute("ROLLBACK")
        found[name] = min(took) * 1000
    await link.close()
    return found


def time_in_django(asked: Asked, plans: str) -> float:
    took = []
    for _ in range(2 * RUNS):
        with transaction.atomic(), connection.cursor() as cursor:
            if plans:
                cursor.execute(plans)
            begun = time.perf_counter()
            cursor.execute(*asked)
            if cursor.description:
                cursor.fetchall()
            took.append(time.perf_counter() - begun)
            transaction.set_rollback(True)
    return min(took) * 1000


def times_of_pages() -> Times:
    """Return how long the statements of each page took together."""
    browser = Client(headers={"host": "localhost"}, raise_request_exception=False)
    browser.force_login(User.objects.get(username="many"))
    return {name: time_of_page(browser, url) for name, url in pages()}


def time_of_page(browser: Client, url: str) -> float:
    took: list[float] = []

    def timed(execute: Callable[..., Any], *rest: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(*rest)
        finally:
            spent[0] += time.perf_counter() - begun

    for _ in range(PAGE_RUNS):
        spent = [0.0]
        with connection.execute_wrapper(timed):
            answer = browser.get(url)
            if answer.status_code != 200:
                print(f"  {url} answered {answer.status_code}", flush=True)
        took.append(spent[0])
    return min(took) * 1000


def pages() -> Iterator[tuple[str, str]]:
    user = User.objects.get(username="many")
    known = f"018f0000-0000-7000-8000-{FEW:012x}"
    yield "admin: overview", reverse("admin:index")
    yield "admin: venues", reverse("admin:venues")
    yield "admin: case file", reverse("admin:orders_order_change", args=[known])
    yield "admin: an account", reverse("admin:auth_user_change", args=[user.pk])
    yield "admin: delete an account?", reverse("admin:auth_user_delete", args=[user.pk])
    for listed in LIST_PAGES:
        url = reverse("admin:orders_order_changelist")
        yield f"admin: orders?{listed.query}", f"{url}?{listed.query}"
    for query in TRANSACTION_QUERIES:
        url = reverse("admin:orders_transactionbysignature_changelist")
        yield f"admin: transactions?{query}", f"{url}?{query}"
    yield "API: an order", f"/api/orders/{known}"
    yield "API: its events", f"/api/orders/{known}/events"
    for query in API_QUERIES:
        yield f"API: orders?{query}", f"/api/orders?{query}"
