"""`manage.py release`, which each of many hosts runs before it starts anything."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from orders.access.keys import digest_of
from tests.support.engine import SELL, Engine, database_like, processes, wait_for

HOSTS = 3
MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY app, name"


def read(conninfo: str, query: str) -> list[tuple]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query).fetchall()


def test_releases_of_many_hosts_at_once_bring_an_empty_database_to_this_version(
    process_database: str, tmp_path: Path
) -> None:
    urls = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DEMO_LOGIN": "1"}
    with (
        database_like("template1", name="test_release") as empty,
        ThreadPoolExecutor(HOSTS) as hosts,
    ):
        host = Engine({**urls, "DATABASE_URL": empty}, tmp_path)
        ended = list(hosts.map(host.command, ["release"] * HOSTS))

        assert [(one.returncode, one.stderr) for one in ended] == [(0, "")] * HOSTS
        assert read(empty, MIGRATIONS) == read(process_database, MIGRATIONS)
        assert read(empty, "SELECT username FROM auth_user") == []  # demo / demo is no row


OF_BEFORE = """
INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser,
  is_staff, is_active, date_joined)
SELECT n, 'user-' || n, '', '', '', '', false, false, true, now() FROM generate_series(1, 2) AS n;
INSERT INTO api_keys (owner_id, name, prefix, digest) VALUES (1, 'old', 'oee_AAAAAAAA', %(digest)s);
INSERT INTO orders (id, owner_id, client_order_id, type, side, base, quote, amount_in,
  slippage_bps, status, seq, attempts, lease_token, lost_leases, needs_attention, started_at,
  finished_at, lease_until, venue, signature, filled_in, filled_out, next_check)
SELECT id::uuid, owner, CASE WHEN owner IS NOT NULL THEN 'mine-' || id END, 'market', 'sell',
  'SOL', 'USDC', 1000000000, 100, status, CASE status WHEN 'pending' THEN 1 ELSE 2 END, 0, 1, 0,
  false, begun, ended, CASE WHEN ended IS NULL THEN begun END,
  CASE WHEN ended IS NOT NULL THEN 'raydium' END, CASE WHEN ended IS NOT NULL THEN 'sent' END,
  CASE WHEN ended IS NOT NULL THEN 1 END, CASE WHEN ended IS NOT NULL THEN 1 END,
  now() - interval '1 hour' + n * interval '1 second'
FROM (VALUES
  (1, '00000000-0000-7000-8000-000000000001', 1, 'pending', NULL::timestamptz, NULL::timestamptz),
  (2, '00000000-0000-7000-8000-000000000002', 1, 'pending', NULL, NULL),
  (3, '00000000-0000-7000-8000-000000000003', 2, 'pending', NULL, NULL),
  (4, '00000000-0000-7000-8000-000000000004', NULL, 'pending', NULL, NULL),
  (5, '00000000-0000-7000-8000-000000000005', NULL, 'pending', NULL, NULL),
  (6, '00000000-0000-7000-8000-000000000006', 1, 'routing', now() - interval '1 hour', NULL),
  (7, '00000000-0000-7000-8000-000000000007', 2, 'confirmed', now() - interval '1 hour', now())
) AS old(n, id, owner, status, begun, ended);
INSERT INTO order_events (order_id, seq, status, attempt, message, data, at)
SELECT id, n, CASE n WHEN 1 THEN 'pending' ELSE status END, 0, 'told', '{}', now()
FROM orders, generate_series(1, seq) AS n;
INSERT INTO order_transactions (order_id, attempt, signature, payload, expires_at_height, outcome,
  created_at, settled_at)
SELECT id, 1, 'sent', '', 1, 'landed', now(), now() FROM orders WHERE status = 'confirmed';
INSERT INTO order_starts (at, orders) VALUES (now(), 3);
"""
ALL_OF = "SELECT jsonb_strip_nulls(to_jsonb(t))::text FROM {} t ORDER BY 1"  # columns may come
STANDING = "SELECT right(id::text, 1)::int, sender, turn FROM orders WHERE started_at IS NULL"
UNENDED = "SELECT id FROM orders WHERE status <> 'confirmed'"


SCOPES = "SELECT may_read, may_trade, addresses::text, last_used_at, expires_at FROM api_keys"


def migrate(engine: Engine, *arguments: str) -> None:
    ended = engine.command("migrate", *arguments)
    assert ended.returncode == 0, ended.stderr


def test_a_database_of_the_version_before_keeps_its_orders_keys_and_history(
    process_database: str, tmp_path: Path
) -> None:
    """Its waiting orders stand in line, its keys may all, and what happened is kept as it was."""
    with (
        database_like("template1", name="test_upgrade") as old,
        processes(old, tmp_path, ORDER_RATE_LIMIT="100/m") as running,
    ):
        migrate(running, "auth")
        migrate(running, "orders", "0008")
        secret = "oee_" + "A" * 43
        with psycopg.connect(old) as connection:
            connection.execute(OF_BEFORE.replace("%(digest)s", f"'{digest_of(secret)}'"))
        before = [read(old, ALL_OF.format(name)) for name in ("order_events", "order_transactions")]
        assert running.command("release").returncode == 0
        after = [read(old, ALL_OF.format(name)) for name in ("order_events", "order_transactions")]
        assert after == before
        line = {number: (sender, turn) for number, sender, turn in read(old, STANDING)}
        assert line == {1: (1, 1), 2: (1, 2), 3: (2, 1), 4: (0, 1), 5: (0, 2)}
        assert read(old, SCOPES) == [(True, True, "[]", None, None)]

        web = running.web()
        answer = web.request("/api/orders?limit=200", authorization=f"Bearer {secret}")
        assert {one["orderId"][-1] for one in answer.body["results"]} == {"1", "2", "6"}
        new = web.request("/api/orders/execute", SELL, authorization=f"Bearer {secret}")
        assert new.status == 201
        running.worker()
        wait_for(lambda: not running.query(UNENDED), what="what waited and was begun has ended")
        for table in ("order_events", "order_transactions"):
            with psycopg.connect(old) as connection, pytest.raises(errors.RestrictViolation):
                connection.execute(f"DELETE FROM {table}")
        with psycopg.connect(old) as connection, pytest.raises(errors.RestrictViolation):
            connection.execute("UPDATE orders SET filled_out = 2 WHERE finished_at IS NOT NULL")


def test_a_version_before_reads_what_a_newer_one_left_after_going_back(
    process_database: str, tmp_path: Path
) -> None:
    """The migrations of this version can be taken back, with orders in the database."""
    with (
        database_like("template1", name="test_downgrade") as new,
        processes(new, tmp_path) as running,
    ):
        migrate(running, "auth")
        migrate(running, "orders", "0008")
        with psycopg.connect(new) as connection:
            connection.execute(OF_BEFORE.replace("%(digest)s", "'x'"))
        before = read(new, ALL_OF.format("orders"))
        migrate(running, "orders")
        migrate(running, "orders", "0008")
        assert read(new, ALL_OF.format("orders")) == before


def test_a_database_that_came_from_a_dump_numbers_its_log_anew(
    process_database: str, tmp_path: Path
) -> None:
    """Its events have ids that another server gave, also such as come later here."""
    with (
        database_like("template1", name="test_restored") as restored,
        processes(restored, tmp_path) as running,
    ):
        running.command("release")
        with psycopg.connect(restored) as connection:
            connection.execute("UPDATE transaction_numbering SET cluster = 'another'")
            connection.execute(
                "INSERT INTO order_events"
                " (order_id, owner_id, seq, status, attempt, message, data, at, xid)"
                " VALUES (gen_random_uuid(), 1, 1, 'pending', 0, '', '{}', now(), '999999')"
            )
        said = running.command("release")
        assert (said.returncode, "from a dump" in said.stderr) == (0, True)
        assert read(restored, "SELECT seq, xid FROM order_events") == [(1, None)]
        assert running.command("release").stderr == ""
        indexes = "SELECT indexdef FROM pg_indexes WHERE indexname = 'order_events_of_owner'"
        assert read(restored, indexes) == read(process_database, indexes) != []
