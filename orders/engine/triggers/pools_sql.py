"""The statements that look for the pools which snipers wait for."""

from orders.engine.triggers.passes_sql import NOW, TRADES

MOST = 500

PAIRS = """
WITH RECURSIVE waited AS (
  (SELECT pair FROM watches WHERE kind = 'p' AND NOT held ORDER BY pair LIMIT 1)
  UNION ALL
  SELECT (SELECT pair FROM watches WHERE kind = 'p' AND NOT held AND pair > waited.pair
    ORDER BY pair LIMIT 1)
  FROM waited WHERE waited.pair IS NOT NULL
)
SELECT pair FROM waited WHERE pair IS NOT NULL
"""

# In the order of their acceptance. `after` is the last one that was read.
WAITING = f"""
WITH {NOW}
SELECT w.order_id::text, w.queued_at, o.side, o.amount_in, o.min_out, o.constraints, o.terms
FROM watches AS w JOIN orders AS o ON o.id = w.order_id
WHERE w.pair = %(pair)s::text AND w.kind = 'p' AND NOT w.held
  AND w.expires_at > (SELECT at FROM clock)
  AND (w.check_at IS NULL OR w.check_at <= (SELECT at FROM clock))
  AND (w.queued_at, w.order_id) > (%(after_time)s::timestamptz, %(after_id)s::uuid)
  AND {TRADES}
ORDER BY w.queued_at, w.order_id LIMIT %(most)s::bigint
"""
