"""The statements that slice TWAPs. Those of one batch are one transaction.

Whoever holds the watch of a parent is the only one who makes its slices, cancels it or ends it.
"""

from orders.engine.triggers.passes_sql import NOW
from orders.engine.triggers.ticks import MAX_TICK_AGE

LOCK_DUE = """
SELECT w.order_id::text FROM watches AS w JOIN orders AS o ON o.id = w.order_id
WHERE w.check_at <= clock_timestamp() AND NOT w.held AND w.kind = 'c' AND o.type = 'twap'
ORDER BY w.check_at LIMIT %(most)s::bigint
FOR UPDATE OF w SKIP LOCKED
"""

# A statement of its own, so that it sees what was committed until the watches were locked.
READ_DUE = f"""
WITH {NOW}
SELECT o.id::text, o.owner_id, o.sender, o.side, o.base, o.quote, o.amount_in, o.slippage_bps,
  o.limit_price, o.constraints, o.terms, o.created_at, o.expires_at,
  coalesce(o.cancel_requested, false),
  coalesce(made.filled_in, 0)::bigint, coalesce(made.filled_out, 0)::bigint, made.filled,
  made.last_slot, coalesce(made.is_last_filled, false), coalesce(made.is_on_its_way, false),
  clock.at, trading.is_halted, last.bid, last.ask
FROM orders AS o
JOIN watches AS w ON w.order_id = o.id
CROSS JOIN clock CROSS JOIN trading
CROSS JOIN LATERAL (
  SELECT sum(filled_in) AS filled_in, sum(filled_out) AS filled_out,
    count(*) FILTER (WHERE status = 'confirmed') AS filled, max(slice) AS last_slot,
    bool_or(finished_at IS NULL) AS is_on_its_way,
    (array_agg(status = 'confirmed' ORDER BY slice DESC))[1] AS is_last_filled
  FROM orders AS child WHERE child.parent_id = o.id AND child.slice IS NOT NULL
) AS made
LEFT JOIN LATERAL (
  SELECT bid, ask FROM price_ticks AS t WHERE t.pair = w.pair
    AND t.tick >= extract(epoch FROM clock.at)::bigint - {MAX_TICK_AGE}
  ORDER BY t.tick DESC LIMIT 1
) AS last ON true
WHERE o.id = ANY(%(ids)s::uuid[]) AND o.status = 'open'
ORDER BY o.id
FOR UPDATE OF o
"""

# Slices start before all that came by itself, as whatever was released. The first slice of each
# sender comes before anybody's second.
TAKE_TURNS = """
UPDATE orders AS o SET turn = taken.turn
FROM unnest(%(ids)s::uuid[], %(turns)s::bigint[]) AS taken(id, turn) WHERE o.id = taken.id
"""

MOVE_PARENTS = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
moves AS (
  SELECT * FROM json_to_recordset(%(moves)s::json) AS move(
    parent uuid, status text, reason text, filled_in bigint, filled_out bigint, message text,
    data jsonb, event text)
),
moved AS (
  UPDATE orders AS o SET
    status = moves.status,
    seq = o.seq + 1,
    resting = moves.status = 'open',
    phase = CASE WHEN moves.status = 'open' THEN o.phase END,
    reason = moves.reason,
    filled_in = moves.filled_in,
    filled_out = moves.filled_out,
    finished_at = CASE WHEN moves.status <> 'open' THEN clock.at END
  FROM moves, clock WHERE o.id = moves.parent AND o.status = 'open'
  RETURNING o.id, o.owner_id, o.seq, o.status, o.attempts, moves.message, moves.data, moves.event
),
logged AS (
  INSERT INTO order_events
    (order_id, owner_id, seq, status, attempt, message, data, at, event)
  SELECT id, owner_id, seq, status, attempts, message, data, clock.at, event FROM moved, clock
  RETURNING order_id::text, seq, status, attempt, message, at, data, event, owner_id
),
gone AS (
  DELETE FROM watches AS w USING moved WHERE w.order_id = moved.id AND moved.status <> 'open'
)
SELECT * FROM logged
"""

LOOK_LATER = """
UPDATE watches AS w SET check_at = later.at
FROM unnest(%(ids)s::uuid[], %(times)s::timestamptz[]) AS later(id, at) WHERE w.order_id = later.id
"""
