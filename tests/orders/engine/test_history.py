"""History is written once: neither the engine nor a slip in psql changes what happened."""

from collections.abc import Awaitable, Callable

import psycopg
import pytest
from psycopg import errors

from config.database.conninfo import conninfo
from tests.support.accounts import execute
from tests.support.client import submit
from tests.support.database import ENGINE_ROLE, Database
from tests.support.walker import confirm

pytestmark = pytest.mark.usefixtures("engine_loop", "redis_client")

WRITTEN_ONCE = "history is written once"
PRUNE = "DELETE FROM {table} WHERE order_id = %s"
Refused = Callable[[str], Awaitable[None]]


@pytest.fixture
async def ended(database: Database) -> str:
    """An order that was confirmed."""
    order_id = await submit()
    await confirm(order_id)
    return order_id


async def assert_refused(database: Database, statement: str) -> None:
    """Even to the owner of the tables, and nothing is changed by it."""
    content = "SELECT t::text FROM {} t ORDER BY 1"
    tables = ("orders", "order_events", "order_transactions")
    before = [await database.rows(content.format(table)) for table in tables]
    with pytest.raises(errors.RestrictViolation, match=WRITTEN_ONCE):
        await database.rows(statement)
    assert [await database.rows(content.format(table)) for table in tables] == before


@pytest.mark.parametrize(
    "change",
    [
        "amount_in = amount_in + 1",
        "amount_in = NULL, amount_out = 5",
        "slippage_bps = 5000",
        "side = 'buy'",
        "base = 'JUP'",
        "quote = 'USDT'",
        "constraints = '{}'",
        "client_order_id = 'other'",
        "idempotency_key = 'other'",
        "id = gen_random_uuid()",
    ],
)
@pytest.mark.parametrize("is_ended", [False, True])
async def test_what_was_asked_for_in_an_order_never_changes(
    change: str, is_ended: bool, database: Database
) -> None:
    order_id = await submit()
    if is_ended:
        await confirm(order_id)
    await assert_refused(database, f"UPDATE orders SET {change}")


@pytest.mark.parametrize(
    "change",
    [
        "filled_out = filled_out + 1",
        "filled_in = filled_in + 1",
        "venue = 'raydium'",
        "signature = 'other'",
        "min_out = 0",
        "finished_at = now()",
        "started_at = NULL",
    ],
)
async def test_how_an_order_ended_never_changes(
    change: str, ended: str, database: Database
) -> None:
    await assert_refused(database, f"UPDATE orders SET {change}")


async def test_an_update_that_changes_nothing_of_it_is_no_rewriting(
    ended: str, database: Database
) -> None:
    await database.rows("UPDATE orders SET venue = venue, side = side, needs_attention = true")
    assert await database.order(ended, "needs_attention")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE order_events SET message = 'never'",
        "UPDATE order_events SET at = now() WHERE seq = 1",
        "UPDATE order_events SET seq = seq + 10",
        "DELETE FROM order_events",
        "DELETE FROM order_events WHERE seq = 2",
        "TRUNCATE order_events",
        "UPDATE order_transactions SET payload = ''",
        "UPDATE order_transactions SET outcome = 'rejected'",
        "UPDATE order_transactions SET outcome = NULL, settled_at = NULL",
        "DELETE FROM order_transactions",
        "TRUNCATE order_transactions",
        "TRUNCATE orders",
        "TRUNCATE orders CASCADE",
        "TRUNCATE orders, order_events, order_transactions",
        "SET engine.pruning = 'yes'; DELETE FROM order_events",
        "SET engine.pruning = 'on'; UPDATE order_events SET message = 'never'",
        "SET engine.pruning = 'on'; TRUNCATE order_events",
    ],
)
async def test_what_happened_and_what_was_sent_stays_as_it_was_written(
    statement: str, ended: str, database: Database
) -> None:
    await assert_refused(database, statement)


async def test_an_outcome_is_written_once(database: Database) -> None:
    insert = """
INSERT INTO order_transactions
  (order_id, attempt, signature, payload, expires_at_height, created_at)
VALUES (gen_random_uuid(), 1, 'sent', '', 1, now())"""
    await database.rows(insert)
    await assert_refused(database, "UPDATE order_transactions SET signature = 'x'")
    await assert_refused(
        database,
        "UPDATE order_transactions SET outcome = 'landed', settled_at = now(), attempt = 2",
    )
    await database.rows("UPDATE order_transactions SET outcome = 'expired', settled_at = now()")
    await assert_refused(database, "UPDATE order_transactions SET outcome = 'landed'")


@pytest.mark.parametrize("table", ["order_events", "order_transactions"])
async def test_pruning_says_so_in_its_transaction_and_no_longer(
    table: str, ended: str, database: Database
) -> None:
    await database.rows("BEGIN")
    await database.rows("SET LOCAL engine.pruning = 'on'")
    await database.rows(PRUNE.format(table=table), ended)
    await database.rows("COMMIT")

    assert await database.rows(f"SELECT count(*) FROM {table}") == [(0,)]
    with pytest.raises(errors.RestrictViolation, match=WRITTEN_ONCE):
        await database.rows(PRUNE.format(table=table), ended)


# The role of the engine


async def test_the_engine_works_as_a_role_that_owns_nothing(ended: str) -> None:
    """So does every test that asks the engine for something, here and in processes of its own."""
    (row,) = execute(
        conninfo(),
        "SELECT current_user, usesuper, (SELECT count(*) FROM pg_class WHERE relowner = usesysid)"
        " FROM pg_user WHERE usename = current_user",
    )

    assert row == (ENGINE_ROLE, False, 0)


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE orders CASCADE",
        "TRUNCATE heartbeats",
        "DELETE FROM orders",
        "SET LOCAL engine.pruning = 'on'; DELETE FROM order_events",
        "SET LOCAL engine.pruning = 'on'; DELETE FROM order_transactions",
        "ALTER TABLE order_events DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "DROP TABLE order_events",
        "DROP TRIGGER order_events_are_kept ON order_events",
        "CREATE TABLE mine (id int)",
        "CREATE OR REPLACE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
    ],
)
async def test_the_engines_role_empties_and_alters_nothing(statement: str, ended: str) -> None:
    with psycopg.connect(conninfo()) as engine, pytest.raises(errors.InsufficientPrivilege):
        engine.execute(statement)  # type: ignore[call-overload]
