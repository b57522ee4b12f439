"""The statement that cancels many orders.

Each part waits for the one before, so that locks are taken in the order of all who write here. A
row that another transaction has moved meanwhile is read as it is then. The slices of a TWAP belong
to their parent: while one of them is submitted, the parent is marked and ends with it.
"""

from orders.lifecycle import FINAL

ENDED = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"

CANCEL = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
named AS MATERIALIZED (
  SELECT id, group_id FROM orders WHERE id = ANY(%(ids)s::uuid[])
),
members AS MATERIALIZED (
  SELECT id FROM named
  UNION SELECT o.id FROM named JOIN orders AS o ON o.group_id = named.group_id
  UNION SELECT o.id FROM named JOIN orders AS o ON o.parent_id = named.id
    WHERE o.slice IS NOT NULL AND o.finished_at IS NULL
),
watched AS MATERIALIZED (
  SELECT order_id FROM watches WHERE order_id IN (SELECT id FROM members)
  ORDER BY order_id FOR UPDATE
),
grouped AS MATERIALIZED (
  SELECT id FROM order_groups
  WHERE id IN (SELECT group_id FROM named) AND (SELECT count(*) FROM watched) >= 0
  ORDER BY id FOR UPDATE
),
locked AS MATERIALIZED (
  SELECT id, status, seq, attempts, type, group_id, parent_id, slice FROM orders
  WHERE id IN (SELECT id FROM members) AND (SELECT count(*) FROM grouped) >= 0
  ORDER BY id FOR UPDATE
),
standing AS MATERIALIZED (
  SELECT locked.*, id IN (SELECT id FROM named) AS is_named, status IN {ENDED} AS is_over,
    bool_or(status = 'submitted') OVER (
      PARTITION BY coalesce(group_id, CASE WHEN slice IS NOT NULL THEN parent_id END, id)
    ) AS is_sent
  FROM locked
),
cancelled AS (
  UPDATE orders SET
    status = 'cancelled',
    resting = false,
    phase = NULL,
    rest_until = NULL,
    reason = CASE WHEN one.is_named THEN %(reason)s ELSE %(group_reason)s END,
    seq = orders.seq + 1,
    lost_leases = 0,
    lease_until = NULL,
    lease_token = orders.lease_token + 1,
    finished_at = clock.at
  FROM standing AS one, clock
  WHERE orders.id = one.id AND NOT one.is_over AND NOT one.is_sent
  RETURNING orders.id, orders.group_id, orders.seq, orders.attempts, one.is_named
),
logged AS (
  INSERT INTO order_events (order_id, seq, status, attempt, message, data, at)
  SELECT id, seq, 'cancelled', attempts,
    CASE WHEN is_named THEN %(message)s ELSE %(group_message)s END,
    CASE WHEN is_named THEN %(data)s::jsonb ELSE %(group_data)s::jsonb END,
    clock.at
  FROM cancelled, clock
),
asked AS (
  UPDATE orders SET cancel_requested = true FROM standing AS one
  WHERE orders.id = one.id AND NOT one.is_over AND one.is_sent
    AND (%(when_possible)s OR one.type = 'twap')
  RETURNING orders.id
),
unwatched AS (
  DELETE FROM watches WHERE order_id IN (SELECT id FROM cancelled)
),
ended AS (
  UPDATE order_groups SET live_order = NULL, ended_at = clock.at FROM clock
  WHERE id IN (SELECT group_id FROM cancelled) AND ended_at IS NULL
)
SELECT one.id::text, CASE WHEN cancelled.id IS NULL THEN one.status ELSE 'cancelled' END,
  coalesce(cancelled.seq, one.seq), one.attempts, clock.at, one.is_named,
  cancelled.id IS NOT NULL, asked.id IS NOT NULL
FROM clock, standing AS one
LEFT JOIN cancelled ON cancelled.id = one.id LEFT JOIN asked ON asked.id = one.id
ORDER BY one.id
"""
