"""The statements that move orders with terms. Several of them are one transaction.

Locks are taken in the order of all who write here: watches by their order's id, groups, orders.
"""

from orders.engine.journal_sql import MOVE, TRANSACTIONS

THESE = """(SELECT unnest(%(ids)s::uuid[])
  UNION SELECT id FROM orders WHERE group_id = ANY(%(groups)s::uuid[]))"""

LOCK_WATCHES = f"""
SELECT order_id::text, act::text FROM watches WHERE order_id IN {THESE}
ORDER BY order_id FOR UPDATE OF watches
"""
LOCK_GROUPS = """
SELECT id::text FROM order_groups WHERE id = ANY(%(groups)s::uuid[]) ORDER BY id FOR UPDATE
"""
LOCK_ORDERS = f"""
SELECT id::text, seq, lease_token, status, type, time_in_force, group_id::text,
  coalesce(expires_at <= clock_timestamp(), false), coalesce(cancel_requested, false),
  clock_timestamp()
FROM orders WHERE id IN {THESE} ORDER BY id FOR UPDATE OF orders
"""

# As `journal_sql.ADVANCE`, for orders that may rest, and that end for a reason. The bound of an
# order without a limit price is that of its release: it is forgotten when the order rests.
ADVANCE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
moves AS (
  SELECT * FROM json_to_recordset(%(moves)s::json) AS move(
{MOVE},
    event text, reason text, phase text, rest_until timestamptz)
),
moved AS (
  UPDATE orders SET
    status = move.status,
    resting = move.status = 'open',
    phase = move.phase,
    rest_until = move.rest_until,
    reason = move.reason,
    seq = orders.seq + move.steps,
    lost_leases = 0,
    lease_until = CASE WHEN move.is_final OR move.status = 'open' OR move.delay IS NOT NULL
                       THEN NULL ELSE clock.at + %(lease)s * interval '1 second' END,
    lease_token = orders.lease_token + CASE
      WHEN move.is_final OR move.status = 'open' OR move.delay IS NOT NULL THEN 1 ELSE 0 END,
    next_check = CASE WHEN move.delay IS NULL THEN orders.next_check
                      ELSE clock.at + move.delay * interval '1 second' END,
    venue = coalesce(move.venue, orders.venue),
    min_out = CASE WHEN move.status = 'open' AND orders.limit_price IS NULL THEN NULL
                   ELSE coalesce(orders.min_out, move.min_out) END,
    max_in = CASE WHEN move.status = 'open' AND orders.limit_price IS NULL THEN NULL
                  ELSE coalesce(orders.max_in, move.max_in) END,
    signature = coalesce(move.signature, orders.signature),
    filled_in = move.filled_in,
    filled_out = move.filled_out,
    failure_code = coalesce(move.failure_code, orders.failure_code),
    failure_reason = coalesce(move.failure_reason, orders.failure_reason),
    needs_attention = orders.needs_attention OR move.needs_attention,
    finished_at = CASE WHEN move.is_final THEN clock.at END
  FROM moves AS move, clock
  WHERE orders.id = move.order_id
    AND orders.lease_token = move.lease_token
    AND orders.seq = move.seq
  RETURNING move.*, orders.owner_id, orders.seq AS new_seq, orders.attempts AS attempts
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT order_id, owner_id, new_seq, status, attempts, message, data, clock.at, event
  FROM moved, clock
  UNION ALL
  SELECT order_id, owner_id, new_seq - 1, passed, attempts, passed_message, passed_data, clock.at,
    NULL
  FROM moved, clock WHERE passed IS NOT NULL
),
{TRANSACTIONS}
SELECT moved.ordinal, moved.attempts, clock.at, moved.owner_id FROM moved, clock
"""

# As `journal_sql.ADVANCED`. When an order rests until is known to its event alone.
ADVANCED = """
SELECT move.ordinal, event.attempt, event.at, event.owner_id, event.data
FROM json_to_recordset(%(moves)s::json) AS move(
  ordinal int, order_id uuid, seq int, steps int, status text, message text, data jsonb)
JOIN order_events AS event ON event.order_id = move.order_id AND event.seq = move.seq + move.steps
  AND event.status = move.status AND event.message = move.message AND event.data @> move.data
"""

UNWATCH = "DELETE FROM watches WHERE order_id = ANY(%(ids)s::uuid[])"

FROM_TICK = "floor(extract(epoch FROM clock_timestamp()))::bigint + 1"
"""The first whole second after this one."""

QUEUED_AT = """coalesce((
    SELECT max(at) FROM order_events AS event WHERE event.order_id = orders.id
      AND event.event = 'amended' AND event.data @> '{"goesBehind": true}'), created_at)"""
"""Since when an order has its place among orders of its price: since it lost the one before."""

# What an order watches when it rests again is made anew from its columns, with its old place among
# orders of its price. The watermark of a trailing stop counts from its first tick, even if it was
# armed later: what armed it was a better price than all before.
# What the clock is to end at once has its check a day later: never.
WATCH_AGAIN = f"""
INSERT INTO watches (order_id, pair, line, kind, act, trail_bps, owner_id, from_tick, armed_tick,
  queued_at, check_at, expires_at, group_id, wake_price)
SELECT orders.id, pair, line, kind, act, orders.trail_bps, owner_id,
  {FROM_TICK},
  CASE WHEN type = 'trailingStop' THEN floor(extract(epoch FROM created_at))::bigint + 1 END,
  {QUEUED_AT},
  CASE WHEN is_over THEN clock_timestamp() + interval '1 day' ELSE rest_until END,
  CASE WHEN is_over THEN clock_timestamp()
    ELSE coalesce(orders.expires_at, created_at + %(most_days)s * interval '1 day') END,
  (SELECT id FROM order_groups WHERE id = orders.group_id AND ended_at IS NULL), wake_price
FROM json_to_recordset(%(rests)s::json) AS rest(
  order_id uuid, pair text, line "char", kind "char", act "char", wake_price numeric, is_over bool)
JOIN orders ON orders.id = rest.order_id
ON CONFLICT (order_id) DO UPDATE SET held = false, line = excluded.line, kind = excluded.kind,
  act = excluded.act, from_tick = excluded.from_tick, check_at = excluded.check_at,
  expires_at = excluded.expires_at, wake_price = excluded.wake_price
"""
RESUME = f"""
UPDATE watches SET held = false, from_tick = {FROM_TICK},
  group_id = (SELECT id FROM order_groups WHERE id = watches.group_id AND ended_at IS NULL)
WHERE order_id = ANY(%(ids)s::uuid[])
"""
FREE_GROUPS = "UPDATE order_groups SET live_order = NULL WHERE id = ANY(%(groups)s::uuid[])"
END_GROUPS = """
UPDATE order_groups SET live_order = NULL, ended_at = clock_timestamp()
WHERE id = ANY(%(groups)s::uuid[]) AND ended_at IS NULL
"""

REQUEST_CANCEL = "UPDATE orders SET cancel_requested = true WHERE id = ANY(%(ids)s::uuid[])"

CHILDREN_ON_THEIR_WAY = """
SELECT id::text FROM orders WHERE parent_id = %(id)s AND slice IS NOT NULL AND finished_at IS NULL
"""
SUMS_OF_SLICES = """
SELECT sum(filled_in)::bigint, sum(filled_out)::bigint FROM orders
WHERE parent_id = %(id)s AND slice IS NOT NULL
"""
LOOK_NOW = "UPDATE watches SET check_at = clock_timestamp() WHERE order_id = %(id)s"
