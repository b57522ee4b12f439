"""The admin's pages read a bounded part of an index, however many orders there are.

The pages are opened over 30,000 orders with the bounds lowered; then every statement that a page
ran is explained, and counted by the rows it really read.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from config.database.conninfo import conninfo
from orders.admin_pages.addresses import orders_url
from orders.models import Order
from orders.monitoring import engine_status, metrics_sql, minutes
from tests.support.database import as_owner, rewrite
from tests.support.ended_orders import (
    ANALYZE,
    API_QUERIES,
    FORGET_STATISTICS,
    LIST_PAGES,
    TRANSACTION_QUERIES,
    fill,
)

pytestmark = pytest.mark.django_db

ORDERS = 30_000
REACH = 1_500
COUNTED = 500
MOST_READ = 1_000
BOUND = REACH + 1  # rows that any one statement may read of a table
LIST = reverse("admin:orders_order_changelist")
TRANSACTIONS = reverse("admin:orders_transactionbysignature_changelist")
SIGNATURE = "signature of order 29000"


@pytest.fixture(scope="module")
def filled(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[psycopg.Connection]:
    rewrite(conninfo(), "TRUNCATE orders, order_transactions")
    with psycopg.connect(as_owner(conninfo()), autocommit=True) as database:
        database.execute(fill(ORDERS))
        yield database
        rewrite(conninfo(), "TRUNCATE orders, order_transactions")
        database.execute("DELETE FROM auth_user WHERE username = 'many'")


@pytest.fixture(scope="module", params=["without statistics", "analysed"])
def full_tables(request: pytest.FixtureRequest, filled: psycopg.Connection) -> None:
    filled.execute(ANALYZE if request.param == "analysed" else FORGET_STATISTICS)


@pytest.fixture(autouse=True)
def low_bounds(full_tables: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.admin_pages.bounded_list.REACH", REACH)
    monkeypatch.setattr("orders.api.pagination.LOOKED_AT", REACH)
    monkeypatch.setattr("routing.admin.read_only.MOST_COUNTED", COUNTED)
    monkeypatch.setattr("orders.monitoring.operations.FRESH_SECONDS", -1.0)
    for bound in ("COUNTED", "AGED", "RECENT", "FAILED", "FLAGGED"):
        monkeypatch.setattr(f"orders.monitoring.operations_sql.MOST_{bound}", MOST_READ)
    monkeypatch.setattr("orders.monitoring.engine_status.MOST_RESTING", MOST_READ)
    monkeypatch.setattr("orders.admin_pages.venues.MOST_READ", MOST_READ)


Open = Callable[[str], str]


@pytest.fixture
def open_page(admin_client: Client) -> Open:
    """Open a page, and fail the test if a statement of it read more than it may."""

    def open_page(url: str) -> str:
        with connection.cursor() as cursor:  # the page before was in this transaction, too
            cursor.execute("SET LOCAL enable_bitmapscan TO DEFAULT")
        with CaptureQueriesContext(connection) as ran:
            answer = admin_client.get(url)
        assert answer.status_code == 200, (answer.status_code, answer.headers)
        of_orders = [query["sql"] for query in ran.captured_queries if '"order' in query["sql"]]
        of_orders += [query["sql"] for query in ran.captured_queries if " orders" in query["sql"]]
        assert of_orders or "routing" in url
        for sql in of_orders:
            for node in scans_of(sql):
                read = rows_read(node)
                assert read <= BOUND, f"{read} rows by {node['Node Type']} in: {sql}"
                assert node["Node Type"] != "Seq Scan", sql
        return answer.content.decode()

    return open_page


def scans_of(sql: str) -> list[dict[str, Any]]:
    """Run the statement again; return how its tables were read."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + sql.replace("%", "%%"), ())
        ((plan,),) = cursor.fetchall()
    found: list[dict[str, Any]] = []
    left = [(plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]]
    while left:
        node = left.pop()
        left += node.get("Plans", [])
        if node.get("Relation Name", "").startswith("order"):
            found.append(node)
    return found


def rows_read(node: dict[str, Any]) -> float:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return (node["Actual Rows"] + removed) * node["Actual Loops"]


def shown(page: str) -> int:
    return page.count('name="_selected_action"')


@pytest.mark.parametrize(("query", "count"), LIST_PAGES)
def test_the_list_of_orders_reads_a_bounded_part_of_an_index(
    open_page: Open, query: str, count: int
) -> None:
    assert shown(open_page(f"{LIST}?{query}")) == count


def test_orders_that_lie_apart_are_looked_through_less_far(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.admin_pages.bounded_list.REACH_APART", 200)  # 301 failed
    assert "looked through the newest 200 " in open_page(f"{LIST}?status=failed&venue=meteora")
    assert f"looked through the newest {REACH} " in open_page(f"{LIST}?created=day&side=buy")


def test_failed_orders_are_found_however_old(open_page: Open) -> None:
    page = open_page(f"{LIST}?status=failed&p=7")
    assert "018f0000-0000-7000-8000-000000000001" in page


def test_a_page_that_left_orders_out_says_so(open_page: Open) -> None:
    assert f"This looked through the newest {REACH} orders" in open_page(f"{LIST}?side=buy")
    for complete in ("", "?status=failed", "?created=hour", "?q=nothing"):
        assert "This looked through" not in open_page(LIST + complete)


def test_a_list_counts_no_further_than_anybody_turns_pages(open_page: Open) -> None:
    assert f"more than {COUNTED} orders" in " ".join(open_page(LIST).split())
    assert "1 order" in " ".join(open_page(f"{LIST}?attention=yes").split())


def test_the_calendar_names_the_years_months_and_days_that_have_orders(open_page: Open) -> None:
    assert "created_at__year=2024" in open_page(LIST)
    year = open_page(f"{LIST}?created_at__year=2024")
    assert "March 2024" in year
    assert "April 2024" not in year
    month = open_page(f"{LIST}?created_at__year=2024&created_at__month=3")
    assert ">March 5<" in month
    assert ">March 6<" not in month


@pytest.mark.parametrize("query", API_QUERIES)
def test_the_list_of_an_account_reads_a_bounded_part_of_an_index(
    open_page: Open, admin_client: Client, query: str
) -> None:
    admin_client.force_login(User.objects.get(username="many"))
    open_page(f"/api/orders?{query}")


@pytest.mark.parametrize("query", TRANSACTION_QUERIES)
def test_the_list_of_transactions_reads_a_bounded_part_of_an_index(
    open_page: Open, query: str
) -> None:
    page = open_page(f"{TRANSACTIONS}?{query}")
    assert ("signature of order" in page) is (query not in ("outcome=rejected", "outcome=none"))


def test_a_transaction_is_found_by_its_signature_and_its_order(open_page: Open) -> None:
    for term in (SIGNATURE, f"018f0000-0000-7000-8000-{29_000:012x}"):
        page = open_page(f"{TRANSACTIONS}?q={term.replace(' ', '+')}")
        assert SIGNATURE in page
        assert "1 transaction" in " ".join(page.split())


def test_the_start_page_reads_a_bounded_part_of_an_index(open_page: Open) -> None:
    assert "newest 1,000 confirmed" not in open_page(reverse("admin:index"))
    open_page(reverse("admin:operations"))


def test_a_minute_reads_a_bounded_part_of_an_index(
    monkeypatch: pytest.MonkeyPatch, full_tables: None
) -> None:
    now = int(timezone.now().timestamp())
    bounds = {"minute": now - 300, "most": 50, "timed": 50, "earlier": 120}
    for query in (minutes.ACCEPTED, minutes.TIMES):
        with connection.cursor() as cursor:
            cursor.execute(metrics_sql.PLANS)
            asked = cursor.mogrify(query, bounds)
        for node in scans_of(asked):
            assert rows_read(node) <= 51, f"{rows_read(node)} rows by {node} in: {query}"


def test_the_page_of_venues_reads_a_bounded_part_of_an_index(open_page: Open) -> None:
    assert f"the newest {MOST_READ} orders" in open_page(reverse("admin:venues"))


def test_an_orders_page_reads_its_own_rows_only(open_page: Open) -> None:
    order_id = f"018f0000-0000-7000-8000-{29_000:012x}"
    assert SIGNATURE in open_page(reverse("admin:orders_order_change", args=[order_id]))


def test_an_account_with_orders_is_kept_without_reading_them(open_page: Open) -> None:
    owner = User.objects.get(username="many")
    page = open_page(reverse("admin:auth_user_delete", args=[owner.pk]))
    assert "Orders of the account many. Make it inactive instead." in page
    assert 'name="post"' not in page  # nothing to confirm


@pytest.mark.usefixtures("full_tables")
def test_accounts_with_orders_are_kept_among_others_too(admin_client: Client) -> None:
    idle, busy = User.objects.create(username="idle"), User.objects.get(username="many")
    action = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [idle.pk, busy.pk], "post": "yes"}
    page = admin_client.post(reverse("admin:auth_user_changelist"), action)
    assert "Orders of the account many" in page.content.decode()
    assert User.objects.filter(pk__in=[idle.pk, busy.pk]).count() == 2


def test_an_account_without_orders_can_be_deleted(admin_client: Client) -> None:
    idle = User.objects.create(username="idle")
    admin_client.post(reverse("admin:auth_user_delete", args=[idle.pk]), {"post": "yes"})
    assert not User.objects.filter(pk=idle.pk).exists()


def test_a_list_of_fifty_takes_no_more_statements_than_one_of_three(admin_client: Client) -> None:
    admin_client.get(LIST)  # notes that the session is used
    counts = []
    for query in ({"attention": "yes"}, {"status": "failed"}):
        with CaptureQueriesContext(connection) as ran:
            page = admin_client.get(LIST, query).content.decode()
        counts.append((shown(page), len(ran)))
    (one, few), (fifty, many) = counts

    assert (one, fifty) == (1, 50)
    assert many == few < 13


RESTING = """
INSERT INTO orders (id, status, resting, phase, type, side, base, quote, amount_in, slippage_bps,
  trigger_price, terms, created_at, seq, attempts, lease_token, lost_leases, needs_attention,
  parent_id, slice)
SELECT ('018a0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'open', true,
  CASE n WHEN 1 THEN 'held' ELSE 'waiting' END, 'stop', 'sell', 'SOL', 'USDC', 1, 100, 90, '{}',
  now() - n * interval '1 minute', 1, 0, 0, 0, false,
  CASE WHEN n BETWEEN 2 AND 1001 THEN '018a0000-0000-7000-8000-000000000001'::uuid END,
  CASE WHEN n BETWEEN 2 AND 1001 THEN n END
FROM generate_series(1, 5000) AS n
"""


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=open", 50),
        ("phase=waiting", 50),
        ("phase=held", 1),
        ("phase=unarmed", 0),
        ("status=open&type=limit", 0),
        ("status=under_way", 1),
        ("status=open&type=stop", 50),
    ],
)
def test_the_list_of_what_rests_reads_a_bounded_part_of_an_index(
    open_page: Open, query: str, count: int
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(RESTING)
    assert shown(open_page(f"{LIST}?{query}")) == count


def test_however_many_orders_rest_the_pages_read_a_bounded_part_of_them(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(RESTING)
    assert '"resting": 1000' in open_page(reverse("admin:operations"))
    parent = "018a0000-0000-7000-8000-000000000001"
    page = open_page(reverse("admin:orders_order_change", args=[parent]))
    assert "It has more children" in page
    for query, bounds in (
        (metrics_sql.RESTING, {"most": MOST_READ}),
        (metrics_sql.OPEN, {"most": MOST_READ}),
        (metrics_sql.WAITING, {"most": MOST_READ}),
        (metrics_sql.RECENT, {"most": 200, "window": 600}),
        (engine_status.ENGINE_STATUS, {"most": MOST_READ, "resting": MOST_READ, "window": 60}),
    ):
        with connection.cursor() as cursor:
            cursor.execute(metrics_sql.PLANS)
            asked = cursor.mogrify(query, bounds)
        for node in scans_of(asked):
            assert rows_read(node) <= BOUND, f"{rows_read(node)} rows by {node} in: {query}"


def test_every_link_of_the_start_page_leads_to_a_bounded_page(open_page: Open) -> None:
    page = open_page(reverse("admin:index"))
    for query in (
        orders_url(created="hour", status="failed"),
        orders_url(status="under_way"),
        orders_url(status="submitted"),
        orders_url(failure_code="never_landed", created="hour"),
        orders_url(venue="raydium", created="hour"),
    ):
        assert f'href="{query.replace("&", "&amp;")}"' in page
        open_page(query)


def test_the_indexes_of_operators_cost_the_moves_in_between_nothing() -> None:
    """Moves that touch no column of an index stay on their page, which PostgreSQL counts."""
    order = Order.objects.create(
        **{"side": "sell", "base": "SOL", "quote": "USDC", "amount_in": 1, "slippage_bps": 100},
        **{"status": "routing", "attempts": 1, "started_at": timezone.now()},
    )
    for seq, (status, columns) in enumerate(
        [
            ("building", {"venue": "meteora", "min_out": 1}),
            ("submitted", {"signature": "5ig"}),
            ("pending", {"lease_until": None}),
            ("routing", {"attempts": 2}),
        ],
        start=2,
    ):
        Order.objects.filter(pk=order.pk).update(status=status, seq=seq, **columns)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_get_xact_tuples_hot_updated('orders'::regclass)")
        assert cursor.fetchone() == (4,)
