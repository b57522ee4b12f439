"""The statements of the clock: what ends, and what is looked at again."""

from orders.engine.triggers import passes_sql
from orders.engine.triggers.passes_sql import LOCK, MOVE, NOW, PROTECTIVE_TURN, RELEASED, TRADES
from orders.lifecycle import IS_BEGUN, IS_WAITING

MOST = 500
WARN_SECONDS = 86_400.0

IS_PENDING_BEGUN = f"{IS_BEGUN} AND status = 'pending'"

# What is due at all: nearly always nothing. `statement_timestamp()` is a time that the planner can
# compare with what it knows; of another one it would believe that a third of all rows is due.
DUE = f"""
WITH {NOW}
SELECT
  EXISTS (SELECT FROM watches WHERE expires_at <= statement_timestamp() AND NOT held),
  EXISTS (SELECT FROM orders WHERE {IS_WAITING} AND expires_at <= statement_timestamp())
    OR EXISTS (SELECT FROM orders WHERE {IS_PENDING_BEGUN}
      AND expires_at <= statement_timestamp()),
  EXISTS (SELECT FROM watches WHERE check_at <= statement_timestamp() AND NOT held
    AND act = 's' AND kind IN ('<', '>')),
  {TRADES} AND EXISTS (SELECT FROM watches WHERE check_at <= statement_timestamp() AND NOT held
    AND kind = 'c'),
  EXISTS (SELECT FROM watches WHERE check_at <= statement_timestamp() AND NOT held
    AND kind = 'c'),
  extract(epoch FROM statement_timestamp())::float8
"""

# One leg of a group ends both. `asked` is how many watches the group has: while somebody else holds
# the other one, neither ends.
GROUPS_LOCKED = """ids AS MATERIALIZED (
  SELECT order_id, count(*) OVER (PARTITION BY coalesce(group_id, order_id)) AS asked FROM (
    SELECT order_id, group_id FROM cand
    UNION
    SELECT s.order_id, s.group_id FROM cand JOIN watches AS s ON s.group_id = cand.group_id
  ) AS all_legs
),
locked AS MATERIALIZED (
  SELECT w.*, ids.asked FROM ids JOIN watches AS w ON w.order_id = ids.order_id
  ORDER BY w.order_id FOR UPDATE OF w SKIP LOCKED
),
whole AS MATERIALIZED (
  SELECT * FROM (
    SELECT *, count(*) OVER (PARTITION BY coalesce(group_id, order_id)) AS legs FROM locked
  ) AS counted
  WHERE legs = asked
)"""
ENDS = """moved AS (
  UPDATE orders AS o SET status = ends.status, seq = o.seq + 1, resting = false, phase = NULL,
    rest_until = NULL, reason = ends.reason, finished_at = clock.at, lease_until = NULL,
    lease_token = o.lease_token + 1
  FROM ends, clock WHERE o.id = ends.order_id AND o.status = ends.before
  RETURNING o.id, o.owner_id, o.seq, o.status, o.attempts, o.reason
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, owner_id, seq, status, attempts,
    CASE reason
      WHEN 'gtd' THEN 'Order expired: it was not sent by the time it was good for'
      WHEN 'max_age' THEN 'Order expired: no order rests longer'
      WHEN 'not_marketable' THEN 'Order expired: the market did not give what it asks for'
      WHEN 'queue_deadline'
        THEN 'Order expired: it was not sent within the longest wait it allows'
      ELSE 'Order cancelled: the other order of its group ended'
    END,
    jsonb_build_object('reason', reason) || CASE status
      WHEN 'cancelled' THEN '{"by": "engine"}'::jsonb ELSE '{}'::jsonb END, clock.at
  FROM moved, clock
  RETURNING order_id::text, seq, status, attempt, message, at, data, event, owner_id
)
SELECT (SELECT count(*) FROM cand), logged.* FROM (SELECT) AS once LEFT JOIN logged ON true
"""

# The parent of slices (type twap) ends elsewhere: its slices may be on their way.
END_RESTING = f"""
WITH {NOW},
cand AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM watches AS w JOIN orders AS o ON o.id = w.order_id
  WHERE w.expires_at <= statement_timestamp() AND NOT w.held AND o.type <> 'twap'
  ORDER BY w.expires_at LIMIT %(most)s::bigint
),
{GROUPS_LOCKED},
over AS MATERIALIZED (
  SELECT whole.order_id, whole.group_id FROM whole, clock
  WHERE expires_at <= clock.at AND NOT held
),
ended AS (
  UPDATE order_groups AS g SET ended_at = clock.at, live_order = NULL FROM over, clock
  WHERE g.id = over.group_id AND g.ended_at IS NULL
),
ends AS MATERIALIZED (
  SELECT w.order_id, 'open' AS before,
    CASE WHEN w.order_id IN (SELECT order_id FROM over) THEN 'expired' ELSE 'cancelled' END
      AS status,
    CASE WHEN w.order_id NOT IN (SELECT order_id FROM over) THEN 'group_cancelled'
      WHEN o.time_in_force IN ('ioc', 'fok') THEN 'not_marketable'
      WHEN o.expires_at IS NULL THEN 'max_age' ELSE 'gtd' END AS reason
  FROM whole AS w JOIN orders AS o ON o.id = w.order_id
  WHERE w.order_id IN (SELECT order_id FROM over)
    OR w.group_id IN (SELECT group_id FROM over)
),
gone AS (DELETE FROM watches AS w USING ends WHERE w.order_id = ends.order_id),
{ENDS}"""

# Those that wait for a worker and were not sent in time. The other leg of its group is held: it
# ends as well.
END_WAITING = f"""
WITH {NOW},
late AS MATERIALIZED (
  (SELECT id, group_id FROM orders
   WHERE {IS_WAITING} AND expires_at <= statement_timestamp() LIMIT %(most)s::bigint)
  UNION ALL
  (SELECT id, group_id FROM orders
   WHERE {IS_PENDING_BEGUN} AND expires_at <= statement_timestamp() LIMIT %(most)s::bigint)
),
cand AS MATERIALIZED (SELECT id AS order_id, group_id FROM late LIMIT %(most)s::bigint),
siblings AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM cand JOIN watches AS w ON w.order_id = cand.order_id
  UNION
  SELECT w.order_id, w.group_id FROM cand JOIN watches AS w ON w.group_id = cand.group_id
),
locked AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM siblings JOIN watches AS w ON w.order_id = siblings.order_id
  ORDER BY w.order_id FOR UPDATE OF w SKIP LOCKED
),
free AS MATERIALIZED (
  SELECT o.id AS order_id, o.group_id, o.time_in_force
  FROM cand JOIN orders AS o ON o.id = cand.order_id
  WHERE o.status = 'pending' AND o.expires_at <= statement_timestamp()
    AND NOT EXISTS (SELECT FROM siblings AS s
      WHERE (s.order_id = o.id OR s.group_id = o.group_id)
        AND s.order_id NOT IN (SELECT order_id FROM locked))
  ORDER BY o.id FOR UPDATE OF o SKIP LOCKED
),
ended AS (
  UPDATE order_groups AS g SET ended_at = clock.at, live_order = NULL FROM free, clock
  WHERE g.id = free.group_id AND g.ended_at IS NULL
),
ends AS MATERIALIZED (
  SELECT order_id, 'pending' AS before, 'expired' AS status,
    CASE time_in_force WHEN 'gtd' THEN 'gtd' ELSE 'queue_deadline' END AS reason FROM free
  UNION ALL
  SELECT locked.order_id, 'open', 'cancelled', 'group_cancelled'
  FROM locked JOIN free ON free.group_id = locked.group_id AND free.order_id <> locked.order_id
),
gone AS (DELETE FROM watches AS w USING ends WHERE w.order_id = ends.order_id),
{ENDS}"""

# A limit order that missed its limit is compared with its own price again: depth changes, too.
LOOK_AGAIN = f"""
WITH {NOW},
cand AS MATERIALIZED (
  SELECT w.order_id FROM watches AS w
  WHERE w.check_at <= statement_timestamp() AND NOT w.held AND w.act = 's'
    AND w.kind IN ('<', '>')
  ORDER BY w.check_at LIMIT %(most)s::bigint
),
locked AS MATERIALIZED (
  SELECT w.order_id FROM cand JOIN watches AS w ON w.order_id = cand.order_id
  WHERE w.act = 's' AND w.check_at <= statement_timestamp()
  ORDER BY w.order_id FOR UPDATE OF w SKIP LOCKED
),
reset AS (
  UPDATE watches AS w SET wake_price = o.limit_price, check_at = NULL
  FROM locked, orders AS o WHERE w.order_id = locked.order_id AND o.id = locked.order_id
)
SELECT (SELECT count(*) FROM cand), NULL
"""

RELEASE_AGAIN = (
    MOVE.format(
        turn=f"({PROTECTIVE_TURN})::bigint",
        data="jsonb_build_object('release', releases, 'latched', true)",
        **RELEASED,
    )
    .replace("%(message)s::text", "'Released again, with a new bound'")
    .replace("%(held)s::text", f"'{passes_sql.HELD}'")
)

# A latched order was triggered already: it is released again without another price, with a bound
# computed anew. It keeps its group meanwhile.
RELEASE_LATCHED = f"""
WITH {NOW},
cand AS MATERIALIZED (
  SELECT w.order_id, w.group_id FROM watches AS w JOIN orders AS o ON o.id = w.order_id
  WHERE w.check_at <= statement_timestamp() AND NOT w.held AND w.kind = 'c'
    AND o.phase = 'latched' AND w.expires_at > statement_timestamp() AND {TRADES}
  ORDER BY w.check_at LIMIT %(most)s::bigint
),
{LOCK.format(skip="SKIP LOCKED")},
due AS MATERIALIZED (
  SELECT w.order_id, w.group_id, o.sender, NULL::numeric AS level, NULL::numeric AS watermark,
    row_number() OVER (ORDER BY w.check_at, w.order_id) AS n
  FROM (
    SELECT *, count(*) OVER (PARTITION BY coalesce(group_id, order_id)) AS legs FROM locked
  ) AS w
  JOIN orders AS o ON o.id = w.order_id
  WHERE w.check_at <= statement_timestamp() AND NOT w.held AND w.kind = 'c'
    AND o.phase = 'latched' AND w.expires_at > statement_timestamp()
    AND (w.group_id IS NULL OR w.legs = 2)
),
{RELEASE_AGAIN}
SELECT (SELECT count(*) FROM cand), logged.* FROM (SELECT) AS once LEFT JOIN logged ON true
"""

# Of orders without an end of their own. `since` and `until` are unix times; who was told is asked
# for in its log, since the first look after a start is over a whole day.
TELL_EXPIRING = f"""
WITH {NOW},
cand AS MATERIALIZED (
  SELECT w.order_id FROM watches AS w JOIN orders AS o ON o.id = w.order_id
  WHERE w.expires_at > to_timestamp(%(since)s::float8) AND NOT w.held
    AND w.expires_at <= to_timestamp(%(until)s::float8)
    AND w.expires_at > statement_timestamp()
    AND o.expires_at IS NULL AND o.type <> 'twap'
    AND NOT EXISTS (SELECT FROM order_events AS e
      WHERE e.order_id = w.order_id AND e.event = 'expiringSoon')
  ORDER BY w.expires_at LIMIT %(most)s::bigint
),
locked AS MATERIALIZED (
  SELECT w.order_id, w.expires_at FROM cand JOIN watches AS w ON w.order_id = cand.order_id
  ORDER BY w.order_id FOR UPDATE OF w SKIP LOCKED
),
moved AS (
  UPDATE orders AS o SET seq = o.seq + 1 FROM locked
  WHERE o.id = locked.order_id AND o.status = 'open'
  RETURNING o.id, o.owner_id, o.seq, o.status, o.attempts, locked.expires_at
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT id, owner_id, seq, status, attempts,
    'The order ends within a day: none rests longer',
    jsonb_build_object('expiresAt', to_char(moved.expires_at AT TIME ZONE 'UTC',
      'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), clock.at, 'expiringSoon'
  FROM moved, clock
  RETURNING order_id::text, seq, status, attempt, message, at, data, event, owner_id
)
SELECT (SELECT count(*) FROM cand), (SELECT count(*) FROM cand) - (SELECT count(*) FROM locked),
  logged.*
FROM (SELECT) AS once LEFT JOIN logged ON true
"""
