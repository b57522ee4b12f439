"""A table full of ended orders, and every statement and page that must not notice.

The tests of plans explain them; the benchmark times them (`tests/bench/growth.py`).
"""

from typing import Any, LiteralString, NamedTuple, cast

from orders.access import accounts, admission, tickets
from orders.engine import journal_sql as sql
from orders.monitoring import (
    engine_status,
    health,
    metrics,
    metrics_sql,
    minutes,
    operations_sql,
)
from orders.streams import resync

OLD = "2024-03-05 10:00+00"
ID = "018f0000-0000-7000-8000-000000000001"

# One order a second, the last one now; ids in order of time. One in a hundred failed, and some of
# the oldest are what an operator looks for: failed, flagged, in `submitted` with a lost worker.
FILL = """
INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff,
  is_active, date_joined) VALUES ('many', '', '', '', '', false, false, true, now());
INSERT INTO orders (id, side, base, quote, amount_in, slippage_bps, type, status, seq, attempts,
  lease_token, lost_leases, needs_attention, venue, signature, filled_in, filled_out, failure_code,
  client_order_id, owner_id, lease_until, created_at, started_at, finished_at, next_check)
SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'sell', 'SOL', 'USDC',
  1000000000, 100, 'market', status, 5, 1, 2, 0, n = 2, 'raydium', 'signature of order ' || n,
  CASE status WHEN 'confirmed' THEN 1000000000 END, CASE status WHEN 'confirmed' THEN 99000000 END,
  CASE status WHEN 'failed' THEN CASE n WHEN 1 THEN 'worker_lost' ELSE 'never_landed' END END,
  'order ' || n, (SELECT id FROM auth_user WHERE username = 'many'),
  CASE status WHEN 'submitted' THEN at - interval '1 hour' END, at, at,
  CASE status WHEN 'submitted' THEN NULL ELSE at + interval '2 seconds' END, at
FROM (
  SELECT n, CASE WHEN n = 3 THEN 'submitted' WHEN n = 1 OR n %% 100 = 0 THEN 'failed'
    ELSE 'confirmed' END AS status,
    CASE WHEN n <= 3 THEN timestamptz '%(old)s'
      ELSE now() - (%(count)s - n) * interval '1 second' END AS at
  FROM generate_series(1, %(count)s) AS n
) AS made;
INSERT INTO order_transactions (order_id, attempt, signature, payload, expires_at_height, outcome,
  created_at, settled_at)
SELECT id, 1, signature, '', 1, CASE status WHEN 'confirmed' THEN 'landed' ELSE 'expired' END,
  created_at, created_at FROM orders;
"""
ANALYZE = "ANALYZE orders, order_transactions"
FORGET_STATISTICS: LiteralString = """
DELETE FROM pg_statistic WHERE starelid IN (
  'orders'::regclass, 'order_transactions'::regclass, 'order_events'::regclass,
  'order_starts'::regclass)
"""
"""As if ANALYZE had never been: TRUNCATE keeps what is known of the values."""

CLAIM = {
    **{"room": 10, "statuses": ["pending", "routing", "building", "submitted"], "lease": 10},
    **{"message": "", "data": "{}", "is_limited": True, "limit": 100, "kept": 5, "window": 60},
}
KEYS = '[{"ordinal": 0, "owner": 1, "idempotency_key": "k", "client_order_id": "c"}]'
MOVES = (
    '[{"ordinal": 0, "order_id": "' + ID + '", "seq": 1, "status": "routing", "message": "",'
    ' "data": {}}]'
)
HELD = {"order_id": [ID], "lease_token": [1], "lease": 10}
RECENT = {
    **{"most": metrics_sql.MOST_RECENT, "window": metrics_sql.RECENT_SECONDS},
    "quantiles": list(metrics.QUANTILES),
}
OPEN = {"most": metrics_sql.MOST_OPEN}
PAGE = {
    **{"most": operations_sql.MOST_COUNTED, "aged": operations_sql.MOST_AGED, "half": 5},
    **{"recent": operations_sql.MOST_RECENT, "failed": operations_sql.MOST_FAILED},
    **{"flagged": operations_sql.MOST_FLAGGED},
}
MINUTE = {
    **{"minute": 1_800_000_000, "most": minutes.MOST_ACCEPTED, "timed": minutes.MOST_TIMED},
    "earlier": minutes.TIMED_SECONDS,
}

Asked = tuple[str, Any]
OF_LINKS: dict[str, Asked] = {
    "a claim": (sql.CLAIM_DUE, CLAIM),
    "a claim of one order": (sql.CLAIM_NAMED, CLAIM | {"only": ID}),
    "the last data": (sql.LAST_DATA, (ID, "building")),
    "renewed leases": (sql.RENEW, HELD),
    "released leases": (sql.RELEASE, HELD),
    "what was accepted": (sql.ACCEPTED, {"id": [ID]}),
    "what was moved": (sql.ADVANCED, {"moves": MOVES}),
    "keys": (sql.ACCEPTED_BEFORE, {"keys": KEYS}),
    "the backlog": (admission.WAITING, (10_000,)),
    "who is behind": (resync.BEHIND, ([ID], [3])),
    "a log": (resync.HISTORY, (0, ID, False, None)),
    "API keys": (accounts.FIND_KEYS, {"digests": ["x"]}),
    "readiness: writable": (health.WRITABLE, None),
    "readiness: migrations": (health.APPLIED, None),
    "living workers": (health.ALIVE, {"heard": 10}),
}
OF_DJANGO: dict[str, Asked] = {
    "what is due": (sql.DUE_KINDS, None),
    "what lies ahead": (sql.BRING_BACK, {"lease": 10, "delay": 61, "most": 10_000}),
    "open orders": (sql.OPEN, {"most": 10_000}),
    "old starts": (sql.PRUNE_STARTS, {"window": 40 * 86_400}),
    "old heartbeats": (health.FORGET, None),
    "old tickets": (tickets.PRUNE, None),
    "the standing": (
        engine_status.ENGINE_STATUS,
        OPEN | {"window": 60, "resting": engine_status.MOST_RESTING},
    ),
    "the last hour": (engine_status.LAST_HOUR, OPEN),
    "operations: steps": (operations_sql.STEPS, PAGE),
    "operations: leases": (operations_sql.LEASES, PAGE),
    "operations: last hour": (operations_sql.RECENT, PAGE),
    "operations: failed": (operations_sql.FAILED, PAGE),
    "operations: flagged": (operations_sql.FLAGGED, PAGE),
    "a minute: accepted": (minutes.ACCEPTED, MINUTE),
    "a minute: times": (minutes.TIMES, MINUTE),
}
OF_METRICS: dict[str, Asked] = {
    "metrics: open": (metrics_sql.OPEN, OPEN),
    "metrics: resting": (metrics_sql.RESTING, OPEN),
    "metrics: waiting": (metrics_sql.WAITING, OPEN),
    "metrics: leases": (metrics_sql.LEASES, OPEN),
    "metrics: recent": (metrics_sql.RECENT, RECENT),
    "metrics: recent span": (metrics_sql.RECENT_SPAN, RECENT),
    "metrics: steps": (metrics_sql.STEPS, RECENT),
    "metrics: started": (metrics_sql.STARTED, {"window": 60}),
    "metrics: heartbeats": (metrics_sql.HEARTBEATS, {"heard": metrics.SHOWN_SECONDS}),
}


class ListPage(NamedTuple):
    """The list of orders in the admin with these filters, and how many orders it shows."""

    query: str
    shown: int


LIST_PAGES = (
    ListPage("", 50),
    ListPage("p=10", 50),
    ListPage("o=-2.4", 50),  # no order but the index's
    ListPage("status=confirmed", 50),
    ListPage("status=cancelled", 0),
    ListPage("status=failed&venue=meteora", 0),
    ListPage("venue=raydium", 50),
    ListPage("market=SOL%2FUSDC&side=sell&type=market", 50),
    ListPage("side=buy", 0),
    ListPage("attempts=3", 0),
    ListPage("attempts=1&created=hour", 50),
    ListPage("attention=no", 50),
    ListPage("created=hour", 50),
    ListPage("created=hour&side=buy", 0),
    ListPage("created_from=2024-03-05T00:00&created_until=2024-03-06T00:00", 3),
    ListPage("created_at__year=2024", 3),
    ListPage("created_at__year=2024&created_at__month=3&created_at__day=5&status=confirmed", 1),
    # What has an index is found at the far end of the table.
    ListPage("attention=yes", 1),
    ListPage("status=submitted", 1),
    ListPage("status=under_way", 1),
    ListPage("status=open", 0),
    ListPage("phase=held", 0),
    ListPage("status=open&type=limit", 0),
    ListPage("lease=expired", 1),
    ListPage("status=pending", 0),
    ListPage("q=signature+of+order+9000", 1),
    ListPage("q=order+1", 1),
    ListPage("q=018f0000-0000-7000-8000-000000000005", 1),
    ListPage("q=nothing", 0),
    ListPage("q=abcdef01", 0),  # the end of no id
    ListPage("owner=none", 0),
)
TRANSACTION_QUERIES = ("", "p=5", "outcome=landed", "outcome=rejected", "outcome=none")
API_QUERIES = (
    *("", "createdAfter=2020-01-01T00:00:00Z", "status=confirmed", "status=failed"),
    *("market=SOL/USDC", "side=buy", "state=active", "status=submitted"),
)


def fill(count: int) -> LiteralString:
    """Return the statements that store so many ended orders, each with a transaction."""
    return cast(LiteralString, FILL % {"old": OLD, "count": count})
