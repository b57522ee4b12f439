"""The statements that cancel many orders, which are one transaction.

All but the last wait for whoever moves one of them. So the last one sees all that was committed
until then: a slice that was just made, an order that has just gone back to rest and watches again.
Locks are taken in the order of all who write here. The slices of a TWAP belong to their parent:
while one of them is submitted, the parent is marked and ends with it.
"""

from orders.lifecycle import FINAL

ENDED = "(" + ", ".join(f"'{status}'" for status in sorted(FINAL)) + ")"

MEMBERS = """named AS MATERIALIZED (
  SELECT id, group_id FROM orders WHERE id = ANY(%(ids)s::uuid[])
),
members AS MATERIALIZED (
  SELECT id FROM named
  UNION SELECT o.id FROM named JOIN orders AS o ON o.group_id = named.group_id
  UNION SELECT o.id FROM named JOIN orders AS o ON o.parent_id = named.id
    WHERE o.slice IS NOT NULL AND o.finished_at IS NULL
)"""

LOCK_WATCHES = f"""
WITH {MEMBERS}
SELECT FROM watches WHERE order_id IN (SELECT id FROM members) ORDER BY order_id FOR UPDATE
"""
LOCK_GROUPS = f"""
WITH {MEMBERS}
SELECT FROM order_groups WHERE id IN (SELECT group_id FROM named) ORDER BY id FOR UPDATE
"""
LOCK_ORDERS = f"""
WITH {MEMBERS}
SELECT FROM orders WHERE id IN (SELECT id FROM members) ORDER BY id FOR UPDATE
"""

CANCEL = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
{MEMBERS},
locked AS MATERIALIZED (
  SELECT id, status, seq, attempts, type, group_id, parent_id, slice FROM orders
  WHERE id IN (SELECT id FROM members)
),
sliced AS MATERIALIZED (
  SELECT o.parent_id AS id, sum(o.filled_in)::bigint AS filled_in,
    sum(o.filled_out)::bigint AS filled_out
  FROM locked JOIN orders AS o ON o.parent_id = locked.id AND o.slice IS NOT NULL
  WHERE locked.type = 'twap' GROUP BY o.parent_id
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
    filled_in = sliced.filled_in,
    filled_out = sliced.filled_out,
    finished_at = clock.at
  FROM clock, standing AS one LEFT JOIN sliced USING (id)
  WHERE orders.id = one.id AND NOT one.is_over AND NOT one.is_sent
  RETURNING orders.id, orders.owner_id, orders.group_id, orders.seq, orders.attempts, one.is_named
),
logged AS (
  INSERT INTO order_events (order_id, owner_id, seq, status, attempt, message, data, at)
  SELECT id, owner_id, seq, 'cancelled', attempts,
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
  cancelled.id IS NOT NULL, asked.id IS NOT NULL, cancelled.owner_id
FROM clock, standing AS one
LEFT JOIN cancelled ON cancelled.id = one.id LEFT JOIN asked ON asked.id = one.id
ORDER BY one.id
"""
