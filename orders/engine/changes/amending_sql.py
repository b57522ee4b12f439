"""The statements of one amendment, which are one transaction.

Locks are taken in the order of all who write here: watches by their order's id, groups, orders.
"""

from orders.engine.terms_sql import FROM_TICK, LOCK_GROUPS, THESE

__all__ = ["LOCK_GROUPS"]

LOCK_WATCHES = f"""
SELECT order_id::text FROM watches WHERE order_id IN {THESE}
ORDER BY order_id FOR UPDATE OF watches
"""

LOCK_ORDERS = f"""
WITH locked AS MATERIALIZED (
  SELECT * FROM orders WHERE id IN {THESE} ORDER BY id FOR UPDATE OF orders
)
SELECT o.id::text, o.seq, o.status, o.type, o.side, o.attempts, o.amount_in, o.amount_out,
  o.slippage_bps, o.limit_price, o.trigger_price, o.trigger_by, o.trail_bps, o.activation_price,
  o.time_in_force, o.expires_at, o.min_out, o.max_in, o.terms, o.tags, o.phase, o.group_id::text,
  coalesce(o.expires_at <= clock_timestamp(), false), clock_timestamp(),
  w.pair, w.line::text, w.kind::text, w.act::text, w.armed_tick
FROM locked AS o LEFT JOIN watches AS w ON w.order_id = o.id
"""

# The watermark of an order that is armed: the price of the first step at or after its first tick.
# And the price of this moment, if there is one.
WATERMARK = """
SELECT
  (SELECT price FROM price_peaks
   WHERE pair = %(pair)s AND line = %(line)s::"char" AND tick >= %(armed)s ORDER BY tick LIMIT 1),
  (SELECT CASE %(line)s WHEN 'b' THEN bid WHEN 'a' THEN ask ELSE reference END FROM price_ticks
   WHERE pair = %(pair)s AND tick >= extract(epoch FROM clock_timestamp())::bigint - %(age)s
   ORDER BY tick DESC LIMIT 1)
"""

# What a TWAP's slices have traded, and what is on its way.
SLICED = """
SELECT coalesce(sum(CASE WHEN finished_at IS NULL THEN amount_in ELSE filled_in END), 0)::bigint
FROM orders WHERE parent_id = %(id)s AND slice IS NOT NULL
"""

CHANGES = """json_to_recordset(%(changes)s::json) AS change(
  order_id uuid, seq int, message text, data jsonb, amount_in bigint, amount_out bigint,
  slippage_bps int, limit_price numeric, trigger_price numeric, trail_bps int,
  activation_price numeric, time_in_force text, expires_at timestamptz, min_out bigint,
  max_in bigint, terms jsonb, tags jsonb, phase text, goes_behind bool, is_rewritten bool,
  line "char", kind "char", act "char", wake_price numeric, watch_bps int)"""

AMEND = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
amended AS (
  UPDATE orders SET
    seq = orders.seq + 1,
    amount_in = change.amount_in,
    amount_out = change.amount_out,
    slippage_bps = change.slippage_bps,
    limit_price = change.limit_price,
    trigger_price = change.trigger_price,
    trail_bps = change.trail_bps,
    activation_price = change.activation_price,
    time_in_force = change.time_in_force,
    expires_at = change.expires_at,
    min_out = change.min_out,
    max_in = change.max_in,
    terms = change.terms,
    tags = change.tags,
    phase = change.phase
  FROM {CHANGES}
  WHERE orders.id = change.order_id AND orders.seq = change.seq AND orders.status = 'open'
  RETURNING orders.id, orders.owner_id, orders.seq, orders.attempts, change.message, change.data
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT id, owner_id, seq, 'open', attempts, message, data, clock.at, 'amended'
  FROM amended, clock
)
SELECT id::text, seq, attempts, clock.at, owner_id FROM amended, clock
"""

# Whatever was changed, it is looked at from the next whole second on: no price from before fires
# it. What it watches is rewritten only if that was changed, and its watermark is kept.
WATCH_OTHERWISE = f"""
UPDATE watches SET
  line = CASE WHEN change.is_rewritten THEN change.line ELSE watches.line END,
  kind = CASE WHEN change.is_rewritten THEN change.kind ELSE watches.kind END,
  act = CASE WHEN change.is_rewritten THEN change.act ELSE watches.act END,
  wake_price = CASE WHEN change.is_rewritten THEN change.wake_price ELSE watches.wake_price END,
  trail_bps = CASE WHEN change.is_rewritten THEN change.watch_bps ELSE watches.trail_bps END,
  check_at = CASE WHEN change.is_rewritten THEN NULL ELSE watches.check_at END,
  armed_tick = CASE WHEN change.is_rewritten AND change.kind = 't'
    THEN coalesce(watches.armed_tick, {FROM_TICK}) ELSE watches.armed_tick END,
  from_tick = {FROM_TICK},
  queued_at = CASE WHEN change.goes_behind THEN %(at)s::timestamptz ELSE watches.queued_at END,
  expires_at = coalesce(change.expires_at,
    (SELECT created_at FROM orders WHERE id = watches.order_id)
      + %(most_days)s * interval '1 day')
FROM {CHANGES}
WHERE watches.order_id = change.order_id
"""
