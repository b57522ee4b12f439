"""What waits costs no claim and no order: 30,000 that wait, of many senders, and as many ended."""

import re
from collections.abc import Iterator
from typing import Any, LiteralString, cast

import orjson
import psycopg
import pytest
from psycopg.sql import SQL, Literal
from pytest_django.plugin import DjangoDbBlocker

from config.database.conninfo import conninfo
from config.runtime.session import PLANS, startup_options
from orders.engine import journal_sql as sql
from orders.engine.submission import new_order_id
from tests.orders.engine.test_plans import EMPTY, explained, rows_read
from tests.support.database import as_owner, rewrite
from tests.support.ended_orders import ANALYZE, CLAIM, FORGET_STATISTICS, fill
from tests.support.samples import new_order

pytestmark = pytest.mark.django_db

MANY = 30_000
# One of them has half of what waits, the others some 15 each; all turns are as they would be.
WAITING = """
INSERT INTO orders (id, side, base, quote, amount_in, slippage_bps, type, status, seq, attempts,
  lease_token, lost_leases, needs_attention, created_at, next_check, sender, turn)
SELECT ('018f1000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'sell', 'SOL', 'USDC',
  1000000000, 100, 'market', 'pending', 1, 0, 0, 0, false, now(), now(),
  sender, row_number() OVER (PARTITION BY sender ORDER BY n)
FROM (
  SELECT n, CASE WHEN n %% 2 = 0 THEN -1 ELSE -2 - n / 2 %% 1000 END AS sender
  FROM generate_series(1, %s) AS n
) AS made
"""
USED_UP = """
INSERT INTO order_starts (at, orders, senders)
SELECT clock_timestamp() - interval '1 second', 1, ARRAY[-1 - n] FROM generate_series(0, 94) AS n
"""
SENDERS = {"whoever has half of all": -1, "one of many": -500, "a newcomer": -5000}


@pytest.fixture(scope="module", params=["without statistics", "analysed"])
def crowded(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    rewrite(conninfo(), EMPTY)
    with psycopg.connect(as_owner(conninfo()), autocommit=True) as database:
        database.execute(FORGET_STATISTICS)
        database.execute(fill(MANY))
        database.execute(WAITING, [MANY])
        if request.param == "analysed":
            database.execute(f"{ANALYZE}, order_starts")
    yield
    rewrite(conninfo(), EMPTY)
    rewrite(conninfo(), "DELETE FROM auth_user WHERE username = 'many'")


def read(statement: str, parameters: dict[str, Any], *, before: str = "SELECT") -> float:
    """Return how many orders it reads, planned for these values, and for whichever come."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    for place, name in enumerate(names, start=1):
        statement = statement.replace(f"%({name})s", f"${place}")
    values = SQL(", ").join(Literal(parameters[name]) for name in names)
    most = 0.0
    for mode in ("force_custom_plan", "force_generic_plan"):
        with psycopg.connect(conninfo(), options=startup_options(conninfo(), PLANS)) as engine:
            engine.execute("SELECT set_config('plan_cache_mode', %s, true)", [mode])
            engine.execute(cast(LiteralString, before))
            engine.execute(cast(LiteralString, f"PREPARE asked AS {statement}"))
            execute = SQL("EXECUTE asked ({})" if names else "EXECUTE asked").format(values)
            cursor = engine.execute(SQL(cast(LiteralString, explained("{}"))).format(execute))
            ((plans,),) = cursor.fetchall()
            engine.rollback()
            engine.execute("DEALLOCATE asked")
        most = max(most, rows_read(plans[0]["Plan"]).get("orders", 0))
    return most


def test_a_claim_reads_no_more_of_the_line_than_it_takes(crowded: None) -> None:
    assert read(sql.CLAIM_DUE, CLAIM) <= 50


def test_what_is_kept_is_found_in_front_of_the_line(crowded: None) -> None:
    assert read(sql.CLAIM_DUE, CLAIM, before=USED_UP) <= sql.LOOK_AHEAD + 50


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS.keys())
@pytest.mark.parametrize("statement", sql.ACCEPT.values(), ids=map(str, sql.ACCEPT))
def test_an_order_gets_its_turn_without_a_look_at_the_others(
    statement: Any, sender: int, crowded: None
) -> None:
    rows = [
        new_order(id=new_order_id(), stranger=sender).as_row() | {"behind": behind}
        for behind in range(5)
    ]
    parameters = CLAIM | {"orders": orjson.dumps(rows).decode(), "comparing": "Comparing prices"}
    assert read(statement, parameters) <= 30


def test_the_question_what_is_due_reads_no_line(crowded: None) -> None:
    assert read(sql.DUE_KINDS, {}) <= 50
