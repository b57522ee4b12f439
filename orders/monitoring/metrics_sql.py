"""The queries of /metrics. Each reads a bounded number of rows, through an index.

Conditions compare with `statement_timestamp()`. PostgreSQL looks up no `clock_timestamp()` in an
index, because that might change from row to row.
"""

from orders.engine.journal_sql import IN_LINE
from orders.lifecycle import IS_BEGUN, IS_HALTED, IS_WAITING
from orders.monitoring.health import IS_HEARD

MOST_OPEN = 50_000
MOST_RECENT = 2_000
RECENT_SECONDS = 600
LOOKED_AT = 5  # orders for each that is shown: others may lie between

# For one transaction. While a table fills, its statistics are missing or old. The planner must then
# not choose to read all of it.
PLANS = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
  set_config('enable_mergejoin', 'off', true), set_config('enable_bitmapscan', 'off', true),
  set_config('jit', 'off', true), set_config('statement_timeout', '2000', true)
"""

OPEN = f"""
SELECT status, count(*) FROM (
  (SELECT status FROM orders WHERE {IS_WAITING} LIMIT %(most)s)
  UNION ALL
  (SELECT status FROM orders WHERE {IS_BEGUN} LIMIT %(most)s)
) AS open GROUP BY status ORDER BY status
"""

RESTING = """
SELECT type, base || '/' || quote, count(*)
FROM (SELECT type, base, quote FROM orders WHERE resting LIMIT %(most)s) AS resting
GROUP BY 1, 2 ORDER BY 1, 2
"""

HALTED = f"SELECT {IS_HALTED}"

# Of each pair: how old its newest tick is, and how far behind it the watcher is.
TICKS = """
SELECT progress.pair, greatest(extract(epoch FROM clock_timestamp()) - last.tick, 0),
  greatest(last.tick - progress.evaluated_tick, 0)
FROM (SELECT pair, evaluated_tick FROM pair_progress ORDER BY pair LIMIT 1000) AS progress
CROSS JOIN LATERAL (
  SELECT tick FROM price_ticks WHERE price_ticks.pair = progress.pair ORDER BY tick DESC LIMIT 1
) AS last
ORDER BY 1
"""

WAITING = f"""
SELECT count(*),
  coalesce(greatest(extract(epoch FROM clock_timestamp() - min(next_check)), 0), 0)
FROM (
  SELECT next_check FROM orders
  WHERE {IS_WAITING} AND next_check <= statement_timestamp()
  ORDER BY {IN_LINE} LIMIT %(most)s
) AS waiting
"""

LEASES = f"""
SELECT count(*) FILTER (WHERE lease_until >= clock_timestamp()),
  count(*) FILTER (WHERE lease_until < clock_timestamp()),
  count(*) FILTER (WHERE lost_leases > 0),
  count(*) FILTER (WHERE needs_attention)
FROM (
  SELECT lease_until, lost_leases, needs_attention FROM orders
  WHERE {IS_BEGUN} LIMIT %(most)s
) AS begun
"""

# The newest market orders that workers have reached: those that came before the next one to be
# claimed. In a long queue the very newest orders have no outcome yet. An order with terms may have
# rested for days, so its times are no figures of the engine.
NEWEST = f"""
reached AS MATERIALIZED (
  SELECT coalesce(min(next_check), statement_timestamp()) AS at FROM (
    SELECT next_check FROM orders
    WHERE {IS_WAITING} AND next_check <= statement_timestamp()
    ORDER BY {IN_LINE} LIMIT 1
  ) AS first
),
newest AS MATERIALIZED (
  SELECT id, status, venue, failure_code, created_at FROM (
    SELECT id, status, venue, failure_code, created_at, terms IS NULL AS is_market FROM orders
    WHERE created_at < (SELECT at FROM reached)
      AND created_at > (SELECT at FROM reached) - %(window)s * interval '1 second'
    ORDER BY created_at DESC, id DESC LIMIT {LOOKED_AT} * %(most)s
  ) AS looked_at
  WHERE is_market ORDER BY created_at DESC, id DESC LIMIT %(most)s
)
"""

RECENT = f"""
WITH {NEWEST}
SELECT status, coalesce(venue, ''), coalesce(failure_code, ''), count(*)
FROM newest GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

RECENT_SPAN = f"""
WITH {NEWEST}
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) FROM newest
"""

# A step lasts from the event of its status to the next event of the order.
STEPS = f"""
WITH {NEWEST},
events AS (
  SELECT event.status, event.at - newest.created_at AS since,
    lead(event.at) OVER (PARTITION BY newest.id ORDER BY event.seq) - event.at AS lasted
  FROM newest CROSS JOIN LATERAL (
    SELECT seq, status, at FROM order_events WHERE order_id = newest.id ORDER BY seq LIMIT 50
  ) AS event
),
steps AS (
  SELECT status, lasted FROM events WHERE lasted IS NOT NULL
  UNION ALL
  SELECT 'total', since FROM events WHERE status = 'confirmed'
)
SELECT status, count(*), percentile_cont(%(quantiles)s::float8[])
  WITHIN GROUP (ORDER BY extract(epoch FROM lasted)::float8)
FROM steps GROUP BY status ORDER BY status
"""

STARTED = """
SELECT coalesce(sum(orders), 0) FROM order_starts
WHERE at > statement_timestamp() - %(window)s * interval '1 second' AND at <= statement_timestamp()
"""

HEARTBEATS = f"""
SELECT process, kind, extract(epoch FROM clock_timestamp() - seen_at), counts::text
FROM heartbeats
WHERE {IS_HEARD} ORDER BY kind, process LIMIT 1000
"""
